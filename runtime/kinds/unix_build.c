/*
 * unix_build.c - the net of all unix sockets of an image, made at once
 *
 * All sockets exist in one process, the builder, before the tree is cloned, so
 * peers are joined by plain calls, whichever processes they belong to. Every
 * connected stream gets both ends; an end that nobody has any more (or that is
 * outside) is a hidden one, closed when the queues are filled.
 *
 * Order matters:
 *   what its process can make itself is left to it; pairs; then connections
 *   through listeners that are gone, whose names others may own by now; then
 *   all binds; then connections through living listeners; queues; datagram
 *   connects (a connected one refuses third parties); hidden ends closed;
 *   shutdown; options, which may forbid what came before.
 *
 * An accepted socket shares its listener's address, so it can only come out of
 * a listener of that name. Who called listen, connect and socketpair is what
 * SO_PEERCRED tells: the calls are made by agents (agent.h).
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "skshim/task.h"
#include "unix_net.h"

#include "skshim/frozen.h"

/* More are not made in one go, or they would all need numbers at the same time. */
#define PAIRS_AT_ONCE 512

struct net *unix_net;

int unix_trouble(const struct end *e, int rc, const char *what)
{
	struct blob name = e->rec->name;
	bool path = unix_is_path(name);

	return failed(rc, "unix socket %s%.*s: %s", name.n && !path ? "@" : "", (int)(name.n - (name.n && !path)),
		      (const char *)name.p + (name.n && !path), what);
}

/* Who made the call that the kernel remembers for the socket. */
static struct agent_id caller(const struct unix_record *r)
{
	return (struct agent_id){ r->cred_pid, r->cred_uid, r->cred_gid, r->cred_groups };
}

static bool same_caller(const struct unix_record *a, const struct unix_record *b)
{
	struct agent_id x = caller(a), y = caller(b);

	return agent_same(&x, &y);
}

/* --- making ------------------------------------------------------------------------------------------------- */

static int pair_one(struct end *e)
{
	int fds[2], rc = sys_socketpair(AF_UNIX, (int)e->rec->type | SOCK_CLOEXEC, 0, fds);

	if (rc < 0)
		return unix_trouble(e, rc, "socketpair");
	e->fd = fds[0];
	e->peer->fd = fds[1];
	e->joined = true;
	if (!unix_is_dgram(e) || e->peer->obj == OBJ_NONE || e->peer->peer == e)
		e->peer->joined = true;
	return 0;
}

/* One without a name got its packets from who was connected to it: its peer, by that one's name? */
static bool got_from_peer(const struct end *e)
{
	const struct unix_message *first = e->rec->queue.items;

	return !e->rec->name.n && e->rec->queue.n && blob_eq(first->sender, e->peer->rec->name);
}

/*
 * Whether a datagram socket and its peer are made as a pair: one without a name
 * can't be connected to; and only where each is the other's can one's leaving be
 * an error. Else they are connected later: others may have sent before they were.
 */
static bool dgram_pair(const struct end *e)
{
	const struct end *p = e->peer;

	if (p == e || p->fd >= 0)
		return false;
	return !p->rec->name.n || e->rec->error || (p->peer == e && !e->rec->name.n) || got_from_peer(e);
}

static bool is_pair(const struct end *e)
{
	if (e->fd >= 0 || e->settled || !e->peer || e->accepted || e->peer->accepted || e->waiting)
		return false;
	return !unix_is_dgram(e) || dgram_pair(e);
}

/* Pairs made by one process: a row in the list of ends. */
struct pairing {
	struct end *first, *stop;
};

static int pair_as(void *arg)
{
	struct pairing *p = arg;
	struct end *e;
	int rc = 0;

	for (e = p->first; e < p->stop && rc >= 0; e++) {
		if (!is_pair(e))
			continue;
		rc = pair_one(e);
		e->peer->loose = !e->peer->joined; /* it belongs to somebody else, or to nobody */
		e->peer->mate = e;
	}
	return rc;
}

