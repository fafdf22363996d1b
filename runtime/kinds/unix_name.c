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
 * A name whose directories end with ".." is bound with the real directory as
 * root: there ".." leads nowhere else.
 *
 * A file that was renamed is bound in a directory beside it first, under the
 * name's own last part, and renamed to where it was.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent.h"
#include "file.h"
#include "unix_net.h"

#include "skshim/frozen.h"

#define PATH_ROOM 4096
#define NAME_TRIES 40
#define PRIVATE_PROC ".skshim-proc"  /* no part of a name: those may begin with /proc */

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

	if (unix_is_path(name) && *(const char *)name.p != '/' && !r->cwd.n && unix_is_path(r->peer_name))
		name = r->peer_name;
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

/* --- can it be had ------------------------------------------------------------------------------------------ */

/* Whether a socket is at the address: 1, 0, or a negative errno. A datagram socket asks: it comes into nobody's backlog. */
static int answers(const struct unix_addr *a)
{
	int fd = sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

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
static int answers_at(const char *path)
{
	int fd = sys_openat(AT_FDCWD, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0), rc, lent;
	struct unix_addr a = { .family = AF_UNIX };
	uint32_t mode;

	if (fd < 0)
		return fd;
	a.len = 3 + (unsigned)text_format(a.path, sizeof(a.path), "/proc/thread-self/fd/%d", fd);
	lent = unix_file_permit(a.path, &mode);
	rc = answers(&a);
	if (lent > 0)
		file_forbid(a.path, mode);
	sys_close(fd);
	return rc;
}

/* The directory of a path, for stat; 0 or a negative errno. */
static int stat_directory(struct blob path, struct stat *st)
{
	char dir[PATH_ROOM];
	size_t n = path.n;

	while (n && ((const char *)path.p)[n - 1] != '/')
		n--;
	if (n >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, n ? path.p : "./", n ? n : 2);
	dir[n ? n : 2] = '\0';
	return sys_fstatat(AT_FDCWD, dir, st, 0);
}

/*
 * What stands at the path of a socket file: 1 a stale one to be replaced, 0
 * nothing, or what is in the way. A socket that was in flight when its tree
 * was killed is found dead a moment later, when the kernel collects garbage.
 */
static int check_file(struct blob path, bool early)
{
	const char *file = path.p;
	struct stat st;
	int rc = sys_fstatat(AT_FDCWD, file, &st, AT_SYMLINK_NOFOLLOW), tries;

	if (rc == -EACCES && early)
		return 0; /* the owner of its directory will be permitted, in a namespace of its own */
	if (rc == -ENOENT) {
		rc = stat_directory(path, &st);
		return rc < 0 ? failed(rc, "socket file %s: its directory", file) : 0;
	}
	if (rc < 0)
		return failed(rc, "socket file %s", file);
	if (!S_ISSOCK(st.st_mode))
		return failed(ERR_PLAIN, "socket file %s: something else is there now; move it away", file);
	rc = answers_at(file);
	for (tries = 0; rc > 0 && tries < NAME_TRIES; tries++) {
		(void)sys_poll(NULL, 0, 10);
		rc = answers_at(file);
	}
	if (rc > 0)
		return failed(ERR_PLAIN, "socket file %s: in use by another process", file);
	return rc < 0 ? failed(rc, "socket file %s: stale, but can't be looked at", file) : 1;
}

static int check_files(struct unix_record *r)
{
	const struct unix_link *links = r->links.items;
	struct stat st;
	uint32_t i;
	int rc = r->file.n ? check_file(r->file, true) : 0;

	r->unseen = rc == 0 && r->file.n && sys_fstatat(AT_FDCWD, r->file.p, &st, AT_SYMLINK_NOFOLLOW) == -EACCES;

	for (i = 0; i < r->links.n && rc >= 0; i++)
		rc = check_file(links[i].path, true);
	return rc;
}

static int try_bind(const struct unix_addr *a, uint32_t type)
{
	int fd = sys_socket(AF_UNIX, (int)type | SOCK_CLOEXEC, 0), rc = fd < 0 ? fd : sys_bind(fd, a, a->len);

	if (fd >= 0)
		sys_close(fd);
	return rc;
}

/* A datagram socket that asks for names; nobody sees it, and a refusal leaves it as it was. */
static int asking = -1;

/* Whether surely no datagram socket has the abstract name: in one call. */
static bool name_free(const struct unix_addr *a)
{
	if (asking < 0)
		asking = sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (asking >= 0 && sys_connect(asking, a, a->len) == -ECONNREFUSED)
		return true;
	/* it may be connected by now */
	if (asking >= 0)
		sys_close(asking);
	asking = -1;
	return false;
}

int unix_name_check(struct unix_record *r)
{
	struct unix_addr a;
	int rc, tries;

	if (!r->name.n)
		return 0;
	rc = unix_addr(&a, r->name);
	if (rc < 0)
		return failed(rc, "unix socket's name");
	if (unix_is_path(r->name))
		return check_files(r);
	if (r->type == SOCK_DGRAM && name_free(&a))
		return 0;
	rc = try_bind(&a, r->type);
	/* A socket that was in flight when its tree was killed is found dead a moment later; closing one has the kernel look. */
	for (tries = 0; rc == -EADDRINUSE && tries < NAME_TRIES; tries++) {
		(void)sys_poll(NULL, 0, 10);
		rc = try_bind(&a, r->type);
	}
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
 * new root. The last one that isn't "." becomes a link to the real one; it is
 * not "..".
 */
static int make_path(const struct private_bind *b)
{
	char path[PATH_ROOM] = ".", target[48];
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
			text_format(target, sizeof(target), "/" PRIVATE_PROC "/self/fd/%d", b->dir);
			return sys_symlinkat(target, AT_FDCWD, path);
		}
		if (!is_dots(p, part))
			rc = make_dir(path);
	}
	return rc;
}

