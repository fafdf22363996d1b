/*
 * arena.c - memory given out in one direction
 *
 * Fresh anonymous pages are zero and nothing is ever given out twice, so
 * nothing is cleared. Tells no failures: only callers know what the memory or
 * the file was for, and whether its absence is a failure at all.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "skshim/arena.h"
#include "skshim/away.h"
#include "skshim/sys.h"

#include "skshim/frozen.h"

#define ARENA_ALIGN 16u
#define ARENA_LEAST (1ul << 20)
#define READ_PIECE (1ul << 20)

void arena_end(struct arena *a)
{
	if (a->base)
		sys_munmap(a->base - ARCH_PAGE, a->size + 2 * ARCH_PAGE);
	*a = (struct arena){ 0 };
}

int arena_begin(struct arena *a, size_t size)
{
	void *p;

	*a = (struct arena){ 0 };
	size = (size + ARCH_PAGE - 1) & ~(ARCH_PAGE - 1);
	for (;;) {
		p = sys_mmap(NULL, size + 2 * ARCH_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (!sys_is_err(p))
			break;
		if (size / 2 < ARENA_LEAST)
			return -ENOMEM;
		size = (size / 2) & ~(ARCH_PAGE - 1);
	}
	/* a page on either side keeps the kernel from joining it with a region of the program's */
	a->base = (char *)p + ARCH_PAGE;
	a->size = size;
	if (sys_mprotect(a->base, size, PROT_READ | PROT_WRITE) == 0)
		return 0;
	arena_end(a);
	return -ENOMEM;
}

void arena_trim(struct arena *a)
{
	size_t size = (a->used + ARCH_PAGE - 1) & ~(ARCH_PAGE - 1);

	if (size >= a->size || sys_mprotect(a->base + size, ARCH_PAGE, PROT_NONE) < 0)
		return;
	sys_munmap(a->base + size + ARCH_PAGE, a->size - size);
	a->size = size;
}

void *arena_alloc(struct arena *a, size_t n)
{
	size_t room = a->size - a->used;
	void *p = a->base + a->used;

	if (n > room)
		return NULL;
	/* A last piece that isn't a multiple of the alignment takes what is left. */
	n = (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	a->used += n < room ? n : room;
	return p;
}

void *arena_copy(struct arena *a, const void *p, size_t n)
{
	void *to = arena_alloc(a, n);

	if (to && n)
		memcpy(to, p, n);
	return to;
}

struct blob arena_blob(struct arena *a, const void *p, size_t n)
{
	struct blob b = { NULL, 0 };
	char *to = n + 1 ? arena_alloc(a, n + 1) : NULL;

	if (!to)
		return b;
	if (n)
		memcpy(to, p, n);
	b.p = to;
	b.n = n;
	return b;
}

struct blob arena_format(struct arena *a, const char *fmt, ...)
{
	char text[4096];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = text_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	return arena_blob(a, text, (size_t)n);
}

int arena_read_file(struct arena *a, int dirfd, const char *path, struct blob *out)
{
	char *to = a->base + a->used;
	size_t room = a->size - a->used, n = 0;
	int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY, fd = dirfd == AT_FDCWD ? away_open(path, flags) : sys_openat(dirfd, path, flags, 0);
	long rc;

	*out = (struct blob){ NULL, 0 };
	if (fd < 0)
		return fd;
	for (;;) {
		if (n + 1 >= room) {
			rc = -ENOMEM;
			break;
		}
		rc = sys_read(fd, to + n, room - n - 1 < READ_PIECE ? room - n - 1 : READ_PIECE);
		if (rc == -EINTR)
			continue;
		if (rc <= 0)
			break;
		n += (size_t)rc;
	}
	sys_close(fd);
	/* Also after a failure: what was read must not be given out as zeroed memory. */
	arena_alloc(a, n < room ? n + 1 : room);
	if (rc < 0)
		return (int)rc;
	*out = (struct blob){ to, n };
	return 0;
}
