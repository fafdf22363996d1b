/*
 * tcp_fill.c - queues, ends and options of TCP sockets
 *
 * Everything is connected. Bytes come first, then ends, since nothing can be
 * sent behind an end; options last, which may forbid what came before.
 */
#include <asm/errno.h>
#include <poll.h>

#include "tcp_build.h"

#include "skshim/frozen.h"

#define ROOM_NEEDED 16384ull   /* bytes that any receiver has room for */

/* Its peer is no more, and has not told: it was timed out. Who sends to it meets the reset. */
static bool has_vanished(const struct end *e)
{
	return e->hidden >= 0 && !tcp_is_lost(e) && !(e->rec->shut & TCP_SHUT_PEER);
}

/* Only its mark remains. */
static void read_urgent(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLPRI };
	char byte;

	if (sys_poll(&p, 1, 1000) == 1)
		(void)sys_recvfrom(fd, &byte, 1, MSG_OOB | MSG_DONTWAIT, NULL, NULL);
}

/* The first of the bytes that the sender had not sent may have come while the receiver was looked at; a hole must not be. */
static int align(const struct end *e, struct blob *unsent)
{
	uint64_t here = e->rec->received_from + e->rec->received.n, there = e->peer ? e->peer->rec->sent_to - unsent->n : 0;

	if (!unsent->n || !e->rec->received_from || !e->peer->rec->sent_to || here == there)
		return 0;
	if (there > here || here - there > unsent->n)
		return tcp_trouble(e, -EILSEQ, "the queues of its two ends don't meet");
	*unsent = (struct blob){ (const char *)unsent->p + (here - there), unsent->n - (here - there) };
	return 0;
}

static int fill_one(struct end *e)
{
	const struct tcp_record *r = e->rec;
	struct blob unsent = e->peer ? e->peer->rec->unsent : (struct blob){ 0 };
	int from = e->peer ? e->peer->fd : e->hidden, rc = align(e, &unsent); /* none: nothing to do, or done in repair mode */
	uint64_t bytes = r->received.n + unsent.n;
	struct tcp_room room;

	if (rc < 0 || !bytes || from < 0)
		return rc;
	if (bytes > ROOM_NEEDED)
		tcp_room_begin(&room, e->fd, bytes + ROOM_NEEDED);
	rc = tcp_queue_send(from, r->received, r->urgent);
	if (rc >= 0 && r->urgent_read)
		read_urgent(e->fd);
	if (rc >= 0)
		rc = tcp_queue_send(from, unsent, -1);
	if (bytes > ROOM_NEEDED)
		tcp_room_end(&room);
	return rc < 0 ? tcp_trouble(e, rc, "putting its queues back") : 0;
}

/* The far end of one without a peer: closed, or gone with a reset. */
static void drop(struct end *e)
{
	struct linger now = { .l_onoff = 1 };
	int error;

	if (e->hidden < 0)
		return;
	if (tcp_is_lost(e) || has_vanished(e))
		(void)sys_setsockopt(e->hidden, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	if (has_vanished(e))
		tcp_deaf(e->fd, e->rec->family, true);
	sys_close(e->hidden);
	if (has_vanished(e))
		tcp_deaf(e->fd, e->rec->family, false);
	e->hidden = -1;
	if (e->rec->what == TCP_IS_DEAD && !e->rec->error) {
		error = sockopt_get(e->fd, SOL_SOCKET, SO_ERROR); /* was told already */
		(void)error;
	}
	if (e->rec->what == TCP_IS_CONNECTED && tcp_is_lost(e))
		rebuild_loss(tcp_net->rb, e->obj, e->given_up ? "TCP connection: nobody had accepted it, it is reset" :
			     "TCP connection: its peer is outside, the connection is reset");
}

/* SO_REUSEADDR of one that goes to its process before all have listened is ended there. */
int tcp_finish(struct end *e)
{
	int rc;

	if (e->finished)
		return 0;
	e->finished = true;
	rc = sockopt_apply(tcp_net->rb, e->obj, e->fd, &e->rec->options, SOCKOPT_LATE);

	if (rc >= 0)
		rc = sockopt_replay(tcp_net->rb, e->obj, e->fd, e->rec->notes);
	if (rc >= 0 && !e->rec->parked)
		rc = sockopt_set(e->fd, SOL_SOCKET, SO_REUSEADDR, (int)e->rec->reuse);
	return rc < 0 ? tcp_trouble(e, rc, "options") : 0;
}

static void end_own(const struct end *e)
{
	if (e->rec->shut & TCP_SHUT_WRITE && !tcp_is_lost(e) && !e->rec->resumed)
		(void)sys_shutdown(e->fd, SHUT_WR);
	if (e->rec->shut & TCP_SHUT_READ && e->rec->what == TCP_IS_CONNECTED)
		(void)sys_shutdown(e->fd, SHUT_RD);
	if (e->rec->shut & TCP_SHUT_READ && e->rec->what == TCP_IS_PLAIN)
		(void)sys_shutdown(e->fd, SHUT_RDWR); /* ENOTCONN, and done */
}

static int park(struct end *e)
{
	int rc;

	e->rec->parked = true;
	rc = tcp_finish(e);
	rebuild_give(tcp_net->rb, e->obj, e->fd);
	e->fd = -1;
	return rc < 0 ? rc : rebuild_park(tcp_net->rb, e->obj);
}

int tcp_settle_pair(struct end *e)
{
	struct end *peer = e->peer;
	int rc;

	/* the far end of one whose peer has closed has its number */
	if (e->obj == peer->obj || !rebuild_parks(tcp_net->rb, e->obj) || !rebuild_parks(tcp_net->rb, peer->obj))
		return 0;
	rc = fill_one(e);
	if (rc >= 0)
		rc = fill_one(peer);
	end_own(e);
	end_own(peer);
	if (rc >= 0)
		rc = park(e);
	return rc < 0 ? rc : park(peer);
}

int tcp_fill(struct rebuild *rb)
{
	struct end *e, *end;
	int rc = 0;

	if (!tcp_net || tcp_net->rb != rb || tcp_net->filled)
		return 0;
	tcp_net->filled = true;
	end = tcp_net->ends + tcp_net->n;
	for (e = tcp_net->ends; e < end && rc >= 0; e++)
		if (!e->rec->parked)
			rc = fill_one(e);
	for (e = tcp_net->ends; e < end && rc >= 0; e++) {
		if (e->rec->parked)
			continue;
		end_own(e);
		if (e->rec->what == TCP_IS_DEAD && e->hidden >= 0)
			tcp_error_begin(e);
		else
			drop(e);
	}
	for (e = tcp_net->ends; e < end && rc >= 0; e++) {
		if (e->hidden >= 0)
			tcp_error_await(e);
		drop(e);
	}
	for (e = tcp_net->ends; e < end && rc >= 0; e++)
		rc = tcp_finish(e);
	return rc;
}
