/*
 * regfile.c - ordinary files
 *
 * A file with a name is opened again by it, never created, never truncated:
 * its bytes are the user's. So it must still be the file the program knew:
 *
 * - the same inode, or a copy with the same size and time, or the same bytes;
 * - only read: the same size and time, for the program may have read it
 *   already, or mapped it;
 * - only appended to: whatever happened to it, what comes next is appended;
 * - only written: anything but shorter. Output goes on after a checkpoint, and
 *   the program that comes back writes on from where it stood;
 * - read and written: what was in it at the checkpoint must still be there,
 *   and may have grown: a journal that grew while the tree went on is
 *   written over from the old end. Whether the old bytes are the same is
 *   known by a hash, made where that is cheap; without it by size and time;
 * - after a checkpoint with --stop nobody of the tree can have touched it, so
 *   it must not have changed at all.
 *
 * Standard output is often a file that the launcher's shell writes to as
 * well. Where skshim-restart has the same file there, its description serves:
 * one position for both, or one would write over what the other wrote.
 *
 * A file without a name travels in the image (contents.c).
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/uio.h>

#include "file.h"
#include "skshim/image.h"

#include "skshim/frozen.h"

#define REGFILE_TMPFILE 020200000  /* O_TMPFILE */
/* Bytes a process's files may have hashed together while it stands still. */
#define REGFILE_HASHED (32ul << 20)
#define REGFILE_RWF_NOWAIT 8
#define NS 1000000000

struct regfile {
	uint64_t dev, ino;
	struct blob path;
	uint64_t size, pos;
	int64_t mtime_ns;
	uint32_t mode, uid, gid;
	uint32_t flags;
	uint32_t deleted;        /* 1: no name; extents has its bytes, unless another object of this inode does */
	uint32_t pseudo;         /* 1: procfs and the like */
	uint32_t own;            /* 1: below /proc/PID of this process: opened again by the process itself */
	uint32_t going_on;       /* 1: the tree went on after this checkpoint */
	uint32_t hashed;
	uint32_t standard;       /* which of 0, 1, 2 it stood at, a bit each */
	uint64_t hash;           /* of `size` bytes, when hashed */
	struct list extents;
	struct list locks;
};

static const struct field regfile_fields[] = {
	FIELD_U64(struct regfile, dev),
	FIELD_U64(struct regfile, ino),
	FIELD_STR(struct regfile, path),
	FIELD_U64(struct regfile, size),
	FIELD_U64(struct regfile, pos),
	FIELD_I64(struct regfile, mtime_ns),
	FIELD_U32(struct regfile, mode),
	FIELD_U32(struct regfile, uid),
	FIELD_U32(struct regfile, gid),
	FIELD_U32(struct regfile, flags),
	FIELD_U32(struct regfile, deleted),
	FIELD_U32(struct regfile, pseudo),
	FIELD_U32(struct regfile, own),
	FIELD_U32(struct regfile, going_on),
	FIELD_U32(struct regfile, hashed),
	FIELD_U64(struct regfile, hash),
	FIELD_LIST(struct regfile, extents, struct extent, fields_extent),
	FIELD_LIST(struct regfile, locks, struct lock, fields_lock),
	FIELD_U32_ADDED(struct regfile, standard),
	FIELD_END
};

extern const struct kind kind_regfile;

static bool regfile_match(const struct probe *p)
{
	/* Namespaces look like files, but have no name; memory of memfd_secret can't even be read by the kernel. */
	return S_ISREG(p->st.st_mode) && !(p->flags & O_PATH) && blob_starts(p->path, "/") && !blob_is(p->path, "/secretmem (deleted)");
}

/* Hash of the first `size` bytes; 1, or 0 when they aren't in memory or can't be read. */
static int regfile_hash(int fd, uint64_t size, bool nowait, uint64_t *hash)
{
	_Alignas(64) char buf[16384];
	struct iovec iov = { buf, sizeof(buf) };
	uint64_t at = 0;
	long n;

	*hash = size;
	while (at < size) {
		iov.iov_len = size - at < sizeof(buf) ? size - at : sizeof(buf);
		n = SYS6(__NR_preadv2, fd, &iov, 1, at, 0, nowait ? REGFILE_RWF_NOWAIT : 0);
		if (n == -EOPNOTSUPP && nowait) {
			nowait = false;
			continue;
		}
		if (n <= 0)
			return 0;
		*hash = *hash * 0x9e3779b97f4a7c15ull ^ image_hash(buf, (uint64_t)n);
		at += (uint64_t)n;
		/* The pieces must be the same whenever it is read. */
		if ((uint64_t)n != iov.iov_len)
			return 0;
	}
	return 1;
}

