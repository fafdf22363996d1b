/*
 * tcp_wait.c - what the killed tree left behind: TIME_WAIT, and ends whose peer still lives
 *
 * When both ends of a connection were killed, one stays in TIME_WAIT for a
 * minute, and without SO_REUSEADDR on the old socket its port can't be bound.
 * With CAP_NET_ADMIN such ends are destroyed through sock_diag. Without:
 *
 * A SYN from the other end's address, when that is free, is answered with an
 * acknowledgement that fits nothing, to which the kernel replies with a reset
 * that ends TIME_WAIT (RFC 1337; tests/kernel/time_wait_reset.c). On the
 * loopback all that has happened when connect returns.
 *
 * When both ends closed in the same moment, both are in TIME_WAIT and hold each
 * other's address. After a second (net.ipv4.tcp_tw_reuse_delay) a connect that
 * chooses its port itself may take the place of one of them, and its SYN ends
 * the other as above; IP_LOCAL_PORT_RANGE (Linux 6.3) leaves it one port to
 * choose (tests/kernel/time_wait_both.c). It works where the old socket's
 * port, too, was chosen by connect.
 *
 * An address may be held by another TIME_WAIT, so there are several passes.
 */
#include <asm/errno.h>

#include "skshim/diag.h"
#include "tcp.h"

#include "skshim/frozen.h"

#define PASSES 6
#define LOOKS (1ul << 30)     /* room for what PASSES may list */
#define STATE_FIN_WAIT1 4
#define STATE_FIN_WAIT2 5
#define STATE_TIME_WAIT 6
#define STATE_LAST_ACK 9
#define STATE_LISTEN 10
#define STATE_CLOSING 11

struct ports {
	uint64_t bits[65536 / 64];
};

static bool has(const struct ports *p, uint16_t port)
{
	return p->bits[port / 64] >> port % 64 & 1;
}

static void add(struct ports *p, uint16_t port)
{
	p->bits[port / 64] |= 1ull << port % 64;
}

static unsigned address(const struct diag_inet *d, bool remote, union inet_addr *a)
{
	const uint8_t *ip = remote ? d->dst : d->src;
	uint16_t port = htons(remote ? d->dport : d->sport);

	memset(a, 0, sizeof(*a));
	a->any.sa_family = d->family;
	if (d->family == AF_INET) {
		a->v4.sin_port = port;
		memcpy(&a->v4.sin_addr, ip, 4);
		return sizeof(a->v4);
	}
	a->v6.sin6_port = port;
	memcpy(&a->v6.sin6_addr, ip, 16);
	a->v6.sin6_scope_id = d->ifindex;
	return sizeof(a->v6);
}

/* Nobody has a descriptor of it, and it is on its way out. */
static bool is_left_over(const struct diag_inet *d)
{
	return !d->ino && (d->state == STATE_TIME_WAIT || d->state == STATE_FIN_WAIT1 || d->state == STATE_FIN_WAIT2 ||
			   d->state == STATE_LAST_ACK || d->state == STATE_CLOSING);
}

/* A SYN from the other end's address. -EADDRINUSE: somebody has that, -EADDRNOTAVAIL: it is no address of this machine. */
static int end_from_there(const struct diag_inet *d)
{
	int fd = sys_socket(d->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP), rc;
	union inet_addr here, there;
	unsigned len = address(d, true, &there);

	if (fd < 0)
		return fd;
	(void)address(d, false, &here);
	(void)sockopt_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	rc = sys_bind(fd, &there, len);
	if (rc >= 0)
		(void)sys_connect(fd, &here, len);
	sys_close(fd);
	return rc;
}

/* A connection in the place of this TIME_WAIT, to the other end on this machine: both are gone then. */
static bool end_in_its_place(const struct diag_inet *d)
{
	int fd = sys_socket(d->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP), rc;
	union inet_addr here, there;
	unsigned len = address(d, false, &here);

	if (fd < 0)
		return false;
	(void)address(d, true, &there);
	rc = inet_connect_from(fd, &here, true, &there, len);
	sys_close(fd);
	return rc == -EINPROGRESS || rc == -ECONNREFUSED || rc == 0;
}

