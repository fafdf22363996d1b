/*
 * unix_join.c - which unix sockets of an image belong together
 *
 * Found by inodes, which the kernel's list named, and by names. What is connected to the
 * outside is connected anew, handed in or the restart's own, where that is wanted or can be; else it gets a
 * hidden counterpart, as do ends whose peer nobody has any more. And who must be at hand when
 * others are filled: carried in a queue, peer or sender of datagrams.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "file.h"
#include "unix_net.h"

#include "skshim/frozen.h"

static uint32_t hash_name(struct blob name)
{
	const uint8_t *p = name.p;
	uint32_t h = 2166136261u;
	uint64_t i;

	for (i = 0; i < name.n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

struct end *unix_find_ino(uint64_t ino)
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
		rebuild_lent(unix_net->rb, e->obj);
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

/* Standard input or output by a socket from outside, as a launcher gives it: skshim-restart's own takes its place. */
static bool borrow_standard(struct end *e)
{
	int fd = e->rec->standard ? stdio_create(unix_net->rb, e->obj, e->rec->standard) : -ENOENT;

	if (fd < 0)
		return false;
	if (e->rec->queue.n)
		rebuild_loss(unix_net->rb, e->obj, "unix socket: what its peer outside had sent");
	e->fd = fd;
	e->joined = e->anew = e->lent = true;
	return true;
}

/* Gives a connected end its peer. */
static int join(struct end *e)
{
	struct end *p;

	if (e->rec->state != UNIX_CONNECTED || e->peer || e->pending)
		return 0;
	p = unix_find_ino(e->rec->peer);
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
	if (e->outside && !e->waiting && borrow_standard(e))
		return 0;
	if (e->outside && !unix_is_dgram(e) && rebuild_unix_policy(unix_net->rb) == POLICY_FAIL)
		return unix_trouble(e, -ENOTCONN, "its peer is outside the tree (--unix-external)");
	/* connects to the name when queues are filled, but where only its peer could have sent them */
	if (unix_is_dgram(e) && e->rec->peer_name.n && (e->outside || (!e->rec->error && (e->rec->name.n || !e->rec->queue.n))))
		return 0;
	e->peer = end_hidden(e);
	if (!e->peer)
		return -ENOMEM;
	e->peer->peer = e;
	return 0;
}

/* A listener that the launcher lends is not made. */
static bool is_ours(uint32_t obj)
{
	return rebuild_kind(unix_net->rb, obj) == &kind_unix && rebuild_fd(unix_net->rb, obj) < 0;
}

static int net_index(void)
{
	struct arena *arena = rebuild_arena(unix_net->rb);
	uint32_t total = rebuild_objects(unix_net->rb), size = 16, i;
	struct end *e;

	for (i = 0; i < total; i++)
		unix_net->n += is_ours(i);
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

		unix_net->lent |= rebuild_kind(unix_net->rb, i) == &kind_unix && rebuild_fd(unix_net->rb, i) >= 0;
		if (!is_ours(i))
			continue;
		*e = (struct end){ .obj = i, .rec = rebuild_record(unix_net->rb, i), .fd = -1, .anchor = -1 };
		/* what was decoded has no closing zero; the others' records are left alone, they are the launcher's memory */
		if (e->rec->file.n)
			e->rec->file = arena_blob(arena, e->rec->file.p, e->rec->file.n);
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

struct end *unix_find_obj(uint32_t obj)
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
		struct end *client = unix_find_ino(p[k].client), *held = unix_find_obj(p[k].obj);

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
	for (i = 0; i < unix_net->n; i++) {
		struct end *e = &unix_net->ends[i];

		if (unix_is_dgram(e) && e->peer && e->peer->peer != e)
			e->peer->waits_for++;
	}
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

				if ((other = unix_find_obj(rights[k].obj)))
					other->carried = true;
				else if (kind && kind->late)
					unix_net->late = rebuild_waits(unix_net->rb);
			}
		}
	}
}

int unix_join(void)
{
	int rc = net_index();

	if (rc < 0)
		return failed(rc, "unix sockets");
	rc = net_join();
	mark_ties();
	return rc;
}
