/*
 * opath.c - O_PATH descriptors: a place in the file tree, of any type
 */
#include <asm/errno.h>
#include <fcntl.h>

#include "file.h"

#include "skshim/frozen.h"

struct opath {
	uint64_t dev, ino;
	struct blob path;
	uint32_t mode, flags;
	uint32_t pseudo;
	uint32_t own; /* below /proc/PID: enum file_own */
};

static const struct field opath_fields[] = { FIELD_U64(struct opath, dev),       FIELD_U64(struct opath, ino),
					     FIELD_STR(struct opath, path),      FIELD_U32(struct opath, mode),
					     FIELD_U32(struct opath, flags),     FIELD_U32(struct opath, pseudo),
					     FIELD_U32_ADDED(struct opath, own), FIELD_END };

static bool opath_match(const struct probe *p)
{
	return p->flags & O_PATH;
}

static int opath_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct opath *o = rec;
	bool deleted;

	o->path = file_name(p, &deleted);
	o->dev = p->st.st_dev;
	o->ino = p->st.st_ino;
	o->mode = p->st.st_mode;
	o->flags = p->flags;
	o->pseudo = file_pseudo(p->fd);
	if (o->pseudo) {
		int rc = file_of_process(c, p, o->path, &o->own);

		if (rc < 0 || o->own)
			return rc;
	}
	if (deleted || o->path.n == 0 || *(const char *)o->path.p != '/')
		return collection_refuse(c, p, -EOPNOTSUPP, "an O_PATH descriptor of %.*s can't be made again: close it",
					 (int)p->path.n, (const char *)p->path.p);
	return 0;
}

static int opath_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct opath *o = rec;
	const char *path = file_text(r, o->path);
	struct stat st;
	int fd, rc;

	(void)obj;
	if (o->own)
		return file_create_own(o->path, o->own, o->flags);
	/* The name has no symbolic links in it, but may be one. */
	fd = path ? sys_openat(AT_FDCWD, path, O_PATH | O_NOFOLLOW | O_CLOEXEC | (int)(o->flags & O_DIRECTORY), 0) : -ENOMEM;
	if (fd < 0)
		return failed(fd, "%s", path ? path : "file name");
	rc = sys_fstat(fd, &st);
	/* A socket file is bound anew, so it has another inode. */
	if (rc == 0 && ((st.st_mode ^ o->mode) & S_IFMT || (!o->pseudo && !S_ISSOCK(o->mode) && st.st_ino != o->ino)))
		rc = failed(ERR_PLAIN, "%s was replaced since the checkpoint: put the old one back", path);
	if (rc < 0) {
		sys_close(fd);
		return failed(rc, "%s", path);
	}
	return fd;
}

static int opath_check(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct opath *o = rec;
	int fd;

	if (o->pseudo || S_ISSOCK(o->mode))
		return 0;
	fd = opath_create(r, obj, rec);
	if (fd >= 0)
		sys_close(fd);
	return fd < 0 ? fd : 0;
}

static int opath_each(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct opath *o = rec;

	(void)obj;
	return o->own == FILE_OWN ? file_link_own(r, file_text(r, o->path), o->flags, 0, fd) : 0;
}

const struct kind kind_opath = {
	.tag = "opath",
	.size = sizeof(struct opath),
	.fields = opath_fields,
	.match = opath_match,
	.collect = opath_collect,
	.check = opath_check,
	.create = opath_create,
	.each = opath_each,
};
