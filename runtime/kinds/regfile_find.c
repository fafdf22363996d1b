/*
 * regfile_find.c - is it still the file that the program knew, and where?
 *
 * A file with a name must be the one the program knew:
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
 * Numbers of inodes are used again, so the time of birth has to be the same, too.
 *
 * A file that was renamed is looked for in its directory. The program would
 * have gone on with it: so it does with a log that was rotated, or with what
 * has only been renamed. What was written to as well is another matter: it was
 * the program itself that wrote a file under a temporary name, and has put it
 * in place since; nobody may write into that.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/uio.h>

#include "regfile.h"
#include "skshim/image.h"

#include "skshim/frozen.h"

#define RWF_NOWAIT_ 8
#define EMPTY_PATH 0x1000
#define NS 1000000000

enum state { SAME, GREW, CHANGED, REPLACED, NO_FILE };

int regfile_hash(int fd, uint64_t size, bool nowait, uint64_t *hash)
{
	_Alignas(64) char buf[16384];
	struct iovec iov = { buf, sizeof(buf) };
	uint64_t at = 0;
	long n;

	*hash = size;
	while (at < size) {
		iov.iov_len = size - at < sizeof(buf) ? size - at : sizeof(buf);
		n = SYS6(__NR_preadv2, fd, &iov, 1, at, 0, nowait ? RWF_NOWAIT_ : 0);
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

uint64_t regfile_born(int fd)
{
	struct statx st;

	if (SYS5(__NR_statx, fd, "", EMPTY_PATH, STATX_BTIME, &st) < 0 || !(st.stx_mask & STATX_BTIME))
		return 0;
	return (uint64_t)st.stx_btime.tv_sec * NS + st.stx_btime.tv_nsec;
}

const struct regfile *regfile_carrier(struct rebuild *r, const struct regfile *f, uint32_t *process)
{
	struct file_record_at at = { OBJ_NONE, 0 };
	const struct regfile *other;

	while ((other = file_next_record(r, &kind_regfile, f->dev, f->ino, &at)) && other->carried != REGFILE_CARRIED)
		;
	*process = at.process;
	return other;
}

static bool same_inode(const struct regfile *f, const struct stat *st, int fd)
{
	uint64_t born = f->born ? regfile_born(fd) : 0;

	return st->st_ino == f->ino && st->st_dev == f->dev && (!born || born == f->born);
}

/* Whether the tree itself may have written to this file after the checkpoint. */
static bool written(struct rebuild *r, const struct regfile *f)
{
	for (uint32_t obj = OBJ_NONE; (obj = file_same_inode(r, f->dev, f->ino, obj)) != OBJ_NONE;) {
		const struct regfile *other = rebuild_record(r, obj);

		if (rebuild_kind(r, obj) == &kind_regfile && (other->flags & O_ACCMODE) != O_RDONLY)
			return true;
	}
	return false;
}

/* Whether the bytes known at the checkpoint are still there, as far as can be told. */
static bool grew(struct rebuild *r, const struct regfile *f, const struct stat *st, int fd)
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
		return written(r, f);
	if (f->flags & O_APPEND)
		return true;
	return f->hashed && regfile_hash(fd, f->size, false, &hash) == 1 && hash == f->hash;
}

/*
 * The file as it was, put back from a copy: cp -a and rsync -a keep its time,
 * tar the seconds of it; of others the bytes are compared, where they were hashed.
 */
static bool put_back(const struct regfile *f, const struct stat *st, int fd)
{
	int64_t mtime = file_mtime(st);
	uint64_t hash;

	if ((uint64_t)st->st_size != f->size)
		return false;
	if (same_inode(f, st, fd) && mtime == f->mtime_ns)
		return true;
	if (f->hashed)
		return regfile_hash(fd, f->size, false, &hash) == 1 && hash == f->hash;
	return mtime == f->mtime_ns || (mtime % NS == 0 && mtime / NS == f->mtime_ns / NS);
}

static enum state judge(struct rebuild *r, const struct regfile *f, const struct stat *st, int fd)
{
	if (!S_ISREG(st->st_mode))
		return NO_FILE;
	if (f->pseudo || put_back(f, st, fd))
		return SAME;
	if (!same_inode(f, st, fd))
		return REPLACED;
	/* A log: others append to it as well, and a shorter one was rotated by copying and truncating it. */
	if ((f->flags & O_ACCMODE) == O_WRONLY && (f->flags & O_APPEND))
		return GREW;
	return grew(r, f, st, fd) ? GREW : CHANGED;
}

