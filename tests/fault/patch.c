/*
 * patch.c - changes an image on purpose, with every hash made right again
 *
 *	patch DIR version N    every file says it is of format N
 *	patch DIR arch NAME    the manifest names another architecture
 *	patch DIR page SIZE    the manifest has pages of another size
 *	patch DIR xcr0 N       the processor saved more
 *	patch DIR drop         the manifest no longer knows the last file
 *	patch DIR vdso         it was made on another kernel: its vdso has another build id
 *	patch DIR vdso NAME    the same, and the function is called otherwise
 *
 * The frames are taken apart and put together as docs/IMAGE.md says, without
 * skshim's own decoder, which would refuse half of this.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "skshim/elf.h"
#include "skshim/err.h"
#include "skshim/image.h"

static const char *dir;

static void die(const char *what)
{
	fprintf(stderr, "patch: %s\n", what);
	exit(1);
}

static struct blob slurp(const char *name)
{
	struct blob b;
	char path[4096];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);
	b.n = (uint64_t)st.st_size;
	b.p = malloc(b.n + 1);
	if (!b.p || read(fd, (void *)b.p, b.n) != (ssize_t)b.n)
		die(path);
	close(fd);
	return b;
}

static void spill(const char *name, const struct encode *e)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd < 0 || e->rc < 0 || write(fd, e->p, e->n) != (ssize_t)e->n)
		die(path);
	close(fd);
}

/* The "skshim" frame of the file becomes one of version `v`; the frames behind it stay as they are. */
static uint64_t other_version(struct arena *a, const char *name, uint32_t v)
{
	struct blob old = slurp(name);
	struct head_record head = {.version = v};
	struct encode e = {.arena = a}, was;
	const char *dot = strrchr(name, '.');

	head.what.p = dot ? dot + 1 : "manifest";
	head.what.n = strlen(head.what.p);
	if (encode_begin(&was, a, dot ? dot + 1 : "manifest") < 0)
		die(name);
	if (old.n < was.n || memcmp(old.p, was.p, was.n) != 0)
		die("the head is another one");
	if (encode_frame(&e, "skshim", fields_head, &head) < 0)
		die(name);
	e.p = realloc(memcpy(malloc(e.n), e.p, e.n), e.n + old.n - was.n);
	memcpy(e.p + e.n, (const char *)old.p + was.n, old.n - was.n);
	e.n += old.n - was.n;
	spill(name, &e);
	return image_hash(e.p, e.n);
}

/* --- another kernel's vdso ---------------------------------------------------------------------------------- */

static struct arena *arena;
static const char *lacks;    /* a function that is not to be there by its name */

/* The file's frames again, those of `tag` through change(); what[] is the record, decoded. */
static void rewrite(const char *name, const char *what, const char *tag, const struct field *fields, uint32_t size,
		    void (*change)(const char *name, void *rec))
{
	struct blob old = slurp(name), t, body;
	struct encode e;
	struct decode d;
	void *rec;

	if (decode_begin(&d, arena, name, old.p, old.n, what) < 0 || encode_begin(&e, arena, what) < 0)
		die(name);
	for (;;) {
		const uint8_t *from = d.p;
		int rc = decode_frame(&d, &t, &body);
		uint64_t n = (uint64_t)(d.p - from);

		if (rc < 0)
			die(name);
		if (rc && blob_is(t, tag)) {
			rec = arena_alloc(arena, size);
			if (decode_record(arena, name, body, fields, rec, size) < 0)
				die(name);
			change(name, rec);
			encode_frame(&e, tag, fields, rec);
			continue;
		}
		e.p = memcpy((char *)malloc(e.n + n), e.p, e.n);
		memcpy(e.p + e.n, from, n);
		e.n += n;
		e.room = e.n;
		if (!rc)
			break;
	}
	spill(name, &e);
}

static struct vdso {
	uint64_t start, end;
} vdso;

static void change_process(const char *name, void *rec)
{
	struct process_record *p = rec;
	const struct vma_record *v = p->vmas.items;
	uint8_t *id = arena_copy(arena, p->vdso_build_id.p, p->vdso_build_id.n);

	(void)name;
	for (uint32_t i = 0; i < p->vmas.n; i++)
		if (blob_is(v[i].name, "[vdso]"))
			vdso = (struct vdso){ v[i].start, v[i].end };
	for (uint64_t i = 0; i < p->vdso_build_id.n; i++)
		id[i] ^= 0xff;
	p->vdso_build_id.p = id;
}

