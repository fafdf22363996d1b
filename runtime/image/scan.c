/*
 * scan.c - a bounded walk over msgpack bytes
 *
 * msgpack-c allocates what an array's or map's head announces before it looks
 * for the elements: nine bytes can ask for 64 GiB, and nesting is its stack. So
 * the bytes are walked first, without allocating: every count must fit the bytes that are left
 * (an element takes at least one), nesting is bounded, and types that no image
 * has (nil, booleans, floats, extensions) are refused.
 */
#include <stdbool.h>

#include "scan.h"

/* process > threads > thread > pending > siginfo is the deepest record: 5 containers. */
#define SCAN_DEPTH 12

enum what { WHAT_NUMBER, WHAT_BYTES, WHAT_ARRAY, WHAT_MAP, WHAT_FOREIGN };

/* A value's head: what it is, how many bytes of length or number follow, and the length itself if in the head. */
struct head {
	enum what what;
	unsigned follow;
	uint64_t count;
};

static struct head head_of(uint8_t b)
{
	if (b < 0x80 || b >= 0xe0)
		return (struct head){ WHAT_NUMBER, 0, 0 };
	if (b < 0x90)
		return (struct head){ WHAT_MAP, 0, b & 0xf };
	if (b < 0xa0)
		return (struct head){ WHAT_ARRAY, 0, b & 0xf };
	if (b < 0xc0)
		return (struct head){ WHAT_BYTES, 0, b & 0x1f };
	switch (b) {
	case 0xc4: case 0xc5: case 0xc6:             /* bin 8, 16, 32 */
		return (struct head){ WHAT_BYTES, 1u << (b - 0xc4), 0 };
	case 0xcc: case 0xcd: case 0xce: case 0xcf:  /* uint 8 to 64 */
		return (struct head){ WHAT_NUMBER, 1u << (b - 0xcc), 0 };
	case 0xd0: case 0xd1: case 0xd2: case 0xd3:  /* int 8 to 64 */
		return (struct head){ WHAT_NUMBER, 1u << (b - 0xd0), 0 };
	case 0xd9: case 0xda: case 0xdb:             /* str 8, 16, 32 */
		return (struct head){ WHAT_BYTES, 1u << (b - 0xd9), 0 };
	case 0xdc: case 0xdd:                        /* array 16, 32 */
		return (struct head){ WHAT_ARRAY, 2u << (b - 0xdc), 0 };
	case 0xde: case 0xdf:                        /* map 16, 32 */
		return (struct head){ WHAT_MAP, 2u << (b - 0xde), 0 };
	}
	return (struct head){ WHAT_FOREIGN, 0, 0 };
}

static uint64_t big_endian(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

const char *scan(const uint8_t *p, uint64_t n, uint64_t *used)
{
	uint64_t left[SCAN_DEPTH];       /* values still to come, in each open container */
	uint64_t at = 0, count;
	unsigned depth = 0;
	struct head h;

	left[0] = 1;
	for (;;) {
		while (left[depth] == 0) {
			if (depth == 0) {
				*used = at;
				return NULL;
			}
			depth--;
		}
		left[depth]--;
		if (at >= n)
			return "cut short";
		h = head_of(p[at++]);
		if (h.what == WHAT_FOREIGN)
			return "a type that no image has";
		if (h.follow > n - at)
			return "cut short";
		count = h.follow ? big_endian(p + at, h.follow) : h.count;
		at += h.follow;
		if (h.what == WHAT_NUMBER)
			continue;
		if (h.what == WHAT_MAP)
			count *= 2;
		if (count > n - at)
			return "a length beyond the end";
		if (h.what == WHAT_BYTES) {
			at += count;
			continue;
		}
		if (depth + 1 == SCAN_DEPTH)
			return "nested too deeply";
		left[++depth] = count;
	}
}
