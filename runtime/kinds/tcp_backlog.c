/*
 * tcp_backlog.c - connections that nobody has accepted, made again
 *
 * Their clients connect to the program's own listener, in the order in which
 * they are to be accepted, and send what they had sent. While that is done the
 * backlog has room for all: a SYN and an acknowledgement may each have met one that was full,
 * which made a client wait. Those that still waited for an answer come last.
 */
#include <asm/errno.h>
#include <fcntl.h>

#include "tcp_build.h"

#include "skshim/frozen.h"

/* In the order in which they are to be accepted, where that is known; else as they were made. */
static bool later(const struct end *a, const struct end *b)
{
	if (a->waits->place && b->waits->place)
		return a->waits->place > b->waits->place;
	return a->rec->order > b->rec->order;
}

static void sort(struct end **list, uint32_t n)
{
	uint32_t i, k;

	/* nearly in order as they come */
	for (i = 1; i < n; i++) {
		struct end *e = list[i];

		for (k = i; k && later(list[k - 1], e); k--)
			list[k] = list[k - 1];
		list[k] = e;
	}
}

/* What a client had sent before anybody accepted it. */
static int send_waiting(struct end *e, int fd, const struct tcp_pending *p, struct blob unsent)
{
	int rc = p->received.n ? tcp_queue_send(fd, p->received, (int32_t)p->urgent - 1) : 0;

	if (rc >= 0 && unsent.n)
		rc = tcp_queue_send(fd, unsent, -1);
	return rc < 0 ? tcp_trouble(e, rc, "sending again to a connection not accepted yet") : 0;
}

static int make_pending(struct end *e)
{
	int rc = tcp_connect_to(e->fd, e->rec->peer);

	return rc < 0 ? tcp_trouble(e, rc, "connection not accepted yet") : send_waiting(e, e->fd, e->waits, e->rec->unsent);
}

/* One in a backlog whose client has closed, or was reset: its address connects, sends, and does so again. */
static int make_gone(struct end *listener, const struct tcp_pending *p)
{
	struct linger now = { .l_onoff = 1 };
	int fd = sys_socket(((const struct sockaddr *)p->client.p)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), rc = fd;

	if (fd >= 0)
		rc = sockopt_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc >= 0 && tcp_bind_to(fd, p->client) < 0)
		rebuild_loss(tcp_net->rb, listener->obj, "connection not accepted yet: the address of its client");
	if (rc >= 0)
		rc = tcp_connect_to(fd, p->server);
	if (rc >= 0)
		rc = send_waiting(listener, fd, p, (struct blob){ 0 });
	if (rc >= 0 && p->gone == TCP_GONE_RESET)
		(void)sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	if (fd >= 0)
		sys_close(fd);
	return rc < 0 ? tcp_trouble(listener, rc, "a connection not accepted yet whose client is gone") : 0;
}

bool tcp_has_gone(const struct tcp_record *r)
{
	const struct tcp_pending *p = r->pending.items;
	uint32_t i;

	for (i = 0; i < r->pending.n; i++)
		if (p[i].gone)
			return true;
	return false;
}

/* Those of one listener that are known to be accepted before `place`; 0: the rest. */
static int make_gone_before(struct end *listener, uint32_t *next, uint32_t place)
{
	const struct tcp_pending *p = listener->rec->pending.items;
	int rc = 0;

	for (; *next < listener->rec->pending.n && rc >= 0; ++*next) {
		if (place && (!p[*next].place || p[*next].place > place))
			break;
		if (p[*next].gone && !p[*next].bytes)
			rc = make_gone(listener, &p[*next]);
	}
	return rc;
}

/* The backlog of one listener; list: room for all clients. */
static int make_backlog(struct end *l, struct end **list)
{
	uint32_t n = 0, next = 0, i;
	int rc = tcp_finish(l); /* whoever is accepted has the listener's options */

	for (i = 0; i < tcp_net->n; i++)
		if (tcp_net->ends[i].pending && tcp_net->ends[i].listener == l)
			list[n++] = &tcp_net->ends[i];
	sort(list, n);
	if (n || l->rec->pending.n)
		(void)sys_listen(l->fd, l->rec->backlog + (int32_t)(n + l->rec->pending.n));
	for (i = 0; i < n && rc >= 0; i++) {
		rc = make_gone_before(l, &next, list[i]->waits->place);
		if (rc >= 0)
			rc = make_pending(list[i]);
	}
	if (rc >= 0)
		rc = make_gone_before(l, &next, 0);
	if (n || l->rec->pending.n)
		(void)sys_listen(l->fd, l->rec->backlog);
	return rc;
}

int tcp_make_backlogs(void)
{
	struct end **list = arena_alloc(rebuild_arena(tcp_net->rb), (tcp_net->n + 1) * sizeof(*list)), *e, *end = tcp_net->ends + tcp_net->n;
	int rc = list ? 0 : failed(-ENOMEM, "TCP sockets");

	for (e = tcp_net->ends; e < end && rc >= 0; e++)
		if (e->rec->what == TCP_IS_LISTENING && (e->rec->pending.n || e->awaited))
			rc = make_backlog(e, list);
	for (e = tcp_net->ends; e < end && rc >= 0; e++)
		if (e->rec->what == TCP_IS_CONNECTING && e->rec->peer.n) {
			(void)sys_fcntl(e->fd, F_SETFL, O_NONBLOCK);
			(void)tcp_connect_to(e->fd, e->rec->peer);
		}
	return rc;
}
