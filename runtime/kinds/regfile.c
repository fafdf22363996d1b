/*
 * regfile.c - ordinary files
 *
 * A file with a name is opened again by it, never truncated: its bytes are the
 * user's. Whether it still is the file the program knew is asked in
 * regfile_find.c.
 *
 * Standard output is often a file that the launcher's shell writes to as
 * well. Where skshim-restart has the same file there, its description serves:
 * one position for both, or one would write over what the other wrote.
 *
 * A file without a name travels in the image (contents.c). So does, where the
 * user wants it (SKSHIM_FILES), one that is open for writing: it may be a
 * temporary one that the program is about to rename, and has renamed by the
 * time of the restart. Where its name is free it is made again as it was.
 */
#include <asm/errno.h>
#include <fcntl.h>

#include "regfile.h"

#include "skshim/frozen.h"

#define REGFILE_TMPFILE 020200000  /* O_TMPFILE */
/* Bytes a process's files may have hashed together while it stands still. */
#define REGFILE_HASHED (32ul << 20)

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
	FIELD_U64_ADDED(struct regfile, born),
	FIELD_U32_ADDED(struct regfile, carried),
	FIELD_END
};

static bool regfile_match(const struct probe *p)
{
	/* Namespaces look like files, but have no name; memory of memfd_secret can't even be read by the kernel. */
	return S_ISREG(p->st.st_mode) && !(p->flags & O_PATH) && blob_starts(p->path, "/") && !blob_is(p->path, "/secretmem (deleted)");
}

