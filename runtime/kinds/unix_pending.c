/*
 * unix_pending.c - connections that nobody has accepted
 *
 * The kernel lists their clients. When none of them has sent anything, that is
 * all there is to know. Else they are accepted, looked into, and put back in
 * the same order (held.h), in every checkpoint anew.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "skshim/held.h"
#include "skshim/view.h"
#include "file.h"
#include "unix.h"

#include "skshim/frozen.h"

#define ORDER_TRIES 20
#define SPARE 32             /* descriptors for everything else */
#define SCM_MAX_FD 253

/* Whether something may wait in one of them: bytes charged to a client, or a client that is gone. */
static bool worth_a_look(struct collection *c, const struct diag_unix *d)
{
	const struct diag_unix *client;
	uint32_t i;

	for (i = 0; i < d->npending; i++) {
		client = d->pending[i] ? diag_unix(c, d->pending[i]) : NULL;
		if (!client || client->wqueue || client->shutdown)
			return true;
	}
	return false;
}

/* The listener's file: by its place, by what follows it, or as the kernel gives it to the privileged. A descriptor, or an error. */
static int file_of(const struct probe *p, const struct unix_record *r)
{
	int fd = r->file.n ? sys_openat(AT_FDCWD, r->file.p, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0) : -ENOENT;

	if (fd >= 0)
		return fd;
	if (p->lineage && p->lineage->file_anchor >= 0)
		return (int)sys_fcntl(p->lineage->file_anchor, F_DUPFD_CLOEXEC, 0);
	return (int)sys_ioctl(p->fd, SIOCUNIXFILE_, 0);
}

/* How the listener is connected to: its name, or its file wherever that is. */
struct way {
	struct unix_addr to;
	int anchor;                  /* a descriptor of the file, -1 none */
	bool lent;                   /* its mode is another for the moment */
	uint32_t mode;
};

static int way_find(const struct probe *p, const struct unix_record *r, struct way *w)
{
	const char *local;

	if (!unix_is_path(r->name))
		return unix_addr(&w->to, r->name);
	w->anchor = file_of(p, r);
	if (w->anchor < 0)
		return -ENOENT;
	w->to = (struct unix_addr){ .family = AF_UNIX };
	/* in another root directory there may be no /proc */
	if (sys_view_on && r->file.n && (local = view_local(r->file.p)) && strlen(local) < sizeof(w->to.path)) {
		memcpy(w->to.path, local, strlen(local) + 1);
		w->to.len = 3 + (unsigned)strlen(local);
		return 0;
	}
	w->to.len = 3 + (unsigned)text_format(w->to.path, sizeof(w->to.path), "/proc/thread-self/fd/%d", w->anchor);
	return 0;
}

static void way_close(struct way *w)
{
	if (w->lent)
		file_forbid(w->to.path, w->mode);
	if (w->anchor >= 0)
		sys_close(w->anchor);
}