static int refuse(const struct regfile *f, const char *path, enum state state, const struct stat *st)
{
	if (state == NO_FILE)
		return failed(ERR_PLAIN, "%s was a file and is something else now: put the file back", path);
	if (state == REPLACED)
		return failed(ERR_PLAIN, "%s was replaced since the checkpoint (inode %lu then, %lu now): put the old one back, or a copy "
			      "with its size and time", path, (unsigned long)f->ino, (unsigned long)st->st_ino);
	return failed(ERR_PLAIN, "%s changed since the checkpoint (%lu bytes then, %lu now): put the old contents and time back%s", path,
		      (unsigned long)f->size, (unsigned long)st->st_size,
		      f->going_on ? ", or take the checkpoint with --stop" : "");
}

static void tell_grown(const struct regfile *f, const char *path, const struct stat *st)
{
	log_line(LOG_INFO, "%s was written to after the checkpoint (%lu bytes then, %lu now)", path, (unsigned long)f->size,
		 (unsigned long)st->st_size);
}

/* Under another name in the same directory: its descriptor, -ENOENT when it isn't there, or a negative errno, told. */
static int find_renamed(struct rebuild *r, uint32_t obj, const struct regfile *f, const char *path)
{
	struct stat st = { .st_dev = f->dev, .st_ino = f->ino };
	struct blob name = file_other_name(rebuild_arena(r), f->path, &st);
	enum state state;
	int fd, rc;

	if (!name.p)
		return -ENOENT;
	fd = file_open(name.p, file_open_flags(f->flags) | O_NONBLOCK);
	if (fd < 0)
		return -ENOENT;
	rc = sys_fstat(fd, &st);
	/* without the time of birth it may be another file that got the number */
	state = rc < 0 || !same_inode(f, &st, fd) ? REPLACED : judge(r, f, &st, fd);
	if (state == SAME || (state == GREW && f->born && ((f->flags & O_APPEND) || (f->flags & O_ACCMODE) == O_RDONLY))) {
		rebuild_loss(r, obj, "%s was renamed to %s since the checkpoint: the program goes on with it there", path,
			     (const char *)name.p);
		if (state == GREW)
			tell_grown(f, name.p, &st);
		return fd;
	}
	sys_close(fd);
	if (state == REPLACED || f->carried)
		return -ENOENT;
	return failed(ERR_PLAIN, "%s was renamed to %s since the checkpoint, and written to: put the old one back, or start the program "
		      "with SKSHIM_FILES=written", path, (const char *)name.p);
}

/* Its name is free (st NULL), or another file's. */
static int find_elsewhere(struct rebuild *r, uint32_t obj, const struct regfile *f, const char *path, const struct stat *st)
{
	uint32_t process;
	bool carried = !st && f->carried && regfile_carrier(r, f, &process);
	int fd;

	/* a temporary file that the program is going to rename again; a log is not made twice */
	if (carried && !(f->flags & O_APPEND))
		return -ENOENT;
	fd = find_renamed(r, obj, f, path);
	if (fd != -ENOENT || carried)
		return fd;
	return st ? refuse(f, path, REPLACED, st) : failed(ERR_PLAIN, "%s is gone: the program had it open, put it back", path);
}

/* A copy of the launcher's own standard descriptor if it is the same file, opened in the same way. */
static int lend(struct rebuild *r, const struct regfile *f)
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

int regfile_find(struct rebuild *r, uint32_t obj, const struct regfile *f, bool *lent)
{
	const char *path = file_text(r, f->path);
	int fd = f->standard ? lend(r, f) : -EACCES, rc;
	enum state state;
	struct stat st;

	*lent = fd >= 0;
	if (!path)
		return -ENOMEM;
	if (fd < 0)
		fd = file_open(path, file_open_flags(f->flags) | O_NONBLOCK);
	/* A log that was opened by somebody who may more, as a service manager does. */
	if (fd == -EACCES)
		fd = lend(r, f);
	if (fd == -ENOENT)
		return find_elsewhere(r, obj, f, path, NULL);
	if (fd < 0)
		return failed(fd, "%s", path);
	rc = sys_fstat(fd, &st);
	if (rc < 0) {
		sys_close(fd);
		return failed(rc, "%s", path);
	}
	state = judge(r, f, &st, fd);
	if (state == GREW)
		tell_grown(f, path, &st);
	if (state == SAME || state == GREW)
		return fd;
	sys_close(fd);
	return state == REPLACED ? find_elsewhere(r, obj, f, path, &st) : refuse(f, path, state, &st);
}
