/*
 * patch.c - changes an image on purpose, with every hash made right again
 *
 *	patch DIR version N    every file says it is of format N
 *	patch DIR arch NAME    the manifest names another architecture
 *	patch DIR page SIZE    the manifest has pages of another size
 *	patch DIR xcr0 N       the processor saved more
 *	patch DIR drop         the manifest no longer knows the last file
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

int main(int argc, char **argv)
{
	static struct image image;
	struct manifest_record *m;
	struct file_sum_record *sums;
	struct encode e;

	if (argc < 3 || (argc < 4 && strcmp(argv[2], "drop") != 0))
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
