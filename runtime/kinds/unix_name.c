/*
 * unix_name.c - a unix socket's address and its file
 *
 * The address is a string that the kernel never looks at again, the file is an
 * inode; rename, unlink, chdir, chroot and mounts part them. Both come back:
 *
 * - address and file agree: an ordinary bind;
 * - else a helper with a private mount namespace builds the address's
 *   directories in a tmpfs, the last one a link to the real directory, changes
 *   its root to there and binds: the address says what it said, the file
 *   appears where it was. Without a file the directories are plain ones, and
 *   the file goes away with the namespace.
 *
 * A file that was renamed is bound in a directory beside it first, under the
 * name's own last part, and renamed to where it was.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent.h"
#include "unix_net.h"

#include "skshim/frozen.h"

#define PATH_ROOM 4096
#define SIOCUNIXFILE_ 0x89e0
#define NAME_TRIES 40

int unix_addr(struct unix_addr *a, struct blob name)
{
	memset(a, 0, sizeof(*a));
	a->family = AF_UNIX;
	if (name.n > 108)
		return -ENAMETOOLONG;
	memcpy(a->path, name.p, name.n);
	a->len = 2 + (unsigned)name.n + (unix_is_path(name) && name.n < 108 ? 1 : 0);
	return 0;
}

int unix_away(const struct unix_record *r, struct unix_addr *a)
{
	struct blob name = r->asked.n ? r->asked : r->peer_name;

	if (!unix_is_path(name) || *(const char *)name.p == '/' || !r->cwd.n || r->cwd.n + 1 + name.n > 107)
		return unix_addr(a, name);
	memset(a, 0, sizeof(*a));
	a->family = AF_UNIX;
	a->len = 3 + (unsigned)text_format(a->path, sizeof(a->path), "%.*s/%.*s", (int)r->cwd.n, (const char *)r->cwd.p,
					   (int)name.n, (const char *)name.p);
	return 0;
}

int unix_name_read(struct arena *arena, int fd, bool peer, struct blob *out)
{
	char room[2 + 128];
	unsigned len = sizeof(room);
	int rc = peer ? sys_getpeername(fd, room, &len) : sys_getsockname(fd, room, &len);

	if (rc < 0)
		return rc;
	if (len > sizeof(room))
		return -ENAMETOOLONG;
	len = len > 2 ? len - 2 : 0;
	if (len && room[2] && !room[2 + len - 1])
		len--;
	*out = arena_blob(arena, room + 2, len);
	return out->p ? 0 : -ENOMEM;
}

/* --- where the file is -------------------------------------------------------------------------------------- */

