/*
 * tcp_pending.c - connections that nobody has accepted
 *
 * sock_diag lists them, in no order, with the number of bytes that each has sent. When
 * there are any bytes, or one was reset, all are accepted, looked into, and put back in the
 * same order (held.h, held_tcp.c), in every checkpoint anew. A listener that several
 * processes have is left alone: only this one could give out what it accepted.
 *
 * At restart they are made again: their clients connect, and send the same.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>

#include "skshim/diag.h"
#include "skshim/held.h"
#include "tcp.h"

#include "skshim/frozen.h"

#define CLOSE_WAIT 8
#define CLOSED 7
#define MORE_ROOM 16

const struct field tcp_pending_fields[] = {
	FIELD_BIN(struct tcp_pending, client),
	FIELD_BIN(struct tcp_pending, server),
	FIELD_U32(struct tcp_pending, bytes),
	FIELD_U32(struct tcp_pending, gone),
	FIELD_U32_ADDED(struct tcp_pending, place),
	FIELD_BIN_ADDED(struct tcp_pending, received),
	FIELD_U32_ADDED(struct tcp_pending, urgent),
	FIELD_END
};

/* False: it can't be kept, which is announced. */
static bool collect_one(struct collection *c, const struct probe *p, const struct diag_inet *d, struct tcp_pending *out)
{
	char text[64];
	int inside;

	out->client = tcp_diag_address(c->arena, d->family, d->dst, d->dport);
	out->server = tcp_diag_address(c->arena, d->family, d->src, d->sport);
	/* the peer's end takes a sequence number, too */
	out->bytes = d->rqueue - (d->state == CLOSE_WAIT && d->rqueue);
	inside = inet_peer_inside(c, IPPROTO_TCP, out->server, out->client);
	out->gone = inside == INET_PEER_GONE;
	inet_text(out->client, text);
	if (inside == INET_PEER_OUTSIDE)
		collection_loss(c, p, "connection from %s, not accepted yet: the peer is outside, will be reset at restart", text);
	else if (out->bytes)
		collection_loss(c, p, "connection from %s, not accepted yet: the %u bytes it has sent can't be looked at, "
				"will be reset at restart", text, out->bytes);
	return inside != INET_PEER_OUTSIDE;
}

/* Whether there is something that only accept shows; n: how many the listener says there are. */
static bool worth_a_look(struct collection *c, const struct diag_inet *l, uint32_t n)
{
	const struct diag_inet *d;
	uint32_t listed = 0;

	for (d = diag_inet_pending(c, l, NULL); d; d = diag_inet_pending(c, l, d), listed++)
		if (d->rqueue > (d->state == CLOSE_WAIT))
			return true;
	return listed < n;
}

/* --- accepting and putting back ------------------------------------------------------------------------------- */

/* Where the listener can be reached from here. */
static unsigned address_of(const struct tcp_record *r, union inet_addr *a)
{
	struct inet_key key;
	unsigned len = 0;

	if (!inet_addr_of(r->name, a, &len) || !inet_key(r->name, &key) || !inet_is_any(&key))
		return len;
	if (a->any.sa_family == AF_INET)
		a->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		a->v6.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
	return len;
}

/* One accepted connection, which may be a stand-in of an earlier checkpoint's; its descriptor. */
static int accept_one(const struct probe *p, union inet_addr *peer, unsigned *len)
{
	struct pollfd poll = { .fd = p->fd, .events = POLLIN };
	union inet_addr real;
	unsigned room = sizeof(real);
	int fd, inside;

	if (sys_poll(&poll, 1, 0) != 1)
		return -EAGAIN;
	*len = sizeof(*peer);
	fd = sys_accept4(p->fd, peer, len, SOCK_CLOEXEC);
	if (fd < 0)
		return fd;
	inside = held_tcp_inside(fd, &real, &room);
	if (inside < 0)
		return fd;
	sys_close(fd);
	memcpy(peer, &real, room);
	*len = room;
	return inside;
}

