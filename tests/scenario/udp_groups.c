/*
 * Multicast groups by every call there is: joined, left again by another call, with sources, filters of both modes,
 * more than notes would have room for, on a raw system call's back; what the kernel says of each must stay.
 */
#include "net.h"

#include <net/if.h>
#include <sys/syscall.h>

#define GROUPS 14

static struct group_filter *asked(int fd, int level, const char *group)
{
	static union {
		struct group_filter f;
		char room[GROUP_FILTER_SIZE(64)];
	} answer;
	struct name n = net_name(group, 0);
	socklen_t len = sizeof(answer);

	memset(&answer, 0, sizeof(answer));
	answer.f.gf_interface = 1;
	answer.f.gf_numsrc = 64;
	memcpy(&answer.f.gf_group, &n.any, n.len);
	return getsockopt(fd, level, MCAST_MSFILTER, &answer, &len) == 0 ? &answer.f : NULL;
}

static void is(int fd, int level, const char *group, unsigned mode, unsigned sources)
{
	struct group_filter *f = asked(fd, level, group);

	if (!f)
		FAIL("%s is not joined", group);
	SAME(f->gf_fmode, mode);
	SAME(f->gf_numsrc, sources);
}

static void req(int fd, int name, const char *group)
{
	struct name n = net_name(group, 0);
	struct group_req r = { .gr_interface = 1 };

	memcpy(&r.gr_group, &n.any, n.len);
	MUST(setsockopt(fd, n.any.sa_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, name, &r, sizeof(r)));
}

static void source(int fd, int name, const char *group, const char *from)
{
	struct name n = net_name(group, 0), s = net_name(from, 0);
	struct group_source_req r = { .gsr_interface = 1 };

	memcpy(&r.gsr_group, &n.any, n.len);
	memcpy(&r.gsr_source, &s.any, s.len);
	MUST(setsockopt(fd, n.any.sa_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, name, &r, sizeof(r)));
}

int main(void)
{
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0)), many = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	int six = MUST(socket(AF_INET6, SOCK_DGRAM, 0)), none = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	struct ip_mreqn row = { .imr_ifindex = 1 };
	struct ip_mreq_source blocked = { .imr_interface = { htonl(INADDR_LOOPBACK) } };
	char text[64];

	row.imr_multiaddr.s_addr = inet_addr("239.2.0.1");
	if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &row, sizeof(row)) < 0)
		scenario_skip("no multicast on the loopback here");
	req(fd, MCAST_LEAVE_GROUP, "239.2.0.1");
	req(fd, MCAST_JOIN_GROUP, "239.2.0.2");
	row.imr_multiaddr.s_addr = inet_addr("239.2.0.2");
	MUST(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &row, sizeof(row)));
	req(fd, MCAST_JOIN_GROUP, "239.2.0.3");
	blocked.imr_multiaddr.s_addr = inet_addr("239.2.0.3");
	blocked.imr_sourceaddr.s_addr = inet_addr("127.0.0.7");
	MUST(setsockopt(fd, IPPROTO_IP, IP_BLOCK_SOURCE, &blocked, sizeof(blocked)));
	source(fd, MCAST_BLOCK_SOURCE, "239.2.0.3", "127.0.0.8");
	source(fd, MCAST_UNBLOCK_SOURCE, "239.2.0.3", "127.0.0.7");
	source(fd, MCAST_JOIN_SOURCE_GROUP, "239.2.0.4", "127.0.0.7");
	source(fd, MCAST_JOIN_SOURCE_GROUP, "239.2.0.4", "127.0.0.9");
	row.imr_multiaddr.s_addr = inet_addr("239.2.0.5");
	MUST(syscall(SYS_setsockopt, fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &row, sizeof(row)));
	for (int i = 0; i < GROUPS; i++) {
		snprintf(text, sizeof(text), "239.2.1.%d", i);
		source(many, MCAST_JOIN_SOURCE_GROUP, text, "127.0.0.7");
	}
	req(six, MCAST_JOIN_GROUP, "ff15::1");
	source(six, MCAST_BLOCK_SOURCE, "ff15::1", "::1");
	source(six, MCAST_JOIN_SOURCE_GROUP, "ff15::2", "fd00::1");
	source(six, MCAST_JOIN_SOURCE_GROUP, "ff15::2", "fd00::2");
	req(six, MCAST_JOIN_GROUP, "ff02::1");
	req(six, MCAST_JOIN_GROUP, "239.2.0.6");

	scenario_wait();

	CHECK(!asked(fd, IPPROTO_IP, "239.2.0.1"));
	CHECK(!asked(fd, IPPROTO_IP, "239.2.0.2"));
	is(fd, IPPROTO_IP, "239.2.0.3", MCAST_EXCLUDE, 1);
	is(fd, IPPROTO_IP, "239.2.0.4", MCAST_INCLUDE, 2);
	is(fd, IPPROTO_IP, "239.2.0.5", MCAST_EXCLUDE, 0);
	for (int i = 0; i < GROUPS; i++) {
		snprintf(text, sizeof(text), "239.2.1.%d", i);
		is(many, IPPROTO_IP, text, MCAST_INCLUDE, 1);
		CHECK(!asked(none, IPPROTO_IP, text));
	}
	is(six, IPPROTO_IPV6, "ff15::1", MCAST_EXCLUDE, 1);
	is(six, IPPROTO_IPV6, "ff15::2", MCAST_INCLUDE, 2);
	is(six, IPPROTO_IPV6, "ff02::1", MCAST_EXCLUDE, 0);
	is(six, IPPROTO_IP, "239.2.0.6", MCAST_EXCLUDE, 0);
	source(fd, MCAST_LEAVE_SOURCE_GROUP, "239.2.0.4", "127.0.0.9");
	is(fd, IPPROTO_IP, "239.2.0.4", MCAST_INCLUDE, 1);
	source(fd, MCAST_UNBLOCK_SOURCE, "239.2.0.3", "127.0.0.8");
	is(fd, IPPROTO_IP, "239.2.0.3", MCAST_EXCLUDE, 0);
	scenario_ok();
}
