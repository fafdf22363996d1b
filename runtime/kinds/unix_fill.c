/*
 * unix_fill.c - queues, late connects, ends and options of unix sockets
 *
 * Everything is connected. Queues come first, since what follows would forbid
 * to send: a connected datagram socket refuses third parties, shutdown and
 * filters refuse everybody.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "agent.h"
#include "unix_net.h"

#include "skshim/frozen.h"

/* Sends with as much room as can be had; the sender's own buffer sizes are set with its options, last. */
static int send_one(struct end *to, int from, const struct unix_message *m, const struct unix_addr *a)
{
	uint32_t obj = to->obj;
	uint64_t sent = 0;
	int rc = unix_queue_send(unix_net->rb, obj, from, m, a, a ? a->len : 0, &sent), lock = 72 /* SO_BUF_LOCK */, old, locked;

	if (rc != -EAGAIN && rc != -EMSGSIZE && rc != -ENOBUFS)
		return rc;
	old = sockopt_get(from, SOL_SOCKET, SO_SNDBUF);
	locked = sockopt_get(from, SOL_SOCKET, lock);
	sockopt_grow(from, SO_SNDBUF, m->data.n * 4 + (uint64_t)old * 2);
	rc = unix_queue_send(unix_net->rb, obj, from, m, a, a ? a->len : 0, &sent);
	(void)sockopt_set(from, SOL_SOCKET, SO_SNDBUF, old / 2);
	if (locked >= 0)
		(void)sockopt_set(from, SOL_SOCKET, lock, locked);
	return rc;
}

static int fill_stream(struct end *e)
{
	const struct unix_message *m = e->rec->queue.items;
	char taken;
	uint32_t i;
	int rc = 0;

	if (e->anew)
		return 0; /* what waited came from another connection */
	if (e->rec->queue.n && !e->peer)
		return unix_trouble(e, -ENOTCONN, "has data, but no peer");
	for (i = 0; i < e->rec->queue.n && rc >= 0; i++) {
		rc = send_one(e, e->peer->fd, &m[i], NULL);
		if (rc >= 0 && m[i].oob == OOB_TAKEN)
			rc = (int)sys_recvfrom(e->fd, &taken, 1, MSG_OOB | MSG_DONTWAIT, NULL, NULL);
	}
	return rc < 0 ? unix_trouble(e, rc, "putting its queue back") : 0;
}

/* A sender for one message: of the image, or one made for it (kept in *stand_in until another name comes). */
struct sender {
	struct end *end;
	int fd;
	int stand_in, anchor;
	struct blob name;
};

static void sender_end(struct sender *s)
{
	if (s->stand_in >= 0)
		sys_close(s->stand_in);
	if (s->anchor >= 0)
		sys_close(s->anchor);
	s->stand_in = s->anchor = -1;
}

static int sender_of(struct end *to, const struct unix_message *m, struct sender *s)
{
	struct end *peer = to->joined ? to->peer : NULL;
	int rc = 0;

	if (peer && blob_eq(m->sender, peer->rec->name))
		s->end = peer;
	else
		s->end = m->sender.n ? unix_find_dgram(m->sender) : to->mate;
	if (peer && s->end != peer) {
		rebuild_loss(unix_net->rb, to->obj, "packet in its queue: name of the sender");
		s->end = peer;
	}
	if (s->end) {
		s->fd = s->end->fd;
		return 0;
	}
	if (s->stand_in >= 0 && blob_eq(s->name, m->sender)) {
		s->fd = s->stand_in;
		return 0;
	}
	sender_end(s);
	s->name = m->sender;
	s->fd = s->stand_in = sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return s->fd;
	if (m->sender.n)
		rc = unix_name_borrow(s->fd, m->sender, &s->anchor);
	if (rc < 0)
		rebuild_loss(unix_net->rb, to->obj, "packet in its queue: name of the sender, which is in use");
	return 0;
}

static int connect_dgram(struct end *e)
{
	struct unix_addr a;
	int rc = unix_reach(e->peer, &a);

	if (rc >= 0)
		rc = sys_connect(e->fd, &a, a.len);
	e->joined = rc >= 0;
	return rc;
}

/* To one without a name that nobody in the image is connected to: by what had been the other half of its pair. */
static int feed(struct end *e, const struct unix_message *m)
{
	const struct unix_message *first = e->rec->queue.items;
	int anchor = -1, rc = 0;

	if (m == first && m->sender.n)
		rc = unix_name_borrow(e->feeder, m->sender, &anchor);
	if (rc < 0 || !blob_eq(m->sender, first->sender))
		rebuild_loss(unix_net->rb, e->obj, "packet in its queue: name of the sender");
	if (anchor >= 0)
		sys_close(anchor);
	return send_one(e, e->feeder, m, NULL);
}