/* Whether so many descriptors may be in flight besides those that are (RLIMIT_NOFILE of the user's): they are sent to ourselves. */
static bool may_fly(uint32_t n)
{
	struct { struct cmsghdr h; int fds[SCM_MAX_FD]; } c = { .h = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { "", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c };
	int pair[2];
	long rc = sys_socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
	uint32_t i, some;

	if (rc < 0)
		return false;
	for (i = 0; i < SCM_MAX_FD; i++)
		c.fds[i] = pair[0];
	for (; n && rc >= 0; n -= some) {
		some = n > SCM_MAX_FD ? SCM_MAX_FD : n > 1 ? n - 1 : 1; /* the kernel counts those that are there already */
		c.h.cmsg_len = CMSG_LEN(some * sizeof(int));
		m.msg_controllen = CMSG_SPACE(some * sizeof(int));
		rc = sys_sendmsg(pair[0], &m, MSG_NOSIGNAL);
	}
	sys_close(pair[0]);
	sys_close(pair[1]);
	return rc != -ETOOMANYREFS;
}

/* Connections taken out of a backlog, in their order. */
struct taken {
	int *fds;
	uint32_t n, room;
};

/*
 * Accepts all that wait; a stand-in gives what it carries. Those in stand-ins go
 * first: where others are in front of them, they have come in between.
 */
static int accept_all(struct collection *c, const struct probe *p, struct taken *t)
{
	struct pollfd poll = { .fd = p->fd, .events = POLLIN };
	uint32_t ours = 0;
	int fd, inside, *more;

	while (sys_poll(&poll, 1, 0) == 1) {
		if (t->n == t->room) {
			more = arena_alloc(c->arena, (t->room * 2 + 64) * sizeof(*more));
			if (!more)
				return -ENOMEM;
			if (t->n)
				memcpy(more, t->fds, t->n * sizeof(*more));
			t->fds = more;
			t->room = t->room * 2 + 64;
		}
		fd = sys_accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			break;
		inside = held_inside(fd);
		if (inside < 0) {
			t->fds[t->n++] = fd;
			continue;
		}
		sys_close(fd);
		memmove(t->fds + ours + 1, t->fds + ours, (t->n++ - ours) * sizeof(*t->fds));
		t->fds[ours++] = inside;
	}
	return 0;
}

/* The listener's own process may listen again without anybody noticing. */
static bool is_own(const struct collection *c, const struct unix_record *r)
{
	return r->cred_pid == c->pid && r->cred_uid == (uint32_t)SYS0(__NR_geteuid) && r->cred_gid == (uint32_t)SYS0(__NR_getegid);
}

/* Puts all back, in a backlog that is made larger for the moment where there is no room. */
static int put_back(struct collection *c, const struct probe *p, const struct unix_record *r, const struct taken *t, const struct unix_addr *to)
{
	bool larger = false;
	uint32_t i;
	int rc = 0;

	for (i = 0; i < t->n && rc >= 0; i++) {
		uint64_t cookie = 0;
		unsigned len = sizeof(cookie);

		(void)sys_getsockopt(t->fds[i], SOL_SOCKET, SO_COOKIE, &cookie, &len);
		rc = held_put(t->fds[i], p->type, cookie, to, to->len);
		if (rc == -EAGAIN && !larger) {
			/* strangers have taken the places: rather than lose somebody, whoever connects next sees us listening */
			larger = true;
			if (!is_own(c, r))
				log_line(LOG_WARN, "pid %d fd %d: listens in another's place: its backlog is full", c->pid, p->fd);
			rc = sys_listen(p->fd, 0x7fffffff);
			if (rc >= 0)
				rc = held_put(t->fds[i], p->type, cookie, to, to->len);
		}
	}
	if (larger)
		(void)sys_listen(p->fd, r->backlog);
	return rc < 0 ? failed(rc, "pid %d fd %d: putting back a connection not accepted", c->pid, p->fd) : 0;
}

/* Whether somebody has connected in front of what was put back: its clients are gone, and told as none. */
static bool is_behind(struct collection *c, const struct unix_record *r)
{
	const struct diag_unix *d = diag_unix_now(c, (uint32_t)r->ino);
	bool stranger = false;
	uint32_t i;

	for (i = 0; d && i < d->npending; i++) {
		if (stranger && !d->pending[i])
			return true;
		stranger |= d->pending[i] != 0;
	}
	return false;
}

/* Whether there are descriptors for all: none may be left behind that others would come in front of. */
static bool has_room(const struct collection *c, uint32_t n)
{
	struct { uint64_t soft, hard; } limit;

	return sys_prlimit(0, RLIMIT_NOFILE, NULL, (struct rlimit64 *)&limit) < 0 || limit.soft >= c->nfds + c->nadopted + n + SPARE;
}

/* Nothing is taken out of a backlog before it is sure that it can be put back. */
static int way_open(struct collection *c, const struct probe *p, const struct unix_record *r, const struct diag_unix *d, struct way *w)
{
	struct pollfd poll = { .fd = p->fd, .events = POLLRDHUP };
	int rc;

	if (!has_room(c, d->npending))
		return collection_refuse(c, p, -EMFILE, "%u connections not accepted, to be looked into", d->npending);
	if (!may_fly(d->npending))
		return collection_refuse(c, p, -ETOOMANYREFS, "%u connections not accepted, to be looked into", d->npending);
	if (d->npending > (uint32_t)r->backlog + 1 && !is_own(c, r))
		return collection_refuse(c, p, -EOPNOTSUPP, "more connections not accepted than its backlog has room for now");
	if (sys_poll(&poll, 1, 0) == 1)
		return collection_refuse(c, p, -EOPNOTSUPP, "data for connections not accepted, to a listener that was shut down");
	rc = way_find(p, r, w);
	if (rc >= 0 && w->anchor >= 0)
		rc = unix_file_permit(w->to.path, &w->mode);
	w->lent = rc > 0;
	if (rc < 0) {
		way_close(w);
		return collection_refuse(c, p, -EOPNOTSUPP,
					 "data for connections not accepted, to a listener that can't be reached any more");
	}
	return 0;
}

static int look_into(struct collection *c, const struct probe *p, struct unix_record *r, const struct diag_unix *d)
{
	struct way way = { .anchor = -1 };
	struct taken t = { .room = 0 };
	struct unix_pending *list;
	int rc, tries = 0;
	struct stat st;
	uint32_t i;

	rc = way_open(c, p, r, d, &way);
	if (rc < 0)
		return rc;
	do {
		while (t.n)
			sys_close(t.fds[--t.n]);
		rc = accept_all(c, p, &t);
		if (rc >= 0)
			rc = put_back(c, p, r, &t, &way.to);
	} while (rc >= 0 && is_behind(c, r) && ++tries < ORDER_TRIES);
	way_close(&way);
	list = arena_alloc(c->arena, (t.n + 1) * sizeof(*list));
	if (!list)
		return failed(-ENOMEM, "pid %d fd %d: connections not accepted", c->pid, p->fd);
	for (i = 0; i < t.n; i++) {
		const struct diag_unix *accepted = sys_fstat(t.fds[i], &st) == 0 ? diag_unix(c, (uint32_t)st.st_ino) : NULL;

		list[i].client = accepted ? accepted->peer : 0;
		list[i].obj = collection_adopt(c, t.fds[i]);
		if (list[i].obj == OBJ_NONE)
			rc = -EBADF;
	}
	r->pending = (struct list){ list, t.n };
	return rc;
}

/* What the kernel lists is all there is to know. */
static int as_listed(struct collection *c, const struct probe *p, struct unix_record *r, const struct diag_unix *d)
{
	struct unix_pending *list = arena_alloc(c->arena, d->npending * sizeof(*list));
	uint32_t i;

	if (!list)
		return failed(-ENOMEM, "pid %d fd %d: connections not accepted", c->pid, p->fd);
	for (i = 0; i < d->npending; i++)
		list[i] = (struct unix_pending){ .client = d->pending[i], .obj = OBJ_NONE };
	r->pending = (struct list){ list, d->npending };
	return 0;
}

/*
 * Another process that has the listener may be accepting and putting back right
 * now, so all that is asked of it is asked behind the lock.
 */
int unix_pending_collect(struct collection *c, const struct probe *p, struct unix_record *r)
{
	struct pollfd poll = { .fd = p->fd, .events = POLLIN };
	const struct diag_unix *d = NULL;
	int lock = socket_lock(p), rc;

	rc = lock < 0 ? failed(lock, "pid %d fd %d: connections not accepted", c->pid, p->fd) : sys_poll(&poll, 1, 0);
	if (rc == 1)
		d = diag_unix_now(c, (uint32_t)r->ino);
	if (d && d->npending)
		rc = worth_a_look(c, d) ? look_into(c, p, r, d) : as_listed(c, p, r, d);
	if (lock >= 0)
		sys_close(lock);
	return rc < 0 ? rc : 0;
}
