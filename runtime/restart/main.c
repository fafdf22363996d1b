/*
 * main.c - skshim-restart: load, check, build, start, wait
 *
 * Until tree_go() nothing of the program has run: any failure ends what was
 * made, says one line, and exits 125.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart.h"
#include "skshim/treefile.h"

static struct shms *made_early;     /* files that a failure before the building removes again */

static int refuse(void)
{
	if (made_early)
		shm_undo(made_early);
	log_line(LOG_ERROR, "cannot restart: %s", err_text());
	return EXIT_REFUSED;
}

/* The most descriptors we may have: the builder holds all of the tree's at once. */
static void raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

/* From the process that becomes the tree's ancestor to the launcher: that it runs. The pipe's end says that it doesn't. */
struct ready {
	int32_t root;                /* its pid as the ancestor sees it */
	char shared[TREE_PATH];      /* the tree's shared memory: to be removed when a killed ancestor can't */
};
static int ready_pipe[2] = { -1, -1 };   /* for reading, for writing; none: both are the same process */

/* Could it be written? It is left as it is, or absent. */
static int check_pidfile(const struct options *o)
{
	int fd;

	if (!o->pidfile)
		return 0;
	fd = open(o->pidfile, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd >= 0)
		unlink(o->pidfile);
	else if (errno == EEXIST)
		fd = open(o->pidfile, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return failed(-errno, "%s", o->pidfile);
	close(fd);
	return 0;
}

/* The program runs by now, and goes on when this fails. */
static void write_pidfile(const struct options *o, int pid)
{
	FILE *f;

	if (!o->pidfile)
		return;
	f = fopen(o->pidfile, "we");
	if (f)
		fprintf(f, "%d\n", pid);
	if (!f || fclose(f) != 0)
		log_line(LOG_ERROR, "%s: %s", o->pidfile, strerror(errno));
}

/* In a process of our own: until the program runs, a launcher that is killed takes us with it. */
static void follow_launcher(void)
{
	struct pollfd launcher = { .fd = ready_pipe[1] };

	close(ready_pipe[0]);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	/* one that died before sends nothing any more, but nobody holds the pipe's other end */
	if (poll(&launcher, 1, 0) < 0 || (launcher.revents & POLLERR))
		_exit(EXIT_REFUSED);
}

static void tell_ready(const struct launch *l)
{
	struct ready r = { .root = l->root };

	if (ready_pipe[1] < 0) {
		write_pidfile(l->options, l->root);
		return;
	}
	prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	snprintf(r.shared, sizeof(r.shared), "%s", l->ledger.tree->path);
	if (write(ready_pipe[1], &r, sizeof(r)) != sizeof(r))
		log_line(LOG_WARN, "the launcher is gone");
	close(ready_pipe[1]);
}

/* Ctrl-C and friends go to the program, when it led the terminal's foreground group. */
static void take_terminal(const struct launch *l)
{
	const struct process_record *p = l->image->processes[l->plan.list[0].process].task;
	int tty;

	if (!l->plan.list[0].group || p->tty_pgrp != p->pgid)
		return;
	tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (tty < 0)
		return;
	if (tcgetpgrp(tty) == getpgrp()) {
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(tty, l->root);
	}
	close(tty);
}

/* In the process that becomes the tree's ancestor; its exit status. */
static int build_and_run(void *arg)
{
	struct launch *l = arg;
	const uint64_t all = ~0ull;
	uint64_t old = 0;
	int rc;

	if (ready_pipe[1] >= 0)
		follow_launcher();
	/* nothing may interrupt from here to the program's own first instruction; children inherit the mask */
	/* raw: libc's leaves out the two of its own, and timers of SIGEV_THREAD use one */
	sys_rt_sigprocmask(SIG_SETMASK, &all, &old);
	status_line(l->options, "building");
	rc = rebuild_build(&l->rebuild);
	if (rc == 0)
		rc = shm_make(&l->shms, &l->rebuild, l->plan.highest_fd + 1);
	if (rc == 0)
		rc = ledger_make(&l->ledger, l->image, &l->rebuild, l->outer);
	if (rc == 0)
		rc = sysv_make(&l->shms, l->image, l->ledger.tree);
	if (rc == 0) {
		status_line(l->options, "processes");
		rc = tree_start(l);
		if (rc < 0)
			tree_kill(l);
	}
	if (rc < 0) {
		rebuild_undo(&l->rebuild);
		shm_undo(&l->shms);
		sysv_undo();
		ledger_remove(&l->ledger);
		return refuse();
	}
	take_terminal(l);
	shm_done(&l->shms);
	tree_go(l);
	status_line(l->options, "running");
	tell_ready(l);
	for (uint32_t i = 0; i < l->image->nobjects; i++)
		if (l->rebuild.fds[i] >= 0)
			close(l->rebuild.fds[i]);
	for (int i = 0; i < 3; i++)
		close(l->rebuild.launcher_std[i]);
	wait_forward(l->root);
	sys_rt_sigprocmask(SIG_SETMASK, &old, NULL);
	rc = wait_tree(l);
	treefile_sweep(getenv("TMPDIR"));
	return rc;
}

/* As the pid is seen from outside: the first child of the namespace's init that has it there. */
static int outer_pid(int init_pid, int inner)
{
	char path[64], line[256];
	FILE *f;
	int pid, found = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", init_pid, init_pid);
	f = fopen(path, "re");
	while (f && !found && fscanf(f, "%d", &pid) == 1) {
		FILE *s;
		int last = 0;

		snprintf(path, sizeof(path), "/proc/%d/status", pid);
		s = fopen(path, "re");
		while (s && fgets(line, sizeof(line), s))
			if (strncmp(line, "NSpid:", 6) == 0 && strrchr(line, '\t'))
				last = atoi(strrchr(line, '\t'));
		if (s)
			fclose(s);
		if (last == inner)
			found = pid;
	}
	if (f)
		fclose(f);
	return found;
}

static int launch(struct launch *l)
{
	struct clocks clocks = clocks_needed(l->image);
	int rc, init_pid = 0;
	struct ready r = { 0 };

	treefile_sweep(getenv("TMPDIR"));        /* what killed incarnations left */
	l->namespace = !check_may_set_pids();
	l->outer = l->namespace ? treefile_pidns() : 0;
	if (!l->namespace && check_pids(l->image) < 0)
		return refuse();
	if (!l->namespace && !l->options->detach && !clocks.monotonic && !clocks.boottime)
		return build_and_run(l);
	if (pipe2(ready_pipe, O_CLOEXEC) < 0) {
		failed(-errno, "a pipe");
		return refuse();
	}
	if (l->namespace) {
		bool ipc = sysv_missing(&l->shms, l->image);

		if (ipc)
			sysv_leave(&l->shms, l->image);
		rc = namespace_run(build_and_run, l, ipc, clocks, &init_pid);
	} else {
		clocks_enter(clocks);
		init_pid = fork();
		if (init_pid == 0)
			_exit(build_and_run(l));
		rc = init_pid < 0 ? failed(-errno, "fork") : 0;
	}
	close(ready_pipe[1]);
	if (rc < 0)
		return refuse();
	if (read(ready_pipe[0], &r, sizeof(r)) != sizeof(r)) {
		rc = wait_child(init_pid);
		if (rc == EXIT_REFUSED)      /* and has said why */
			return rc;
		failed(ERR_PLAIN, "the process that was to be the tree's ancestor ended with %d", rc);
		return refuse();
	}
	write_pidfile(l->options, l->namespace ? outer_pid(init_pid, r.root) : r.root);
	if (l->options->detach)
		return 0;
	wait_forward(init_pid);
	rc = wait_child(init_pid);
	unlink(r.shared);
	return rc;
}

static bool holds_checkpoint(const char *dir)
{
	char path[4200];
	struct stat st;

	snprintf(path, sizeof(path), "%s/latest/" IMAGE_MANIFEST, dir);
	if (stat(path, &st) == 0)
		return true;
	snprintf(path, sizeof(path), "%s/" IMAGE_MANIFEST, dir);
	return stat(path, &st) == 0;
}

int main(int argc, char **argv)
{
	static struct options o;
	static struct image image;
	static struct launch l;
	int rc;

	log_setup("skshim", LOG_WARN, NULL);
	rc = options_parse(&o, argc, argv);
	if (rc != 0)
		return rc < 0 ? refuse() : 0;
	/* the shim's own programs don't run under the shim */
	if (o.or_run && !holds_checkpoint(o.dir))
		return command_run(&o);
	raise_limits();
	status_line(&o, "loading");
	rc = image_load(&image, o.dir, IMAGE_EVERYTHING);
	if (rc < 0)
		return refuse();
	l.image = &image;
	l.options = &o;
	rc = plan_make(&l.plan, &image);
	if (rc == 0 && l.plan.n > SHARED_PIDS)
		rc = failed(ERR_PLAIN, "more than %lu processes", SHARED_PIDS);
	if (rc == 0)
		rc = shm_plan(&l.shms, &image);
	if (rc == 0)
		rc = rebuild_begin(&l.rebuild, &image, &o, &image.arena);
	if (rc < 0)
		return refuse();
	if (o.plan) {
		plan_print(&l.plan, &image, &o);
		return 0;
	}
	if (o.sockets_only)
		return command_with_sockets(&l);
	l.shared = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l.shared == MAP_FAILED) {
		failed(-errno, "a shared page");
		return refuse();
	}
	status_line(&o, "checking");
	rc = check_running(&image);
	if (rc == 0)
		rc = check_image(&image);
	if (rc == 0) {
		made_early = &l.shms;
		rc = shm_early(&l.shms, &image);
	}
	if (rc == 0)
		rc = rebuild_check(&l.rebuild);
	if (rc == 0)
		rc = check_pidfile(&o);
	return rc < 0 ? refuse() : launch(&l);
}