/* Whether all that is to be said of it is in its record: nobody carries it, and nothing it waits for is carried. */
static bool settles(const struct end *e)
{
	const struct unix_message *m = e->rec->queue.items;
	uint32_t i;

	for (i = 0; i < e->rec->queue.n; i++)
		if (m[i].rights.n || m[i].cred_pid > 0)
			return false;
	return !e->carried && !e->wanted && !e->pending && !e->waiting && !e->outside &&
	       (e->obj == OBJ_NONE || rebuild_parks(unix_net->rb, e->obj));
}

static bool pair_settles(const struct end *e)
{
	const struct end *p = e->peer;

	return !unix_is_dgram(e) && p && p->peer == e && !e->rec->name.n && !p->rec->name.n && settles(e) && settles(p);
}

/*
 * Whether it can be left to the process that makes it: it has nothing to do with others, is as it was when it was made, and
 * its name is no file. So nothing can be lost there, where nobody would read of it.
 */
static bool leaves(const struct end *e, int32_t *pid)
{
	const struct unix_record *r = e->rec;

	*pid = e->obj == OBJ_NONE ? 0 : rebuild_alone(unix_net->rb, e->obj);
	return *pid && e->fd < 0 && !e->settled && !e->carried && !e->wanted && !e->pending && !e->waiting && !e->outside &&
	       !r->queue.n && !r->shut && !r->error && !r->options.n && !r->notes.n && !unix_is_path(r->name);
}

/* Whether a call that this process makes now is one that the kernel remembers as the record says. */
static bool calls_as(const struct unix_record *r, int32_t pid)
{
	const struct net *n = unix_net;

	return r->cred_pid == pid && r->cred_uid == n->uid && r->cred_gid == n->gid &&
	       (!r->cred_groups.p || (n->own_groups.p && blob_eq(r->cred_groups, n->own_groups)));
}

static bool pair_leaves(const struct end *e)
{
	const struct end *p = e->peer;
	int32_t pid, other;

	/* who makes it is who made it */
	if (unix_is_dgram(e) || !is_pair(e) || p->peer != e || e->rec->name.n || p->rec->name.n)
		return false;
	return leaves(e, &pid) && leaves(p, &other) && pid == other && (e->rec->cred_pid <= 0 || calls_as(e->rec, pid));
}

static bool single_leaves(const struct end *e)
{
	int32_t pid;

	return e->rec->state == UNIX_PLAIN && !e->peer && e->rec->cred_pid <= 0 && (unix_is_dgram(e) || !e->rec->name.n) && leaves(e, &pid);
}

/* Ids of the builder, which the processes have until their memory is back. */
static void look_at_self(void)
{
	long n = SYS2(__NR_getgroups, 0, NULL);
	void *list = n < 0 ? NULL : arena_alloc(rebuild_arena(unix_net->rb), (size_t)n * 4);

	unix_net->uid = (uint32_t)SYS0(__NR_geteuid);
	unix_net->gid = (uint32_t)SYS0(__NR_getegid);
	if (list && SYS2(__NR_getgroups, n, list) == n)
		unix_net->own_groups = (struct blob){ list, (uint64_t)n * 4 };
}

static void leave_all(void)
{
	struct end *e;

	/* what is in flight may watch any of them */
	for (uint32_t i = 0; i < rebuild_objects(unix_net->rb); i++)
		if (!rebuild_in_table(unix_net->rb, i))
			return;
	look_at_self();
	for (e = unix_net->ends; e < unix_net->ends + unix_net->n; e++) {
		if (!pair_leaves(e) && !single_leaves(e))
			continue;
		e->settled = true;
		rebuild_leave(unix_net->rb, e->obj);
		if (!e->peer)
			continue;
		e->peer->settled = true;
		rebuild_leave(unix_net->rb, e->peer->obj);
	}
}

/* Finishes what can be, of the pairs that have just been made. */
static int settle_pairs(struct end *e, const struct end *stop)
{
	int rc = 0;

	for (; e < stop && rc >= 0; e++)
		if (e->fd >= 0 && !e->settled && e->joined && pair_settles(e))
			rc = unix_settle_pair(e);
	return rc;
}

