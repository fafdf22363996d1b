/*
 * unix_build.c - the net of all unix sockets of an image, made at once
 *
 * All sockets exist in one process, the builder, before the tree is cloned, so
 * peers are joined by plain calls, whichever processes they belong to. Every
 * connected stream gets both ends; an end that nobody has any more (or that is
 * outside) is a hidden one, closed when the queues are filled.
 *
 * Order matters:
 *   pairs; then connections through listeners that are gone, whose names others
 *   may own by now; then all binds; then connections through living listeners;
 *   queues; datagram connects (a connected one refuses third parties); hidden
 *   ends closed; shutdown; options, which may forbid what came before.
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

static uint32_t hash_name(struct blob name)
{
	const uint8_t *p = name.p;
	uint32_t h = 2166136261u;
	uint64_t i;

	for (i = 0; i < name.n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

static struct end *find_ino(uint64_t ino)
{
	struct end *e = ino ? unix_net->by_ino[(uint32_t)(ino * 2654435769u >> 7) & unix_net->mask] : NULL;

	while (e && e->rec->ino != ino)
		e = e->same_ino;
	return e;
}

/* In a chain of those who own the name. */
static struct end *find_name(struct end *e, uint32_t type, struct blob name, uint64_t vfs)
{
	for (; e; e = e->same_name)
		if (e->rec->type == type && blob_eq(e->rec->name, name) && (!vfs || e->rec->vfs == vfs))
			return e;
	return NULL;
}

struct end *unix_find_listener(uint32_t type, struct blob name, uint64_t vfs)
{
	return find_name(unix_net->listeners[hash_name(name) & unix_net->mask], type, name, vfs);
}

struct end *unix_find_dgram(struct blob name)
{
	return find_name(unix_net->dgrams[hash_name(name) & unix_net->mask], SOCK_DGRAM, name, 0);
}

int unix_trouble(const struct end *e, int rc, const char *what)
{
	struct blob name = e->rec->name;
	bool path = unix_is_path(name);

	return failed(rc, "unix socket %s%.*s: %s", name.n && !path ? "@" : "", (int)(name.n - (name.n && !path)),
		      (const char *)name.p + (name.n && !path), what);
}

/* --- who belongs to whom ------------------------------------------------------------------------------------ */

static struct end *end_hidden(const struct end *of)
{
	struct arena *arena = rebuild_arena(unix_net->rb);
	struct end *e = arena_alloc(arena, sizeof(*e));
	struct unix_record *r = arena_alloc(arena, sizeof(*r));

	if (!e || !r)
		return NULL;
	*r = (struct unix_record){
		.type = of->rec->type, .state = UNIX_CONNECTED, .name = of->rec->peer_name, .peer_name = of->rec->name,
		.peer = of->rec->ino, .backlog = -1,
	};
	*e = (struct end){ .obj = OBJ_NONE, .rec = r, .fd = -1, .anchor = -1, .next_hidden = unix_net->hidden };
	unix_net->hidden = e;
	return e;
}

/*
 * Of two ends of a stream, whether `e` came out of accept: as the ledger saw
 * it; for sockets it didn't see, the one that has a listener's name.
 */
static bool came_in(const struct end *e)
{
	const struct end *p = e->peer;

	if (unix_is_dgram(e) || !p || !e->rec->name.n)
		return false;
	if (e->rec->origin == LINEAGE_ACCEPT)
		return true;
	if (e->rec->origin == LINEAGE_SOCKET || e->rec->origin == LINEAGE_PAIR || p->rec->origin == LINEAGE_ACCEPT)
		return false;
	if (p->rec->origin == LINEAGE_PAIR)
		return false;
	if (p->rec->origin == LINEAGE_SOCKET || !p->rec->name.n)
		return true;
	if (unix_find_listener(e->rec->type, e->rec->name, e->rec->vfs))
		return true;
	return !unix_find_listener(p->rec->type, p->rec->name, p->rec->vfs) && e->rec->ino > p->rec->ino;
}

