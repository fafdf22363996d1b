/*
 * contents.c - what is in a file that has no name
 *
 * A deleted file, an O_TMPFILE or a memfd ends with the processes that hold
 * it, so its bytes travel in the image, without the holes. They are read
 * through a description of our own: SEEK_DATA would move the program's
 * position. Where the program has a write lease, which that would break,
 * they are read through its own, holes and all.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file.h"

#include "skshim/frozen.h"

/* Files with more than this are written at once to where the memory goes, and not kept until the record is. */
#define CONTENTS_INLINE (1ul << 20)
#define CONTENTS_MOST (64ul << 20)    /* unless the user says otherwise */
#define CONTENTS_PIECE (1ul << 20)

const struct field fields_extent[] = {
	FIELD_U64(struct extent, at),
	FIELD_BIN(struct extent, bytes),
	FIELD_U64_ADDED(struct extent, size),
	FIELD_U64_ADDED(struct extent, where),
	FIELD_END
};

/* Where the next data begins and ends; 0, or 1 at the end of the file. */
static int contents_next(int fd, bool seek, uint64_t size, uint64_t from, uint64_t *start, uint64_t *end)
{
	int64_t at = seek ? sys_lseek(fd, (int64_t)from, SEEK_DATA) : (int64_t)from;

	if (at == -ENXIO || (at >= 0 && (uint64_t)at >= size))
		return 1;
	if (at < 0)        /* the file system knows no holes */
		at = (int64_t)from;
	*start = (uint64_t)at;
	at = seek ? sys_lseek(fd, at, SEEK_HOLE) : -EINVAL;
	*end = at < 0 || (uint64_t)at > size ? size : (uint64_t)at;
	return *start >= *end;
}

static int contents_read(struct arena *arena, int fd, uint64_t start, uint64_t end, struct extent *e)
{
	char *p = arena_alloc(arena, end - start);
	uint64_t n = 0;
	long rc;

	if (!p)
		return -ENOMEM;
	while (n < end - start) {
		rc = sys_pread(fd, p + n, end - start - n, (int64_t)(start + n));
		if (rc < 0)
			return (int)rc;
		if (rc == 0)
			break;
		n += (uint64_t)rc;
	}
	*e = (struct extent){ .at = start, .bytes = { p, n } };
	return 0;
}

static uint64_t most(const struct collection *c)
{
	return c->files_most ? c->files_most : CONTENTS_MOST;
}

/* What is to be read, `all` or what isn't mapped: 0, or 1 at the end of the file. */
static int contents_wanted(const struct collection *c, const struct probe *p, bool all, int fd, uint64_t from, uint64_t *start,
			   uint64_t *end)
{
	uint64_t size = (uint64_t)p->st.st_size;
	bool seek = fd != p->fd || !lock_write_lease(p);

	while (from < size && contents_next(fd, seek, size, from, start, end) == 0) {
		if (all || !c->mapped || !c->mapped(p->st.st_dev, p->st.st_ino, *start, *end))
			return 0;
		from = *end;
	}
	return 1;
}