/* The same of sockets that have no peer and nothing in their queue. */
static int settle_singles(void)
{
	struct end *e;
	int rc = 0;

	for (e = unix_net->ends; e < unix_net->ends + unix_net->n && rc >= 0; e++)
		if (e->rec->state == UNIX_PLAIN && !e->peer && e->fd < 0 && !e->settled && !e->rec->queue.n &&
		    (unix_is_dgram(e) || !e->rec->name.n) && settles(e))
			rc = unix_settle_single(e);
	return rc;
}

static int make_pairs(void)
{
	struct end *end = unix_net->ends + unix_net->n;
	struct pairing p = { .stop = unix_net->ends };
	struct agent_id by;
	int rc = 0;

	while (p.stop < end && rc >= 0) {
		p.first = p.stop;
		if (!is_pair(p.first)) {
			p.stop++;
			continue;
		}
		while (p.stop < end && p.stop - p.first < PAIRS_AT_ONCE &&
		       (!is_pair(p.stop) || same_caller(p.stop->rec, p.first->rec)))
			p.stop++;
		by = caller(p.first->rec);
		rc = agent_run(&by, pair_as, &p);
		if (rc >= 0)
			rc = settle_pairs(p.first, p.stop);
	}
	return rc;
}

/* A datagram socket that was half of a pair and isn't any more: the kernel still remembers who made the pair. */
static int single_as(void *arg)
{
	static const uint16_t none = AF_UNSPEC;
	struct end *e = arg;
	int fds[2], rc = sys_socketpair(AF_UNIX, (int)e->rec->type | SOCK_CLOEXEC, 0, fds);

	if (rc < 0)
		return rc;
	e->fd = fds[0];
	rc = sys_connect(e->fd, &none, sizeof(none));
	e->fed = e->rec->queue.n && !e->rec->name.n;
	e->feeder = fds[1];
	if (!e->fed)
		sys_close(fds[1]);
	return rc;
}

int unix_make_socket(struct end *e)
{
	struct agent_id by = caller(e->rec);
	int rc;

	if (e->fd < 0 && unix_is_dgram(e) && e->rec->cred_pid > 0) {
		rc = agent_run(&by, single_as, e);
		return rc < 0 ? unix_trouble(e, rc, "socketpair") : 0;
	}
	if (e->fd < 0)
		e->fd = sys_socket(AF_UNIX, (int)e->rec->type | SOCK_CLOEXEC, 0);
	return e->fd < 0 ? unix_trouble(e, e->fd, "socket") : 0;
}

/* What the process could not find again: a listener's file without a name, one that it may not look for. */
static int keep_file(const struct end *e)
{
	if (e->rec->unseen)
		return rebuild_keep(unix_net->rb, e->obj, sys_openat(AT_FDCWD, e->rec->file.p, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0));
	if (e->anchor < 0 || e->rec->state != UNIX_LISTENING)
		return 0;
	return rebuild_keep(unix_net->rb, e->obj, (int)sys_fcntl(e->anchor, F_DUPFD_CLOEXEC, 0));
}

int unix_make_bound(struct end *e)
{
	int rc;

	if (e->bound || e->settled || e->accepted || e->waiting || !e->rec->name.n)
		return 0;
	rc = e->obj == OBJ_NONE ? unix_name_borrow(e->fd, e->rec->name, &e->anchor) :
				  unix_name_bind(unix_net->rb, e->obj, e->fd, e->rec, &e->anchor);
	e->bound = rc >= 0;
	if (rc >= 0 && e->obj != OBJ_NONE && !e->stand_in)
		rc = keep_file(e);
	if (rc < 0 && e->obj == OBJ_NONE)
		return 0; /* the name of somebody gone, and taken by now: what is left of it is how it looked to its peer */
	return rc < 0 ? unix_trouble(e, rc, "bind") : 0;
}

