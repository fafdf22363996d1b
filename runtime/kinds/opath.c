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
};

static const struct field opath_fields[] = {
	FIELD_U64(struct opath, dev),
	FIELD_U64(struct opath, ino),
	FIELD_STR(struct opath, path),
	FIELD_U32(struct opath, mode),
	FIELD_U32(struct opath, flags),
	FIELD_U32(struct opath, pseudo),
	FIELD_END
};

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
	if (deleted || o->path.n == 0 || *(const char *)o->path.p != '/')
		return collection_refuse(c, p, -EOPNOTSUPP, "an O_PATH descriptor of %.*s can't be made again: close it",
					 (int)p->path.n, (const char *)p->path.p);
	return 0;
}

static int opath_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct opath *o = rec;
	const char *path = file_text(r, o->path);
	/* The name has no symbolic links in it, but may be one. */
	int fd = path ? sys_openat(AT_FDCWD, path, O_PATH | O_NOFOLLOW | O_CLOEXEC | (int)(o->flags & O_DIRECTORY), 0) : -ENOMEM;
	struct stat st;
	int rc;

	(void)obj;
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

const struct kind kind_opath = {
	.tag = "opath", .size = sizeof(struct opath), .fields = opath_fields,
	.match = opath_match, .collect = opath_collect, .check = opath_check, .create = opath_create,
};
