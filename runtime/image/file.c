/*
 * file.c - a checkpoint on disk, loaded and believed only then
 *
 * Metadata is read into the arena, and records point into it. The order: what
 * the directory holds, the manifest, that the directory holds exactly what the
 * manifest says (size and hash), each process, then what belongs together
 * across processes. Nothing of the image is used before its own check.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "skshim/err.h"

#include "load.h"

/* Arena bytes a byte of metadata can become (a list's items are no bigger than their bytes in the file, by far). */
#define ARENA_FACTOR 16
#define ARENA_LEAST (64ul << 20)
#define METADATA_MAX (64ul << 30)

int image_damaged(const struct image *image, const char *fmt, ...)
{
	char text[ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	text_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	failed(ERR_PLAIN, "image %s: %s", image->dir, text);
	return -EBADMSG;
}

int image_open(const struct image *image, const char *name, uint64_t *size)
{
	int fd = openat(image->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 && (errno == ENOENT || errno == ELOOP))
		return image_damaged(image, "%s: %s", name, errno == ENOENT ? "is missing" : "is a link");
	if (fd < 0)
		return failed(-errno, "image %s: %s", image->dir, name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return image_damaged(image, "%s: is no regular file", name);
	}
	*size = (uint64_t)st.st_size;
	return fd;
}

/* A whole metadata file into an arena. */
static int read_file(const struct image *image, struct arena *arena, const char *name, struct blob *out)
{
	uint64_t size, n = 0;
	int fd = image_open(image, name, &size);
	ssize_t got;
	char *p;
	int rc = 0;

	if (fd < 0)
		return fd;
	p = size > METADATA_MAX ? NULL : arena_alloc(arena, size);
	if (!p) {
		rc = failed(-ENOMEM, "image %s: %s of %lu bytes", image->dir, name, size);
		goto out;
	}
	while (n < size) {
		got = read(fd, p + n, size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			rc = failed(-errno, "image %s: %s", image->dir, name);
			goto out;
		}
		if (got == 0) {
			rc = image_damaged(image, "%s: shrinks while it is read", name);
			goto out;
		}
		n += (uint64_t)got;
	}
	*out = (struct blob){ p, size };
out:
	close(fd);
	return rc;
}

/* --- which directory ---------------------------------------------------------------------------------------- */

/* Calls each() for every name in the directory. */
static int each_name(const struct image *image, int (*each)(void *, const char *name), void *arg)
{
	int fd = openat(image->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	struct dirent *entry;
	DIR *d;

	if (fd < 0)
		return failed(-errno, "image %s", image->dir);
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return failed(-ENOMEM, "image %s", image->dir);
	}
	while (rc == 0) {
		errno = 0;
		entry = readdir(d);
		if (!entry) {
			if (errno)
				rc = failed(-errno, "image %s", image->dir);
			break;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = each(arg, entry->d_name);
	}
	closedir(d);
	return rc;
}

/* The name of a checkpoint: digits, at least six. 0: it is none. */
static uint64_t number_of(const char *name)
{
	size_t n = strspn(name, "0123456789");

	return n >= 6 && n < 19 && !name[n] ? strtoull(name, NULL, 10) : 0;
}

struct newest {
	const struct image *image;
	uint64_t number;             /* 0: none */
};

static int note_newest(void *newest, const char *name)
{
	struct newest *n = newest;
	uint64_t number = number_of(name);
	char path[sizeof("000000000000000000/" IMAGE_MANIFEST)];
	struct stat st;

	text_format(path, sizeof(path), "%s/" IMAGE_MANIFEST, name);
	if (number > n->number && fstatat(n->image->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		n->number = number;
	return 0;
}

/*
 * In a directory of checkpoints: where `latest` leads. A tree that was killed
 * right behind its first checkpoint has none yet: the highest number, then.
 */
static int open_newest(const struct image *image)
{
	int fd = openat(image->dirfd, "latest", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
	struct newest newest = { image, 0 };
	struct stat st;
	char name[24];

	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? failed(-errno, "image %s/latest", image->dir) : fd;
	if (fstatat(image->dirfd, "latest", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return failed(ERR_PLAIN, "image %s: the checkpoint to which latest leads is gone: name the one you want", image->dir), -ENOENT;
	rc = each_name(image, note_newest, &newest);
	if (rc < 0)
		return rc;
	text_format(name, sizeof(name), "%06lu", (unsigned long)newest.number);
	fd = newest.number ? openat(image->dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0)
		return failed(ERR_PLAIN, "image %s: holds no complete checkpoint (no " IMAGE_MANIFEST ", no latest)", image->dir), -ENOENT;
	return fd;
}

static int resolve(struct image *image, const char *dir)
{
	struct stat st;
	char link[64];
	ssize_t n;
	int fd;

	text_format(image->dir, sizeof(image->dir), "%s", dir);
	image->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (image->dirfd < 0)
		return failed(-errno, "image %s", dir);
	if (fstatat(image->dirfd, IMAGE_MANIFEST, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		fd = open_newest(image);
		if (fd < 0)
			return fd;
		close(image->dirfd);
		image->dirfd = fd;
	}
	text_format(link, sizeof(link), "/proc/self/fd/%d", image->dirfd);
	n = readlink(link, image->dir, sizeof(image->dir) - 1);
	if (n < 0)
		return failed(-errno, "image %s: where it is", dir);
	image->dir[n] = 0;
	return 0;
}

bool image_is_there(const char *dir)
{
	struct image image = { .dirfd = -1 };
	struct stat st;
	bool there = resolve(&image, dir) == 0 && fstatat(image.dirfd, IMAGE_MANIFEST, &st, AT_SYMLINK_NOFOLLOW) == 0;

	if (image.dirfd >= 0)
		close(image.dirfd);
	err_reset();
	return there;
}

static bool ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), t = strlen(tail);

	return n >= t && strcmp(s + n - t, tail) == 0;
}

struct sum {
	const struct image *image;
	uint64_t bytes;
};

static int add_size(void *arg, const char *name)
{
	struct sum *sum = arg;
	struct stat st;

	if (ends_with(name, ".pages"))
		return 0;
	if (fstatat(sum->image->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(-errno, "image %s: %s", sum->image->dir, name);
	if (st.st_size < 0 || (uint64_t)st.st_size > METADATA_MAX - sum->bytes)
		return image_damaged(sum->image, "%s: is too big", name);
	sum->bytes += (uint64_t)st.st_size;
	return 0;
}

uint64_t image_room(const struct image *image)
{
	return image->metadata * ARENA_FACTOR + ARENA_LEAST;
}

static int reserve(struct image *image)
{
	struct sum sum = { .image = image };
	int rc = each_name(image, add_size, &sum);

	if (rc < 0)
		return rc;
	image->metadata = sum.bytes;
	rc = arena_begin(&image->arena, image_room(image));
	return rc < 0 ? failed(rc, "image %s", image->dir) : 0;
}

/* --- the manifest -------------------------------------------------------------------------------------------- */

static int load_manifest(struct image *image)
{
	struct blob bytes, tag, body;
	struct decode d;
	int rc;

	rc = read_file(image, &image->arena, IMAGE_MANIFEST, &bytes);
	if (rc == 0)
		rc = decode_begin(&d, &image->arena, IMAGE_MANIFEST, bytes.p, bytes.n, "manifest");
	if (rc == 0)
		rc = decode_frame(&d, &tag, &body);
	if (rc < 0)
		return rc;
	if (rc == 0 || !blob_is(tag, "manifest"))
		return image_damaged(image, "manifest: begins with no manifest");
	image->manifest = arena_alloc(&image->arena, sizeof(*image->manifest));
	if (!image->manifest)
		return failed(-ENOMEM, "image %s", image->dir);
	rc = decode_record(&image->arena, IMAGE_MANIFEST, body, fields_manifest, image->manifest, sizeof(*image->manifest));
	if (rc == 0)
		rc = decode_frame(&d, &tag, &body);
	if (rc > 0)
		return image_damaged(image, "manifest: has more than one manifest");
	return rc < 0 ? rc : check_manifest(image);
}

static int name_order(const void *a, const void *b)
{
	const struct file_sum_record *x = a, *y = b;
	size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
	int rc = n ? memcmp(x->name.p, y->name.p, n) : 0;

	return rc ? rc : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

const struct file_sum_record *image_file_sum(const struct image *image, const char *name)
{
	struct file_sum_record key = { .name = { name, strlen(name) } };

	return bsearch(&key, image->manifest->files.items, image->manifest->files.n, sizeof(key), name_order);
}

static int check_name(void *arg, const char *name)
{
	const struct image *image = arg;

	if (strcmp(name, IMAGE_MANIFEST) == 0 || image_file_sum(image, name))
		return 0;
	return image_damaged(image, "%s: does not belong there", name);
}

/* The directory holds the manifest and its files and nothing else. Sorts the list. */
static int check_names(struct image *image)
{
	struct file_sum_record *f = image->manifest->files.items;
	uint32_t n = image->manifest->files.n;

	qsort(f, n, sizeof(*f), name_order);
	for (uint32_t i = 0; i < n; i++) {
		if (f[i].name.n == 0 || f[i].name.n >= IMAGE_NAME_MAX || memchr(f[i].name.p, 0, f[i].name.n) ||
		    memchr(f[i].name.p, '/', f[i].name.n))
			return image_damaged(image, "manifest: file %u has no possible name", i);
		if (i && name_order(&f[i - 1], &f[i]) == 0)
			return image_damaged(image, "manifest: %.*s is there twice", (int)f[i].name.n, (const char *)f[i].name.p);
	}
	if (n != 3 * (uint64_t)image->manifest->processes.n)
		return image_damaged(image, "manifest: %u files for %u processes", n, image->manifest->processes.n);
	return each_name(image, check_name, image);
}

int image_read_summed(const struct image *image, struct arena *arena, const char *name, struct blob *bytes)
{
	const struct file_sum_record *sum = image_file_sum(image, name);
	int rc;

	if (!sum)
		return image_damaged(image, "manifest: %s is missing", name);
	rc = read_file(image, arena, name, bytes);
	if (rc < 0)
		return rc;
	if (bytes->n != sum->size)
		return image_damaged(image, "%s: has %lu bytes instead of %lu", name, bytes->n, sum->size);
	if (image_hash(bytes->p, bytes->n) != sum->hash)
		return image_damaged(image, "%s: the hash is wrong, the file is damaged", name);
	return 0;
}

/* --- what belongs together ----------------------------------------------------------------------------------- */

/* Every object of every process has one number of the image, every number of the image an object. */
static int load_members(struct image *image)
{
	const struct manifest_record *m = image->manifest;
	const struct member_record *member = m->members.items;
	uint64_t all = 0;

	for (uint32_t i = 0; i < image->nprocesses; i++) {
		struct image_process *p = &image->processes[i];

		p->global = arena_alloc(&image->arena, p->nobjects * sizeof(*p->global));
		if (!p->global)
			return failed(-ENOMEM, "image %s", image->dir);
		memset(p->global, 0xff, p->nobjects * sizeof(*p->global));
		all += p->nobjects;
	}
	if (m->members.n != all || m->objects > all)
		return image_damaged(image, "manifest: %u members and %u objects, the processes have %lu", m->members.n, m->objects, all);
	image->nobjects = m->objects;
	image->objects = arena_alloc(&image->arena, m->objects * sizeof(*image->objects));
	if (!image->objects)
		return failed(-ENOMEM, "image %s", image->dir);
	for (; all; all--, member++) {
		if (member->process >= image->nprocesses || member->obj >= image->processes[member->process].nobjects ||
		    member->global >= m->objects || image->processes[member->process].global[member->obj] != OBJ_NONE)
			return image_damaged(image, "manifest: member %u of process %u as %u", member->obj, member->process, member->global);
		image->processes[member->process].global[member->obj] = member->global;
	}
	return 0;
}

/* The process's own numbers in a record become the image's. */
static int translate(const struct image *image, const struct image_process *p, const struct field *fields, char *rec)
{
	int rc = 0;

	for (const struct field *f = fields; f->type != FIELD_END_T && rc == 0; f++) {
		if (f->type == FIELD_OBJ_T) {
			uint32_t *obj = (void *)(rec + f->offset);

			if (*obj != OBJ_NONE && *obj >= p->nobjects)
				return image_damaged(image, "%d: %s: there is no object %u", p->task->pid, f->name, *obj);
			if (*obj != OBJ_NONE)
				*obj = p->global[*obj];
		} else if (f->type == FIELD_REC_T) {
			rc = translate(image, p, f->sub, rec + f->offset);
		} else if (f->type == FIELD_LIST_T) {
			const struct list *l = (void *)(rec + f->offset);

			for (uint32_t i = 0; i < l->n && rc == 0; i++)
				rc = translate(image, p, f->sub, (char *)l->items + (size_t)i * f->size);
		}
	}
	return rc;
}

static int translate_process(struct image *image, uint32_t index)
{
	struct image_process *p = &image->processes[index];
	int rc = translate(image, p, fields_process, (char *)p->task);

	for (uint32_t i = 0; i < p->nobjects && rc == 0; i++) {
		struct image_object *o = &p->objects[i], *g = &image->objects[p->global[i]];

		o->process = index;
		rc = translate(image, p, fields_object, (char *)o->common);
		if (rc == 0)
			rc = translate(image, p, o->kind->fields, o->rec);
		if (rc == 0 && o->lineage)
			rc = translate(image, p, fields_lineage, (char *)o->lineage);
		if (!g->kind)
			*g = *o;
	}
	return rc;
}

/* Two objects of one process aren't one object of the image. */
static int members_distinct(struct image *image)
{
	uint32_t *seen = arena_alloc(&image->arena, image->nobjects * sizeof(*seen));

	if (!seen)
		return failed(-ENOMEM, "image %s", image->dir);
	for (uint32_t i = 0; i < image->nprocesses; i++) {
		const struct image_process *p = &image->processes[i];

		for (uint32_t n = 0; n < p->nobjects; n++) {
			if (seen[p->global[n]] == i + 1)
				return image_damaged(image, "%d: has object %u twice", p->task->pid, p->global[n]);
			seen[p->global[n]] = i + 1;
		}
	}
	return 0;
}

static int load_shared(struct image *image)
{
	int rc = load_members(image);

	if (rc == 0)
		rc = members_distinct(image);
	for (uint32_t i = 0; i < image->nprocesses && rc == 0; i++)
		rc = translate_process(image, i);
	for (uint32_t i = 0; i < image->nobjects && rc == 0; i++)
		if (!image->objects[i].kind)
			rc = image_damaged(image, "manifest: nobody has object %u", i);
	return rc < 0 ? rc : check_objects(image);
}

int image_load(struct image *image, const char *dir, enum image_how how)
{
	int rc;

	memset(image, 0, sizeof(*image));
	image->dirfd = -1;
	rc = resolve(image, dir);
	if (rc == 0)
		rc = reserve(image);
	if (rc == 0)
		rc = load_manifest(image);
	if (rc == 0)
		rc = check_names(image);
	if (rc == 0)
		rc = processes_load(image);
	if (rc == 0)
		rc = load_shared(image);
	if (rc == 0 && how == IMAGE_EVERYTHING)
		rc = pages_verify(image);
	if (rc < 0)
		image_unload(image);
	return rc;
}

void image_unload(struct image *image)
{
	arena_end(&image->arena);
	for (int i = 0; i < IMAGE_HELPERS; i++)
		arena_end(&image->helpers[i]);
	if (image->dirfd >= 0)
		close(image->dirfd);
	image->dirfd = -1;
	image->manifest = NULL;
	image->nprocesses = image->nobjects = 0;
	image->processes = NULL;
	image->objects = NULL;
}