static int fill_dgram(struct end *e)
{
	const struct unix_message *m = e->rec->queue.items;
	struct sender s = { .stand_in = -1, .anchor = -1 };
	struct unix_addr to;
	bool reachable = unix_reach(e, &to) >= 0, direct;
	uint32_t i;
	int rc = 0;

	for (i = 0; i < e->rec->queue.n && rc >= 0; i++, m++) {
		rc = sender_of(e, m, &s);
		if (rc < 0)
			break;
		direct = s.end && s.end->peer == e ? s.end->joined : s.end && s.end == e->peer && s.end->loose;
		if (!direct && !reachable && e->fed) {
			rc = feed(e, m);
			continue;
		}
		if (!direct && !reachable) {
			rebuild_loss(unix_net->rb, e->obj, "packets in its queue, which nobody can send any more");
			break;
		}
		rc = send_one(e, s.fd, m, direct ? NULL : &to);
		if (rc == -EAGAIN && s.end && s.end == e->peer && !e->joined) {
			/* a peer may send beyond the limit that others have */
			rc = connect_dgram(e);
			if (rc >= 0)
				rc = send_one(e, s.fd, m, &to);
		}
	}
	sender_end(&s);
	if (e->fed)
		sys_close(e->feeder);
	e->fed = false;
	return rc < 0 ? unix_trouble(e, rc, "putting its queue back") : 0;
}

int unix_connect_away(struct end *e)
{
	struct unix_record rec = { .type = SOCK_DGRAM, .name = e->rec->peer_name };
	struct end away = { .obj = OBJ_NONE, .rec = &rec, .fd = -1, .anchor = -1 };
	struct unix_addr a;
	int rc = -ECONNREFUSED;

	if (e->outside && unix_away(e->rec, &a) >= 0)
		rc = sys_connect(e->fd, &a, a.len);
	if (rc >= 0)
		return 0;
	if (e->outside)
		rebuild_loss(unix_net->rb, e->obj, "unix socket: its peer outside can't be connected to: %s", text_error(rc));
	rc = unix_make_socket(&away);
	if (rc >= 0)
		rc = unix_make_bound(&away);
	if (rc >= 0)
		rc = unix_reach(&away, &a);
	if (rc >= 0)
		rc = sys_connect(e->fd, &a, a.len);
	if (away.fd >= 0)
		sys_close(away.fd);
	if (away.anchor >= 0)
		sys_close(away.anchor);
	if (rc < 0)
		rebuild_loss(unix_net->rb, e->obj, "unix socket: name of its peer, which is gone");
	return 0;
}

