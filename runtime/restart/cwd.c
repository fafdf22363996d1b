/*
 * cwd.c - working directories that are gone
 *
 * A directory that was removed while somebody stood in it is made where it
 * was, with those above it that are gone too, opened, and all are removed again.
 * Once for all processes that were in it and for descriptors of it, so it is
 * done in the builder; the processes inherit the descriptor. Where it can't be made, or
 * somebody has one there now, one in /tmp does.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart.h"

#define DELETED " (deleted)"
#define AS_FIRST 16                  /* dev and ino: how the record of a directory begins */

static struct cwd {
	uint64_t dev, ino;
	int fd;
} *cwds;
static uint32_t ncwds;

/* The path of a directory that is gone; false of any other. */
static bool deleted_path(const struct process_record *p, char *path, size_t room)
{
	size_t n;

	n = (size_t)snprintf(path, room, "%.*s", (int)p->cwd.n, (const char *)p->cwd.p);
	if (n >= room || n <= strlen(DELETED) || strcmp(path + n - strlen(DELETED), DELETED) != 0)
		return false;
	path[n - strlen(DELETED)] = '\0';
	return true;
}

/* The next '/' or the end of the path, cut off there while fn looks at it. */
static int with_cut(char *path, size_t at, int (*fn)(const char *))
{
	char was = path[at];
	int rc;

	path[at] = '\0';
	rc = fn(path);
	path[at] = was;
	return rc;
}

static int make_private(const char *path)
{
	return mkdir(path, 0700);
}

static int open_directory(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int removed_directory(char *path)
{
	char tmp[] = "/tmp/skshim-cwd-XXXXXX";
	size_t first = 0, n = strlen(path);
	int fd = -1;

	for (size_t at = 1; at <= n; at++)
		if ((path[at] == '/' || at == n) && with_cut(path, at, make_private) == 0 && !first)
			first = at;
	if (first)
		fd = open_directory(path);
	for (size_t at = n; first && at >= first; at--)
		if ((path[at] == '/' || at == n) && with_cut(path, at, rmdir) < 0 && fd >= 0) {
			/* somebody has put something there meanwhile */
			close(fd);
			fd = -1;
		}
	if (fd < 0 && mkdtemp(tmp)) {
		fd = open_directory(tmp);
		if (rmdir(tmp) < 0)
			errno = 0;
	}
	return fd;
}

/* A descriptor of the builder's for the same directory. */
static int open_already(const struct rebuild *r, const struct process_record *p)
{
	const uint64_t want[2] = { p->cwd_dev, p->cwd_ino };

	for (uint32_t i = 0; i < r->image->nobjects; i++) {
		const struct image_object *ob = &r->image->objects[i];

		if (r->fds[i] >= 0 && strcmp(ob->kind->tag, "dir") == 0 && memcmp(ob->rec, want, AS_FIRST) == 0)
			return fcntl(r->fds[i], F_DUPFD_CLOEXEC, 0);
	}
	return -1;
}

static const struct cwd *find(const struct process_record *p)
{
	for (uint32_t i = 0; i < ncwds; i++)
		if (p->cwd_ino && cwds[i].ino == p->cwd_ino && cwds[i].dev == p->cwd_dev)
			return &cwds[i];
	return NULL;
}

int cwd_make(const struct rebuild *r, int above)
{
	char path[PATH_MAX];

	cwds = calloc(r->image->nprocesses, sizeof(*cwds));
	if (!cwds)
		return failed(-ENOMEM, "memory for working directories");
	for (uint32_t i = 0; i < r->image->nprocesses; i++) {
		const struct process_record *p = r->image->processes[i].task;
		int fd;

		if (!deleted_path(p, path, sizeof(path)) || !p->cwd_ino || find(p))
			continue;
		fd = open_already(r, p);
		if (fd < 0)
			fd = removed_directory(path);
		if (fd < 0)
			return failed(-errno, "pid %d: its deleted working directory %s", p->pid, path);
		if (fchmod(fd, p->cwd_mode & 07777) < 0)
			log_line(LOG_INFO, "pid %d: mode of its working directory: %s", p->pid, strerror(errno));
		fd = place_above(fd, above);
		if (fd < 0)
			return fd;
		cwds[ncwds++] = (struct cwd){ p->cwd_dev, p->cwd_ino, fd };
	}
	return 0;
}

int cwd_enter(const struct process_record *p)
{
	const struct cwd *c = find(p);
	char path[PATH_MAX];

	if (c)
		return fchdir(c->fd) < 0 ? failed(-errno, "pid %d: its deleted working directory", p->pid) : 0;
	snprintf(path, sizeof(path), "%.*s", (int)p->cwd.n, (const char *)p->cwd.p);
	return chdir(path) < 0 ? failed(-errno, "pid %d: its working directory %s", p->pid, path) : 0;
}

/* In the builder, when the processes have them. */
void cwd_done(void)
{
	for (uint32_t i = 0; i < ncwds; i++)
		close(cwds[i].fd);
	free(cwds);
	cwds = NULL;
	ncwds = 0;
}
