/*
 * namespace.c - any pid for anybody
 *
 * A user namespace with the own ids mapped to themselves, a pid namespace in
 * which every number is free, a mount namespace for its /proc. Any user may
 * make them where the system doesn't forbid it (user_namespaces(7)). Who may
 * choose pids anyway needs the latter two only, and only where one is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "restart.h"

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* One id, to itself. */
static int put_map(const char *path, unsigned id)
{
	char text[64];

	snprintf(text, sizeof(text), "%u %u 1", id, id);
	return put(path, text);
}

static int enter(bool ipc)
{
	unsigned uid = geteuid(), gid = getegid();
	int flags = CLONE_NEWUSER | CLONE_NEWPID | (ipc ? CLONE_NEWIPC : 0), rc;

	/* who may choose pids stays who he is */
	if (check_may_set_pids())
		return unshare(CLONE_NEWPID) == 0 ? 0 : failed(-errno, "an old pid is taken, and no pid namespace can be made");
	if (unshare(flags) < 0)
		return failed(-errno, "the old pids can't be had: no capability for clone3's set_tid, and no user namespace "
			      "(user.max_user_namespaces, AppArmor?)");
	rc = put("/proc/self/setgroups", "deny");
	if (rc == 0 || rc == -ENOENT)
		rc = put_map("/proc/self/uid_map", uid);
	if (rc == 0)
		rc = put_map("/proc/self/gid_map", gid);
	return rc < 0 ? failed(rc, "the user namespace's map of ids") : 0;
}

int namespace_run(int (*fn)(void *), void *arg, bool ipc, struct clocks clocks, int *init_pid)
{
	int rc = enter(ipc), pid;

	if (rc < 0)
		return rc;
	clocks_enter(clocks);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return failed(-errno, "the namespace's first process");
	if (pid == 0) {
		/* the launcher keeps the /proc that knows the tree's outer numbers */
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
			log_line(LOG_ERROR, "cannot restart: /proc in the pid namespace: %s", strerror(errno));
			_exit(EXIT_REFUSED);
		}
		_exit(fn(arg));
	}
	*init_pid = pid;
	return 0;
}
