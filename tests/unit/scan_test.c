/*
 * scan_test.c - msgpack bytes, believed no further than they go
 */
#include <string.h>

#include "runtime/image/scan.h"

#include "unit.h"

struct row {
	const char *bytes;
	size_t n;
	size_t used;             /* 0: refused */
	const char *wrong;
};
#define ROW(lit, used, wrong) { lit, sizeof(lit) - 1, used, wrong }

static const struct row rows[] = {
	ROW("\x00", 1, NULL),
	ROW("\x7f\x7f", 1, NULL),
	ROW("\xff", 1, NULL),
	ROW("\xcc\xff", 2, NULL),
	ROW("\xcd\x01\x02", 3, NULL),
	ROW("\xce\x01\x02\x03\x04", 5, NULL),
	ROW("\xcf\x01\x02\x03\x04\x05\x06\x07\x08", 9, NULL),
	ROW("\xd0\x80", 2, NULL),
	ROW("\xd3\x80\0\0\0\0\0\0\0", 9, NULL),
	ROW("\xa3" "abc", 4, NULL),
	ROW("\xd9\x03" "abc", 5, NULL),
	ROW("\xda\x00\x03" "abc", 6, NULL),
	ROW("\xdb\x00\x00\x00\x03" "abc", 8, NULL),
	ROW("\xc4\x00", 2, NULL),
	ROW("\xc5\x00\x01x", 4, NULL),
	ROW("\xc6\x00\x00\x00\x01x", 6, NULL),
	ROW("\x90", 1, NULL),
	ROW("\x92\x01\x91\x02", 4, NULL),
	ROW("\xdc\x00\x01\x05", 4, NULL),
	ROW("\xdd\x00\x00\x00\x01\x05", 6, NULL),
	ROW("\x80", 1, NULL),
	ROW("\x81\xa1x\x05\x99", 4, NULL),
	ROW("\xde\x00\x01\xa1x\x05", 6, NULL),
	ROW("\xdf\x00\x00\x00\x01\xa1x\x05", 8, NULL),
	ROW("\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01", 11, NULL),
	ROW("", 0, "cut short"),
	ROW("\xcd\x01", 0, "cut short"),
	ROW("\xcf\x01\x02\x03\x04\x05\x06\x07", 0, "cut short"),
	ROW("\xa3" "ab", 0, "beyond the end"),
	ROW("\xdb\xff\xff\xff\xff", 0, "beyond the end"),
	ROW("\xc6\xff\xff\xff\xff" "abc", 0, "beyond the end"),
	ROW("\xdd\xff\xff\xff\xff\x00", 0, "beyond the end"),
	ROW("\xdf\xff\xff\xff\xff\x00\x00\x00\x00", 0, "beyond the end"),
	ROW("\x82\x01\x02\x03", 0, "beyond the end"),
	ROW("\x92\xa1x", 0, "cut short"),
	ROW("\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01", 0, "nested"),
	ROW("\xc0", 0, "a type"),
	ROW("\xc1", 0, "a type"),
	ROW("\xc2", 0, "a type"),
	ROW("\xca\0\0\0\0", 0, "a type"),
	ROW("\xcb\0\0\0\0\0\0\0\0", 0, "a type"),
	ROW("\xc7\x01\x01x", 0, "a type"),
	ROW("\xd4\x01x", 0, "a type"),
	ROW("\xd8\x01xxxxxxxxxxxxxxxx", 0, "a type"),
	ROW("\x91\xc3", 0, "a type"),
};

START_TEST(table)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		/* of its own size exactly, so that the sanitizer sees a step too far */
		uint8_t *p = malloc(r->n);
		const char *wrong;
		uint64_t used = 0;

		memcpy(p, r->bytes, r->n);
		wrong = scan(p, r->n, &used);
		if (r->used) {
			ck_assert_msg(!wrong, "row %zu: %s", i, wrong);
			ck_assert_uint_eq(used, r->used);
		} else {
			ck_assert_msg(wrong && strstr(wrong, r->wrong), "row %zu: %s", i, wrong ? wrong : "let through");
		}
		free(p);
	}
}
END_TEST

/* Deep, wide and endless input takes time by its length, not by its counts. */
START_TEST(bombs)
{
	size_t n = 8u << 20;
	uint8_t *p = malloc(n);
	uint64_t used;

	memset(p, 0x91, n);
	ck_assert_ptr_nonnull(scan(p, n, &used));
	memset(p, 0x9f, n);
	ck_assert_ptr_nonnull(scan(p, n, &used));
	memset(p, 0xdd, n);
	ck_assert_ptr_nonnull(scan(p, n, &used));
	free(p);
}
END_TEST

UNIT_MAIN("scan", table, bombs)
