/*
 * signalfd.c - signals through a descriptor
 *
 * Only the mask belongs to it: the signals pend on processes and threads. The
 * mask is the kernel's, in which the checkpoint signal has changed places
 * already (preload/shim.h).
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/signalfd.h>

#include "skshim/kind.h"

#include "skshim/frozen.h"

struct signalfd {
	uint64_t mask;
};

static const struct field signalfd_fields[] = {
	FIELD_U64(struct signalfd, mask),
	FIELD_END
};

static bool signalfd_match(const struct probe *p)
{
	return blob_is(p->path, "anon_inode:[signalfd]");
}

static int signalfd_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct signalfd *s = rec;

	if (!text_field(p->fdinfo, "sigmask:", 16, &s->mask))
		return collection_refuse(c, p, -EOPNOTSUPP, "the kernel doesn't tell the signalfd's mask");
	return 0;
}

static int signalfd_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct signalfd *s = rec;
	int fd = sys_signalfd4(-1, &s->mask, SFD_CLOEXEC);

	(void)r;
	(void)obj;
	return fd < 0 ? failed(fd, "signalfd") : fd;
}

const struct kind kind_signalfd = {
	.tag = "signalfd", .size = sizeof(struct signalfd), .fields = signalfd_fields,
	.match = signalfd_match, .collect = signalfd_collect, .create = signalfd_create,
};