static int look_into(struct collection *c, const struct probe *p, int fd, struct tcp_pending *out)
{
	struct probe here = { .fd = fd, .obj = OBJ_NONE };
	struct tcp_record r = { .outside = 1, .what = TCP_IS_CONNECTED, .urgent = -1 };
	struct pollfd poll = { .fd = fd, .events = POLLIN | POLLPRI };
	struct tcp_info info = { 0 };
	unsigned len = sizeof(info);
	struct inet_key own, peer;
	char text[64];
	int rc = inet_name_read(c->arena, fd, false, &out->server), inside;

	if (rc >= 0)
		rc = sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	if (rc < 0)
		return rc;
	inside = inet_peer_inside(c, IPPROTO_TCP, out->server, out->client);
	if (inside != INET_PEER_OUTSIDE && inet_key(out->server, &own) && inet_key(out->client, &peer))
		(void)tcp_make_way(fd, &own, &peer);
	rc = sys_poll(&poll, 1, 0);
	if (rc >= 0)
		rc = tcp_queue_collect(c, &here, &r, poll.revents);
	out->received = r.received;
	out->urgent = (uint32_t)(r.urgent + 1);
	out->gone = info.tcpi_state == CLOSED ? TCP_GONE_RESET : inside == INET_PEER_GONE ? TCP_GONE_CLOSED : 0;
	inet_text(out->client, text);
	if (inside == INET_PEER_OUTSIDE)
		collection_loss(c, p, "connection from %s, not accepted yet: the peer is outside, will be reset at restart", text);
	return rc < 0 ? rc : inside == INET_PEER_OUTSIDE ? 0 : 1;
}

/* The first n of the backlog become the last n, looked into. */
static int turn(struct collection *c, const struct probe *p, struct tcp_record *r, uint32_t n, int knocked)
{
	struct tcp_pending *list = arena_alloc(c->arena, n * sizeof(*list));
	union inet_addr to, peer;
	unsigned to_len = address_of(r, &to), len;
	int fd, rc = list ? 0 : -ENOMEM, put;
	uint32_t i;

	for (i = 0; i < n && rc >= 0; i++) {
		fd = accept_one(p, &peer, &len);
		if (fd == -EAGAIN)
			break;
		if (fd < 0)
			return fd;
		list[r->pending.n].client = arena_blob(c->arena, &peer, len);
		rc = look_into(c, p, fd, &list[r->pending.n]);
		if (knocked < 0)
			knocked = held_tcp_knock(&to, to_len);
		put = knocked < 0 ? knocked : held_tcp_put(knocked, fd, &peer, len);
		sys_close(fd);
		if (knocked >= 0)
			sys_close(knocked);
		knocked = -1;
		if (put < 0)
			return put;
		if (rc > 0)
			list[r->pending.n++].place = i + 1;
	}
	if (knocked >= 0)
		sys_close(knocked);
	r->pending.items = list;
	return rc;
}

/* 0: nothing was touched; 1: done. */
static int look(struct collection *c, const struct probe *p, struct tcp_record *r, uint32_t n)
{
	union inet_addr to;
	unsigned len = address_of(r, &to);
	int knocked, rc;

	if (!len || !p->lineage || !c->alone || n > held_tcp_room() || !c->alone(c->pid, p->st.st_ino))
		return 0;
	/* room for one more than there are; and whether it can be reached at all */
	(void)sys_listen(p->fd, r->backlog + MORE_ROOM);
	knocked = held_tcp_knock(&to, len);
	rc = knocked < 0 ? 0 : turn(c, p, r, n, knocked);
	(void)sys_listen(p->fd, r->backlog);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: looking into connections not accepted yet", c->pid, p->fd);
	return knocked >= 0;
}

int tcp_pending_collect(struct collection *c, const struct probe *p, struct tcp_record *r, uint32_t n)
{
	const struct diag_inet *l = diag_inet(c, IPPROTO_TCP, (uint32_t)p->st.st_ino), *d;
	struct tcp_pending *list;
	int rc;

	if (!l)
		return 0;
	if (worth_a_look(c, l, n)) {
		rc = look(c, p, r, n);
		if (rc)
			return rc < 0 ? rc : 0;
	}
	list = arena_alloc(c->arena, n * sizeof(*list));
	if (!list)
		return failed(-ENOMEM, "pid %d fd %d: %u connections not accepted", c->pid, p->fd, n);
	r->pending = (struct list){ list, 0 };
	/* another one may listen on the same port */
	for (d = diag_inet_pending(c, l, NULL); d && r->pending.n < n; d = diag_inet_pending(c, l, d))
		if (collect_one(c, p, d, &list[r->pending.n]))
			r->pending.n++;
	return 0;
}