/* True when it is there no more. */
static bool end_wait(const struct diag_inet *d, const struct ports *listening)
{
	int rc;

	if (diag_inet_destroy(d) == 0)
		return true;
	/* a listener of somebody else's would get our SYN */
	if (d->state != STATE_TIME_WAIT || has(listening, d->sport))
		return false;
	rc = end_from_there(d);
	return rc >= 0 || (rc == -EADDRINUSE && !has(listening, d->dport) && end_in_its_place(d));
}

/* One look at all connections. *left: how many could not be ended. The number of those that were. */
static uint32_t pass(struct arena *arena, const struct ports *ours, uint32_t *left)
{
	struct collection c = { .arena = arena };
	struct ports *listening = arena_alloc(c.arena, sizeof(*listening));
	const struct diag_inet *d;
	uint32_t n = 0;

	*left = 0;
	if (!listening)
		return 0;
	for (d = diag_inet_next(&c, IPPROTO_TCP, NULL); d; d = diag_inet_next(&c, IPPROTO_TCP, d))
		if (d->state == STATE_LISTEN)
			add(listening, d->sport);
	for (d = diag_inet_next(&c, IPPROTO_TCP, NULL); d; d = diag_inet_next(&c, IPPROTO_TCP, d)) {
		if (!is_left_over(d) || !has(ours, d->sport))
			continue;
		if (end_wait(d, listening))
			n++;
		else
			++*left;
	}
	return n;
}

/* The ports that the image's sockets have, their peers that have closed, and their clients that are gone. */
static void add_ours(struct rebuild *rb, struct ports *ours)
{
	const struct tcp_pending *p;
	struct inet_key key;
	uint32_t i, k, n = rebuild_objects(rb);

	for (i = 0; i < n; i++) {
		const struct tcp_record *r = rebuild_record(rb, i);

		if (rebuild_kind(rb, i) != &kind_tcp)
			continue;
		if (inet_key(r->name, &key) && key.port)
			add(ours, key.port);
		if (r->what == TCP_IS_CONNECTED && !r->outside && inet_key(r->peer, &key))
			add(ours, key.port);
		for (k = 0, p = r->pending.items; k < r->pending.n; k++)
			if (p[k].gone && inet_key(p[k].client, &key))
				add(ours, key.port);
	}
}

bool tcp_is_listened(struct blob name)
{
	struct collection c = { .arena = NULL };
	const struct diag_inet *d;
	struct inet_key own, other;
	struct arena looks;
	bool found = false;

	if (!inet_key(name, &own) || arena_begin(&looks, LOOKS) < 0)
		return false;
	c.arena = &looks;
	for (d = diag_inet_next(&c, IPPROTO_TCP, NULL); d && !found; d = diag_inet_next(&c, IPPROTO_TCP, d))
		found = d->state == STATE_LISTEN && d->sport == own.port &&
			inet_key(tcp_diag_address(&looks, d->family, d->src, d->sport), &other) &&
			(inet_key_eq(&own, &other) || inet_is_any(&own) || inet_is_any(&other));
	arena_end(&looks);
	return found;
}

uint32_t tcp_end_waits(struct rebuild *rb)
{
	struct arena looks; /* its own: it may be called hundreds of times, and each pass lists all the machine's connections */
	struct ports *ours;
	uint32_t i, left = 0;

	if (arena_begin(&looks, LOOKS) < 0)
		return 0;
	ours = arena_alloc(&looks, sizeof(*ours));
	if (ours)
		add_ours(rb, ours);
	for (i = 0; ours && i < PASSES && pass(&looks, ours, &left); i++)
		;
	arena_end(&looks);
	return left;
}
