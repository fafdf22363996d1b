/*
 * devnode.c - character devices without a state: null, zero, full, random, urandom
 *
 * Other devices are refused by unsupported.c, terminals have a kind of their own.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "file.h"

#include "skshim/frozen.h"

struct devnode {
	uint64_t dev, ino;
	struct blob path;
	uint64_t rdev;
	uint32_t flags;
	struct list locks;
};

static const struct field devnode_fields[] = {
	FIELD_U64(struct devnode, dev),
	FIELD_U64(struct devnode, ino),
	FIELD_STR(struct devnode, path),
	FIELD_U64(struct devnode, rdev),
	FIELD_U32(struct devnode, flags),
	FIELD_LIST_ADDED(struct devnode, locks, struct lock, fields_lock),
	FIELD_END
};

static const char *devnode_name(uint64_t rdev)
{
	if (major(rdev) != 1)
		return NULL;
	switch (minor(rdev)) {
	case 3:
		return "/dev/null";
	case 5:
		return "/dev/zero";
	case 7:
		return "/dev/full";
	case 8:
		return "/dev/random";
	case 9:
		return "/dev/urandom";
	}
	return NULL;
}

static bool devnode_match(const struct probe *p)
{
	return S_ISCHR(p->st.st_mode) && !(p->flags & O_PATH) && devnode_name(p->st.st_rdev);
}

static int devnode_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct devnode *d = rec;
	bool deleted;

	d->path = file_name(p, &deleted);
	d->dev = p->st.st_dev;
	d->ino = p->st.st_ino;
	d->rdev = p->st.st_rdev;
	d->flags = p->flags;
	return lock_collect(c, p, &d->locks);
}

static int devnode_open(const char *path, const struct devnode *d)
{
	int fd = sys_openat(AT_FDCWD, path, file_open_flags(d->flags) | O_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (sys_fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != d->rdev) {
		sys_close(fd);
		return -ENXIO;
	}
	return fd;
}

static int devnode_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct devnode *d = rec;
	const char *path = file_text(r, d->path), *usual = devnode_name(d->rdev);
	int fd = path ? devnode_open(path, d) : -ENOMEM;

	(void)obj;
	/* Its node may have been in a chroot or a container that is gone: the device is the same. */
	if (fd < 0 && usual)
		fd = devnode_open(usual, d);
	return fd < 0 ? failed(fd, "device %s", usual ? usual : path) : fd;
}

static int devnode_link(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct devnode *d = rec;

	(void)obj;
	return d->locks.n ? lock_link(file_text(r, d->path), &d->locks, fd, false) : 0;
}

static int devnode_each(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct devnode *d = rec;

	(void)obj;
	return d->locks.n ? lock_link(file_text(r, d->path), &d->locks, fd, true) : 0;
}

static int devnode_settle(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	(void)obj;
	return lock_settle(r, &((const struct devnode *)rec)->locks, fd);
}

const struct kind kind_devnode = {
	.tag = "devnode", .size = sizeof(struct devnode), .fields = devnode_fields,
	.match = devnode_match, .collect = devnode_collect, .create = devnode_create,
	.link = devnode_link, .each = devnode_each, .settle = devnode_settle,
};