static int regfile_collect_deleted(struct collection *c, const struct probe *p, struct regfile *f)
{
	struct blob other;
	char most[32];
	bool nameless;
	int rc;

	if (p->st.st_nlink > 0) {
		other = file_other_name(c->arena, f->path, &p->st);
		if (!other.p)
			other = file_open_name(c, f->dev, f->ino, &nameless);
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
	if (rc == -EBADF)
		return collection_refuse(c, p, -EOPNOTSUPP,
					 "%.*s was deleted, and reading it would break its lease: give that up first",
					 (int)f->path.n, (const char *)f->path.p);
	if (rc == -EFBIG)
		return collection_refuse(c, p, -EOPNOTSUPP,
					 "%.*s was deleted and holds more than %s, the most that an image carries (SKSHIM_FILES_MAX): "
					 "close it, or give it a name",
					 (int)f->path.n, (const char *)f->path.p, contents_most(c, most));
	return rc < 0 ? collection_refuse(c, p, rc, "contents of %.*s", (int)p->path.n, (const char *)p->path.p) : 0;
}

/* With a name: one too large is not carried, and needs not to be. */
static int regfile_collect_written(struct collection *c, const struct probe *p, struct regfile *f)
{
	int rc;

	if ((f->flags & O_ACCMODE) == O_RDONLY || contents_elsewhere(c, p)) {
		f->carried = REGFILE_CARRIED_ELSEWHERE;
		return 0;
	}
	rc = contents_collect(c, p, true, &f->extents);
	if (rc == -EBADF)
		collection_loss(c, p, "%.*s: what is in it is not in the image, since reading it would break its lease",
				(int)p->path.n, (const char *)p->path.p);
	if (rc == -EFBIG || rc == -EBADF)
		return 0;
	if (rc < 0)
		return collection_refuse(c, p, rc, "contents of %.*s", (int)p->path.n, (const char *)p->path.p);
	f->carried = rc ? REGFILE_CARRIED_ELSEWHERE : REGFILE_CARRIED;
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
	if (f->pseudo) {
		f->deleted = 0;
		return file_of_process(c, p, f->path, &f->own);
	}
	rc = lock_collect(c, p, &f->locks);
	if (rc == 0 && f->deleted)
		rc = regfile_collect_deleted(c, p, f);
	else if (rc == 0)
		rc = file_reachable(c, p, f->path);
	if (rc < 0 || f->deleted)
		return rc;
	f->born = regfile_born(p->fd);
	if (c->files_written)
		rc = regfile_collect_written(c, p, f);
	if (rc < 0)
		return rc;
	/* the world won't go on, so it takes no time away to look at those that are only read, too */
	if (((f->flags & (O_ACCMODE | O_APPEND | O_DIRECT)) == O_RDWR || (!c->going_on && (f->flags & O_ACCMODE) == O_RDONLY)) &&
	    f->size <= REGFILE_HASHED / (c->nprobes + 1))
		f->hashed = (uint32_t)regfile_hash(p->fd, f->size, true, &f->hash);
	return 0;
}

/* Can a file be made there? */
static int regfile_place(const char *path)
{
	char dir[4096];
	size_t n = path ? strlen(path) : sizeof(dir);
	int rc;

	while (n < sizeof(dir) && n > 1 && path[n - 1] != '/')
		n--;
	if (n >= sizeof(dir))
		return failed(-ENAMETOOLONG, "a file's name");
	memcpy(dir, path, n);
	dir[n] = 0;
	rc = (int)SYS3(__NR_faccessat, AT_FDCWD, dir, 3 /* W_OK | X_OK */);
	return rc < 0 ? failed(rc, "%s is gone, and can't be made again there", path) : 0;
}

static int regfile_check(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct regfile *f = rec;
	bool lent;
	int fd;

	if (f->deleted || f->own)
		return 0;
	fd = regfile_find(r, obj, f, &lent);
	if (fd == -ENOENT && f->carried)
		return regfile_place(file_text(r, f->path));
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
	struct file_record_at at = { OBJ_NONE, 0 };
	const struct regfile *carrier;
	int whole = -1, fd = -1, rc = 0;

	for (uint32_t o = OBJ_NONE; whole < 0 && (o = file_same_inode(r, f->dev, f->ino, o)) != OBJ_NONE;)
		if (o != obj && rebuild_kind(r, o) == &kind_regfile)
			whole = rebuild_fd(r, o);
	while (whole < 0 && (carrier = file_next_record(r, &kind_regfile, f->dev, f->ino, &at)) && carrier->extents.n == 0)
		;
	if (whole < 0) {
		whole = fd = regfile_nameless(file_text(r, f->path));
		if (fd < 0)
			return failed(fd, "%.*s: a file without a name", (int)f->path.n, (const char *)f->path.p);
		rc = carrier ? contents_write(r, at.process, fd, f->size, &carrier->extents) : (int)sys_ftruncate(fd, (int64_t)f->size);
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

/* With a name, as it was at the checkpoint; it is gone, so it is nobody's. */
static int regfile_create_again(struct rebuild *r, const struct regfile *f)
{
	struct __kernel_timespec times[2] = {
		{ .tv_nsec = 0x3ffffffe /* UTIME_OMIT */ },
		{ .tv_sec = f->mtime_ns / 1000000000, .tv_nsec = f->mtime_ns % 1000000000 },
	};
	const char *path = file_text(r, f->path);
	uint32_t process;
	const struct regfile *whole = regfile_carrier(r, f, &process);
	int fd, rc;

	if (!whole)
		return failed(ERR_PLAIN, "%s is gone: the program had it open, put it back", path);
	fd = sys_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(fd, "%s", path);
	rc = rebuild_undo_file(r, path);
	if (rc >= 0)
		rc = contents_write(r, process, fd, whole->size, &whole->extents);
	if (rc >= 0)
		rc = file_reopen(fd, file_open_flags(f->flags));
	if (rc < 0)
		failed(rc, "%s: contents", path);
	SYS3(__NR_fchown, fd, f->uid, f->gid);
	SYS2(__NR_fchmod, fd, f->mode & 07777);
	SYS4(__NR_utimensat, fd, NULL, times, 0);
	sys_close(fd);
	if (rc >= 0)
		log_line(LOG_INFO, "%s was gone, and is there again as it was at the checkpoint", path);
	return rc;
}

static int regfile_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct regfile *f = rec;
	bool lent = false;
	int64_t pos;
	int fd;

	if (f->own)
		fd = file_create_own(f->path, f->own, f->flags);
	else
		fd = f->deleted ? regfile_create_deleted(r, obj, f) : regfile_find(r, obj, f, &lent);
	if (fd == -ENOENT && f->carried && !f->deleted)
		fd = regfile_create_again(r, f);
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
	return f->locks.n ? lock_link(file_text(r, f->path), &f->locks, fd, false) : 0;
}

/* A child may have set POSIX locks of its own through a description that it shares. */
static int regfile_each(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct regfile *f = rec;

	(void)obj;
	if (f->own == FILE_OWN)
		return file_link_own(r, file_text(r, f->path), f->flags, f->pos, fd);
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

static int regfile_settle(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	(void)obj;
	return lock_settle(r, &((const struct regfile *)rec)->locks, fd);
}

const struct kind kind_regfile = {
	.tag = "regfile", .size = sizeof(struct regfile), .fields = regfile_fields,
	.match = regfile_match, .collect = regfile_collect, .check = regfile_check,
	.create = regfile_create, .link = regfile_link, .each = regfile_each, .arm = regfile_arm, .settle = regfile_settle,
};
