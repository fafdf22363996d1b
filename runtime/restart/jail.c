/*
 * jail.c - processes in another root directory (chroot)
 *
 * The root directory changes as late as can be: until then files are opened by
 * their outer names, also by others that share it (CLONE_FS). What the shim in
 * such a process needs of outside it gets as descriptors: /proc, and the
 * directory of the checkpoints, as mounts of their own (preload/jail.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "restart.h"
#include "skshim/view.h"

#define NR_OPEN_TREE 428
#define TREE_CLONE 1                 /* OPEN_TREE_CLONE */
#define HIGH 4096                    /* numbers that programs hardly use */

static bool in_jail(const struct process_record *p)
{
	return p->root.n > 1;
}

int jail_there(const struct image *image)
{
	for (uint32_t i = 0; i < image->nprocesses; i++) {
		const struct process_record *p = image->processes[i].task;
		char path[VIEW_PATH];
		struct stat st;

		snprintf(path, sizeof(path), "%.*s", (int)p->root.n, (const char *)p->root.p);
		if (!in_jail(p))
			continue;
		if (stat(path, &st) < 0)
			return failed(-errno, "pid %d: its root directory %s", p->pid, path);
		if (!S_ISDIR(st.st_mode))
			return failed(-ENOTDIR, "pid %d: its root directory %s", p->pid, path);
	}
	return 0;
}

static int take(const char *path, int above)
{
	long fd = syscall(NR_OPEN_TREE, AT_FDCWD, path, TREE_CLONE | O_CLOEXEC);
	int high;

	if (fd < 0)
		return -1;
	high = fcntl((int)fd, F_DUPFD_CLOEXEC, above > HIGH ? above : HIGH);
	if (high < 0)
		return place_above((int)fd, above);
	close((int)fd);
	return high;
}

void jail_descriptors(struct script_builder *s, const struct process_record *p, const char *dir, int above, struct view_fds *fds)
{
	*fds = (struct view_fds){ -1, -1 };
	if (!p || !p->view)
		return;
	fds->proc = take("/proc", above);
	fds->dir = take(dir, above);
	script_step(s, "what is outside of its root directory", STEP_COPY, 0, script_put(s, fds, sizeof(*fds)), p->view, sizeof(*fds), 0, 0, 0);
}

void jail_enter(struct script_builder *s, const struct process_record *p)
{
	char path[VIEW_PATH];

	snprintf(path, sizeof(path), "%.*s", (int)p->root.n, (const char *)p->root.p);
	if (in_jail(p))
		SCRIPT_CALL(s, "its root directory", __NR_chroot, script_put(s, path, strlen(path) + 1), 0, 0, 0, 0);
}
