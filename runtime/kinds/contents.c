/*
 * contents.c - what is in a file that has no name
 *
 * A deleted file, an O_TMPFILE or a memfd ends with the processes that hold
 * it, so its bytes travel in the image, without the holes. They are read
 * through a description of our own: SEEK_DATA would move the program's
 * position.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file.h"

#include "skshim/frozen.h"

const struct field fields_extent[] = {
	FIELD_U64(struct extent, at),
	FIELD_BIN(struct extent, bytes),
	FIELD_END
};

/* Where the next data begins and ends; 0, or 1 at the end of the file. */
static int contents_next(int fd, uint64_t size, uint64_t from, uint64_t *start, uint64_t *end)
{
	int64_t at = sys_lseek(fd, (int64_t)from, SEEK_DATA);

	if (at == -ENXIO || (at >= 0 && (uint64_t)at >= size))
		return 1;
	if (at < 0)        /* the file system knows no holes */
		at = (int64_t)from;
	*start = (uint64_t)at;
	at = sys_lseek(fd, at, SEEK_HOLE);
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

/* What is to be read, `all` or what isn't mapped: 0, or 1 at the end of the file. */
static int contents_wanted(const struct collection *c, const struct probe *p, bool all, int fd, uint64_t from, uint64_t *start,
			   uint64_t *end)
{
	uint64_t size = (uint64_t)p->st.st_size;

	while (from < size && contents_next(fd, size, from, start, end) == 0) {
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
	uint32_t n = 0;
	int rc;

	for (uint64_t at = 0; contents_wanted(c, p, all, fd, at, &start, &end) == 0; at = end) {
		total += end - start;
		if (total > CONTENTS_MAX)
			return -EFBIG;
		n++;
	}
	items = arena_alloc(c->arena, n * sizeof(*items));
	if (!items)
		return -ENOMEM;
	extents->items = items;
	for (uint64_t at = 0; extents->n < n && contents_wanted(c, p, all, fd, at, &start, &end) == 0; at = end) {
		rc = contents_read(c->arena, fd, start, end, &items[extents->n]);
		if (rc < 0)
			return rc;
		extents->n++;
	}
	return 0;
}

int contents_collect(struct collection *c, const struct probe *p, bool all, struct list *extents)
{
	int own = file_reopen(p->fd, O_RDONLY), rc;
	int64_t pos = 0;

	*extents = (struct list){ NULL, 0 };
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

/* Into a file of huge pages, which doesn't know write(). */
static int contents_copy(int fd, uint64_t size, const struct list *extents)
{
	const struct extent *e = extents->items;
	char *p = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (sys_is_err(p))
		return (int)(long)p;
	for (uint32_t i = 0; i < extents->n; i++)
		if (e[i].at < size && e[i].bytes.n <= size - e[i].at)
			memcpy(p + e[i].at, e[i].bytes.p, e[i].bytes.n);
	sys_munmap(p, size);
	return 0;
}

int contents_write(int fd, uint64_t size, const struct list *extents)
{
	const struct extent *e = extents->items;
	int rc = sys_ftruncate(fd, (int64_t)size);
	long n;

	for (uint32_t i = 0; rc >= 0 && i < extents->n; i++) {
		for (uint64_t done = 0; rc >= 0 && done < e[i].bytes.n; done += (uint64_t)n) {
			n = sys_pwrite(fd, (const char *)e[i].bytes.p + done, e[i].bytes.n - done, (int64_t)(e[i].at + done));
			if (n == -EINVAL && i == 0 && done == 0)
				return contents_copy(fd, size, extents);
			if (n <= 0) {
				rc = n < 0 ? (int)n : -EIO;
				break;
			}
		}
	}
	return rc;
}

bool contents_elsewhere(const struct collection *c, const struct probe *p)
{
	for (uint32_t i = 0; i < p->obj; i++)
		if (c->probes[i].st.st_ino == p->st.st_ino && c->probes[i].st.st_dev == p->st.st_dev &&
		    !(c->probes[i].flags & O_PATH))
			return true;
	return false;
}
