/*
 * unix.c - a unix socket
 *
 * What the kernel lists (sock_diag), what the socket itself says (names,
 * credentials, options) and what the ledger saw (how it was made, where it was
 * bound) become one record. Peers are told by inode; the restart joins them
 * again, also when they are in different processes.
 *
 * A connected socket whose peer is not listed by any process of the tree has
 * its peer outside, or none any more. The ledger decides which, since it knows
 * all sockets of the tree: a peer with an inode that the ledger doesn't know
 * is a stranger's.
 */
#include <asm/errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "file.h"
#include "unix.h"

#include "skshim/frozen.h"

#define STATE_LISTEN 10
#define SO_PEERGROUPS_ 59

static const struct field pending_fields[] = {
	FIELD_U64(struct unix_pending, client),
	FIELD_OBJ(struct unix_pending, obj),
	FIELD_END
};

static const struct field unix_fields[] = {
	FIELD_U32(struct unix_record, type),
	FIELD_U64(struct unix_record, ino),
	FIELD_U32(struct unix_record, state),
	FIELD_U64(struct unix_record, peer),
	FIELD_U32(struct unix_record, origin),
	FIELD_STR(struct unix_record, name),
	FIELD_STR(struct unix_record, peer_name),
	FIELD_I32(struct unix_record, backlog),
	FIELD_I32(struct unix_record, pid),
	FIELD_I32(struct unix_record, cred_pid),
	FIELD_U32(struct unix_record, cred_uid),
	FIELD_U32(struct unix_record, cred_gid),
	FIELD_BIN_ADDED(struct unix_record, cred_groups),
	FIELD_U32_ADDED(struct unix_record, cred_lives),
	FIELD_U32(struct unix_record, shut),
	FIELD_U32(struct unix_record, error),
	FIELD_U64(struct unix_record, vfs),
	FIELD_STR(struct unix_record, file),
	FIELD_U32(struct unix_record, file_mode),
	FIELD_U32(struct unix_record, file_uid),
	FIELD_U32(struct unix_record, file_gid),
	FIELD_LIST_ADDED(struct unix_record, links, struct unix_link, unix_link_fields),
	FIELD_STR(struct unix_record, asked),
	FIELD_STR(struct unix_record, cwd),
	FIELD_U32(struct unix_record, outside),
	FIELD_U32_ADDED(struct unix_record, standard),
	FIELD_LIST(struct unix_record, options, struct sockopt, sockopt_fields),
	FIELD_BIN(struct unix_record, notes),
	FIELD_LIST(struct unix_record, queue, struct unix_message, unix_message_fields),
	FIELD_LIST(struct unix_record, pending, struct unix_pending, pending_fields),
	FIELD_END
};

static bool unix_match(const struct probe *p)
{
	return p->family == AF_UNIX;
}

/* As sock_diag has it, without the zero that closes a path. */
static struct blob name_of(const struct diag_unix *d)
{
	struct blob name = d->name;

	if (unix_is_path(name) && !((const char *)name.p)[name.n - 1])
		name.n--;
	return name;
}

static int collect_groups(struct collection *c, const struct probe *p, struct unix_record *r)
{
	uint32_t few[32], *list = few;
	unsigned len = sizeof(few);
	int rc = sys_getsockopt(p->fd, SOL_SOCKET, SO_PEERGROUPS_, list, &len);

	if (rc == -ERANGE) {
		list = arena_alloc(c->arena, len);
		rc = list ? sys_getsockopt(p->fd, SOL_SOCKET, SO_PEERGROUPS_, list, &len) : -ENOMEM;
	}
	if (rc == -ENOMEM)
		return failed(rc, "pid %d fd %d: groups of its peer", c->pid, p->fd);
	if (rc >= 0)
		r->cred_groups = arena_blob(c->arena, list, len);
	return 0;
}

