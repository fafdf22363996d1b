/*
 * Datagrams that are held back, by UDP_CORK and by MSG_MORE, empty and large: what was put into them before and what
 * comes afterwards is one datagram, and nobody has got any of it meanwhile.
 *
 * scenario-checkpoints: 3
 */
#include "net.h"

#include <netinet/udp.h>
#include <sched.h>

enum { CORK, MORE, MUTUAL, QUEUED, EMPTY, LARGE, NOBODY, MAPPED, PREFERRED, ENDS };

static struct {
	int from, to;
	size_t held;
} ends[ENDS];
static char pattern[60000];

static int bound(const char *ip, struct name *own)
{
	struct name n = net_name(ip, 0);
	int fd = MUST(socket(n.any.sa_family, SOCK_DGRAM, 0));

	MUST(bind(fd, &n.any, n.len));
	*own = net_own(fd);
	return fd;
}

static void make(int i, const char *ip, size_t held)
{
	struct name to, from;

	ends[i].to = bound(i == MAPPED ? "::" : ip, &to);
	ends[i].from = bound(ip, &from);
	if (i == MAPPED)
		to = net_name(ip, net_port(ends[i].to));
	if (i == QUEUED)
		SAME(sendto(ends[i].from, "before", 6, 0, &to.any, to.len), 6);
	if (i == PREFERRED)
		net_set(ends[i].to, SOL_SOCKET, SO_INCOMING_CPU, sched_getcpu());
	if (i == MUTUAL || i == PREFERRED)
		MUST(connect(ends[i].to, &from.any, from.len));
	MUST(connect(ends[i].from, &to.any, to.len));
	if (i == CORK || i == LARGE)
		net_set(ends[i].from, IPPROTO_UDP, UDP_CORK, 1);
	SAME(send(ends[i].from, pattern, held / 2, MSG_MORE), (long)held / 2);
	SAME(send(ends[i].from, pattern + held / 2, held - held / 2, MSG_MORE), (long)(held - held / 2));
	ends[i].held = held;
	if (i == NOBODY)
		close(ends[i].to);
}

static void verify(int i)
{
	static char got[65536];

	if (i == QUEUED)
		net_expect(ends[i].to, "before");
	if (i != NOBODY)
		net_empty(ends[i].to);
	if (i == NOBODY) {
		struct name to = net_peer(ends[i].from);

		ends[i].to = MUST(socket(to.any.sa_family, SOCK_DGRAM, 0));
		MUST(bind(ends[i].to, &to.any, to.len));
	}
	SAME(net_get(ends[i].from, IPPROTO_UDP, UDP_CORK), i == CORK || i == LARGE);
	SAME(net_get(ends[i].to, SOL_SOCKET, SO_REUSEADDR), 0);
	SAME(send(ends[i].from, "end", 3, 0), 3);
	if (i == CORK || i == LARGE) {
		net_empty(ends[i].to);
		net_set(ends[i].from, IPPROTO_UDP, UDP_CORK, 0);
	}
	CHECK(net_poll(ends[i].to, POLLIN, 2000) & POLLIN);
	SAME(recv(ends[i].to, got, sizeof(got), 0), (long)ends[i].held + 3);
	CHECK(!memcmp(got, pattern, ends[i].held) && !memcmp(got + ends[i].held, "end", 3));
	net_empty(ends[i].to);
}

/* One for a group would reach others: it stays where it is, and is lost at a restart. */
static void group_make(int end[2])
{
	struct name to = net_name("127.0.0.1", 0), from;
	struct ip_mreqn join = { .imr_ifindex = 1 };

	end[1] = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	inet_pton(AF_INET, "239.7.7.7", &to.v4.sin_addr);
	join.imr_multiaddr = to.v4.sin_addr;
	MUST(bind(end[1], &to.any, to.len));
	MUST(setsockopt(end[1], IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)));
	to = net_own(end[1]);
	end[0] = bound("127.0.0.1", &from);
	MUST(setsockopt(end[0], IPPROTO_IP, IP_MULTICAST_IF, &join, sizeof(join)));
	MUST(connect(end[0], &to.any, to.len));
	SAME(send(end[0], "to all", 6, MSG_MORE), 6);
}

static void group_verify(const int end[2])
{
	net_empty(end[1]);
	SAME(send(end[0], " of them", 8, 0), 8);
	net_expect(end[1], scenario_killed() ? " of them" : "to all of them");
	net_empty(end[1]);
}

int main(void)
{
	int group[2];

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (char)(i * 7 + i / 251);
	make(CORK, "127.0.0.1", 11);
	make(MORE, "::1", 5000);
	make(MUTUAL, "127.0.0.1", 20);
	make(QUEUED, "127.0.0.1", 30);
	make(EMPTY, "127.0.0.3", 0);
	make(LARGE, "127.0.0.1", sizeof(pattern));
	make(NOBODY, "::1", 3);
	make(MAPPED, "::ffff:127.0.0.1", 9);
	make(PREFERRED, "127.0.0.1", 15);
	group_make(group);
	scenario_wait();
	group_verify(group);
	for (int i = 0; i < ENDS; i++)
		verify(i);
	scenario_ok();
}
