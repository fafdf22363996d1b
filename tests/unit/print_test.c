/*
 * print_test.c - what an image says can't do anything to a terminal, and addresses are readable
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "runtime/cli/cli.h"
#include "runtime/cli/symbols.h"

#include "unit.h"

static const char *shown(const char *bytes, size_t n)
{
	static char out[256];

	return print_text((struct blob){ bytes, n }, out, sizeof(out));
}
#define SHOWN(lit) shown(lit, sizeof(lit) - 1)

START_TEST(text_is_harmless)
{
	char small[16];

	ck_assert_str_eq(SHOWN("plain text"), "plain text");
	ck_assert_str_eq(SHOWN("\033[2J\n\0x"), "\\x1b[2J\\x0a\\x00x");
	ck_assert_str_eq(SHOWN("Gr\303\274\303\237e"), "Gr\303\274\303\237e");
	ck_assert_str_eq(SHOWN("\303"), "\\xc3");
	ck_assert_str_eq(SHOWN("\377\300\257"), "\\xff\\xc0\\xaf");
	ck_assert_str_eq(SHOWN("\302\233A"), "\\xc2\\x9bA");      /* C1 controls: some terminals obey them */
	ck_assert_str_eq(SHOWN("\355\240\200"), "\\xed\\xa0\\x80"); /* a surrogate */
	ck_assert_str_eq(SHOWN(""), "");
	print_text((struct blob){ "0123456789abcdefghij", 20 }, small, sizeof(small));
	ck_assert_uint_lt(strlen(small), sizeof(small));
}
END_TEST

static const char *address(const void *p, uint64_t n)
{
	static char out[256];

	return print_address(p, n, out, sizeof(out)) ? out : NULL;
}

START_TEST(addresses)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(443), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/run/x.sock" };
	uint64_t head = offsetof(struct sockaddr_un, sun_path);

	ck_assert_str_eq(address(&in, sizeof(in)), "127.0.0.1:80");
	ck_assert_str_eq(address(&in6, sizeof(in6)), "[::1]:443");
	in6.sin6_scope_id = 2;
	ck_assert_str_eq(address(&in6, sizeof(in6)), "[::1%2]:443");
	ck_assert_str_eq(address(&un, sizeof(un)), "/run/x.sock");
	ck_assert_str_eq(address(&un, head + 4), "/run");           /* no terminating zero */
	ck_assert_str_eq(address(&un, head), "(no name)");
	memcpy(un.sun_path, "\0a\0b", 4);
	ck_assert_str_eq(address(&un, head + 4), "@a\\x00b");
	memset(un.sun_path, 'p', sizeof(un.sun_path));
	ck_assert_uint_eq(strlen(address(&un, sizeof(un))), sizeof(un.sun_path));
}
END_TEST

START_TEST(no_addresses)
{
	char bytes[300] = { AF_INET };

	for (uint64_t n = 0; n < sizeof(struct sockaddr_in); n++)
		ck_assert_ptr_null(address(bytes, n));
	ck_assert_ptr_null(address(bytes, sizeof(bytes)));
	bytes[0] = 77;
	ck_assert_ptr_null(address(bytes, 16));
}
END_TEST

/* What was cut somewhere. */
START_TEST(cut)
{
	static const struct { const char *whole; size_t n; const char *left; } cases[] = {
		{ "abc", 10, "abc" }, { "abc", 2, "ab" }, { "abc", 0, "" }, { "", 3, "" }, { "a\xc3\xa4", 3, "a\xc3\xa4" },
		{ "a\xc3\xa4", 2, "a" }, { "\xc3\xa4", 1, "" }, { "a\xe4\xb8\xad" "b", 5, "a\xe4\xb8\xad" "b" },
		{ "a\xe4\xb8\xad" "b", 4, "a\xe4\xb8\xad" }, { "a\xe4\xb8\xad" "b", 3, "a" }, { "a\xe4\xb8\xad", 2, "a" },
		{ "\xf0\x9f\x98\x80", 3, "" }, { "\xf0\x9f\x98\x80x", 4, "\xf0\x9f\x98\x80" },
	};
	char text[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		strcpy(text, cases[i].whole);
		print_cut(text, cases[i].n);
		ck_assert_str_eq(text, cases[i].left);
	}
}
END_TEST

START_TEST(sizes_and_times)
{
	char out[64];

	print_size(13, out, sizeof(out));
	ck_assert_str_eq(out, "13 B");
	print_size(512 << 10, out, sizeof(out));
	ck_assert_str_eq(out, "512 KiB");
	print_size(UINT64_MAX, out, sizeof(out));
	ck_assert_str_eq(out, "16777215 TiB");
	setenv("TZ", "UTC", 1);
	print_time(1700000000ll * 1000000000, out, sizeof(out));
	ck_assert_str_eq(out, "2023-11-14 22:13:20");
	ck_assert_int_eq(symbols_plain("read@@GLIBC_2.2.5"), 4);
	ck_assert_int_eq(symbols_plain("main"), 4);
}
END_TEST

UNIT_MAIN("print", text_is_harmless, addresses, no_addresses, cut, sizes_and_times)
