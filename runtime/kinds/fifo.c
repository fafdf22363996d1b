/*
 * fifo.c - pipes with a name, or that had one
 *
 * All descriptions of one FIFO are opened by the first of them, while a
 * description for both directions keeps it alive and takes what was in it.
 * Only a reader that never had a writer is opened without: that one leaves a
 * trace, the reader would be told of a hang-up.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "pipe.h"

#include "skshim/frozen.h"

struct fifo {
	uint64_t dev, ino;
	struct blob path;
	uint32_t mode, uid, gid;
	uint32_t flags;
	uint32_t capacity;
	uint32_t peer;           /* 1: no hang-up and no error is seen */
	uint32_t deleted;
	struct list chunks;
	struct list locks;
};

static const struct field fifo_fields[] = {
	FIELD_U64(struct fifo, dev),
	FIELD_U64(struct fifo, ino),
	FIELD_STR(struct fifo, path),
	FIELD_U32(struct fifo, mode),
	FIELD_U32(struct fifo, uid),
	FIELD_U32(struct fifo, gid),
	FIELD_U32(struct fifo, flags),
	FIELD_U32(struct fifo, capacity),
	FIELD_U32(struct fifo, peer),
	FIELD_U32(struct fifo, deleted),
	FIELD_LIST(struct fifo, chunks, struct pipe_chunk, fields_pipe_chunk),
	FIELD_LIST_ADDED(struct fifo, locks, struct lock, fields_lock),
	FIELD_END
};

extern const struct kind kind_fifo;

static bool fifo_match(const struct probe *p)
{
	return S_ISFIFO(p->st.st_mode) && !(p->flags & O_PATH);
}

static int fifo_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct fifo *f = rec;
	long capacity = sys_fcntl(p->fd, F_GETPIPE_SZ, 0);
	bool deleted;
	int rc;

	if (capacity < 0)
		return collection_refuse(c, p, (int)capacity, "FIFO: capacity");
	f->path = file_name(p, &deleted);
	f->dev = p->st.st_dev;
	f->ino = p->st.st_ino;
	f->mode = p->st.st_mode;
	f->uid = p->st.st_uid;
	f->gid = p->st.st_gid;
	f->flags = p->flags;
	f->capacity = (uint32_t)capacity;
	f->peer = pipe_has_peer(p->fd);
	f->deleted = deleted;
	rc = lock_collect(c, p, &f->locks);
	return rc < 0 ? rc : pipe_contents(c, p, f->capacity, f->peer, &f->chunks);
}

static int fifo_check(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct fifo *f = rec;
	const char *path = file_text(r, f->path);
	struct stat st;
	int rc;

	(void)obj;
	if (f->deleted)
		return 0;
	rc = path ? sys_fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) : -ENOMEM;
	if (rc < 0)
		return failed(rc, "FIFO %s", path ? path : "");
	if (!S_ISFIFO(st.st_mode) || st.st_ino != f->ino)
		return failed(ERR_PLAIN, "FIFO %s was replaced since the checkpoint: put the old one back", path);
	return 0;
}

static uint32_t fifo_next(struct rebuild *r, const struct fifo *f, uint32_t obj)
{
	do
		obj = file_same_inode(r, f->dev, f->ino, obj);
	while (obj != OBJ_NONE && rebuild_kind(r, obj) != &kind_fifo);
	return obj;
}

struct fifo_ends {
	uint32_t readers, writers;
	bool fresh;              /* no reader has seen a hang-up */
	const struct list *chunks;
};

static void fifo_survey(struct rebuild *r, const struct fifo *f, struct fifo_ends *ends)
{
	*ends = (struct fifo_ends){ .fresh = true, .chunks = &f->chunks };
	for (uint32_t o = OBJ_NONE; (o = fifo_next(r, f, o)) != OBJ_NONE;) {
		const struct fifo *end = rebuild_record(r, o);

		ends->readers += pipe_reads(end->flags);
		ends->writers += pipe_writes(end->flags);
		ends->fresh &= end->peer;
		if (ends->chunks->n == 0)
			ends->chunks = &end->chunks;
	}
	ends->fresh &= ends->writers == 0 && ends->chunks->n == 0;
}

