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
#include <sys/socket.h>

#include "skshim/held.h"
#include "skshim/view.h"
#include "unix.h"

#include "skshim/frozen.h"

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

/* Where the listener is connected to: its name, or its file wherever that is. */
static int address_of(const struct probe *p, const struct unix_record *r, struct unix_addr *a, int *anchor)
{
	const char *local;

	*anchor = -1;
	if (!unix_is_path(r->name))
		return unix_addr(a, r->name);
	if (r->file.n)
		*anchor = sys_openat(AT_FDCWD, r->file.p, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	else if (p->lineage && p->lineage->file_anchor >= 0)
		*anchor = (int)sys_fcntl(p->lineage->file_anchor, F_DUPFD_CLOEXEC, 0);
	if (*anchor < 0)
		return -ENOENT;
	memset(a, 0, sizeof(*a));
	a->family = AF_UNIX;
	/* in another root directory there may be no /proc */
	if (sys_view_on && r->file.n && (local = view_local(r->file.p)) && strlen(local) < sizeof(a->path)) {
		memcpy(a->path, local, strlen(local) + 1);
		a->len = 3 + (unsigned)strlen(local);
		return 0;
	}
	a->len = 3 + (unsigned)text_format(a->path, sizeof(a->path), "/proc/thread-self/fd/%d", *anchor);
	return 0;
}

/* Accepts all that wait; a stand-in of an earlier checkpoint gives what it carries. Returns how many. */
static uint32_t accept_all(const struct probe *p, int *fds, uint32_t room)
{
	struct pollfd poll = { .fd = p->fd, .events = POLLIN };
	uint32_t n = 0;
	int fd, inside;

	while (n < room && sys_poll(&poll, 1, 0) == 1) {
		fd = sys_accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			break;
		inside = held_inside(fd);
		if (inside >= 0)
			sys_close(fd);
		fds[n++] = inside >= 0 ? inside : fd;
	}
	return n;
}

static int look_into(struct collection *c, const struct probe *p, struct unix_record *r, const struct diag_unix *d)
{
	uint32_t room = d->npending + 64, n, i;
	struct unix_pending *list = arena_alloc(c->arena, room * sizeof(*list));
	int *fds = arena_alloc(c->arena, room * sizeof(*fds)), anchor, rc, own;
	const struct diag_unix *accepted;
	struct unix_addr to;
	struct stat st;

	if (!list || !fds)
		return failed(-ENOMEM, "pid %d fd %d: connections not accepted", c->pid, p->fd);
	rc = address_of(p, r, &to, &anchor);
	if (rc < 0)
		return collection_refuse(c, p, -EOPNOTSUPP,
					 "data for connections not accepted, to a listener that can't be reached any more");
	n = accept_all(p, fds, room);
	for (i = 0; i < n; i++) {
		uint64_t cookie = 0;
		unsigned len = sizeof(cookie);

		(void)sys_getsockopt(fds[i], SOL_SOCKET, SO_COOKIE, &cookie, &len);
		own = held_put(fds[i], p->type, cookie, &to, to.len);
		if (own < 0 && rc >= 0)
			rc = failed(own, "pid %d fd %d: putting back a connection not accepted", c->pid, p->fd);
		accepted = sys_fstat(fds[i], &st) == 0 ? diag_unix(c, (uint32_t)st.st_ino) : NULL;
		list[i].client = accepted ? accepted->peer : 0;
		list[i].obj = collection_adopt(c, fds[i]);
		if (list[i].obj == OBJ_NONE)
			rc = -EBADF;
	}
	if (anchor >= 0)
		sys_close(anchor);
	r->pending = (struct list){ list, n };
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
