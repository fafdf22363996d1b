/*
 * text_test.c - the small printf against the big one, and the parsers
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "skshim/str.h"

#include "unit.h"

#define SAME(...) do { \
	char ours[256], theirs[256]; \
	int n = text_format(ours, sizeof(ours), __VA_ARGS__); \
	int m = snprintf(theirs, sizeof(theirs), __VA_ARGS__); \
	ck_assert_str_eq(ours, theirs); \
	ck_assert_int_eq(n, m); \
} while (0)

START_TEST(format_like_printf)
{
	SAME("plain");
	SAME("%%");
	SAME("%d %i %u", -1, INT_MIN, UINT_MAX);
	SAME("%ld %lu %lx", LONG_MIN, ULONG_MAX, 0xdeadbeefUL);
	SAME("%lld %llu %zu %zd", LLONG_MIN, ULLONG_MAX, (size_t)7, (ssize_t)-7);
	SAME("%x|%08x|%-8x|%8x|%#x", 0xabc, 0xabc, 0xabc, 0xabc, 0xabc);
	SAME("%5d|%-5d|%05d|%05d", 42, 42, 42, -42);
	SAME("%o %03o", 0755, 07);
	SAME("%c%c", 'a', '%');
	SAME("%s|%5s|%-5s|", "abc", "ab", "ab");
	SAME("%.*s|%.2s|%.0s|", 2, "abcdef", "xyz", "none");
	SAME("%*d|%-*d|", 6, 1, 6, 1);
	SAME("%p", (void *)0x1234);
	SAME("%s: pid %d fd %d: %s", "skshim", 812, 9, "io_uring is not supported");
}
END_TEST

START_TEST(format_is_cut)
{
	char buf[8];
	char one[1] = { 'x' };

	memset(buf, 'x', sizeof(buf));
	ck_assert_int_eq(text_format(buf, 5, "%s", "longer than that"), 4);
	ck_assert_str_eq(buf, "long");
	ck_assert_int_eq(buf[5], 'x');
	ck_assert_int_eq(text_format(buf, 5, "%08d", 12), 4);
	ck_assert_str_eq(buf, "0000");
	ck_assert_int_eq(text_format(one, 1, "%d", 3), 0);
	ck_assert_int_eq(one[0], 0);
	ck_assert_int_eq(text_format(buf, 0, "%d", 3), 0);
}
END_TEST

/* A string without an end is read no further than its precision. */
START_TEST(format_unterminated)
{
	char buf[16], raw[3] = { 'a', 'b', 'c' };
	const char *volatile none = NULL;

	text_format(buf, sizeof(buf), "%.*s", 3, raw);
	ck_assert_str_eq(buf, "abc");
	text_format(buf, sizeof(buf), "[%.*s]", 0, none);
	ck_assert_str_eq(buf, "[]");
}
END_TEST

START_TEST(numbers)
{
	static const struct {
		const char *text;
		int base;
		bool good;
		uint64_t value;
		size_t used;
	} rows[] = {
		{ "0", 10, true, 0, 1 },
		{ "123 456", 10, true, 123, 3 },
		{ "18446744073709551615", 10, true, UINT64_MAX, 20 },
		{ "18446744073709551616", 10, false, 0, 0 },
		{ "99999999999999999999999", 10, false, 0, 0 },
		{ "ffffffffffffffff", 16, true, UINT64_MAX, 16 },
		{ "10000000000000000", 16, false, 0, 0 },
		{ "DEADbeefg", 16, true, 0xdeadbeef, 8 },
		{ "0100002", 8, true, 0100002, 7 },
		{ "79", 8, true, 7, 1 },
		{ "", 10, false, 0, 0 },
		{ "-1", 10, false, 0, 0 },
		{ "x", 10, false, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *p = rows[i].text;
		uint64_t v = 0;

		ck_assert_int_eq(text_number(&p, p + strlen(p), rows[i].base, &v), rows[i].good);
		ck_assert_uint_eq(v, rows[i].value);
		ck_assert_uint_eq((size_t)(p - rows[i].text), rows[i].used);
	}
}
END_TEST

START_TEST(lines)
{
	struct blob text = BLOB("one\n\nthree"), line;

	ck_assert(text_line(&text, &line) && blob_is(line, "one"));
	ck_assert(text_line(&text, &line) && blob_is(line, ""));
	ck_assert(text_line(&text, &line) && blob_is(line, "three"));
	ck_assert(!text_line(&text, &line));
	text = BLOB("");
	ck_assert(!text_line(&text, &line));
}
END_TEST

START_TEST(fields)
{
	struct blob text = BLOB("pos:\t42\nflags:\t0100002\nmnt_id:\t15\nsigmask:\t0000000000000a00\nposition: 1\nempty:\nat: 0x1f\n");
	uint64_t v = 7;

	ck_assert(text_field(text, "pos:", 10, &v) && v == 42);
	ck_assert(text_field(text, "flags:", 8, &v) && v == 0100002);
	ck_assert(text_field(text, "sigmask:", 16, &v) && v == 0xa00);
	ck_assert(text_field(text, "at:", 16, &v) && v == 0x1f);
	ck_assert(!text_field(text, "id:", 10, &v));
	ck_assert(!text_field(text, "empty:", 10, &v));
	ck_assert(!text_field(text, "absent:", 10, &v));
}
END_TEST

START_TEST(signals)
{
	static const struct { const char *name; int sig; } rows[] = {
		{ "USR2", 12 }, { "SIGUSR2", 12 }, { "12", 12 }, { "64", 64 }, { "HUP", 1 }, { "SYS", 31 }, { "CLD", 17 },
		{ "RTMIN", 34 }, { "RTMIN+3", 37 }, { "SIGRTMIN+30", 64 }, { "RTMAX", 64 }, { "RTMAX-1", 63 }, { "RTMAX-30", 34 },
		{ "", 0 }, { "SIG", 0 }, { "0", 0 }, { "65", 0 }, { "-1", 0 }, { "12x", 0 }, { "usr2", 0 }, { "USR3", 0 },
		{ "RTMIN-1", 0 }, { "RTMIN+31", 0 }, { "RTMAX+1", 0 }, { "RTMIN+", 0 }, { "RTMINx", 0 }, { "RTMIN+1x", 0 },
		{ "99999999999999999999", 0 }, { "12 ", 0 },
	};
	char name[16];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(text_signal((struct blob){ rows[i].name, strlen(rows[i].name) }) == rows[i].sig, "%s", rows[i].name);
	for (int sig = 1; sig <= 64; sig++) {
		text_signal_name(sig, name);
		ck_assert_int_eq(text_signal((struct blob){ name, strlen(name) }), sig);
	}
}
END_TEST

START_TEST(errors)
{
	for (int e = 1; e <= 133; e++)
		if (e != 41 && e != 58)      /* numbers that stand for nothing */
			ck_assert_str_eq(text_error(-e), strerror(e));
	ck_assert_str_eq(text_error(-41), "Unknown error");
	ck_assert_str_eq(text_error(-99999), "Unknown error");
	ck_assert_str_eq(text_error(INT_MIN), "Unknown error");
	ck_assert_str_eq(text_error(0), "Success");
}
END_TEST

UNIT_MAIN("text", format_like_printf, format_is_cut, format_unterminated, numbers, lines, fields, signals, errors)