/* The path behind an O_PATH descriptor, "" when it is not linked any more. */
static int path_of(struct arena *arena, int fd, struct blob *out)
{
	char link[32], path[PATH_ROOM];
	struct stat there, here;
	long n;

	text_format(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = sys_readlinkat(AT_FDCWD, link, path, sizeof(path) - 1);
	if (n < 0)
		return (int)n;
	path[n] = '\0';
	*out = (struct blob){ 0 };
	if (sys_fstat(fd, &here) < 0 || sys_fstatat(AT_FDCWD, path, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    here.st_ino != there.st_ino || here.st_dev != there.st_dev)
		return 0;
	*out = arena_blob(arena, path, (size_t)n);
	return out->p ? 0 : -ENOMEM;
}

/* The path a name leads to, seen from the directory it was bound in. */
static struct blob path_of_name(struct arena *arena, const struct unix_record *r)
{
	const char *p = r->name.p;

	if (p[0] == '/')
		return arena_blob(arena, p, r->name.n);
	if (!r->cwd.n)
		return (struct blob){ 0 };
	return arena_format(arena, "%.*s/%.*s", (int)r->cwd.n, (const char *)r->cwd.p, (int)r->name.n, p);
}

static int collect_at(struct collection *c, struct unix_record *r, struct blob path)
{
	struct stat st;

	if (!path.p || !path.n || sys_fstatat(AT_FDCWD, path.p, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode) || (uint32_t)st.st_ino != (uint32_t)r->vfs)
		return 0;
	r->file = arena_blob(c->arena, path.p, path.n);
	r->file_mode = st.st_mode & 07777;
	r->file_uid = st.st_uid;
	r->file_gid = st.st_gid;
	return r->file.p ? 1 : -ENOMEM;
}

int unix_name_collect(struct collection *c, const struct probe *p, struct unix_record *r)
{
	const struct diag_unix *d = diag_unix(c, (uint32_t)r->ino);
	const struct lineage *l = p->lineage;
	struct blob path = { 0 };
	int fd, rc;

	if (!unix_is_path(r->name) || !d || !d->vfs_ino)
		return 0;
	r->vfs = d->vfs_ino;
	if (l && l->cwd_len && l->cwd_len <= sizeof(l->cwd))
		r->cwd = arena_blob(c->arena, l->cwd, l->cwd_len);
	rc = collect_at(c, r, path_of_name(c->arena, r));
	if (rc)
		return rc < 0 ? failed(rc, "pid %d fd %d: socket file", c->pid, p->fd) : 0;
	if (l && l->file_len && l->file_len <= sizeof(l->file)) {
		rc = collect_at(c, r, arena_blob(c->arena, l->file, l->file_len));
		if (rc)
			return rc < 0 ? failed(rc, "pid %d fd %d: socket file", c->pid, p->fd) : 0;
	}
	if (l && l->file_anchor >= 0) {
		struct stat st;

		if (sys_fstat(l->file_anchor, &st) == 0 && (uint32_t)st.st_ino == (uint32_t)r->vfs)
			rc = path_of(c->arena, l->file_anchor, &path);
	} else {
		fd = (int)sys_ioctl(p->fd, SIOCUNIXFILE_, 0);
		if (fd >= 0) {
			rc = path_of(c->arena, fd, &path);
			sys_close(fd);
		}
	}
	if (rc >= 0)
		rc = collect_at(c, r, path);
	return rc < 0 ? failed(rc, "pid %d fd %d: socket file", c->pid, p->fd) : 0;
}

/* --- can it be had ------------------------------------------------------------------------------------------ */

/* Whether a socket answers at the address: 1, 0, or a negative errno. */
static int answers(const struct unix_addr *a, uint32_t type)
{
	int fd = sys_socket(AF_UNIX, (int)type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	if (fd < 0)
		return fd;
	rc = sys_connect(fd, a, a->len);
	sys_close(fd);
	if (rc == 0 || rc == -EAGAIN || rc == -EPROTOTYPE || rc == -EPERM)
		return 1;
	if (rc == -ECONNREFUSED || rc == -ENOENT)
		return 0;
	return rc;
}

/* Same for the file at a path of any length. */
static int answers_at(const char *path, uint32_t type)
{
	int fd = sys_openat(AT_FDCWD, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0), rc;
	struct unix_addr a = { .family = AF_UNIX };

	if (fd < 0)
		return fd;
	a.len = 3 + (unsigned)text_format(a.path, sizeof(a.path), "/proc/self/fd/%d", fd);
	rc = answers(&a, type);
	sys_close(fd);
	return rc;
}

/* What stands at the path of the socket file: 1 a stale one to be replaced, 0 nothing, or what is in the way. */
static int check_file(const struct unix_record *r)
{
	struct stat st;
	int rc = sys_fstatat(AT_FDCWD, r->file.p, &st, AT_SYMLINK_NOFOLLOW);

	if (rc == -ENOENT) {
		char dir[PATH_ROOM];
		size_t n = r->file.n;

		while (n > 1 && ((const char *)r->file.p)[n - 1] != '/')
			n--;
		if (n >= sizeof(dir))
			return failed(-ENAMETOOLONG, "socket file %s", (const char *)r->file.p);
		memcpy(dir, r->file.p, n);
		dir[n] = '\0';
		rc = sys_fstatat(AT_FDCWD, dir, &st, 0);
		return rc < 0 ? failed(rc, "socket file %s: its directory", (const char *)r->file.p) : 0;
	}
	if (rc < 0)
		return failed(rc, "socket file %s", (const char *)r->file.p);
	if (!S_ISSOCK(st.st_mode))
		return failed(ERR_PLAIN, "socket file %s: something else is there now; move it away", (const char *)r->file.p);
	rc = answers_at(r->file.p, r->type);
	if (rc > 0)
		return failed(ERR_PLAIN, "socket file %s: in use by another process", (const char *)r->file.p);
	return rc < 0 ? failed(rc, "socket file %s: stale, but can't be looked at", (const char *)r->file.p) : 1;
}

int unix_name_check(const struct unix_record *r)
{
	struct unix_addr a;
	int fd, rc, tries;

	if (!r->name.n)
		return 0;
	rc = unix_addr(&a, r->name);
	if (rc < 0)
		return failed(rc, "unix socket's name");
	if (unix_is_path(r->name))
		return r->file.n ? check_file(r) : 0;
	fd = sys_socket(AF_UNIX, (int)r->type | SOCK_CLOEXEC, 0);
	rc = fd < 0 ? fd : sys_bind(fd, &a, a.len);
	/* A socket that was in flight when its tree was killed is found dead a moment later. */
	for (tries = 0; rc == -EADDRINUSE && tries < NAME_TRIES; tries++) {
		(void)sys_poll(NULL, 0, 10);
		rc = sys_bind(fd, &a, a.len);
	}
	if (fd >= 0)
		sys_close(fd);
	if (rc == -EADDRINUSE)
		return failed(ERR_PLAIN, "abstract unix socket @%.*s: in use by another process", (int)r->name.n - 1,
			      (const char *)r->name.p + 1);
	return rc < 0 ? failed(rc, "abstract unix socket @%.*s", (int)r->name.n - 1, (const char *)r->name.p + 1) : 0;
}

/* --- binding ------------------------------------------------------------------------------------------------ */

/* One bind in the helper. */
struct private_bind {
	int fd;
	int dir;                     /* O_PATH of the real directory, -1: the file shall be nowhere */
	char name[112];
	struct unix_addr addr;
	int anchor;                  /* out: O_PATH of the file, when asked for with 0 */
};

static int tmpfs = -1, real_root = -1; /* O_PATH of the helper's tmpfs, and of the root it came from */
static unsigned roots;               /* directories made in the tmpfs; numbers temporary directories too */

static int make_dir(const char *path)
{
	int rc = sys_mkdirat(AT_FDCWD, path, 0700);

	return rc == -EEXIST ? 0 : rc;
}

/* One part of a path: its length, 0 at the end of the directories. */
static size_t part_of(const char *p, const char *last)
{
	size_t n = 0;

	while (p + n < last && p[n] != '/')
		n++;
	return n;
}

static bool is_dots(const char *p, size_t n)
{
	return n && p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.'));
}

/* Relative names: a working directory as many levels deep as the name climbs. */
static int descend(const char *name, const char *last)
{
	const char *p;
	int rc = 0;

	for (p = name; p < last && rc >= 0; p += part_of(p, last) + 1) {
		if (p != name && !(part_of(p, last) == 2 && is_dots(p, 2)))
			continue;
		rc = make_dir("w");
		if (rc >= 0)
			rc = (int)SYS1(__NR_chdir, "w");
	}
	return rc;
}

/*
 * Makes the directories of b->name below the working directory, which is the
 * new root. The last one that isn't "." becomes a link to the real one; -EXDEV
 * when that is "..".
 */
static int make_path(const struct private_bind *b)
{
	char path[PATH_ROOM] = ".", target[32];
	const char *name = b->name, *last = name, *end = NULL, *p;
	size_t n = 1, part;
	int rc = 0;

	for (p = name; *p; p++)
		if (*p == '/')
			last = p + 1;
	for (p = name; p < last; p += part + 1) {
		part = part_of(p, last);
		if (part && !(part == 1 && is_dots(p, 1)))
			end = p;
	}
	if (b->dir >= 0 && !end) {
		rc = (int)SYS1(__NR_fchdir, b->dir);
		return rc < 0 || *name != '/' ? rc : (int)SYS1(__NR_chroot, ".");
	}
	if (b->dir >= 0 && is_dots(end, part_of(end, last)))
		return -EXDEV;
	if (*name != '/')
		rc = descend(name, last);
	for (p = name; p < last && rc >= 0; p += part + 1) {
		part = part_of(p, last);
		if (!part)
			continue;
		path[n++] = '/';
		memcpy(path + n, p, part);
		n += part;
		path[n] = '\0';
		if (p == end && b->dir >= 0) {
			text_format(target, sizeof(target), "/proc/self/fd/%d", b->dir);
			return sys_symlinkat(target, AT_FDCWD, path);
		}
		if (!is_dots(p, part))
			rc = make_dir(path);
	}
	return rc;
}

/* In the helper: a fresh root for each name. */
static int bind_private(void *arg)
{
	struct private_bind *b = arg;
	char root[40];
	int rc = 0;

	if (tmpfs < 0) {
		rc = tmpfs = sys_openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (rc >= 0)
			rc = real_root = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (rc < 0)
			return rc;
	}
	text_format(root, sizeof(root), "%u", roots++);
	rc = make_dir(root);
	if (rc >= 0)
		rc = (int)SYS1(__NR_chdir, root);
	if (rc >= 0)
		rc = make_dir("proc");
	if (rc >= 0 && b->dir >= 0)
		rc = (int)SYS5(__NR_mount, "/proc", "proc", NULL, MS_BIND | MS_REC, NULL);
	if (rc >= 0)
		rc = (int)SYS1(__NR_chroot, ".");
	if (rc >= 0)
		rc = make_path(b);
	if (rc >= 0)
		rc = sys_bind(b->fd, &b->addr, b->addr.len);
	if (rc >= 0 && b->anchor == 0)
		rc = b->anchor = sys_openat(AT_FDCWD, b->name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	(void)SYS1(__NR_fchdir, real_root);
	(void)SYS1(__NR_chroot, ".");
	(void)SYS1(__NR_fchdir, tmpfs);
	if (b->dir >= 0) {
		memcpy(root + strlen(root), "/proc", 6);
		(void)SYS2(__NR_umount2, root, MNT_DETACH);
	}
	return rc < 0 ? rc : 0;
}

static int private_begin(struct private_bind *b, int fd, struct blob name, int dir)
{
	*b = (struct private_bind){ .fd = fd, .dir = dir, .anchor = -1 };
	memcpy(b->name, name.p, name.n);
	return unix_addr(&b->addr, name);
}

int unix_name_borrow(int fd, struct blob name, int *anchor)
{
	struct private_bind b;
	struct stat st;
	int rc = private_begin(&b, fd, name, -1);

	*anchor = -1;
	if (rc < 0 || !unix_is_path(name))
		return rc < 0 ? rc : sys_bind(fd, &b.addr, b.addr.len);
	b.anchor = 0;
	rc = agent_private(bind_private, &b);
	if (rc >= 0) {
		*anchor = b.anchor;
		return 0;
	}
	/* No namespace to be had: the name itself for a moment, when nothing stands there. */
	if (b.name[0] != '/' || sys_fstatat(AT_FDCWD, b.name, &st, AT_SYMLINK_NOFOLLOW) != -ENOENT)
		return rc;
	if (sys_bind(fd, &b.addr, b.addr.len) < 0)
		return rc;
	*anchor = sys_openat(AT_FDCWD, b.name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	rc = sys_unlinkat(AT_FDCWD, b.name, 0);
	return rc < 0 ? rc : *anchor;
}

/* "../name", "../../name": binds from temporary directories below the real one. */
static int bind_climbing(int fd, const struct private_bind *b, const char *temporary, size_t levels)
{
	int back = sys_openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	size_t made = 0;
	int rc = back;

	if (rc >= 0)
		rc = (int)SYS1(__NR_fchdir, b->dir);
	while (rc >= 0 && made < levels) {
		rc = sys_mkdirat(AT_FDCWD, temporary, 0700);
		if (rc < 0)
			break;
		made++;
		rc = (int)SYS1(__NR_chdir, temporary);
	}
	if (rc >= 0)
		rc = sys_bind(fd, &b->addr, b->addr.len);
	while (made--) {
		(void)SYS1(__NR_chdir, "..");
		(void)sys_unlinkat(AT_FDCWD, temporary, AT_REMOVEDIR);
	}
	if (back >= 0) {
		(void)SYS1(__NR_fchdir, back);
		sys_close(back);
	}
	return rc;
}

/* How often a name that consists of nothing else climbs, 0 for other names. */
static size_t climbs(const char *name)
{
	size_t n = 0;

	while (name[0] == '.' && name[1] == '.' && name[2] == '/') {
		name += 3;
		n++;
	}
	while (*name && *name != '/')
		name++;
	return *name ? 0 : n;
}

/* The last part of a path. */
static struct blob base_of(struct blob path)
{
	const char *p = path.p;
	size_t n = path.n;

	while (n && p[n - 1] != '/')
		n--;
	return (struct blob){ p + n, path.n - n };
}

/* Binds so that the file appears in directory `dir` under the name's last part. */
static int bind_in(int fd, struct blob name, int dir)
{
	struct private_bind b;
	char temporary[48];
	int rc = private_begin(&b, fd, name, dir);

	if (rc < 0)
		return rc;
	if (climbs(b.name)) {
		text_format(temporary, sizeof(temporary), ".skshim-%d-%u", sys_getpid(), roots++);
		return bind_climbing(fd, &b, temporary, climbs(b.name));
	}
	rc = agent_private(bind_private, &b);
	if (rc >= 0 || rc == -EADDRINUSE || base_of(name).n != name.n)
		return rc;
	/* No namespace to be had, but a plain name needs only the right working directory. */
	return bind_climbing(fd, &b, ".", 0);
}

/* Same, and then moved to its own place in that directory; by way of another one where the name's last part is taken. */
static int bind_renamed(int fd, struct blob name, int dir, const char *to)
{
	struct blob base = base_of(name);
	char temporary[48], from[112];
	struct stat st;
	int in, rc;

	text_format(temporary, sizeof(temporary), ".skshim-%d-%u", sys_getpid(), roots++);
	text_format(from, sizeof(from), "%.*s", (int)base.n, (const char *)base.p);
	if (sys_fstatat(dir, from, &st, AT_SYMLINK_NOFOLLOW) == -ENOENT) {
		rc = bind_in(fd, name, dir);
		return rc < 0 ? rc : sys_renameat2(dir, from, dir, to, 0);
	}
	rc = sys_mkdirat(dir, temporary, 0700);
	if (rc < 0)
		return rc;
	in = sys_openat(dir, temporary, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	rc = in < 0 ? in : bind_in(fd, name, in);
	if (rc >= 0)
		rc = sys_renameat2(in, from, dir, to, 0);
	if (in >= 0)
		sys_close(in);
	(void)sys_unlinkat(dir, temporary, AT_REMOVEDIR);
	return rc;
}

int unix_name_bind(struct rebuild *rb, uint32_t obj, int fd, const struct unix_record *r, int *anchor)
{
	const char *file = r->file.p;
	struct blob base;
	struct unix_addr a;
	int dir, rc = unix_addr(&a, r->name);

	(void)obj;
	*anchor = -1;
	if (rc >= 0 && !unix_is_path(r->name))
		rc = sys_bind(fd, &a, a.len);
	if (rc < 0 || !unix_is_path(r->name))
		return rc;
	if (!r->file.n)
		return unix_name_borrow(fd, r->name, anchor);
	rc = check_file(r);
	if (rc > 0)
		rc = sys_unlinkat(AT_FDCWD, file, 0);
	if (rc >= 0)
		rc = rebuild_undo_file(rb, file);
	if (rc < 0)
		return rc;
	if (*(const char *)r->name.p == '/' && blob_eq(r->name, r->file))
		return sys_bind(fd, &a, a.len);
	base = base_of(r->file);
	{
		struct blob parent = arena_blob(rebuild_arena(rb), file, r->file.n - base.n);

		rc = dir = parent.p ? sys_openat(AT_FDCWD, parent.p, O_PATH | O_DIRECTORY | O_CLOEXEC, 0) : -ENOMEM;
	}
	if (rc >= 0)
		rc = blob_eq(base, base_of(r->name)) ? bind_in(fd, r->name, dir) : bind_renamed(fd, r->name, dir, base.p);
	if (dir >= 0)
		sys_close(dir);
	return rc;
}

void unix_name_finish(const struct unix_record *r)
{
	struct stat st;

	if (!r->file.n || sys_fstatat(AT_FDCWD, r->file.p, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if ((st.st_uid != r->file_uid || st.st_gid != r->file_gid) &&
	    SYS5(__NR_fchownat, AT_FDCWD, r->file.p, r->file_uid, r->file_gid, AT_SYMLINK_NOFOLLOW) < 0)
		log_line(LOG_INFO, "socket file %s: its owner was %u:%u", (const char *)r->file.p, r->file_uid, r->file_gid);
	if ((st.st_mode & 07777) != r->file_mode)
		(void)SYS3(__NR_fchmodat, AT_FDCWD, r->file.p, r->file_mode);
}

void unix_name_end(void)
{
	if (tmpfs >= 0)
		sys_close(tmpfs);
	if (real_root >= 0)
		sys_close(real_root);
	tmpfs = real_root = -1;
}
