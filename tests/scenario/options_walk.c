/*
 * Every option there is: whatever number takes a value and then tells it is set on a socket of its own,
 * on every family and type, and on connections, and must tell the same afterwards.
 *
 * WALK_LIST=1 in the environment prints what was found, and what is taken but not told.
 */
#include "net.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#define VALUE 256

static const struct {
	const char *name;
	int family, type, protocol;
	enum { FRESH, CONNECTED, ACCEPTED } life;
} sorts[] = {
	{ "tcp", AF_INET, SOCK_STREAM, 0, FRESH }, { "tcp6", AF_INET6, SOCK_STREAM, 0, FRESH }, { "udp", AF_INET, SOCK_DGRAM, 0, FRESH },
	{ "udp6", AF_INET6, SOCK_DGRAM, 0, FRESH }, { "udplite", AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, FRESH },
	{ "mptcp", AF_INET, SOCK_STREAM, 262, FRESH }, { "ping", AF_INET, SOCK_DGRAM, IPPROTO_ICMP, FRESH },
	{ "raw", AF_INET, SOCK_RAW, IPPROTO_ICMP, FRESH }, { "raw6", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6, FRESH },
	{ "packet", AF_PACKET, SOCK_DGRAM, 0, FRESH }, { "netlink", AF_NETLINK, SOCK_RAW, 0, FRESH }, { "unix", AF_UNIX, SOCK_STREAM, 0, FRESH },
	{ "tcp, connected", AF_INET, SOCK_STREAM, 0, CONNECTED }, { "tcp6, accepted", AF_INET6, SOCK_STREAM, 0, ACCEPTED },
};
#define SORTS (sizeof(sorts) / sizeof(sorts[0]))

static const int levels[] = {
	SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, 255 /* SOL_RAW */,
	IPPROTO_ICMPV6, 263 /* SOL_PACKET */, 270 /* SOL_NETLINK */, 284 /* SOL_MPTCP */,
};
#define LEVELS (sizeof(levels) / sizeof(levels[0]))

struct found {
	const char *sort;
	int fd, level, name;
	socklen_t len;
	uint8_t value[VALUE];
};
static struct found found[4096];
static unsigned nfound;

/* What is no option but an order, or another test's: memory rings, TCP repair, programs, a family changed. */
static bool is_order(int level, int name)
{
	if (level == IPPROTO_TCP)
		return (name >= 19 && name <= 22) || name == 29 || name == 30;
	if (level == IPPROTO_IPV6)
		return name == IPV6_ADDRFORM;
	if (level == 263)
		return name == PACKET_RX_RING || name == PACKET_TX_RING || name == PACKET_FANOUT;
	return level == SOL_SOCKET && (name == 42 /* SO_PEEK_OFF: moves when looked at by us */);
}

static int get(int fd, int level, int name, uint8_t value[VALUE], socklen_t *len)
{
	memset(value, 0, VALUE);
	*len = VALUE;
	return getsockopt(fd, level, name, value, len);
}

/* The n-th value to try; 0 when there is no more. */
static socklen_t candidate(unsigned n, uint8_t value[VALUE])
{
	static const int ints[] = { 1, 2, 3, 5, 64, 1280, 20000, 0, 1 << 20, 1 << 24 };
	static const uint8_t padding[8] = { 0, 0, 1, 4 }, nops[4] = { 1, 1, 1, 0 };
	const struct { long s, us; } time = { 7, 0 };
	const int pair[2] = { 1, 5 };

	memset(value, 0, VALUE);
	if (n < sizeof(ints) / sizeof(ints[0])) {
		memcpy(value, &ints[n], 4);
		return 4;
	}
	switch (n - sizeof(ints) / sizeof(ints[0])) {
	case 0:
		memcpy(value, pair, 8);
		return 8;
	case 1:
		memcpy(value, &time, 16);
		return 16;
	case 2:
		memcpy(value, "lo", 3);
		return 3;
	case 3:
		memcpy(value, "reno", 5);
		return 5;
	case 4:
		memcpy(value, padding, 8);
		return 8;
	case 5:
		memcpy(value, nops, 4);
		return 4;
	case 6:
		memset(value, 0x5a, 32);
		return 32;
	case 7:
		memset(value, 0x5a, 16);
		return 16;
	}
	return 0;
}