/* The address that leads to a bound socket. */
int unix_reach(struct end *e, struct unix_addr *a)
{
	struct blob name = e->rec->name;

	if (!e->bound)
		return -ENOTCONN;
	if (!unix_is_path(name))
		return unix_addr(a, name);
	if (e->anchor < 0 && e->rec->file.n && e->rec->file.n < 108)
		return unix_addr(a, e->rec->file);
	if (e->anchor < 0 && e->rec->file.n)
		e->anchor = sys_openat(AT_FDCWD, e->rec->file.p, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (e->anchor < 0)
		return e->anchor == -1 ? -ENOTCONN : e->anchor;
	memset(a, 0, sizeof(*a));
	a->family = AF_UNIX;
	a->len = 3 + (unsigned)text_format(a->path, sizeof(a->path), "/proc/self/fd/%d", e->anchor);
	return 0;
}

struct listening {
	int fd, backlog;
};

static int listen_as(void *arg)
{
	struct listening *l = arg;

	return sys_listen(l->fd, l->backlog);
}

/* A row of connections whose callers are the same. */
struct arriving {
	int listener;
	struct unix_addr to;
	struct end *first, *stop;
};

/* Accepts what this process has just connected; a stranger that came in between is sent away. */
static int accept_own(int listener)
{
	struct {
		int32_t pid;
		uint32_t uid, gid;
	} cred;
	unsigned len = sizeof(cred);
	int fd;

	for (;;) {
		fd = sys_accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 || sys_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.pid == sys_getpid())
			return fd;
		sys_close(fd);
	}
}

static int arrive_as(void *arg)
{
	struct arriving *r = arg;
	struct end *e;
	int rc;

	for (e = r->first; e != r->stop; e = e->next) {
		rc = sys_connect(e->peer->fd, &r->to, r->to.len);
		if (rc < 0)
			return unix_trouble(e, rc, "connect");
		e->fd = rc = accept_own(r->listener);
		if (rc < 0)
			return unix_trouble(e, rc, "accept");
		e->joined = e->peer->joined = true;
	}
	return 0;
}

