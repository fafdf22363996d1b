/*
 * wait.c - the tree runs
 *
 * In the foreground the launcher is the root's parent: its exit status is the
 * root's as a shell has it. As init of a namespace it also reaps whoever is
 * left to it, and stays until the last is gone, since the kernel would kill
 * them with it.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart.h"

static int shell_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int wait_child(int pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_REFUSED;
	return shell_status(status);
}

int wait_tree(struct launch *l)
{
	int status, result = 0, pid;

	while ((pid = waitpid(-1, &status, WUNTRACED)) > 0 || errno == EINTR) {
		if (pid <= 0 || pid != l->root)
			continue;
		if (WIFSTOPPED(status)) {
			job_stopped(WSTOPSIG(status));
			continue;
		}
		job_ended();
		result = shell_status(status);
		if (!l->namespace)
			break;
	}
	return result;
}

/* sd_notify(3): READY=1 to the datagram socket in NOTIFY_SOCKET. */
static void notify(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, n);
	if (*path == '@')
		addr.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

/* Whoever reads it may have gone after the line it waited for; that must not end the tree. */
static void tell(int fd, const char *line, size_t n)
{
	const struct timespec none = { 0, 0 };
	sigset_t set, old, pending;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigpending(&pending);
	sigprocmask(SIG_BLOCK, &set, &old);
	while (write(fd, line, n) < 0 && errno == EINTR)
		;
	if (!sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&set, NULL, &none) < 0 && errno == EINTR)
			;
	sigprocmask(SIG_SETMASK, &old, NULL);
}

void status_line(const struct options *o, const char *text)
{
	char line[64];
	int n;

	if (strcmp(text, "running") == 0)
		notify();
	if (o->status_fd < 0)
		return;
	n = snprintf(line, sizeof(line), "%s\n", text);
	tell(o->status_fd, line, (size_t)n);
}

void status_end(const struct options *o)
{
	if (o->status_fd > 2)
		close(o->status_fd);
}
