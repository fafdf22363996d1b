/*
 * trees.c - the trees under the shim, seen from outside
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "skshim/treefile.h"
#include "trees.h"

/* The pid a process has in its innermost pid namespace: the last number of NSpid. */
static int trees_inner(int pid)
{
	char path[64], line[512];
	int inner = pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return pid;
	while (fgets(line, sizeof(line), f) != NULL) {
		const char *last;

		if (strncmp(line, "NSpid:", 6) != 0)
			continue;
		last = strrchr(line, '\t');
		if (last != NULL && atoi(last) > 0)
			inner = atoi(last);
		break;
	}
	fclose(f);
	return inner;
}

/* One line of /proc/PID/maps: is it a tree's file? */
static bool trees_line(char *line, struct tree_process *out)
{
	unsigned long from, to, ino;
	unsigned major_, minor_;
	int at = 0;
	char *name;

	if (sscanf(line, "%lx-%lx %*s %*x %x:%x %lu %n", &from, &to, &major_, &minor_, &ino, &at) != 5 || at == 0)
		return false;
	line += at;
	line[strcspn(line, "\n")] = '\0';
	name = strrchr(line, '/');
	if (name == NULL || strncmp(name + 1, TREE_PREFIX, strlen(TREE_PREFIX)) != 0 ||
	    !isdigit((unsigned char)name[1 + strlen(TREE_PREFIX)]) || strlen(line) >= sizeof(out->path))
		return false;
	out->from = from;
	out->to = to;
	out->dev = makedev(major_, minor_);
	out->ino = ino;
	strcpy(out->path, line);
	return true;
}

/* Like trees_of_process(), by what one thread shows; *empty: it has ended and shows nothing. */
static int trees_of_thread(int tid, struct tree_process *out, bool *empty)
{
	char path[64], *line = NULL;
	size_t room = 0;
	int found = 0;
	FILE *f;

	*empty = true;
	snprintf(path, sizeof(path), "/proc/%d/maps", tid);
	f = fopen(path, "re");
	if (f == NULL)
		return -errno;
	errno = 0;
	while (!found && getline(&line, &room, f) > 0) {
		*empty = false;
		found = trees_line(line, out);
	}
	if (!found && ferror(f))
		found = errno ? -errno : -EIO;
	free(line);
	fclose(f);
	if (found == 1)
		out->tid = tid;
	return found;
}

int trees_of_process(int pid, struct tree_process *out)
{
	bool empty;
	int found = trees_of_thread(pid, out, &empty);
	struct dirent *e;
	char path[64];
	DIR *dir;

	if (found == 0 && empty) {
		snprintf(path, sizeof(path), "/proc/%d/task", pid);
		dir = opendir(path);
		while (dir != NULL && found == 0 && (e = readdir(dir)) != NULL)
			if (isdigit((unsigned char)e->d_name[0]) && atoi(e->d_name) != pid)
				found = trees_of_thread(atoi(e->d_name), out, &empty);
		if (dir != NULL)
			closedir(dir);
	}
	if (found == 1) {
		out->pid = pid;
		out->inner = trees_inner(pid);
	}
	return found;
}

static int trees_closed_one(struct tree *t, void *arg)
{
	struct tree_process *out = arg;
	struct stat st;

	if (trees_member(t, out->inner) == NULL || stat(t->path, &st) != 0)
		return 0;
	snprintf(out->path, sizeof(out->path), "%s", t->path);
	out->dev = st.st_dev;
	out->ino = st.st_ino;
	out->from = out->to = 0;
	return 1;
}

int trees_of_closed(int pid, struct tree_process *out)
{
	out->pid = out->tid = pid;
	out->inner = trees_inner(pid);
	return out->inner == pid ? treefile_each(getenv("TMPDIR"), trees_closed_one, out) : 0;
}

static int trees_open_as(const char *path, int flags, ino_t ino)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || (fstat(fd, &st) == 0 && st.st_ino == ino && S_ISREG(st.st_mode)))
		return fd;
	close(fd);
	return -1;
}

int trees_open(const struct tree_process *p, int flags)
{
	char path[PATH_MAX + 64];
	int fd;

	/* in the middle of exec a process's own root directory can't be entered; mostly it is ours */
	snprintf(path, sizeof(path), "/proc/%d/root%s", p->tid, p->path);
	fd = trees_open_as(path, flags, p->ino);
	if (fd < 0)
		fd = trees_open_as(p->path, flags, p->ino);
	if (fd >= 0)
		return fd;
	if (p->to == 0) {
		fd = open(p->path, flags | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			return failed(-errno, "pid %d: the shared file of its tree, %s, can't be opened", p->pid, p->path);
		return fd;
	}
	/* Unlinked, or hidden by a mount: root can still reach it through the mapping. */
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", p->tid, p->from, p->to);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return failed(-errno, "pid %d: the shared file of its tree, %s, can't be opened", p->pid, p->path);
	return fd;
}

bool trees_valid(const struct tree *t)
{
	return t->magic == TREE_MAGIC && t->size == sizeof(struct tree) && t->signal >= 1 && t->signal <= 64;
}

const struct member *trees_member(const struct tree *t, int inner)
{
	uint32_t n = t->nmembers < TREE_MEMBERS ? t->nmembers : TREE_MEMBERS;

	for (uint32_t i = 0; i < n; i++)
		if (t->members[i].pid == inner && inner > 0)
			return &t->members[i];
	return NULL;
}

int trees_each_process(int (*each)(const struct tree_process *, void *arg), void *arg)
{
	static struct tree_process p;
	struct dirent *e;
	DIR *dir = opendir("/proc");
	int rc = 0;

	if (dir == NULL)
		return failed(-errno, "/proc can't be read");
	while (rc >= 0 && (e = readdir(dir)) != NULL) {
		int pid = atoi(e->d_name);

		if (isdigit((unsigned char)e->d_name[0]) && pid > 0 && trees_of_process(pid, &p) == 1)
			rc = each(&p, arg);
	}
	closedir(dir);
	return rc < 0 ? rc : 0;
}
