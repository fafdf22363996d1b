/*
 * unix_file.c - where a unix socket's file is
 *
 * The kernel tells the file's inode and no path. Asked in turn: the name,
 * seen from the directory it was bound in (and from the process's own, when
 * nobody saw the bind); the place where a restart put it; the anchor, an O_PATH
 * descriptor that follows the file, or SIOCUNIXFILE, which makes one for the
 * privileged; and the directory where it was, for a file that has only another
 * name there. Whatever answers must lead to that inode.
 *
 * A file may have further names (hard links): those in the same directory are
 * looked for.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "skshim/view.h"
#include "file.h"
#include "unix.h"

#include "skshim/frozen.h"

#define PATH_ROOM 4096

const struct field unix_link_fields[] = {
	FIELD_STR(struct unix_link, path),
	FIELD_END
};

/*
 * The path behind an O_PATH descriptor, "" when it is not linked any more. Where
 * we may not look into its directory, or it is outside of our root directory, the kernel is believed.
 */
static int path_of(struct arena *arena, int fd, const struct stat *here, struct blob *out)
{
	char link[32], path[PATH_ROOM];
	struct stat there;
	struct blob name;
	long n;
	int rc;

	text_format(link, sizeof(link), "/proc/thread-self/fd/%d", fd);
	n = sys_readlinkat(AT_FDCWD, link, path, sizeof(path) - 1);
	if (n < 0)
		return (int)n;
	*out = (struct blob){ 0 };
	name = view_global(arena, arena_blob(arena, path, (size_t)n), here->st_dev, here->st_ino);
	if (!name.p)
		return -ENOMEM;
	rc = sys_fstatat(AT_FDCWD, name.p, &there, AT_SYMLINK_NOFOLLOW);
	if (rc == -EACCES ? !blob_ends(name, " (deleted)") : rc == 0 && here->st_ino == there.st_ino && here->st_dev == there.st_dev)
		*out = name;
	return 0;
}

/* The path a name leads to, seen from the directory it was bound in, or else from `cwd`. */
static struct blob path_of_name(struct arena *arena, const struct unix_record *r, struct blob cwd)
{
	const char *p = r->name.p;

	if (p[0] == '/')
		return arena_format(arena, "%s%.*s", view.root, (int)r->name.n, p);
	if (r->cwd.n)
		cwd = r->cwd;
	return cwd.n ? arena_format(arena, "%.*s/%.*s", (int)cwd.n, (const char *)cwd.p, (int)r->name.n, p) : cwd;
}

static struct blob own_directory(struct arena *arena)
{
	char path[PATH_ROOM];
	long n = SYS2(__NR_getcwd, path, sizeof(path));

	return n > 1 && path[0] == '/' ? arena_format(arena, "%s%s", view.root, path) : (struct blob){ 0 };
}

/* Length of the directory part, its slash included. */
static size_t directory_of(struct blob path)
{
	size_t n = path.n;

	while (n && ((const char *)path.p)[n - 1] != '/')
		n--;
	return n;
}

static bool same_text(const char *a, const char *b)
{
	return strlen(a) == strlen(b) && !memcmp(a, b, strlen(a));
}

/*
 * Other names of the inode in the directory of `path`, the name there left out;
 * at most `room`. Returns how many, or a negative errno.
 */
