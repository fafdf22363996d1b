/*
 * dir.c - directories, with their position
 *
 * A directory that was removed while open is made again under its name, where
 * that is free, opened and removed: empty, as a removed directory is.
 */
#include <asm/errno.h>
#include <fcntl.h>

#include "file.h"

#include "skshim/frozen.h"

struct dir {
	uint64_t dev, ino;
	struct blob path;
	uint64_t pos;
	uint32_t mode, flags;
	uint32_t deleted;
	uint32_t pseudo;
	uint32_t own;            /* below /proc/PID: enum file_own */
	struct list locks;
};

static const struct field dir_fields[] = {
	FIELD_U64(struct dir, dev),
	FIELD_U64(struct dir, ino),
	FIELD_STR(struct dir, path),
	FIELD_U64(struct dir, pos),
	FIELD_U32(struct dir, mode),
	FIELD_U32(struct dir, flags),
	FIELD_U32(struct dir, deleted),
	FIELD_U32(struct dir, pseudo),
	FIELD_U32(struct dir, own),
	FIELD_LIST(struct dir, locks, struct lock, fields_lock),
	FIELD_END
};

extern const struct kind kind_dir;

static bool dir_match(const struct probe *p)
{
	return S_ISDIR(p->st.st_mode) && !(p->flags & O_PATH);
}

static int dir_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct dir *d = rec;
	bool deleted;
	int rc;

	d->path = file_name(p, &deleted);
	d->dev = p->st.st_dev;
	d->ino = p->st.st_ino;
	d->pos = p->pos;
	d->mode = p->st.st_mode;
	d->flags = p->flags;
	d->deleted = deleted;
	d->pseudo = file_pseudo(p->fd);
	if (d->path.n == 0 || *(const char *)d->path.p != '/')
		return collection_refuse(c, p, -EOPNOTSUPP, "%.*s has no name that can be reached", (int)p->path.n,
					 (const char *)p->path.p);
	if (d->pseudo) {
		d->deleted = 0;
		return file_of_process(c, p, d->path, &d->own);
	}
	rc = lock_collect(c, p, &d->locks);
	return rc < 0 || deleted ? rc : file_reachable(c, p, d->path);
}

static int dir_open(struct rebuild *r, const struct dir *d)
{
	const char *path = file_text(r, d->path);
	int fd = file_open(path, file_open_flags(d->flags) | O_DIRECTORY), rc;
	struct stat st;

	if (fd < 0)
		return failed(fd, "directory %s", path ? path : "");
	rc = sys_fstat(fd, &st);
	if (rc == 0 && !d->pseudo && st.st_ino != d->ino)
		rc = failed(ERR_PLAIN, "directory %s was replaced since the checkpoint (inode %lu then, %lu now): put the old one back",
			    path, (unsigned long)d->ino, (unsigned long)st.st_ino);
	if (rc < 0) {
		sys_close(fd);
		return failed(rc, "directory %s", path);
	}
	return fd;
}

static int dir_create_deleted(struct rebuild *r, const struct dir *d)
{
	const char *path = file_text(r, d->path);
	char name[4096];
	int parent, fd, rc;

	if (!path)
		return -ENOMEM;
	/* Under its own name if that is free, so that readlink says the same; else beside it. */
	text_format(name, sizeof(name), "%s", path);
	rc = sys_mkdirat(AT_FDCWD, name, 0700);
	if (rc < 0) {
		parent = file_nearest_directory(path);
		if (parent < 0)
			return failed(parent, "directory %s", path);
		text_format(name, sizeof(name), "/proc/self/fd/%d/.skshim-%d", parent, sys_getpid());
		rc = sys_mkdirat(AT_FDCWD, name, 0700);
	} else {
		parent = -1;
	}
	fd = rc < 0 ? rc : sys_openat(AT_FDCWD, name, file_open_flags(d->flags) | O_DIRECTORY, 0);
	if (rc >= 0)
		sys_unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
	if (fd >= 0)
		SYS2(__NR_fchmod, fd, d->mode & 07777);
	if (parent >= 0)
		sys_close(parent);
	return fd < 0 ? failed(fd, "directory %s", path) : fd;
}

static int dir_check(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct dir *d = rec;
	int fd;

	(void)obj;
	if (d->deleted || d->own)
		return 0;
	fd = dir_open(r, d);
	if (fd >= 0)
		sys_close(fd);
	return fd < 0 ? fd : 0;
}

/* Another description of it has made it. */
static int dir_again(struct rebuild *r, uint32_t obj, const struct dir *d)
{
	int fd;

	for (uint32_t o = OBJ_NONE; (o = file_same_inode(r, d->dev, d->ino, o)) != OBJ_NONE;) {
		fd = o != obj && rebuild_kind(r, o) == &kind_dir ? rebuild_fd(r, o) : -1;
		if (fd >= 0)
			return file_reopen(fd, file_open_flags(d->flags) | O_DIRECTORY);
	}
	return -ENOENT;
}

static int dir_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct dir *d = rec;
	int64_t pos;
	int fd;

	if (d->own)
		return file_create_own(d->path, d->own, d->flags | O_DIRECTORY);
	fd = d->deleted ? dir_again(r, obj, d) : dir_open(r, d);
	if (d->deleted && fd == -ENOENT)
		fd = dir_create_deleted(r, d);
	if (fd < 0 || d->pos == 0)
		return fd;
	pos = sys_lseek(fd, (int64_t)d->pos, SEEK_SET);
	if (pos < 0 && !d->deleted) {
		sys_close(fd);
		return failed((int)pos, "directory %.*s: position", (int)d->path.n, (const char *)d->path.p);
	}
	return fd;
}

static int dir_each(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct dir *d = rec;

	(void)obj;
	if (d->own != FILE_OWN)
		return 0;
	return file_link_own(r, file_text(r, d->path), d->flags | O_DIRECTORY, d->pos, fd);
}

static int dir_link(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct dir *d = rec;

	(void)obj;
	return d->locks.n ? lock_link(file_text(r, d->path), &d->locks, fd, false) : 0;
}

const struct kind kind_dir = {
	.tag = "dir", .size = sizeof(struct dir), .fields = dir_fields,
	.match = dir_match, .collect = dir_collect, .check = dir_check, .create = dir_create, .link = dir_link, .each = dir_each,
};