static int make(size_t sort)
{
	int end[2], l;

	if (sorts[sort].life != FRESH) {
		l = net_listener(sorts[sort].family == AF_INET ? "127.0.0.1" : "::1", 1);
		net_pair(l, end);
		close(l);
		return end[sorts[sort].life == ACCEPTED];
	}
	return socket(sorts[sort].family, sorts[sort].type | SOCK_CLOEXEC, sorts[sort].protocol);
}

/* Returns a fresh socket for the next: this one, if it took nothing. */
static int walk_one(int fd, size_t sort, int level, int name, bool list)
{
	uint8_t before[VALUE], value[VALUE];
	struct found *f = &found[nfound];
	socklen_t len, before_len;
	bool taken = false;
	int told;

	told = get(fd, level, name, before, &before_len);
	for (unsigned n = 0; (len = candidate(n, value)); n++) {
		if (setsockopt(fd, level, name, value, len) < 0) {
			if (errno == ENOPROTOOPT)
				break;
			continue;
		}
		taken = true;
		if (told < 0 || get(fd, level, name, f->value, &f->len) < 0)
			continue;
		if (f->len == before_len && !memcmp(f->value, before, VALUE))
			continue;
		if (nfound + 1 == sizeof(found) / sizeof(found[0]))
			FAIL("room");
		f->sort = sorts[sort].name;
		f->fd = fd;
		f->level = level;
		f->name = name;
		nfound++;
		if (list)
			printf("%s: %d/%d set by %u\n", f->sort, level, name, n);
		return make(sort);
	}
	if (taken && list)
		printf("%s: %d/%d is taken, %s\n", sorts[sort].name, level, name, told < 0 ? "not told" : "stays as it was");
	if (!taken)
		return fd;
	close(fd);
	return make(sort);
}

static void walk(size_t sort, bool list)
{
	int fd = make(sort);

	for (size_t l = 0; l < LEVELS; l++)
		for (int name = 0; fd >= 0 && name < 256; name++)
			if (!is_order(levels[l], name))
				fd = walk_one(fd, sort, levels[l], name, list);
	if (fd >= 0)
		close(fd);
}

static const char *hex(const uint8_t *p, socklen_t n)
{
	static char text[4][80];
	static unsigned turn;
	char *t = text[turn++ % 4], *at = t;

	for (socklen_t i = 0; i < n && i < 32; i++)
		at += sprintf(at, "%02x", p[i]);
	*at = '\0';
	return t;
}

int main(void)
{
	struct rlimit many;
	bool list = getenv("WALK_LIST") != NULL;
	unsigned wrong = 0;

	MUST(getrlimit(RLIMIT_NOFILE, &many));
	many.rlim_cur = many.rlim_max;
	MUST(setrlimit(RLIMIT_NOFILE, &many));
	for (size_t s = 0; s < SORTS; s++)
		walk(s, list);
	printf("%u options are set\n", nfound);
	CHECK(nfound > 300);

	scenario_wait();

	for (struct found *f = found; f < found + nfound; f++) {
		uint8_t value[VALUE];
		socklen_t len;

		if (get(f->fd, f->level, f->name, value, &len) == 0 && len == f->len && !memcmp(value, f->value, VALUE))
			continue;
		fprintf(stderr, "%s: %d/%d was %s, is %s\n", f->sort, f->level, f->name, hex(f->value, f->len), hex(value, len));
		wrong++;
	}
	SAME(wrong, 0);
	scenario_ok();
}