/* In the helper: where it comes back to. */
static int private_roots(void)
{
	if (tmpfs >= 0)
		return 0;
	real_root = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (real_root >= 0)
		tmpfs = sys_openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	return real_root < 0 ? real_root : tmpfs < 0 ? tmpfs : 0;
}

/* In the helper: the real directory is the root. */
static int bind_at_root(void *arg)
{
	struct private_bind *b = arg;
	int rc = private_roots();

	if (rc >= 0)
		rc = (int)SYS1(__NR_fchdir, b->dir);
	if (rc >= 0)
		rc = (int)SYS1(__NR_chroot, ".");
	if (rc >= 0)
		rc = sys_bind(b->fd, &b->addr, b->addr.len);
	(void)SYS1(__NR_fchdir, real_root);
	(void)SYS1(__NR_chroot, ".");
	(void)SYS1(__NR_fchdir, tmpfs);
	return rc;
}

/* In the helper: a fresh root for each name. */
static int bind_private(void *arg)
{
	struct private_bind *b = arg;
	char root[40];
	int rc = 0;

	rc = private_roots();
	if (rc < 0)
		return rc;
	text_format(root, sizeof(root), "%u", roots++);
	rc = make_dir(root);
	if (rc >= 0)
		rc = (int)SYS1(__NR_chdir, root);
	if (rc >= 0)
		rc = make_dir(PRIVATE_PROC);
	if (rc >= 0 && b->dir >= 0)
		rc = (int)SYS5(__NR_mount, "/proc", PRIVATE_PROC, NULL, MS_BIND | MS_REC, NULL);
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
		memcpy(root + strlen(root), "/" PRIVATE_PROC, sizeof("/" PRIVATE_PROC));
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

/*
 * "../name", "../../name" where no namespace can be had: binds from temporary
 * directories below the real one, which are removed before that: ".." still
 * leads out of a removed directory.
 */
static int bind_climbing(int fd, const struct private_bind *b, const char *temporary, size_t levels)
{
	int back = sys_openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0), at[8], rc = back;
	size_t made = 0;

	if (levels > sizeof(at) / sizeof(at[0]))
		rc = -ENAMETOOLONG;
	if (rc >= 0)
		rc = (int)SYS1(__NR_fchdir, b->dir);
	while (rc >= 0 && made < levels) {
		rc = sys_mkdirat(AT_FDCWD, temporary, 0700);
		if (rc < 0)
			break;
		rc = at[made] = sys_openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		made++;
		if (rc >= 0)
			rc = (int)SYS1(__NR_chdir, temporary);
	}
	while (made--) {
		(void)sys_unlinkat(at[made], temporary, AT_REMOVEDIR);
		sys_close(at[made]);
	}
	if (rc >= 0)
		rc = sys_bind(fd, &b->addr, b->addr.len);
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

/* Whether the last of its directories is "..". */
static bool ends_climbing(const char *name)
{
	const char *end = name + strlen(name), *p;

	while (end > name && end[-1] != '/')
		end--;
	for (;;) {
		while (end > name && end[-1] == '/')
			end--;
		for (p = end; p > name && p[-1] != '/'; p--)
			;
		if (!(end - p == 1 && *p == '.'))
			return end - p == 2 && is_dots(p, 2);
		end = p;
	}
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
	rc = agent_private(ends_climbing(b.name) ? bind_at_root : bind_private, &b);
	if (rc < 0 && rc != -EADDRINUSE && climbs(b.name)) {
		text_format(temporary, sizeof(temporary), ".skshim-%d-%u", sys_getpid(), roots++);
		return bind_climbing(fd, &b, temporary, climbs(b.name));
	}
	if (rc >= 0 || rc == -EADDRINUSE || base_of(name).n != name.n)
		return rc;
	/* No namespace to be had, but a plain name needs only the right working directory. */
	return bind_climbing(fd, &b, ".", 0);
}

/* Same, and then moved to its own place in that directory; by way of another one where the name's last part is taken. */
static int bind_renamed(int fd, const struct unix_record *r, int dir, const char *to)
{
	struct blob name = r->name, base = base_of(name);
	char temporary[48], from[112];
	struct stat st;
	int in, rc;

	/* always the same for one socket, so that what a killed restart left is used again */
	text_format(temporary, sizeof(temporary), ".skshim-%lx", (unsigned long)r->ino);
	text_format(from, sizeof(from), "%.*s", (int)base.n, (const char *)base.p);
	if (sys_fstatat(dir, from, &st, AT_SYMLINK_NOFOLLOW) == -ENOENT) {
		rc = bind_in(fd, name, dir);
		return rc < 0 ? rc : sys_renameat2(dir, from, dir, to, 0);
	}
	rc = sys_mkdirat(dir, temporary, 0700);
	if (rc < 0 && rc != -EEXIST)
		return rc;
	in = sys_openat(dir, temporary, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (in >= 0)
		(void)sys_unlinkat(in, from, 0);
	rc = in < 0 ? in : bind_in(fd, name, in);
	if (rc >= 0)
		rc = sys_renameat2(in, from, dir, to, 0);
	if (in >= 0)
		sys_close(in);
	(void)sys_unlinkat(dir, temporary, AT_REMOVEDIR);
	return rc;
}

/* Removes a stale socket file, and sees to it that the new one goes if the restart fails. */
static int make_room(struct rebuild *rb, struct blob path)
{
	int rc = check_file(path, false);

	if (rc > 0)
		rc = sys_unlinkat(AT_FDCWD, path.p, 0);
	return rc < 0 ? rc : rebuild_undo_file(rb, path.p);
}

/*
 * Binds from the directory it was bound in, when the name still leads from
 * there to where the file shall be; -ENOENT when it doesn't.
 */
static int bind_straight(int fd, const struct unix_record *r, const struct unix_addr *a)
{
	char cwd[PATH_ROOM];
	struct stat here, there;
	int back, rc;

	if (*(const char *)r->name.p == '/' && blob_eq(r->name, r->file))
		return sys_bind(fd, a, a->len);
	if (!blob_eq(base_of(r->name), base_of(r->file)) || r->cwd.n >= sizeof(cwd))
		return -ENOENT;
	if (*(const char *)r->name.p == '/') {
		if (stat_directory(r->name, &here) < 0 || stat_directory(r->file, &there) < 0)
			return -ENOENT;
		return here.st_ino == there.st_ino && here.st_dev == there.st_dev ? sys_bind(fd, a, a->len) : -ENOENT;
	}
	memcpy(cwd, r->cwd.p, r->cwd.n);
	cwd[r->cwd.n] = '\0';
	back = r->cwd.n ? sys_openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0) : -ENOENT;
	if (back < 0)
		return -ENOENT;
	rc = (int)SYS1(__NR_chdir, cwd);
	if (rc >= 0 && stat_directory(r->name, &here) >= 0 && stat_directory(r->file, &there) >= 0 &&
	    here.st_ino == there.st_ino && here.st_dev == there.st_dev)
		rc = sys_bind(fd, a, a->len);
	else
		rc = -ENOENT;
	(void)SYS1(__NR_fchdir, back);
	sys_close(back);
	return rc;
}

/* The socket file, when it doesn't go by the name that it was bound to there. */
static int bind_elsewhere(struct rebuild *rb, int fd, const struct unix_record *r)
{
	struct blob base = base_of(r->file), parent = arena_blob(rebuild_arena(rb), r->file.p, r->file.n - base.n);
	int dir = parent.p ? sys_openat(AT_FDCWD, parent.p, O_PATH | O_DIRECTORY | O_CLOEXEC, 0) : -ENOMEM, rc = dir;

	if (rc >= 0)
		rc = blob_eq(base, base_of(r->name)) ? bind_in(fd, r->name, dir) : bind_renamed(fd, r, dir, base.p);
	if (dir >= 0)
		sys_close(dir);
	return rc;
}

/* Its further names. */
static int make_links(struct rebuild *rb, const struct unix_record *r)
{
	const struct unix_link *links = r->links.items;
	uint32_t i;
	int rc = 0;

	for (i = 0; i < r->links.n && rc >= 0; i++) {
		struct blob path = arena_blob(rebuild_arena(rb), links[i].path.p, links[i].path.n);

		rc = path.p ? make_room(rb, path) : -ENOMEM;
		if (rc >= 0)
			rc = (int)SYS5(__NR_linkat, AT_FDCWD, r->file.p, AT_FDCWD, path.p, 0);
	}
	return rc;
}

int unix_name_bind(struct rebuild *rb, uint32_t obj, int fd, const struct unix_record *r, int *anchor)
{
	struct unix_addr a;
	int rc = unix_addr(&a, r->name);

	(void)obj;
	*anchor = -1;
	if (rc >= 0 && !unix_is_path(r->name))
		rc = sys_bind(fd, &a, a.len);
	if (rc < 0 || !unix_is_path(r->name))
		return rc;
	if (!r->file.n)
		return unix_name_borrow(fd, r->name, anchor);
	rc = make_room(rb, r->file);
	if (rc < 0)
		return rc;
	rc = bind_straight(fd, r, &a);
	if (rc == -ENOENT)
		rc = bind_elsewhere(rb, fd, r);
	if (rc >= 0)
		rc = make_links(rb, r);
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
	if (asking >= 0)
		sys_close(asking);
	tmpfs = real_root = asking = -1;
}
