/*
 * command.c - skshim-restart in front of a program: --or-run, --sockets-only
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "restart.h"

static int exec_failed(const char *name)
{
	int rc = -errno;

	failed(rc, "%s", name);
	log_line(LOG_ERROR, "cannot run: %s", err_text());
	return rc == -ENOENT ? 127 : 126;
}

/* The first start: as `skshim run -D DIR -- app`, by the skshim beside us. */
int command_run(const struct options *o)
{
	char path[PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	int argc = 0;
	char **argv;

	while (o->command[argc])
		argc++;
	argv = calloc((size_t)argc + 6, sizeof(*argv));
	if (n <= 0 || !argv)
		return exec_failed("skshim");
	path[n] = 0;
	strcpy(strrchr(path, '/') + 1, "skshim");
	argv[0] = path;
	argv[1] = "run";
	argv[2] = "-D";
	argv[3] = (char *)o->dir;
	argv[4] = "--";
	memcpy(argv + 5, o->command, (size_t)argc * sizeof(*argv));
	execv(path, argv);
	return exec_failed(path);
}

static bool is_socket(const struct launch *l, uint32_t obj)
{
	return l->image->objects[obj].common->cookie != 0;
}

static bool is_listening(int fd)
{
	int on = 0;
	socklen_t n = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &n) == 0 && on;
}

/* Nothing stands there, or something of ours that exec closes; the program's sockets stay open. */
static bool is_spare(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags < 0 || (flags & FD_CLOEXEC);
}

/* sd_listen_fds(3) wants listeners from number 3 on without a gap: duplicates fill the gaps. */
static void announce(const struct launch *l, const struct process_record *p)
{
	const struct fd_record *f = p->fds.items;
	char names[4096] = "", text[32];
	int next = 3;

	for (uint32_t i = 0; i < p->fds.n; i++) {
		if (!is_socket(l, f[i].obj) || !is_listening(f[i].fd))
			continue;
		if (f[i].fd != next && (!is_spare(next) || dup2(f[i].fd, next) < 0))
			break;
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%sfd%d", next > 3 ? ":" : "", f[i].fd);
		next++;
	}
	snprintf(text, sizeof(text), "%d", next - 3);
	setenv("LISTEN_FDS", text, 1);
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

/* Only the root's sockets are made; everything else of the image is left where it is. */
static int build_sockets(struct launch *l, const struct process_record *p, bool *wanted)
{
	struct image *image = l->image;
	const struct fd_record *f = p->fds.items;
	int rc;

	if (!wanted)
		return failed(-ENOMEM, "memory for %u objects", image->nobjects);
	for (uint32_t i = 0; i < p->fds.n; i++)
		wanted[f[i].obj] = is_socket(l, f[i].obj);
	rc = rebuild_check(&l->rebuild, wanted);
	rc = rc < 0 ? rc : rebuild_some(&l->rebuild, wanted);
	for (uint32_t i = 0; i < image->nobjects && rc >= 0; i++)
		if (wanted[i] && image->objects[i].kind->arm)
			rc = image->objects[i].kind->arm(&l->rebuild, i, image->objects[i].rec, l->rebuild.fds[i]);
	return rc;
}

int command_with_sockets(struct launch *l)
{
	const struct process_record *p = l->image->processes[plan_root(&l->plan)->process].task;
	const struct fd_record *f = p->fds.items;
	bool *wanted = calloc(l->image->nobjects + 1, sizeof(*wanted));
	int rc = build_sockets(l, p, wanted), above = l->plan.highest_fd + 1;

	for (uint32_t i = 0; rc >= 0 && i < p->fds.n; i++)
		if (is_socket(l, f[i].obj)) {
			l->rebuild.fds[f[i].obj] = place_above(l->rebuild.fds[f[i].obj], above);
			rc = l->rebuild.fds[f[i].obj];
		}
	for (uint32_t i = 0; rc >= 0 && i < p->fds.n; i++)
		if (is_socket(l, f[i].obj) && dup2(l->rebuild.fds[f[i].obj], f[i].fd) < 0)
			rc = failed(-errno, "fd %d", f[i].fd);
	if (rc >= 0)
		rc = rebuild_ready(&l->rebuild, wanted);
	free(wanted);
	if (rc < 0) {
		rebuild_undo(&l->rebuild);
		log_line(LOG_ERROR, "cannot restart: %s", err_text());
		return EXIT_REFUSED;
	}
	announce(l, p);
	execvp(l->options->command[0], l->options->command);
	return exec_failed(l->options->command[0]);
}
