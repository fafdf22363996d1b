/*
 * tcp_wait.c - what the killed tree left in TIME_WAIT
 *
 * When both ends of a connection were killed, one stays in TIME_WAIT for a
 * minute, and without SO_REUSEADDR on the old socket its port can't be bound.
 * It can be ended from the other end's address, which is free: a SYN from there is answered
 * with an acknowledgement that fits nothing, to which the kernel replies with
 * a reset that ends TIME_WAIT (RFC 1337; tests/kernel/time_wait_reset.c). On the
 * loopback all that has happened when connect returns.
 *
 * An address may be held by another TIME_WAIT, so there are several passes.
 */
#include <asm/errno.h>

#include "skshim/diag.h"
#include "tcp.h"

#include "skshim/frozen.h"

#define PASSES 6
#define STATE_TIME_WAIT 6
#define STATE_LISTEN 10

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

/* True when the other end's address could be had, so that this one is ended. */
static bool end_wait(const struct diag_inet *d)
{
	int fd = sys_socket(d->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP), rc;
	union inet_addr here, there;
	unsigned len = address(d, true, &there);

	if (fd < 0)
		return false;
	(void)address(d, false, &here);
	(void)sockopt_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	rc = sys_bind(fd, &there, len);
	if (rc >= 0)
		(void)sys_connect(fd, &here, len);
	sys_close(fd);
	return rc >= 0;
}

/* One look at all connections; the number of those ended. */
static uint32_t pass(struct rebuild *rb, const struct ports *ours)
{
	struct collection c = { .arena = rebuild_arena(rb) };
	struct ports *listening = arena_alloc(c.arena, sizeof(*listening));
	const struct diag_inet *d;
	uint32_t n = 0;

	if (!listening)
		return 0;
	for (d = diag_inet_next(&c, IPPROTO_TCP, NULL); d; d = diag_inet_next(&c, IPPROTO_TCP, d))
		if (d->state == STATE_LISTEN)
			add(listening, d->sport);
	/* a listener of somebody else's would get our SYN */
	for (d = diag_inet_next(&c, IPPROTO_TCP, NULL); d; d = diag_inet_next(&c, IPPROTO_TCP, d))
		if (d->state == STATE_TIME_WAIT && has(ours, d->sport) && !has(listening, d->sport))
			n += end_wait(d);
	return n;
}

void tcp_end_waits(struct rebuild *rb)
{
	struct ports *ours = arena_alloc(rebuild_arena(rb), sizeof(*ours));
	uint32_t i, n = rebuild_objects(rb);
	struct inet_key key;

	if (!ours)
		return;
	for (i = 0; i < n; i++) {
		const struct tcp_record *r = rebuild_record(rb, i);

		if (rebuild_kind(rb, i) == &kind_tcp && inet_key(r->name, &key) && key.port)
			add(ours, key.port);
	}
	for (i = 0; i < PASSES && pass(rb, ours); i++)
		;
}