static int contents_walk(struct collection *c, const struct probe *p, bool all, int fd, struct list *extents)
{
	struct extent *items = NULL;
	uint64_t start, end, total = 0;
	bool apart;
	uint32_t n = 0;
	int rc = 0;

	for (uint64_t at = 0; contents_wanted(c, p, all, fd, at, &start, &end) == 0; at = end) {
		total += end - start;
		if (total > most(c))
			return -EFBIG;
		n++;
	}
	apart = total > CONTENTS_INLINE && c->carry;
	if (apart && c->carries && !c->carries(p->st.st_dev, p->st.st_ino))
		return 1;
	items = arena_alloc(c->arena, n * sizeof(*items));
	if (!items)
		return -ENOMEM;
	extents->items = items;
	for (uint64_t at = 0; extents->n < n && contents_wanted(c, p, all, fd, at, &start, &end) == 0; at = end) {
		struct extent *e = &items[extents->n++];

		*e = (struct extent){ .at = start, .bytes = BLOB(""), .size = end - start };
		rc = apart ? c->carry(fd, start, end - start, &e->where) : contents_read(c->arena, fd, start, end, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int contents_look(struct collection *c, const struct probe *p, bool all, struct list *extents)
{
	int own, rc;
	int64_t pos = 0;

	*extents = (struct list){ NULL, 0 };
	if (lock_write_lease(p))
		return (p->flags & O_ACCMODE) == O_WRONLY ? -EBADF : contents_walk(c, p, all, p->fd, extents);
	own = file_reopen(p->fd, O_RDONLY);
	/* Without the permission to open it anew, through the program's own, and the position put back. */
	if (own < 0)
		pos = sys_lseek(p->fd, 0, SEEK_CUR);
	rc = contents_walk(c, p, all, own < 0 ? p->fd : own, extents);
	if (own < 0)
		sys_lseek(p->fd, pos, SEEK_SET);
	else
		sys_close(own);
	return rc;
}

/* In a task that has the memory in common with this one, but no table of descriptors. */
static __attribute__((noinline)) int contents_apart(struct collection *c, const struct probe *p, bool all, struct list *extents)
{
	volatile int answer = -ECHILD;
	/* CLONE_VM|CLONE_VFORK: it runs on this stack while we wait, and says nothing when it ends */
	long pid = SYS5(__NR_clone, 0x100 | 0x4000, 0, 0, 0, 0);

	if (pid == 0) {
		answer = contents_look(c, p, all, extents);
		sys_exit(0);
	}
	if (pid < 0) {
		answer = contents_look(c, p, all, extents);
		collection_relock(c);
		return answer;
	}
	SYS4(__NR_wait4, pid, 0, 0x40000000 /* __WALL */, 0);
	return answer;
}

int contents_collect(struct collection *c, const struct probe *p, bool all, struct list *extents)
{
	bool locked = false;

	*extents = (struct list){ NULL, 0 };
	/* when a descriptor of it is closed, this process's locks are gone */
	for (uint32_t i = 0; i < c->nprobes && !locked; i++)
		locked = c->probes[i].st.st_dev == p->st.st_dev && c->probes[i].st.st_ino == p->st.st_ino && lock_posix(&c->probes[i]);
	return locked ? contents_apart(c, p, all, extents) : contents_look(c, p, all, extents);
}

static uint64_t extent_size(const struct extent *e)
{
	return e->where ? e->size : e->bytes.n;
}

/* n bytes of a piece from `from` on. */
static int extent_bytes(struct rebuild *r, uint32_t process, const struct extent *e, uint64_t from, char *to, uint64_t n)
{
	if (e->where)
		return rebuild_carried(r, process, e->where + from, to, n);
	memcpy(to, (const char *)e->bytes.p + from, n);
	return 0;
}

/* Into a file of huge pages, which doesn't know write(). */
static int contents_copy(struct rebuild *r, uint32_t process, int fd, uint64_t size, const struct list *extents)
{
	const struct extent *e = extents->items;
	char *p = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int rc = 0;

	if (sys_is_err(p))
		return (int)(long)p;
	for (uint32_t i = 0; rc >= 0 && i < extents->n; i++)
		if (e[i].at < size && extent_size(&e[i]) <= size - e[i].at)
			rc = extent_bytes(r, process, &e[i], 0, p + e[i].at, extent_size(&e[i]));
	sys_munmap(p, size);
	return rc;
}

static int write_extent(struct rebuild *r, uint32_t process, int fd, const struct extent *e, char *piece)
{
	uint64_t size = extent_size(e);

	for (uint64_t done = 0; done < size;) {
		uint64_t n = size - done < CONTENTS_PIECE ? size - done : CONTENTS_PIECE;
		int rc = extent_bytes(r, process, e, done, piece, n);
		long put;

		if (rc < 0)
			return rc;
		put = sys_pwrite(fd, piece, n, (int64_t)(e->at + done));
		if (put <= 0)
			return put < 0 ? (int)put : -EIO;
		done += (uint64_t)put;
	}
	return 0;
}

int contents_write(struct rebuild *r, uint32_t process, int fd, uint64_t size, const struct list *extents)
{
	const struct extent *e = extents->items;
	int rc = sys_ftruncate(fd, (int64_t)size);
	char *piece;

	if (rc < 0 || extents->n == 0)
		return rc;
	piece = sys_mmap(NULL, CONTENTS_PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_err(piece))
		return (int)(long)piece;
	for (uint32_t i = 0; rc >= 0 && i < extents->n; i++)
		rc = write_extent(r, process, fd, &e[i], piece);
	if (rc == -EINVAL)
		rc = contents_copy(r, process, fd, size, extents);
	sys_munmap(piece, CONTENTS_PIECE);
	return rc;
}

const char *contents_most(const struct collection *c, char text[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	uint64_t n = most(c);
	int unit = 0;

	for (; unit < 4 && n && n % 1024 == 0; unit++)
		n /= 1024;
	text_format(text, 32, "%lu %s", (unsigned long)n, units[unit]);
	return text;
}

bool contents_elsewhere(const struct collection *c, const struct probe *p)
{
	for (uint32_t i = 0; i < p->obj; i++)
		if (c->probes[i].st.st_ino == p->st.st_ino && c->probes[i].st.st_dev == p->st.st_dev &&
		    !(c->probes[i].flags & O_PATH))
			return true;
	return false;
}