static int regfile_collect_deleted(struct collection *c, const struct probe *p, struct regfile *f)
{
	struct blob other;
	int rc;

	if (p->st.st_nlink > 0) {
		other = file_other_name(c->arena, f->path, &p->st);
		if (other.p) {
			f->path = other;
			f->deleted = 0;
			return 0;
		}
		return collection_refuse(c, p, -EOPNOTSUPP,
					 "%.*s was removed, but has another name somewhere else: close it, or put the name back",
					 (int)f->path.n, (const char *)f->path.p);
	}
	if (contents_elsewhere(c, p))
		return 0;
	rc = contents_collect(c, p, false, &f->extents);
	if (rc == -EFBIG)
		return collection_refuse(c, p, -EOPNOTSUPP,
					 "%.*s was deleted and holds more than %lu MiB, the most that an image carries: close it, or give it a name",
					 (int)f->path.n, (const char *)f->path.p, CONTENTS_MAX >> 20);
	if (rc < 0)
		return collection_refuse(c, p, rc, "contents of %.*s", (int)p->path.n, (const char *)p->path.p);
	return 0;
}

static int regfile_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct regfile *f = rec;
	bool deleted;
	int rc;

	f->path = file_name(p, &deleted);
	f->dev = p->st.st_dev;
	f->ino = p->st.st_ino;
	f->size = (uint64_t)p->st.st_size;
	f->pos = p->pos;
	f->mtime_ns = file_mtime(&p->st);
	f->mode = p->st.st_mode;
	f->uid = p->st.st_uid;
	f->gid = p->st.st_gid;
	f->flags = p->flags;
	f->deleted = deleted;
	f->going_on = c->going_on;
	f->standard = stdio_numbers(c, p);
	f->pseudo = file_pseudo(p->fd);
	if (f->pseudo)
		return file_of_process(c, p, f->path, &f->own);
	rc = lock_collect(c, p, &f->locks);
	if (rc == 0 && f->deleted)
		rc = regfile_collect_deleted(c, p, f);
	else if (rc == 0)
		rc = file_reachable(c, p, f->path);
	if (rc < 0 || f->deleted)
		return rc;
	/* the world won't go on, so it takes no time away to look at those that are only read, too */
	if (((f->flags & (O_ACCMODE | O_APPEND | O_DIRECT)) == O_RDWR || (!c->going_on && (f->flags & O_ACCMODE) == O_RDONLY)) &&
	    f->size <= REGFILE_HASHED / (c->nprobes + 1))
		f->hashed = (uint32_t)regfile_hash(p->fd, f->size, true, &f->hash);
	return 0;
}

/* Whether the tree itself may have written to this file after the checkpoint. */
static bool regfile_written(struct rebuild *r, const struct regfile *f)
{
	for (uint32_t obj = OBJ_NONE; (obj = file_same_inode(r, f->dev, f->ino, obj)) != OBJ_NONE;) {
		const struct regfile *other = rebuild_record(r, obj);

		if (rebuild_kind(r, obj) == &kind_regfile && (other->flags & O_ACCMODE) != O_RDONLY)
			return true;
	}
	return false;
}

/* Whether the bytes known at the checkpoint are still there, as far as can be told. */
static bool regfile_grew(struct rebuild *r, const struct regfile *f, const struct stat *st, int fd)
{
	uint64_t hash;

	if ((uint64_t)st->st_size < f->size)
		return false;
	/* What can't be read is in no memory: the output that a launcher, or our own announcements, wrote to as well. */
	if ((f->flags & O_ACCMODE) == O_WRONLY)
		return true;
	if (!f->going_on)
		return false;
	if ((f->flags & O_ACCMODE) == O_RDONLY)
		return regfile_written(r, f);
	if (f->flags & O_APPEND)
		return true;
	return f->hashed && regfile_hash(fd, f->size, false, &hash) == 1 && hash == f->hash;
}

/*
 * The file as it was, put back from a copy: cp -a and rsync -a keep its time,
 * tar the seconds of it; of others the bytes are compared, where they were hashed.
 */
