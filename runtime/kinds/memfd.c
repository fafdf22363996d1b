/*
 * memfd.c - files that are memory, with name, seals and contents
 *
 * Seals come last of all, when memory is back: a mapping that may write can't
 * be made of a sealed file. The file stays the same for all who have it open.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/vfs.h>

#include "file.h"

#include "skshim/frozen.h"

#define MEMFD_PREFIX "/memfd:"
#define MEMFD_DELETED " (deleted)"
#define MEMFD_HUGETLBFS 0x958458f6

struct memfd {
	uint64_t dev, ino;
	struct blob name;
	uint64_t size, pos;
	uint32_t mode, flags;
	uint32_t seals;
	uint32_t huge_shift;     /* log2 of its huge pages' size, 0: ordinary pages */
	struct list extents;
	struct list locks;
};

static const struct field memfd_fields[] = {
	FIELD_U64(struct memfd, dev),
	FIELD_U64(struct memfd, ino),
	FIELD_STR(struct memfd, name),
	FIELD_U64(struct memfd, size),
	FIELD_U64(struct memfd, pos),
	FIELD_U32(struct memfd, mode),
	FIELD_U32(struct memfd, flags),
	FIELD_U32(struct memfd, seals),
	FIELD_U32(struct memfd, huge_shift),
	FIELD_LIST(struct memfd, extents, struct extent, fields_extent),
	FIELD_LIST_ADDED(struct memfd, locks, struct lock, fields_lock),
	FIELD_END
};

extern const struct kind kind_memfd;

static bool memfd_match(const struct probe *p)
{
	/* A file system may be mounted anywhere, but the root has no file of such a name. */
	return S_ISREG(p->st.st_mode) && !(p->flags & O_PATH) && blob_starts(p->path, MEMFD_PREFIX) && p->st.st_nlink == 0;
}

static int memfd_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct memfd *m = rec;
	long seals = sys_fcntl(p->fd, F_GET_SEALS, 0);
	struct statfs fs;
	char most[32];
	int rc;

	if (seals < 0)
		return collection_refuse(c, p, (int)seals, "memfd: seals");
	m->dev = p->st.st_dev;
	m->ino = p->st.st_ino;
	m->name = p->path;
	m->name.p = (const char *)m->name.p + sizeof(MEMFD_PREFIX) - 1;
	m->name.n -= sizeof(MEMFD_PREFIX) - 1 + sizeof(MEMFD_DELETED) - 1;
	m->size = (uint64_t)p->st.st_size;
	m->pos = p->pos;
	m->mode = p->st.st_mode;
	m->flags = p->flags;
	m->seals = (uint32_t)seals;
	if (SYS2(__NR_fstatfs, p->fd, &fs) == 0 && (uint32_t)fs.f_type == MEMFD_HUGETLBFS)
		m->huge_shift = (uint32_t)__builtin_ctzl((unsigned long)fs.f_bsize);
	rc = lock_collect(c, p, &m->locks);
	if (rc < 0 || contents_elsewhere(c, p))
		return rc;
	/* one that can't be written later needs them when it is made */
	rc = contents_collect(c, p, m->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE), &m->extents);
	if (rc == -EFBIG)
		return collection_refuse(c, p, -EOPNOTSUPP,
					 "%.*s holds more than %s, the most that an image carries (SKSHIM_FILES_MAX): shrink it, or map it",
					 (int)p->path.n, (const char *)p->path.p, contents_most(c, most));
	return rc < 0 ? collection_refuse(c, p, rc, "contents of %.*s", (int)p->path.n, (const char *)p->path.p) : 0;
}

/* Made at once for all descriptions of it, without its seals. */
static int memfd_new(struct rebuild *r, const struct memfd *m)
{
	struct file_record_at at = { OBJ_NONE, 0 };
	const struct memfd *carrier;
	const char *name = file_text(r, m->name);
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd, rc;

	if (m->huge_shift)
		flags |= MFD_HUGETLB | m->huge_shift << 26;
	while ((carrier = file_next_record(r, &kind_memfd, m->dev, m->ino, &at)) && carrier->extents.n == 0)
		;
	fd = name ? sys_memfd_create(name, flags) : -ENOMEM;
	if (fd < 0)
		return fd;
	rc = carrier ? contents_write(r, at.process, fd, m->size, &carrier->extents) : (int)sys_ftruncate(fd, (int64_t)m->size);
	if (rc < 0) {
		sys_close(fd);
		return rc;
	}
	return fd;
}

/* The first object of the inode that may write, which puts the seals on; OBJ_NONE when there is none. */
static uint32_t memfd_sealer(struct rebuild *r, const struct memfd *m)
{
	uint32_t o = OBJ_NONE;

	while ((o = file_same_inode(r, m->dev, m->ino, o)) != OBJ_NONE)
		if (rebuild_kind(r, o) == &kind_memfd &&
		    (((const struct memfd *)rebuild_record(r, o))->flags & O_ACCMODE) != O_RDONLY)
			break;
	return o;
}

static int memfd_make(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct memfd *m = rec;
	int whole = -1, fresh = -1, fd;
	int64_t pos;

	for (uint32_t o = OBJ_NONE; whole < 0 && (o = file_same_inode(r, m->dev, m->ino, o)) != OBJ_NONE;)
		if (o != obj && rebuild_kind(r, o) == &kind_memfd)
			whole = rebuild_fd(r, o);
	if (whole < 0)
		fd = whole = fresh = memfd_new(r, m);
	if (whole >= 0 && (fresh < 0 || (m->flags & O_ACCMODE) != O_RDWR)) {
		SYS2(__NR_fchmod, whole, 0600);
		fd = file_reopen(whole, file_open_flags(m->flags));
		/* Nobody may write to it: then nobody could seal it later. */
		if (fd >= 0 && fresh >= 0 && m->seals && memfd_sealer(r, m) == OBJ_NONE)
			sys_fcntl(fresh, F_ADD_SEALS, (long)m->seals);
		if (fresh >= 0)
			sys_close(fresh);
	}
	if (fd >= 0 && m->pos) {
		pos = sys_lseek(fd, (int64_t)m->pos, SEEK_SET);
		if (pos < 0) {
			sys_close(fd);
			fd = (int)pos;
		}
	}
	if (fd < 0)
		return failed(fd, "memfd %.*s", (int)m->name.n, (const char *)m->name.p);
	SYS2(__NR_fchmod, fd, m->mode & 07777);
	return fd;
}

static int memfd_link(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct memfd *m = rec;

	(void)obj;
	return m->locks.n ? lock_link(file_text(r, m->name), &m->locks, fd, false) : 0;
}

static int memfd_each(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct memfd *m = rec;

	(void)obj;
	return m->locks.n ? lock_link(file_text(r, m->name), &m->locks, fd, true) : 0;
}

static int memfd_arm(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct memfd *m = rec;

	(void)obj;
	if (m->seals == 0 || memfd_sealer(r, m) != obj)
		return 0;
	return rebuild_call(r, "memfd seals", __NR_fcntl, fd, F_ADD_SEALS, (long)m->seals, 0);
}

static int memfd_settle(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	(void)obj;
	return lock_settle(r, &((const struct memfd *)rec)->locks, fd);
}

const struct kind kind_memfd = {
	.tag = "memfd", .size = sizeof(struct memfd), .fields = memfd_fields,
	.match = memfd_match, .collect = memfd_collect, .create = memfd_make, .link = memfd_link,
	.each = memfd_each, .arm = memfd_arm, .settle = memfd_settle,
};