/* Names, state and credentials. */
static int collect_identity(struct collection *c, const struct probe *p, const struct diag_unix *d, struct unix_record *r)
{
	struct {
		int32_t pid;
		uint32_t uid, gid;
	} cred = { 0 };
	const struct diag_unix *peer;
	unsigned len = sizeof(cred);
	int rc;

	r->type = (uint32_t)p->type;
	r->ino = p->st.st_ino;
	r->pid = c->pid;
	r->backlog = -1;
	r->origin = p->lineage ? p->lineage->origin : LINEAGE_UNKNOWN;
	r->name = name_of(d);
	if (d->state == STATE_LISTEN) {
		r->state = UNIX_LISTENING;
		r->backlog = (int32_t)d->wqueue;
	} else if (d->has_peer) {
		r->state = UNIX_CONNECTED;
		r->peer = d->peer;
		peer = d->peer ? diag_unix(c, d->peer) : NULL;
		rc = peer ? 0 : unix_name_read(c->arena, p->fd, true, &r->peer_name);
		if (peer)
			r->peer_name = name_of(peer);
		if (rc < 0 && rc != -ENOTCONN)
			return failed(rc, "pid %d fd %d: getpeername", c->pid, p->fd);
	}
	/* one that was made by itself and never connected has none */
	if (r->state == UNIX_PLAIN && r->origin == LINEAGE_SOCKET)
		return 0;
	if (sys_getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid > 0) {
		r->cred_pid = cred.pid;
		r->cred_uid = cred.uid;
		r->cred_gid = cred.gid;
		r->cred_lives = c->peer_lives && c->peer_lives(p, cred.pid);
		return collect_groups(c, p, r);
	}
	return 0;
}

/*
 * Whether the peer is the tree's: it, or who listens under its name, is known
 * to the ledger. The latter holds for connections that were accepted by a
 * checkpoint, or by a raw system call.
 */
static bool is_inside(struct collection *c, const struct diag_unix *peer)
{
	const struct diag_unix *listener;

	if (c->lineage_of(peer->cookie, NULL) == 1)
		return true;
	listener = peer->name.n ? diag_unix_listener(c, peer->type, peer->name) : NULL;
	return listener && c->lineage_of(listener->cookie, NULL) == 1;
}

/* Whose socket the peer is, and how it was asked for. */
static int collect_peer(struct collection *c, const struct probe *p, struct unix_record *r)
{
	const struct lineage *l = p->lineage;
	const struct diag_unix *peer;
	struct blob name;
	uint64_t n = 0;

	if (r->state != UNIX_CONNECTED)
		return 0;
	if (l && l->peer_len > 2 && l->peer_len <= sizeof(l->peer)) {
		name = (struct blob){ l->peer + 2, l->peer_len - 2 };
		while (unix_is_path(name) && n < name.n && ((const char *)name.p)[n])
			n++;
		if (n)
			name.n = n;
		if (!blob_eq(name, r->peer_name))
			r->asked = arena_blob(c->arena, name.p, name.n);
	}
	if (l && l->cwd_len && l->cwd_len <= sizeof(l->cwd))
		r->cwd = arena_blob(c->arena, l->cwd, l->cwd_len);
	if (!r->peer || !c->lineage_of)
		return 0;
	peer = diag_unix(c, (uint32_t)r->peer);
	if (peer && !is_inside(c, peer)) {
		r->outside = 1;
		if (r->type == SOCK_STREAM && !r->name.n)
			r->standard = stdio_numbers(c, p);
		collection_loss(c, p, "unix socket connected to %.*s: the peer is outside, %s at restart", (int)r->peer_name.n,
				r->peer_name.n && !unix_is_path(r->peer_name) ? "(abstract)" : (const char *)r->peer_name.p,
				r->type == SOCK_DGRAM ? "will be connected again" : r->standard ? "the launcher's own takes its place" : "will be reset");
	}
	return 0;
}