static bool regfile_put_back(const struct regfile *f, const struct stat *st, int fd)
{
	int64_t mtime = file_mtime(st);
	uint64_t hash;

	if ((uint64_t)st->st_size != f->size)
		return false;
	if (st->st_ino == f->ino && mtime == f->mtime_ns)
		return true;
	if (f->hashed)
		return regfile_hash(fd, f->size, false, &hash) == 1 && hash == f->hash;
	return mtime == f->mtime_ns || (mtime % NS == 0 && mtime / NS == f->mtime_ns / NS);
}

static int regfile_same(struct rebuild *r, const struct regfile *f, const char *path, int fd)
{
	struct stat st;
	int rc = sys_fstat(fd, &st);

	if (rc < 0)
		return failed(rc, "%s", path);
	if (!S_ISREG(st.st_mode))
		return failed(ERR_PLAIN, "%s was a file and is something else now: put the file back", path);
	if (f->pseudo || regfile_put_back(f, &st, fd))
		return 0;
	if (st.st_ino != f->ino || st.st_dev != f->dev)
		return failed(ERR_PLAIN, "%s was replaced since the checkpoint (inode %lu then, %lu now): put the old one back, or a copy "
			      "with its size and time",
			      path, (unsigned long)f->ino, (unsigned long)st.st_ino);
	/* A log: others append to it as well, and a shorter one was rotated by copying and truncating it. */
	if ((f->flags & O_ACCMODE) == O_WRONLY && (f->flags & O_APPEND))
		return 0;
	if (!regfile_grew(r, f, &st, fd))
		return failed(ERR_PLAIN,
			      "%s changed since the checkpoint (%lu bytes then, %lu now): put the old contents and time back%s",
			      path, (unsigned long)f->size, (unsigned long)st.st_size,
			      f->going_on ? ", or take the checkpoint with --stop" : "");
	log_line(LOG_INFO, "%s was written to after the checkpoint (%lu bytes then, %lu now)", path,
		 (unsigned long)f->size, (unsigned long)st.st_size);
	return 0;
}