/* Connects and accepts everything of a group; `through` is bound and listens after this. */
static int arrive(struct group *g, struct end *through)
{
	struct unix_record *own = through->rec;
	struct listening l = { through->fd, own->backlog >= 0 ? own->backlog : 16 };
	struct agent_id by, listening_as = { .pid = -1 };
	struct end *e = g->first;
	struct arriving r = { .listener = through->fd };
	int rc = unix_reach(through, &r.to);

	if (rc < 0)
		return unix_trouble(through, rc, "reaching it");
	while (e) {
		const struct unix_record *client = e->peer->rec, *cred = client->cred_pid > 0 ? client : own;

		by = caller(cred);
		if (!agent_same(&listening_as, &by)) {
			rc = agent_run(&by, listen_as, &l);
			if (rc < 0)
				return unix_trouble(through, rc, "listen");
			listening_as = by;
		}
		r.first = e;
		do
			e = e->next;
		while (e && same_caller(e->rec, r.first->rec) && same_caller(e->peer->rec, client));
		r.stop = e;
		by = caller(r.first->rec);
		rc = agent_run(&by, arrive_as, &r);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Sockets of a group's clients, with their names. */
static int make_clients(struct group *g)
{
	struct end *e;
	int rc = 0;

	for (e = g->first; e && rc >= 0; e = e->next) {
		rc = unix_make_socket(e->peer);
		if (rc >= 0)
			rc = unix_make_bound(e->peer);
	}
	return rc;
}

/* The launcher has lent the listener of that name. */
static bool is_lent(const struct unix_record *r)
{
	uint32_t i, n = unix_net->lent ? rebuild_objects(unix_net->rb) : 0;

	for (i = 0; i < n; i++) {
		const struct unix_record *l = rebuild_kind(unix_net->rb, i) == &kind_unix && rebuild_fd(unix_net->rb, i) >= 0 ?
			rebuild_record(unix_net->rb, i) : NULL;

		if (l && l->type == r->type && blob_eq(l->name, r->name))
			return true;
	}
	return false;
}

/*
 * Connections through a listener that is gone, or lent: one is made for the moment.
 * Where its name belongs to somebody else by now and our ends are the clients,
 * pairs without the peer's name have to do.
 */
static int arrive_through_stand_in(struct group *g)
{
	bool lent = is_lent(g->first->rec);
	struct end *model = g->first, stand_in = { .obj = lent ? OBJ_NONE : model->obj, .fd = -1, .anchor = -1, .stand_in = true };
	struct unix_record rec = *model->rec;
	struct unix_addr a;
	int rc;

	stand_in.rec = &rec;
	rec.state = UNIX_LISTENING;
	rec.backlog = 16;
	rec.cred_pid = 0;
	rc = unix_make_socket(&stand_in);
	if (rc >= 0)
		rc = unix_make_bound(&stand_in);
	if (rc >= 0 && stand_in.obj == OBJ_NONE && unix_reach(&stand_in, &a) < 0) {
		for (; model && rc >= 0; model = model->next) {
			if (model->obj != OBJ_NONE)
				rebuild_loss(unix_net->rb, model->obj, "unix socket: its name, which is its listener's (--inherit-fd)");
			if (model->peer->fd >= 0)
				sys_close(model->peer->fd);
			rc = pair_one(model);
		}
	} else if (rc >= 0) {
		rc = make_clients(g);
		if (rc >= 0)
			rc = arrive(g, &stand_in);
		if (rc >= 0 && !lent)
			unix_name_finish(&rec);
	}
	if (stand_in.fd >= 0)
		sys_close(stand_in.fd);
	if (stand_in.anchor >= 0)
		sys_close(stand_in.anchor);
	return rc;
}

static int make_stand_ins(void)
{
	struct group *g;
	int rc = 0;

	for (g = unix_net->groups; g && rc >= 0; g = g->next)
		if (!g->listener)
			rc = arrive_through_stand_in(g);
	return rc;
}

struct pending_connect {
	int fd;
	struct unix_addr to;
};

static int connect_as(void *arg)
{
	struct pending_connect *p = arg;

	/* rather than wait for ever for room in a backlog; the flags of the program's come later */
	(void)sys_fcntl(p->fd, F_SETFL, O_NONBLOCK);
	return sys_connect(p->fd, &p->to, p->to.len);
}

/* Of one that has sent nothing it isn't known who connected: who has it, likely. */
static struct agent_id process_of(int32_t pid)
{
	const struct process_record *p = rebuild_process(unix_net->rb, pid);

	return p ? (struct agent_id){ pid, p->euid, p->egid, p->groups } : (struct agent_id){ .pid = 0 };
}

static int make_one_pending(struct end *listener, const struct unix_pending *p, const struct unix_addr *to)
{
	struct end *held = unix_find_obj(p->obj), *client = held ? held->peer : unix_find_ino(p->client);
	struct pending_connect c = { .to = *to, .fd = -1 };
	struct agent_id by = held ? caller(held->rec) : client ? process_of(client->rec->pid) : (struct agent_id){ .pid = 0 };
	int rc = 0;

	if (client)
		rc = unix_make_socket(client);
	if (client && rc >= 0)
		rc = unix_make_bound(client);
	if (rc < 0)
		return rc;
	c.fd = client ? client->fd : sys_socket(AF_UNIX, (int)listener->rec->type | SOCK_CLOEXEC, 0);
	if (c.fd < 0)
		return c.fd;
	rc = agent_run(&by, connect_as, &c);
	if (client)
		client->joined = true;
	else
		sys_close(c.fd);
	return rc;
}

/* What a connection takes over from its listener when it is made. */
static void lend_options(const struct end *listener, const struct list *options)
{
	static const struct {
		int name, fresh;
	} lent[] = { { SO_PASSCRED, 0 }, { SO_PASSSEC, 0 }, { 76 /* SO_PASSPIDFD */, 0 }, { 83 /* SO_PASSRIGHTS */, 1 } };
	size_t i;

	for (i = 0; i < sizeof(lent) / sizeof(lent[0]); i++) {
		int value = sockopt_int(options, SOL_SOCKET, lent[i].name, lent[i].fresh);

		if (sockopt_get(listener->fd, SOL_SOCKET, lent[i].name) != value)
			(void)sockopt_set(listener->fd, SOL_SOCKET, lent[i].name, value); /* absent in older kernels */
	}
}

/* Those that nobody has accepted: connected in the order they came, and left alone. */
static int make_pending(struct end *listener)
{
	const struct unix_pending *p = listener->rec->pending.items;
	struct unix_addr to;
	uint32_t i;
	int rc = unix_reach(listener, &to);

	for (i = 0; i < listener->rec->pending.n && rc >= 0; i++) {
		const struct end *held = unix_find_obj(p[i].obj);

		lend_options(listener, held ? &held->rec->options : &listener->rec->options);
		rc = make_one_pending(listener, &p[i], &to);
	}
	lend_options(listener, &listener->rec->options);
	return rc < 0 ? unix_trouble(listener, rc, "connection not accepted") : 0;
}

static int listen_with(const struct end *e, int backlog)
{
	struct listening l = { e->fd, backlog };
	struct agent_id by = caller(e->rec);
	int rc = agent_run(&by, listen_as, &l);

	return rc < 0 ? unix_trouble(e, rc, "listen") : 0;
}

/* The program may have made the backlog smaller than what waits in it. */
static int make_listening(struct end *e)
{
	int32_t backlog = e->rec->backlog, waiting = (int32_t)e->rec->pending.n;
	struct group *g;
	int rc = 0;

	for (g = e->groups; g && rc >= 0; g = g->same_listener)
		rc = arrive(g, e);
	if (rc >= 0)
		rc = listen_with(e, backlog < waiting ? waiting : backlog);
	if (rc >= 0 && waiting)
		rc = make_pending(e);
	if (rc >= 0 && backlog < waiting)
		rc = listen_with(e, backlog);
	return rc;
}

static int make_sockets(void)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < unix_net->n && rc >= 0; i++) {
		struct end *e = &unix_net->ends[i];

		if (e->anew || e->settled)
			continue;
		if (e->outside && !unix_is_dgram(e))
			rebuild_loss(unix_net->rb, e->obj, "unix socket: its peer is outside, the connection is reset");
		if (!e->accepted)
			rc = unix_make_socket(e);
	}
	return rc;
}