static int unix_collect(struct collection *c, const struct probe *p, void *record)
{
	const struct diag_unix *d = diag_unix(c, (uint32_t)p->st.st_ino), *peer;
	struct pollfd poll = { .fd = p->fd };
	struct unix_record *r = record;
	int rc;

	if (!d)
		return collection_refuse(c, p, -ENOENT, "unix socket of another network namespace");
	rc = collect_identity(c, p, d, r);
	if (rc >= 0)
		rc = unix_file_collect(c, p, r);
	if (rc >= 0)
		rc = sockopt_collect(c, p, r->state == UNIX_CONNECTED, &r->options);
	if (rc >= 0)
		rc = collect_peer(c, p, r);
	if (rc < 0)
		return rc;
	r->notes = socket_notes(c, p);
	r->shut = d->shutdown;
	if (r->state == UNIX_LISTENING)
		return unix_pending_collect(c, p, r);
	/* only a datagram socket has a queue before it is connected; shut down, the others are readable all the same */
	if (r->type != SOCK_DGRAM && r->state == UNIX_PLAIN)
		return 0;
	/* a stream whose peer lives has an error never, and something to read only when it is counted, here or there */
	peer = r->type == SOCK_STREAM && r->peer ? diag_unix(c, (uint32_t)r->peer) : NULL;
	if (peer && !d->rqueue && !peer->wqueue)
		return 0;
	poll.events = POLLIN;
	rc = sys_poll(&poll, 1, 0);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: poll", c->pid, p->fd);
	if (poll.revents & POLLERR)
		r->error = ECONNRESET;
	if (poll.revents & POLLIN)
		return unix_queue_collect(c, p, r);
	return 0;
}

static bool unix_lends(const void *record, struct lends *l)
{
	const struct unix_record *r = record;

	if (r->state != UNIX_LISTENING)
		return false;
	l->domain = AF_UNIX;
	l->type = (int)r->type;
	/* an abstract one without the zero in front */
	if (r->name.n && r->name.n < sizeof(l->name)) {
		text_format(l->name, sizeof(l->name), "%.*s", (int)(r->name.n - !unix_is_path(r->name)),
			    (const char *)r->name.p + !unix_is_path(r->name));
	}
	return true;
}

static int unix_check(struct rebuild *rb, uint32_t obj, void *record)
{
	struct unix_record *r = record;
	struct unix_link *links = r->links.items;
	struct blob peer;
	uint32_t i;

	/* what was decoded has no closing zeros */
	if (r->file.n)
		r->file = arena_blob(rebuild_arena(rb), r->file.p, r->file.n);
	for (i = 0; i < r->links.n; i++)
		links[i].path = arena_blob(rebuild_arena(rb), links[i].path.p, links[i].path.n);
	peer = r->peer_name;
	if (peer.n && !unix_is_path(peer))
		peer = (struct blob){ (const char *)peer.p + 1, peer.n - 1 };
	if (r->outside && !r->standard && r->type != SOCK_DGRAM && rebuild_unix_policy(rb) == POLICY_FAIL &&
	    rebuild_inherited(rb, obj, peer) < 0)
		return failed(ERR_PLAIN, "pid %d: unix socket connected to %.*s: its peer is outside the tree (--unix-external fail)",
			      r->pid, (int)peer.n, (const char *)peer.p);
	return r->state == UNIX_CONNECTED && r->origin == LINEAGE_ACCEPT ? 0 : unix_name_check(r);
}

/* The first one asked for makes them all. */
static int unix_create(struct rebuild *rb, uint32_t obj, void *record)
{
	int rc = unix_build(rb);

	(void)record;
	return rc < 0 ? rc : rebuild_fd(rb, obj);
}

static int unix_kind_fill(struct rebuild *rb, uint32_t obj, void *record, int fd)
{
	(void)obj;
	(void)record;
	(void)fd;
	return unix_fill(rb, false);
}

static int unix_late(struct rebuild *rb, uint32_t obj, void *record, int fd)
{
	(void)obj;
	(void)record;
	(void)fd;
	return unix_fill(rb, true);
}

/*
 * The process that listens listened itself, and is no agent: so those who
 * connect find it behind SO_PEERPIDFD.
 */
static int unix_each(struct rebuild *rb, uint32_t obj, void *record, int fd)
{
	const struct unix_record *r = record;

	(void)rb;
	(void)obj;
	if (r->state != UNIX_LISTENING || r->cred_pid != sys_getpid() || r->cred_uid != (uint32_t)SYS0(__NR_geteuid) ||
	    r->cred_gid != (uint32_t)SYS0(__NR_getegid))
		return 0;
	return sys_listen(fd, r->backlog);
}

const struct kind kind_unix = {
	.tag = "unix",
	.size = sizeof(struct unix_record),
	.fields = unix_fields,
	.match = unix_match,
	.collect = unix_collect,
	.lends = unix_lends,
	.check = unix_check,
	.create = unix_create,
	.fill = unix_kind_fill,
	.late = unix_late,
	.own = unix_own,
	.each = unix_each,
};
