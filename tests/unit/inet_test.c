/*
 * inet_test.c - internet addresses, and which of them are this machine's
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "runtime/kinds/inet.h"
#include "unit.h"

static unsigned address(const char *ip, union inet_addr *a)
{
	memset(a, 0, sizeof(*a));
	a->v4.sin_port = htons(7); /* where IPv6 has it, too */
	if (inet_pton(AF_INET, ip, &a->v4.sin_addr) == 1) {
		a->any.sa_family = AF_INET;
		return sizeof(a->v4);
	}
	a->any.sa_family = AF_INET6;
	ck_assert_int_eq(inet_pton(AF_INET6, ip, &a->v6.sin6_addr), 1);
	return sizeof(a->v6);
}

static bool here(const char *ip)
{
	union inet_addr a;
	unsigned len = address(ip, &a);

	return inet_is_here((struct blob){ &a, len });
}

START_TEST(unmapped)
{
	union inet_addr a;

	ck_assert_uint_eq(inet_unmap(&a, address("::ffff:10.1.2.3", &a)), sizeof(a.v4));
	ck_assert_int_eq(a.any.sa_family, AF_INET);
	ck_assert_uint_eq(ntohl(a.v4.sin_addr.s_addr), 0x0a010203);
	ck_assert_uint_eq(ntohs(a.v4.sin_port), 7);
	ck_assert_uint_eq(inet_unmap(&a, address("::1", &a)), sizeof(a.v6));
	ck_assert_int_eq(a.any.sa_family, AF_INET6);
	ck_assert_uint_eq(inet_unmap(&a, address("10.1.2.3", &a)), sizeof(a.v4));
}
END_TEST

START_TEST(ours)
{
	static const char *const there[] = { "192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "224.0.0.1", "239.7.7.7", "ff02::1",
					     "255.255.255.255", "127.255.255.255", "::ffff:255.255.255.255" };

	ck_assert(here("127.0.0.1"));
	ck_assert(here("127.0.0.3"));
	ck_assert(here("::ffff:127.0.0.1"));
	ck_assert(here("::1"));
	for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++)
		ck_assert_msg(!here(there[i]), "%s", there[i]);
	ck_assert(!inet_is_here(BLOB("")));
}
END_TEST

/* Where sockets may be bound to anything. */
START_TEST(ours_nonlocal)
{
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return;
	fd = open("/proc/sys/net/ipv4/ip_nonlocal_bind", O_WRONLY);
	if (fd < 0 || write(fd, "1", 1) != 1)
		return;
	close(fd);
	ck_assert(!here("192.0.2.1"));
}
END_TEST

UNIT_MAIN("inet", unmapped, ours, ours_nonlocal)