/* A copy of the launcher's own standard descriptor if it is the same file, opened in the same way. */
static int regfile_lent(struct rebuild *r, const struct regfile *f)
{
	struct stat st;

	for (int n = 0; n <= 2; n++) {
		int fd = rebuild_launcher_fd(r, n);

		if (fd >= 0 && sys_fstat(fd, &st) == 0 && st.st_ino == f->ino && st.st_dev == f->dev &&
		    (sys_fcntl(fd, F_GETFL, 0) & O_ACCMODE) == (int)(f->flags & O_ACCMODE))
			return (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
	}
	return -EACCES;
}

static int regfile_open(struct rebuild *r, const struct regfile *f, bool *lent)
{
	const char *path = file_text(r, f->path);
	int fd = f->standard ? regfile_lent(r, f) : -EACCES, rc;

	*lent = fd >= 0;
	if (fd < 0)
		fd = file_open(path, file_open_flags(f->flags) | O_NONBLOCK);
	/* A log that was opened by somebody who may more, as a service manager does. */
	if (fd == -EACCES)
		fd = regfile_lent(r, f);
	if (fd == -ENOENT)
		return failed(ERR_PLAIN, "%s is gone: the program had it open, put it back", path);
	if (fd < 0)
		return failed(fd, "%s", path ? path : "file name");
	rc = regfile_same(r, f, path, fd);
	if (rc < 0) {
		sys_close(fd);
		return rc;
	}
	return fd;
}

static int regfile_check(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct regfile *f = rec;
	bool lent;
	int fd;

	(void)obj;
	if (f->deleted || f->own)
		return 0;
	fd = regfile_open(r, f, &lent);
	if (fd < 0)
		return fd;
	sys_close(fd);
	return 0;
}

/* A file without a name, in the directory where it was, or as near as there is one. */
static int regfile_nameless(const char *path)
{
	int dir = file_nearest_directory(path), fd;
	char name[40];

	fd = dir < 0 ? dir : sys_openat(dir, ".", REGFILE_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd == -EOPNOTSUPP || fd == -EISDIR || fd == -EINVAL) {
		text_format(name, sizeof(name), ".skshim-%d", sys_getpid());
		fd = sys_openat(dir, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		if (fd >= 0)
			sys_unlinkat(dir, name, 0);
	}
	if (dir >= 0)
		sys_close(dir);
	if (fd < 0)
		fd = sys_openat(AT_FDCWD, "/tmp", REGFILE_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd;
}

/* The first object of a nameless inode makes it; the others open it again. */
static int regfile_create_deleted(struct rebuild *r, uint32_t obj, const struct regfile *f)
{
	struct __kernel_timespec times[2] = {
		{ .tv_nsec = 0x3ffffffe /* UTIME_OMIT */ },
		{ .tv_sec = f->mtime_ns / 1000000000, .tv_nsec = f->mtime_ns % 1000000000 },
	};
	const struct regfile *first = f;
	int whole = -1, fd = -1, rc = 0;

	for (uint32_t o = OBJ_NONE; whole < 0 && (o = file_same_inode(r, f->dev, f->ino, o)) != OBJ_NONE;)
		if (o != obj && rebuild_kind(r, o) == &kind_regfile)
			whole = rebuild_fd(r, o);
	for (uint32_t o = OBJ_NONE; first->extents.n == 0 && (o = file_same_inode(r, f->dev, f->ino, o)) != OBJ_NONE;)
		if (rebuild_kind(r, o) == &kind_regfile)
			first = rebuild_record(r, o);
	if (whole < 0) {
		whole = fd = regfile_nameless(file_text(r, f->path));
		if (fd < 0)
			return failed(fd, "%.*s: a file without a name", (int)f->path.n, (const char *)f->path.p);
		rc = contents_write(fd, f->size, &first->extents);
	}
	/* Its mode may forbid opening it in the way the program has it open. */
	if (rc >= 0)
		rc = (int)SYS2(__NR_fchmod, whole, 0600);
	if (rc >= 0)
		rc = file_reopen(whole, file_open_flags(f->flags));
	if (rc < 0)
		failed(rc, "%.*s: contents", (int)f->path.n, (const char *)f->path.p);
	if (rc >= 0 && fd >= 0) {
		/* Who may not give files away, as an ordinary user mostly, owns what was another's. */
		SYS3(__NR_fchown, rc, f->uid, f->gid);
		SYS4(__NR_utimensat, rc, NULL, times, 0);
	}
	SYS2(__NR_fchmod, whole, f->mode & 07777);
	if (fd >= 0)
		sys_close(fd);
	return rc;
}

static int regfile_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct regfile *f = rec;
	bool lent = false;
	int64_t pos;
	int fd;

	if (f->own)
		fd = sys_openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
	else
		fd = f->deleted ? regfile_create_deleted(r, obj, f) : regfile_open(r, f, &lent);
	if (fd < 0 || f->own)
		return fd;
	/* Behind a checkpoint that ended the tree others wrote, which it doesn't write over. */
	if (lent && (f->going_on || sys_lseek(fd, 0, SEEK_CUR) >= (int64_t)f->pos))
		return fd;
	pos = f->pos ? sys_lseek(fd, (int64_t)f->pos, SEEK_SET) : 0;
	if (pos < 0) {
		sys_close(fd);
		return failed((int)pos, "%.*s: position %lu", (int)f->path.n, (const char *)f->path.p, (unsigned long)f->pos);
	}
	return fd;
}

static int regfile_link(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct regfile *f = rec;

	(void)obj;
	if (f->own)
		return file_link_own(file_text(r, f->path), f->flags, f->pos, fd);
	return f->locks.n ? lock_link(file_text(r, f->path), &f->locks, fd, false) : 0;
}

/* A child may have set POSIX locks of its own through a description that it shares. */
static int regfile_each(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct regfile *f = rec;

	(void)obj;
	return f->locks.n ? lock_link(file_text(r, f->path), &f->locks, fd, true) : 0;
}

/*
 * What the tree wrote after a checkpoint that went on it writes again. That is late, since the launcher's own
 * descriptor may be moved.
 */
static int regfile_arm(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct regfile *f = rec;

	(void)obj;
	if (!f->standard || !f->going_on || f->deleted || f->own)
		return 0;
	return rebuild_call(r, "position of the standard output", __NR_lseek, fd, (long)f->pos, SEEK_SET, 0);
}

const struct kind kind_regfile = {
	.tag = "regfile", .size = sizeof(struct regfile), .fields = regfile_fields,
	.match = regfile_match, .collect = regfile_collect, .check = regfile_check,
	.create = regfile_create, .link = regfile_link, .each = regfile_each, .arm = regfile_arm,
};