/* A FIFO that had a name: under it if it is free, else beside, and only until all have it open. */
static int fifo_make(const struct fifo *f, const char *path, char *name, size_t size)
{
	int dir, rc;

	text_format(name, size, "%s", path);
	rc = (int)SYS4(__NR_mknodat, AT_FDCWD, name, S_IFIFO | 0600, 0);
	if (rc >= 0)
		return -1;
	dir = file_nearest_directory(path);
	if (dir < 0)
		return dir;
	text_format(name, size, "/proc/thread-self/fd/%d/.skshim-%d-%lu", dir, sys_getpid(), (unsigned long)f->ino);
	rc = (int)SYS4(__NR_mknodat, AT_FDCWD, name, S_IFIFO | 0600, 0);
	if (rc < 0) {
		sys_close(dir);
		return rc;
	}
	return dir;
}

static int fifo_open_all(struct rebuild *r, uint32_t obj, const struct fifo *f, const char *name)
{
	int own = -EINVAL, fd;

	for (uint32_t o = OBJ_NONE; (o = fifo_next(r, f, o)) != OBJ_NONE;) {
		const struct fifo *end = rebuild_record(r, o);

		fd = sys_openat(AT_FDCWD, name, (int)(end->flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC, 0);
		if (fd < 0)
			return fd;
		sys_fcntl(fd, F_SETFL, (long)(end->flags & (O_NONBLOCK | O_DIRECT)));
		if (o == obj)
			own = fd;
		else
			rebuild_give(r, o, fd);
	}
	return own;
}

/* What was in it, unless it is there still: another process may have kept it alive. */
static int fifo_refill(int keeper, const struct fifo *f, const struct fifo_ends *ends)
{
	int bytes = 0, rc = 0;

	if (sys_fcntl(keeper, F_GETPIPE_SZ, 0) != (long)f->capacity)
		rc = (int)sys_fcntl(keeper, F_SETPIPE_SZ, (long)f->capacity);
	if (rc >= 0)
		rc = (int)sys_ioctl(keeper, FIONREAD, (long)&bytes);
	if (rc >= 0 && bytes == 0)
		rc = pipe_refill(keeper, ends->chunks);
	return rc;
}

static int fifo_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct fifo *f = rec;
	const char *path = file_text(r, f->path);
	struct fifo_ends ends;
	int keeper = -1, dir = -1, rc;
	char made[4200];

	if (!path)
		return -ENOMEM;
	fifo_survey(r, f, &ends);
	if (f->deleted) {
		dir = fifo_make(f, path, made, sizeof(made));
		if (dir < -1)
			return failed(dir, "FIFO %s", path);
	}
	rc = 0;
	if (!ends.fresh)
		rc = keeper = sys_openat(AT_FDCWD, f->deleted ? made : path, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
	if (rc >= 0 && keeper >= 0)
		rc = fifo_refill(keeper, f, &ends);
	if (rc >= 0)
		rc = fifo_open_all(r, obj, f, f->deleted ? made : path);
	if (rc >= 0 && f->deleted) {
		SYS3(__NR_fchown, rc, f->uid, f->gid);
		SYS2(__NR_fchmod, rc, f->mode & 07777);
	}
	if (f->deleted)
		sys_unlinkat(AT_FDCWD, made, 0);
	if (dir >= 0)
		sys_close(dir);
	if (keeper >= 0)
		sys_close(keeper);
	if (rc < 0)
		return failed(rc, "FIFO %s", path);
	if (f->peer && (ends.readers == 0 || ends.writers == 0) && !pipe_has_peer(rc))
		rebuild_loss(r, obj, "the other side of FIFO %s was outside and is gone", path);
	return rc;
}

static int fifo_link(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct fifo *f = rec;

	(void)obj;
	return f->locks.n ? lock_link(file_text(r, f->path), &f->locks, fd, false) : 0;
}

static int fifo_each(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct fifo *f = rec;

	(void)obj;
	return f->locks.n ? lock_link(file_text(r, f->path), &f->locks, fd, true) : 0;
}

static int fifo_settle(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	(void)obj;
	return lock_settle(r, &((const struct fifo *)rec)->locks, fd);
}

const struct kind kind_fifo = {
	.tag = "fifo", .size = sizeof(struct fifo), .fields = fifo_fields,
	.match = fifo_match, .collect = fifo_collect, .check = fifo_check, .create = fifo_create,
	.link = fifo_link, .each = fifo_each, .settle = fifo_settle,
};
