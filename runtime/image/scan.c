/*
 * scan.c - msgpack bytes, believed no further than they go
 *
 * Every count must fit the bytes that are left (an element takes at least
 * one): nine bytes could ask for 64 GiB. Types that no image has (nil,
 * booleans, floats, extensions) are refused, and nesting is bounded.
 */
#include <stdbool.h>

#include "scan.h"

/* process > threads > thread > pending > siginfo is the deepest record: 5 containers. */
#define SCAN_DEPTH 12

static uint64_t big_endian(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

/* From the first byte: how many bytes of length or number follow it, and what it says itself; false: a foreign type. */
static bool head(uint8_t b, struct scan_value *v, unsigned *follow)
{
	*follow = 0;
	v->n = b;
	v->what = SCAN_UNSIGNED;
	if (b < 0x80)
		return true;
	if (b >= 0xe0) {
		v->n = (uint64_t)(int8_t)b;
		v->what = SCAN_NEGATIVE;
		return true;
	}
	if (b < 0xc0) {
		v->what = b < 0x90 ? SCAN_MAP : b < 0xa0 ? SCAN_ARRAY : SCAN_STR;
		v->n = b < 0xa0 ? b & 0xf : b & 0x1f;
		return true;
	}
	switch (b) {
	case 0xc4: case 0xc5: case 0xc6:             /* bin 8, 16, 32 */
		v->what = SCAN_BIN;
		*follow = 1u << (b - 0xc4);
		return true;
	case 0xcc: case 0xcd: case 0xce: case 0xcf:  /* uint 8 to 64 */
		*follow = 1u << (b - 0xcc);
		return true;
	case 0xd0: case 0xd1: case 0xd2: case 0xd3:  /* int 8 to 64 */
		v->what = SCAN_NEGATIVE;
		*follow = 1u << (b - 0xd0);
		return true;
	case 0xd9: case 0xda: case 0xdb:             /* str 8, 16, 32 */
		v->what = SCAN_STR;
		*follow = 1u << (b - 0xd9);
		return true;
	case 0xdc: case 0xdd:                        /* array 16, 32 */
		v->what = SCAN_ARRAY;
		*follow = 2u << (b - 0xdc);
		return true;
	case 0xde: case 0xdf:                        /* map 16, 32 */
		v->what = SCAN_MAP;
		*follow = 2u << (b - 0xde);
		return true;
	}
	return false;
}

const char *scan_take(const uint8_t **p, const uint8_t *end, struct scan_value *v)
{
	uint64_t left, least;
	unsigned follow;

	if (*p >= end)
		return "cut short";
	v->bytes = NULL;
	if (!head(*(*p)++, v, &follow))
		return "a type that no image has";
	left = (uint64_t)(end - *p);
	if (follow > left)
		return "cut short";
	if (follow) {
		v->n = big_endian(*p, follow);
		*p += follow;
		left -= follow;
		/* of a signed number: a positive one is no other than an unsigned one */
		if (v->what == SCAN_NEGATIVE) {
			v->n = (uint64_t)((int64_t)(v->n << (64 - 8 * follow)) >> (64 - 8 * follow));
			v->what = (int64_t)v->n < 0 ? SCAN_NEGATIVE : SCAN_UNSIGNED;
		}
	}
	if (v->what == SCAN_UNSIGNED || v->what == SCAN_NEGATIVE)
		return NULL;
	least = v->what == SCAN_MAP ? 2 * v->n : v->n;
	if (least > left)
		return "a length beyond the end";
	if (v->what == SCAN_STR || v->what == SCAN_BIN) {
		v->bytes = *p;
		*p += v->n;
	}
	return NULL;
}

const char *scan(const uint8_t *p, uint64_t n, uint64_t *used)
{
	const uint8_t *at = p, *end = p + n;
	uint64_t left[SCAN_DEPTH];       /* values still to come, in each open container */
	unsigned depth = 0;

	left[0] = 1;
	for (;;) {
		struct scan_value v;
		const char *wrong;

		while (left[depth] == 0) {
			if (depth == 0) {
				*used = (uint64_t)(at - p);
				return NULL;
			}
			depth--;
		}
		left[depth]--;
		wrong = scan_take(&at, end, &v);
		if (wrong)
			return wrong;
		if (v.what != SCAN_ARRAY && v.what != SCAN_MAP)
			continue;
		if (depth + 1 == SCAN_DEPTH)
			return "nested too deeply";
		left[++depth] = v.what == SCAN_MAP ? 2 * v.n : v.n;
	}
}