/* p leaves e, which stays connected to it: what it hasn't read is thrown away, and that is an error of e's. */
static int leave_pair(struct end *p, struct end *e)
{
	static const uint16_t none = AF_UNSPEC;

	if (e->rec->error)
		(void)sys_sendto(e->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
	p->loose = false;
	return sys_connect(p->fd, &none, sizeof(none));
}

/* Of all halves that were disconnected from the other half; what they had sent comes before, what they have got since behind. */
static int leave_pairs(struct end *ends, const struct end *end)
{
	struct end *e;
	int rc = 0;

	for (e = ends; e < end && rc >= 0; e++) {
		if (!unix_is_dgram(e) || !e->joined || !e->peer || !e->peer->loose)
			continue;
		rc = fill_dgram(e);
		if (rc >= 0)
			rc = leave_pair(e->peer, e);
		e->filled = true;
	}
	return rc < 0 ? failed(rc, "unix sockets of a pair") : 0;
}

/* Closes a hidden end; with unread data its peer sees a reset, else an end. */
static void drop_hidden(struct end *h)
{
	struct end *e = h->peer;

	if (h->fd < 0)
		return;
	if (!unix_is_dgram(e) && !e->waiting && (e->outside || e->rec->error))
		(void)sys_sendto(e->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
	else if (unix_is_dgram(e) && e->rec->error)
		(void)leave_pair(h, e);
	sys_close(h->fd);
	if (h->anchor >= 0)
		sys_close(h->anchor);
	h->fd = h->anchor = -1;
}

static int finish(struct end *e)
{
	static const int how[4] = { 0, SHUT_RD, SHUT_WR, SHUT_RDWR };
	int rc = 0;

	if (e->waiting || e->lent)
		return 0;
	if (e->rec->shut & 3 && !e->anew && (!e->peer || e->peer->obj != OBJ_NONE || unix_is_dgram(e)))
		rc = sys_shutdown(e->fd, how[e->rec->shut & 3]);
	if (rc < 0 && rc != -ENOTCONN)
		return unix_trouble(e, rc, "shutdown");
	rc = sockopt_apply(unix_net->rb, e->obj, e->fd, &e->rec->options, SOCKOPT_BEFORE);
	if (rc >= 0)
		rc = sockopt_apply(unix_net->rb, e->obj, e->fd, &e->rec->options, SOCKOPT_LATE);
	if (rc >= 0)
		rc = sockopt_replay(unix_net->rb, e->obj, e->fd, e->rec->notes);
	if (e->bound)
		unix_name_finish(e->rec);
	if (e->anchor >= 0)
		sys_close(e->anchor);
	e->anchor = -1;
	return rc;
}

static int park(struct end *e)
{
	int rc;

	e->settled = true;
	if (e->obj == OBJ_NONE)
		return 0;
	rc = finish(e);
	rebuild_give(unix_net->rb, e->obj, e->fd);
	e->fd = -1;
	return rc < 0 ? rc : rebuild_park(unix_net->rb, e->obj);
}

int unix_settle_pair(struct end *e)
{
	int rc = fill_stream(e);

	if (rc >= 0)
		rc = fill_stream(e->peer);
	if (e->peer->obj == OBJ_NONE)
		drop_hidden(e->peer);
	if (rc >= 0)
		rc = park(e);
	return rc < 0 ? rc : park(e->peer);
}

int unix_settle_single(struct end *e)
{
	int rc = unix_make_socket(e);

	if (rc >= 0)
		rc = unix_make_bound(e);
	return rc < 0 ? rc : park(e);
}

int unix_own(struct rebuild *rb, uint32_t obj, void *record, struct own *own)
{
	struct end *e = unix_find_obj(obj), *p = e->peer;
	bool cloexec = rebuild_cloexec(rb, obj);
	int type = (int)e->rec->type | (cloexec ? SOCK_CLOEXEC : 0), fds[2], rc;

	(void)record;
	if (!p) {
		rc = e->fd = sys_socket(AF_UNIX, type, 0);
		if (rc >= 0 && e->rec->name.n)
			rc = unix_name_bind(rb, obj, e->fd, e->rec, &e->anchor);
		*own = (struct own){ { obj }, { e->fd }, e->fd >= 0 };
		return rc < 0 ? unix_trouble(e, rc, "made anew") : 0;
	}
	rc = sys_socketpair(AF_UNIX, type, 0, fds);
	if (rc < 0)
		return unix_trouble(e, rc, "socketpair");
	e->fd = fds[0];
	p->fd = fds[1];
	*own = (struct own){ { obj, p->obj }, { e->fd, p->fd }, 2 };
	if (cloexec != rebuild_cloexec(rb, p->obj))
		rc = (int)sys_fcntl(p->fd, F_SETFD, cloexec ? 0 : FD_CLOEXEC);
	return rc < 0 ? unix_trouble(p, rc, "FD_CLOEXEC") : 0;
}

/*
 * A datagram socket that is connected elsewhere can't be connected to, so who
 * connects to e goes before e does. Rings can't come about but by two.
 */
static int connect_dgrams(struct end *ends, uint32_t n)
{
	struct end **ready = arena_alloc(rebuild_arena(unix_net->rb), (n + 1) * sizeof(*ready)), *e, *p;
	uint32_t i, nready = 0;
	int rc = 0;

	if (!ready)
		return failed(-ENOMEM, "unix sockets");
	for (i = 0; i < n; i++)
		if (unix_is_dgram(&ends[i]) && ends[i].rec->state == UNIX_CONNECTED && !ends[i].waits_for)
			ready[nready++] = &ends[i];
	for (i = 0; i < nready && rc >= 0; i++) {
		e = ready[i];
		p = e->peer;
		if (!e->joined) {
			rc = p ? connect_dgram(e) : unix_connect_away(e);
			if (rc < 0)
				unix_trouble(e, rc, "connect");
		}
		if (p && p->peer != e && --p->waits_for == 0 && p->obj != OBJ_NONE && p->rec->state == UNIX_CONNECTED)
			ready[nready++] = p;
	}
	return rc;
}

/* Their numbers are the processes' now. */
static int helpers_end(int rc)
{
	agents_end();
	unix_name_end();
	return rc < 0 ? failed(rc, "unix sockets") : 0;
}

int unix_fill(struct rebuild *rb, bool late)
{
	struct end *e, *end;
	int rc = 0;

	if (!unix_net || unix_net->rb != rb || unix_net->filled)
		return 0;
	if (unix_net->late && !late)
		return helpers_end(0);
	unix_net->filled = true;
	end = unix_net->ends + unix_net->n;
	rc = leave_pairs(unix_net->ends, end);
	for (e = unix_net->ends; e < end && rc >= 0; e++)
		if (e->rec->queue.n && !e->settled && !e->filled)
			rc = unix_is_dgram(e) ? fill_dgram(e) : fill_stream(e);
	/* others may connect to a name that one of them has */
	for (e = unix_net->hidden; e; e = e->next_hidden)
		drop_hidden(e);
	if (rc >= 0)
		rc = connect_dgrams(unix_net->ends, unix_net->n);
	for (e = unix_net->ends; e < end && rc >= 0; e++)
		if (!e->settled)
			rc = finish(e);
	return helpers_end(rc);
}