/*
 * Connected to one that is gone, whose abstract name another of the image has since: while that has no name yet. What
 * is in its queue could not come in any more.
 */
static int connect_before(void)
{
	const struct end *stop = unix_net->ends + unix_net->n;
	int rc = 0;

	for (struct end *e = unix_net->ends; e < stop && rc >= 0; e++) {
		if (!unix_is_dgram(e) || e->rec->state != UNIX_CONNECTED || e->peer || e->joined || e->outside || e->settled ||
		    e->rec->queue.n || !e->rec->peer_name.n || unix_is_path(e->rec->peer_name) || !unix_find_dgram(e->rec->peer_name))
			continue;
		rc = unix_make_socket(e);
		if (rc >= 0)
			rc = unix_connect_away(e);
		e->joined = true;
	}
	return rc;
}

int unix_build(struct rebuild *rb)
{
	uint32_t i;
	int rc;

	if (unix_net && unix_net->rb == rb)
		return 0;
	unix_net = arena_alloc(rebuild_arena(rb), sizeof(*unix_net));
	if (!unix_net)
		return failed(-ENOMEM, "unix sockets");
	*unix_net = (struct net){ .rb = rb };
	unix_net->groups_end = &unix_net->groups;
	rc = unix_join();
	if (rc >= 0)
		leave_all();
	if (rc >= 0)
		rc = make_pairs();
	if (rc >= 0)
		rc = settle_singles();
	if (rc >= 0)
		rc = make_sockets();
	if (rc >= 0)
		rc = make_stand_ins();
	if (rc >= 0)
		rc = connect_before();
	for (i = 0; i < unix_net->n && rc >= 0; i++)
		rc = unix_make_bound(&unix_net->ends[i]);
	/* half of a pair, named, and closed */
	for (struct end *e = unix_net->hidden; e && rc >= 0; e = e->next_hidden)
		rc = e->fd >= 0 ? unix_make_bound(e) : 0;
	for (struct group *g = unix_net->groups; g && rc >= 0; g = g->next)
		rc = g->listener ? make_clients(g) : 0;
	for (i = 0; i < unix_net->n && rc >= 0; i++)
		if (unix_net->ends[i].rec->state == UNIX_LISTENING)
			rc = make_listening(&unix_net->ends[i]);
	for (i = 0; i < unix_net->n && rc >= 0; i++)
		if (!unix_net->ends[i].settled)
			rebuild_give(rb, unix_net->ends[i].obj, unix_net->ends[i].fd);
	return rc < 0 ? failed(rc, "unix sockets") : 0;
}
