/*
 * eventfd.c - a counter behind a descriptor
 *
 * The counter is read from fdinfo, never with read(): a read would take it
 * away from the program, which goes on running after a checkpoint
 * (tests/kernel/fdinfo_eventfd.c). Kernels before 6.5 don't tell semaphores
 * apart: there all are restored as counters.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include "skshim/kind.h"

#include "skshim/frozen.h"

struct eventfd {
	uint64_t count;
	uint32_t semaphore;
};

static const struct field eventfd_fields[] = {
	FIELD_U64(struct eventfd, count),
	FIELD_U32(struct eventfd, semaphore),
	FIELD_END
};

static bool eventfd_match(const struct probe *p)
{
	return blob_is(p->path, "anon_inode:[eventfd]");
}

static int eventfd_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct eventfd *e = rec;
	uint64_t semaphore = 0;

	if (!text_field(p->fdinfo, "eventfd-count:", 16, &e->count))
		return collection_refuse(c, p, -EOPNOTSUPP, "the kernel doesn't tell the eventfd's count");
	text_field(p->fdinfo, "eventfd-semaphore:", 10, &semaphore);
	e->semaphore = semaphore != 0;
	return 0;
}

static int eventfd_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct eventfd *e = rec;
	int fd = sys_eventfd2(0, EFD_CLOEXEC | EFD_NONBLOCK | (e->semaphore ? EFD_SEMAPHORE : 0));

	(void)r;
	(void)obj;
	return fd < 0 ? failed(fd, "eventfd") : fd;
}

static int eventfd_fill(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct eventfd *e = rec;
	/* Only the kernel itself counts up to the very last number; a program's write can't. */
	uint64_t count = e->count == UINT64_MAX ? e->count - 1 : e->count;
	long rc = count ? sys_write(fd, &count, sizeof(count)) : 0;

	(void)r;
	(void)obj;
	return rc < 0 ? failed((int)rc, "eventfd: count %lu", (unsigned long)count) : 0;
}

const struct kind kind_eventfd = {
	.tag = "eventfd", .size = sizeof(struct eventfd), .fields = eventfd_fields,
	.match = eventfd_match, .collect = eventfd_collect, .create = eventfd_create, .fill = eventfd_fill,
};
