/*
 * Private mappings of what has no name, and others that show the file behind them: pages that were written are the
 * mapping's own, the others the file's.
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 8
#endif
#define PAGE 4096
#define PAGES 8

/* A file of PAGES pages, the first byte of each its number; kept by its descriptor, by a shared mapping, or by both. */
struct file {
	int fd;
	char *shared, *private;
};

static struct file make(int fd, bool descriptor, bool shared)
{
	struct file f = {.fd = fd};

	MUST(ftruncate(fd, PAGES * PAGE));
	for (char i = 0; i < PAGES; i++)
		SAME(pwrite(fd, &i, 1, i * PAGE), 1);
	f.private = MUST(mmap(NULL, (PAGES - 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, PAGE));
	f.private[PAGE] = 'p';
	if (shared)
		f.shared = MUST(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	if (!descriptor) {
		close(fd);
		f.fd = -1;
	}
	return f;
}

static void verify(const struct file *f)
{
	char c = 'n';

	SAME(f->private[0], 1);
	SAME(f->private[PAGE], 'p');
	SAME(f->private[2 * PAGE], 3);
	if (f->shared)
		f->shared[4 * PAGE] = 'n';
	else
		SAME(pwrite(f->fd, &c, 1, 4 * PAGE), 1);
	SAME(f->private[3 * PAGE], 'n');
	SAME(f->private[PAGE], 'p');
	if (f->shared)
		SAME(f->shared[2 * PAGE], 2);
	if (f->fd >= 0) {
		SAME(pread(f->fd, &c, 1, 2 * PAGE), 1);
		SAME(c, 2);
	}
}

static int deleted(const char *name)
{
	int fd = MUST(open(name, O_RDWR | O_CREAT | O_EXCL, 0600));

	MUST(unlink(name));
	return fd;
}

/* Its line in /proc/self/maps, but for the number of the inode. */
static void line_of(const void *at, char line[512])
{
	FILE *f = fopen("/proc/self/maps", "re");
	char start[32];

	CHECK(f != NULL);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)at);
	while (fgets(line, 512, f) != NULL && strncmp(line, start, strlen(start)) != 0)
		;
	fclose(f);
	CHECK(strncmp(line, start, strlen(start)) == 0);
}

int main(void)
{
	struct file f[5] = {
		make(MUST(memfd_create("open", 0)), true, false), make(MUST(memfd_create("mapped", 0)), false, true),
		make(MUST(memfd_create("both", 0)), true, true), make(deleted("one"), true, false), make(deleted("two"), false, true),
	};
	int fd = MUST(open("named", O_RDWR | O_CREAT, 0600)), only = MUST(open("named", O_RDONLY));
	char *written, *read, *droppable, before[512], after[512];

	MUST(ftruncate(fd, PAGE));
	written = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	read = MUST(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, only, 0));
	strcpy(written, "shared");
	close(fd);
	close(only);
	droppable = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	if (droppable != MAP_FAILED)
		memset(droppable, 7, PAGES * PAGE);
	line_of(f[0].private, before);

	scenario_wait();

	line_of(f[0].private, after);
	SAME(strncmp(before, after, (size_t)(strstr(before, "00:") - before)), 0);
	SAME(strcmp(strchr(before, '/'), strchr(after, '/')), 0);
	for (int i = 0; i < 5; i++)
		verify(&f[i]);
	CHECK(strcmp(read, "shared") == 0);
	written[0] = 'S';
	SAME(read[0], 'S');
	SAME(mprotect(read, PAGE, PROT_READ | PROT_WRITE), -1);
	SAME(errno, EACCES);
	if (droppable != MAP_FAILED)
		CHECK(droppable[0] == 7 || droppable[0] == 0);
	scenario_ok();
}