static void spoil(uint8_t *elf, uint64_t size)
{
	struct elf_function f[64];
	struct blob id = elf_build_id(elf, size);
	int n = elf_functions(elf, size, f, 64);

	if (n <= 0)
		die("the vdso has no functions");
	for (uint64_t i = 0; i < id.n; i++)
		((uint8_t *)id.p)[i] ^= 0xff;
	elf[size - 1] ^= 0xff;        /* and other code */
	for (int i = 0; i < n; i++)
		if (lacks && blob_is(f[i].name, lacks))
			*(char *)f[i].name.p = 'X';
}

static void change_run(const char *name, void *rec)
{
	struct run_record *r = rec;
	char path[4096];
	uint64_t n = r->pages * ARCH_PAGE;
	uint8_t *bytes = malloc(n);
	int fd;

	if (r->start < vdso.start || r->start >= vdso.end)
		return;
	snprintf(path, sizeof(path), "%s/%.*s.pages", dir, (int)strcspn(name, "."), name);
	fd = open(path, O_RDWR);
	if (fd < 0 || r->start != vdso.start || pread(fd, bytes, n, (off_t)r->at) != (ssize_t)n)
		die(path);
	spoil(bytes, n);
	if (pwrite(fd, bytes, n, (off_t)r->at) != (ssize_t)n)
		die(path);
	close(fd);
	r->hash = image_hash(bytes, n);
}

static void other_vdso(struct manifest_record *m)
{
	struct file_sum_record *sums = m->files.items;
	const struct pid_record *p = m->processes.items;
	char task[IMAGE_NAME_MAX], runs[IMAGE_NAME_MAX];

	for (uint32_t i = 0; i < m->processes.n; i++) {
		snprintf(task, sizeof(task), IMAGE_TASK, p[i].pid);
		snprintf(runs, sizeof(runs), IMAGE_RUNS, p[i].pid);
		rewrite(task, "task", "process", fields_process, sizeof(struct process_record), change_process);
		rewrite(runs, "runs", "run", fields_run, sizeof(struct run_record), change_run);
		for (uint32_t k = 0; k < m->files.n; k++) {
			char name[IMAGE_NAME_MAX];
			struct blob now;

			snprintf(name, sizeof(name), "%.*s", (int)sums[k].name.n, (const char *)sums[k].name.p);
			if (strcmp(name, task) != 0 && strcmp(name, runs) != 0)
				continue;
			now = slurp(name);
			sums[k].size = now.n;
			sums[k].hash = image_hash(now.p, now.n);
		}
	}
}

int main(int argc, char **argv)
{
	static struct image image;
	struct manifest_record *m;
	struct file_sum_record *sums;
	struct encode e;

	if (argc < 3 || (argc < 4 && strcmp(argv[2], "drop") != 0 && strcmp(argv[2], "vdso") != 0))
		die("DIR WHAT [VALUE]");
	dir = argv[1];
	if (image_load(&image, dir, IMAGE_METADATA) < 0)
		die(err_text());
	m = image.manifest;
	sums = m->files.items;
	if (strcmp(argv[2], "version") == 0) {
		m->version = (uint32_t)atoi(argv[3]);
		for (uint32_t i = 0; i < m->files.n; i++) {
			char name[IMAGE_NAME_MAX];

			snprintf(name, sizeof(name), "%.*s", (int)sums[i].name.n, (const char *)sums[i].name.p);
			if (!strstr(name, ".pages"))
				sums[i].hash = other_version(&image.arena, name, (uint32_t)atoi(argv[3]));
		}
	} else if (strcmp(argv[2], "arch") == 0) {
		m->arch = (struct blob){ argv[3], strlen(argv[3]) };
	} else if (strcmp(argv[2], "page") == 0) {
		m->page_size = (uint32_t)atoi(argv[3]);
	} else if (strcmp(argv[2], "xcr0") == 0) {
		m->xcr0 |= strtoull(argv[3], NULL, 0);
	} else if (strcmp(argv[2], "drop") == 0) {
		m->files.n--;
	} else if (strcmp(argv[2], "vdso") == 0) {
		arena = &image.arena;
		lacks = argc > 3 ? argv[3] : NULL;
		other_vdso(m);
	} else {
		die("what?");
	}
	encode_begin(&e, &image.arena, "manifest");
	encode_frame(&e, "manifest", fields_manifest, m);
	encode_end(&e);
	spill(IMAGE_MANIFEST, &e);
	if (strcmp(argv[2], "version") == 0)
		other_version(&image.arena, IMAGE_MANIFEST, (uint32_t)atoi(argv[3]));
	return 0;
}