static int group_add(struct end *e)
{
	const struct unix_record *r = e->rec, *known;
	struct group **bucket = &unix_net->by_name[hash_name(r->name) & unix_net->mask], *g;

	for (g = *bucket; g; g = g->same_name) {
		known = g->first->rec;
		if (known->type == r->type && known->vfs == r->vfs && blob_eq(known->name, r->name))
			break;
	}
	if (!g) {
		g = arena_alloc(rebuild_arena(unix_net->rb), sizeof(*g));
		if (!g)
			return -ENOMEM;
		*g = (struct group){ .last = &g->first, .same_name = *bucket };
		*bucket = g;
		g->listener = unix_find_listener(r->type, r->name, r->vfs);
		if (g->listener) {
			g->same_listener = g->listener->groups;
			g->listener->groups = g;
		}
		*unix_net->groups_end = g;
		unix_net->groups_end = &g->next;
	}
	*g->last = e;
	g->last = &e->next;
	return 0;
}

/* Connected to the outside: what the user hands in, or another connection where that is wanted. */
static int reconnect(struct end *e)
{
	struct blob name = e->rec->peer_name;
	bool abstract = name.n && !unix_is_path(name);
	struct unix_addr a;
	int rc = -ENOTCONN, fd;

	if (abstract)
		name = (struct blob){ (const char *)name.p + 1, name.n - 1 };
	fd = rebuild_inherited(unix_net->rb, e->obj, name);
	if (fd >= 0) {
		rc = fd = (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
	} else if (name.n && rebuild_unix_policy(unix_net->rb) == POLICY_RECONNECT) {
		rc = unix_away(e->rec, &a);
		fd = rc < 0 ? rc : sys_socket(AF_UNIX, (int)e->rec->type | SOCK_CLOEXEC, 0);
		rc = fd < 0 ? fd : sys_connect(fd, &a, a.len);
	}
	if (rc < 0) {
		if (fd >= 0)
			sys_close(fd);
		return rc;
	}
	rebuild_loss(unix_net->rb, e->obj, "unix socket: connected anew to a peer outside");
	e->fd = fd;
	e->joined = e->anew = true;
	e->peer = NULL;
	return 0;
}

/* Gives a connected end its peer. */
static int join(struct end *e)
{
	struct end *p;

	if (e->rec->state != UNIX_CONNECTED || e->peer || e->pending)
		return 0;
	p = find_ino(e->rec->peer);
	if (p && (unix_is_dgram(e) || p->rec->peer == e->rec->ino)) {
		e->peer = p;
		if (!unix_is_dgram(e))
			p->peer = e;
		return 0;
	}
	/* without an inode it may also wait in the backlog of a listener outside: then it isn't shut down */
	e->outside = e->rec->peer != 0 || (!unix_is_dgram(e) && e->rec->shut != 3);
	if (e->outside && (!unix_is_dgram(e) || !e->rec->peer_name.n) && !e->waiting && reconnect(e) >= 0)
		return 0;
	if (e->outside && !unix_is_dgram(e) && rebuild_unix_policy(unix_net->rb) == POLICY_FAIL)
		return unix_trouble(e, -ENOTCONN, "its peer is outside the tree (--unix-external)");
	if (unix_is_dgram(e) && e->rec->peer_name.n)
		return 0; /* connects to the name when queues are filled */
	e->peer = end_hidden(e);
	if (!e->peer)
		return -ENOMEM;
	e->peer->peer = e;
	return 0;
}

static int net_index(void)
{
	struct arena *arena = rebuild_arena(unix_net->rb);
	uint32_t total = rebuild_objects(unix_net->rb), size = 16, i;
	struct end *e;

	for (i = 0; i < total; i++)
		unix_net->n += rebuild_kind(unix_net->rb, i) == &kind_unix;
	while (size < unix_net->n)
		size *= 2;
	unix_net->mask = size - 1;
	unix_net->ends = arena_alloc(arena, unix_net->n * sizeof(*unix_net->ends));
	unix_net->by_ino = arena_alloc(arena, size * sizeof(void *));
	unix_net->by_name = arena_alloc(arena, size * sizeof(void *));
	unix_net->listeners = arena_alloc(arena, size * sizeof(void *));
	unix_net->dgrams = arena_alloc(arena, size * sizeof(void *));
	if (!unix_net->ends || !unix_net->by_ino || !unix_net->by_name || !unix_net->listeners || !unix_net->dgrams)
		return -ENOMEM;
	for (i = 0, e = unix_net->ends; i < total; i++) {
		struct end **bucket;

		if (rebuild_kind(unix_net->rb, i) != &kind_unix)
			continue;
		*e = (struct end){ .obj = i, .rec = rebuild_record(unix_net->rb, i), .fd = -1, .anchor = -1 };
		bucket = &unix_net->by_ino[(uint32_t)(e->rec->ino * 2654435769u >> 7) & unix_net->mask];
		e->same_ino = *bucket;
		*bucket = e;
		if (e->rec->name.n && (unix_is_dgram(e) || e->rec->state == UNIX_LISTENING)) {
			bucket = unix_is_dgram(e) ? unix_net->dgrams : unix_net->listeners;
			bucket += hash_name(e->rec->name) & unix_net->mask;
			e->same_name = *bucket;
			*bucket = e;
		}
		e++;
	}
	return 0;
}

static struct end *find_obj(uint32_t obj)
{
	uint32_t lo = 0, hi = unix_net->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (unix_net->ends[mid].obj == obj)
			return &unix_net->ends[mid];
		if (unix_net->ends[mid].obj < obj)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* Those in a listener's backlog. */
static void join_pending(const struct end *listener)
{
	const struct unix_pending *p = listener->rec->pending.items;
	uint32_t k;

	for (k = 0; k < listener->rec->pending.n; k++) {
		struct end *client = find_ino(p[k].client), *held = find_obj(p[k].obj);

		if (client)
			client->pending = true;
		if (held) {
			held->waiting = true;
			held->peer = client;
		}
	}
}

static int net_join(void)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < unix_net->n; i++)
		join_pending(&unix_net->ends[i]);
	for (i = 0; i < unix_net->n && rc >= 0; i++)
		rc = join(&unix_net->ends[i]);
	for (i = 0; i < unix_net->n; i++)
		unix_net->ends[i].accepted = !unix_net->ends[i].waiting && came_in(&unix_net->ends[i]);
	for (struct end *e = unix_net->hidden; e; e = e->next_hidden)
		e->accepted = !e->peer->waiting && came_in(e) && !e->peer->accepted;
	for (i = 0; i < unix_net->n && rc >= 0; i++) {
		struct end *e = &unix_net->ends[i];

		if (e->accepted)
			rc = group_add(e);
		else if (e->peer && e->peer->obj == OBJ_NONE && e->peer->accepted)
			rc = group_add(e->peer);
	}
	return rc;
}