static int names_beside(struct arena *arena, struct blob path, uint32_t ino, struct unix_link *out, uint32_t room)
{
	_Alignas(8) char buf[8192];
	struct blob dir = arena_blob(arena, path.p, directory_of(path));
	struct blob own = arena_blob(arena, (const char *)path.p + dir.n, path.n - dir.n);
	uint32_t found = 0;
	struct stat st;
	long n = 0, at;
	int fd;

	if (!dir.p || !own.p)
		return -ENOMEM;
	fd = dir.n ? sys_openat(AT_FDCWD, dir.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) : -ENOENT;
	if (fd < 0)
		return 0;
	while (found < room && (n = sys_getdents64(fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n && found < room; at += *(uint16_t *)(buf + at + 16)) {
			const char *entry = buf + at + 19;

			if ((uint32_t)*(uint64_t *)(buf + at) != ino || same_text(entry, own.p) ||
			    sys_fstatat(fd, entry, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISSOCK(st.st_mode) ||
			    (uint32_t)st.st_ino != ino)
				continue;
			out[found].path = arena_format(arena, "%s%s", (const char *)dir.p, entry);
			found += out[found].path.p != NULL;
		}
	}
	sys_close(fd);
	return (int)found;
}

/* Further names of a file that has some. */
static int collect_links(struct collection *c, const struct probe *p, struct unix_record *r, uint32_t more)
{
	struct unix_link *list = arena_alloc(c->arena, more * sizeof(*list));
	int n = list ? names_beside(c->arena, r->file, (uint32_t)r->vfs, list, more) : -ENOMEM;

	if (n < 0)
		return n;
	r->links = (struct list){ list, (uint32_t)n };
	if ((uint32_t)n < more)
		collection_loss(c, p, "socket file %.*s: %u other name(s) of it in other directories are not made again",
				(int)r->file.n, (const char *)r->file.p, more - (uint32_t)n);
	return 0;
}

/* A path that leads through a descriptor of this process says nothing to others: where it leads. */
static struct blob path_beyond(struct arena *arena, struct blob path, const struct stat *st)
{
	struct blob real = { 0 };
	int fd;

	if (!blob_starts(path, "/proc/") && !blob_starts(path, "/dev/fd/"))
		return path;
	fd = sys_openat(AT_FDCWD, path.p, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return path;
	(void)path_of(arena, fd, st, &real);
	sys_close(fd);
	return real.n ? real : path;
}

/* The socket's file is found: 1 or a negative errno. */
static int collect_found(struct collection *c, const struct probe *p, struct unix_record *r, struct blob path, const struct stat *st)
{
	int rc;

	path = path_beyond(c->arena, path, st);
	r->file = arena_blob(c->arena, path.p, path.n);
	if (!r->file.p)
		return -ENOMEM;
	r->file_mode = st->st_mode & 07777;
	r->file_uid = st->st_uid;
	r->file_gid = st->st_gid;
	rc = st->st_nlink > 1 ? collect_links(c, p, r, (uint32_t)st->st_nlink - 1) : 0;
	return rc < 0 ? rc : 1;
}

/* Whether the socket's file is there: 1, 0 or a negative errno. *hidden when it may be, but we may not look. */
static int collect_at(struct collection *c, const struct probe *p, struct unix_record *r, struct blob path, bool *hidden)
{
	struct stat st;
	int rc = path.p && path.n ? sys_fstatat(AT_FDCWD, path.p, &st, AT_SYMLINK_NOFOLLOW) : -ENOENT;

	*hidden |= rc == -EACCES;
	if (rc < 0 || !S_ISSOCK(st.st_mode) || (uint32_t)st.st_ino != (uint32_t)r->vfs)
		return 0;
	return collect_found(c, p, r, path, &st);
}

/* By a descriptor of the file; *gone when it has no name at all. */
static int collect_by_descriptor(struct collection *c, const struct probe *p, struct unix_record *r, bool *gone)
{
	const struct lineage *l = p->lineage;
	struct blob path = { 0 };
	struct stat st;
	int fd = l && l->file_anchor >= 0 ? l->file_anchor : (int)sys_ioctl(p->fd, SIOCUNIXFILE_, 0), rc = 0;

	if (fd < 0)
		return 0;
	if (sys_fstat(fd, &st) == 0 && (uint32_t)st.st_ino == (uint32_t)r->vfs) {
		*gone = !st.st_nlink;
		rc = *gone ? 0 : path_of(c->arena, fd, &st, &path);
	}
	if (!l || fd != l->file_anchor)
		sys_close(fd);
	return rc < 0 || !path.n ? rc : collect_found(c, p, r, path, &st);
}

int unix_file_collect(struct collection *c, const struct probe *p, struct unix_record *r)
{
	const struct diag_unix *d = diag_unix(c, (uint32_t)r->ino);
	const struct lineage *l = p->lineage;
	struct blob named, put = { 0 };
	struct unix_link other;
	bool gone = false, hidden = false;
	int rc;

	if (!unix_is_path(r->name) || !d || !d->vfs_ino)
		return 0;
	r->vfs = d->vfs_ino;
	if (l && l->cwd_len && l->cwd_len <= sizeof(l->cwd))
		r->cwd = arena_blob(c->arena, l->cwd, l->cwd_len);
	named = path_of_name(c->arena, r, (struct blob){ 0 });
	if (!named.n)
		named = path_of_name(c->arena, r, own_directory(c->arena));
	rc = collect_at(c, p, r, named, &hidden);
	if (!rc && l && l->file_len && l->file_len <= sizeof(l->file)) {
		put = arena_blob(c->arena, l->file, l->file_len);
		rc = collect_at(c, p, r, put, &hidden);
	}
	if (!rc)
		rc = collect_by_descriptor(c, p, r, &gone);
	if (!rc && !gone && put.n && names_beside(c->arena, put, (uint32_t)r->vfs, &other, 1) == 1)
		rc = collect_at(c, p, r, other.path, &hidden);
	if (!rc && !gone && named.n && names_beside(c->arena, named, (uint32_t)r->vfs, &other, 1) == 1)
		rc = collect_at(c, p, r, other.path, &hidden);
	if (!rc && !gone && hidden)
		collection_loss(c, p, "socket file %.*s is in a directory that can't be looked into: it will be restored without a file",
				(int)named.n, (const char *)named.p);
	return rc < 0 ? failed(rc, "pid %d fd %d: socket file", c->pid, p->fd) : 0;
}

int unix_file_permit(const char *path, uint32_t *mode)
{
	long rc = SYS4(__NR_faccessat2, AT_FDCWD, path, W_OK, AT_EACCESS);
	struct stat st;

	if (rc != -EACCES)
		return (int)rc;
	if (SYS4(__NR_newfstatat, AT_FDCWD, path, &st, 0) < 0 || !S_ISSOCK(st.st_mode))
		return (int)rc;
	rc = file_permit(path, S_IWUSR, mode);
	return rc < 0 ? (int)rc : 1;
}