/* What has to be at hand for others. */
static void mark_ties(void)
{
	struct end *e, *other;
	uint32_t i, k;

	for (e = unix_net->ends; e < unix_net->ends + unix_net->n; e++) {
		const struct unix_message *m = e->rec->queue.items;

		if (e->peer && unix_is_dgram(e))
			e->peer->wanted = true;
		for (i = 0; i < e->rec->queue.n; i++) {
			const struct unix_right *rights = m[i].rights.items;

			other = unix_is_dgram(e) && m[i].sender.n ? unix_find_dgram(m[i].sender) : NULL;
			if (other)
				other->wanted = true;
			if (m[i].cred_pid > 0 && rebuild_process(unix_net->rb, m[i].cred_pid))
				unix_net->late = rebuild_waits(unix_net->rb);
			for (k = 0; k < m[i].rights.n; k++) {
				const struct kind *kind = rebuild_kind(unix_net->rb, rights[k].obj);

				if ((other = find_obj(rights[k].obj)))
					other->carried = true;
				else if (kind && kind->late)
					unix_net->late = rebuild_waits(unix_net->rb);
			}
		}
	}
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

/* Whether a datagram socket and its peer must have been a pair: one without a name can't be connected to. */
static bool dgram_pair(const struct end *e)
{
	const struct end *p = e->peer;

	if (p == e || p->fd >= 0)
		return false;
	return !p->rec->name.n || (p->peer == e && (!e->rec->name.n || e->rec->cred_pid > 0));
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
	static const uint16_t none = AF_UNSPEC;
	struct pairing *p = arg;
	struct end *e;
	int rc = 0;

	for (e = p->first; e < p->stop && rc >= 0; e++) {
		if (!is_pair(e))
			continue;
		rc = pair_one(e);
		if (rc >= 0 && !e->peer->joined)
			rc = sys_connect(e->peer->fd, &none, sizeof(none)); /* it belongs to somebody else, or to nobody */
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

int unix_make_socket(struct end *e)
{
	if (e->fd < 0)
		e->fd = sys_socket(AF_UNIX, (int)e->rec->type | SOCK_CLOEXEC, 0);
	return e->fd < 0 ? unix_trouble(e, e->fd, "socket") : 0;
}

int unix_make_bound(struct end *e)
{
	int rc;

	if (e->bound || e->settled || e->accepted || e->waiting || !e->rec->name.n)
		return 0;
	rc = e->obj == OBJ_NONE ? unix_name_borrow(e->fd, e->rec->name, &e->anchor) :
				  unix_name_bind(unix_net->rb, e->obj, e->fd, e->rec, &e->anchor);
	e->bound = rc >= 0;
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

/*
 * Connections through a listener that is gone: one is made for the moment.
 * Where its name belongs to somebody else by now and our ends are the clients,
 * pairs without the peer's name have to do.
 */
static int arrive_through_stand_in(struct group *g)
{
	struct end *model = g->first, stand_in = { .obj = model->obj, .fd = -1, .anchor = -1 };
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
	if (rc >= 0 && model->obj == OBJ_NONE && unix_reach(&stand_in, &a) < 0) {
		for (; model && rc >= 0; model = model->next) {
			if (model->peer->fd >= 0)
				sys_close(model->peer->fd);
			rc = pair_one(model);
		}
	} else if (rc >= 0) {
		rc = make_clients(g);
		if (rc >= 0)
			rc = arrive(g, &stand_in);
		if (rc >= 0)
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
	struct end *held = find_obj(p->obj), *client = held ? held->peer : find_ino(p->client);
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
		const struct end *held = find_obj(p[i].obj);

		lend_options(listener, held ? &held->rec->options : &listener->rec->options);
		rc = make_one_pending(listener, &p[i], &to);
	}
	lend_options(listener, &listener->rec->options);
	return rc < 0 ? unix_trouble(listener, rc, "connection not accepted") : 0;
}

static int make_listening(struct end *e)
{
	struct listening l = { e->fd, e->rec->backlog };
	struct agent_id by = caller(e->rec);
	struct group *g;
	int rc = 0;

	for (g = e->groups; g && rc >= 0; g = g->same_listener)
		rc = arrive(g, e);
	if (rc >= 0) {
		rc = agent_run(&by, listen_as, &l);
		if (rc < 0)
			return unix_trouble(e, rc, "listen");
	}
	return rc >= 0 && e->rec->pending.n ? make_pending(e) : rc;
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

static void net_terminate(void)
{
	struct arena *arena = rebuild_arena(unix_net->rb);
	uint32_t i;

	for (i = 0; i < unix_net->n; i++)
		unix_net->ends[i].rec->file = arena_blob(arena, unix_net->ends[i].rec->file.p, unix_net->ends[i].rec->file.n);
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
	rc = net_index();
	if (rc < 0)
		return failed(rc, "unix sockets");
	net_terminate();
	rc = net_join();
	mark_ties();
	if (rc >= 0)
		rc = make_pairs();
	if (rc >= 0)
		rc = settle_singles();
	if (rc >= 0)
		rc = make_sockets();
	if (rc >= 0)
		rc = make_stand_ins();
	for (i = 0; i < unix_net->n && rc >= 0; i++)
		rc = unix_make_bound(&unix_net->ends[i]);
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
