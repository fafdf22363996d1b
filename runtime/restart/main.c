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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart.h"
#include "skshim/quiet.h"
#include "skshim/treefile.h"

static struct shms *made_early;     /* files that a failure before the building removes again */

static int refuse(void)
{
	if (made_early)
		shm_undo(made_early);
	log_line(LOG_ERROR, "cannot restart: %s", err_text());
	return EXIT_REFUSED;
}

static void raise_limit(int which)
{
	struct rlimit r;

	if (getrlimit((__rlimit_resource_t)which, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit((__rlimit_resource_t)which, &r);
	}
}

/* The most descriptors we may have: the builder holds all of the tree's at once; and its files may be of any size. */
static void raise_limits(void)
{
	raise_limit(RLIMIT_NOFILE);
	raise_limit(RLIMIT_FSIZE);
}

/* From the process that becomes the tree's ancestor to the launcher: all is made. Its answer: go. */
struct made {
	int32_t root;                /* its pid as the ancestor sees it */
	char shared[TREE_PATH];      /* the tree's shared memory: to be removed when a killed ancestor can't */
};
/* The launcher's end and the ancestor's, where they are two processes; one that is gone ends the other's reading. */
static int wire[2] = { -1, -1 };

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
	struct pollfd launcher = { .fd = wire[1] };

	close(wire[0]);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	/* one that died before sends nothing any more, but nobody holds the other end */
	if (poll(&launcher, 1, 0) < 0 || (launcher.revents & POLLHUP))
		_exit(EXIT_REFUSED);
}

/* The root's number is known outside before it can end. */
static int tell_made(const struct launch *l)
{
	struct made m = { .root = l->root };
	char go;

	if (wire[1] < 0) {
		write_pidfile(l->options, l->root);
		return 0;
	}
	snprintf(m.shared, sizeof(m.shared), "%s", l->ledger.tree->path);
	if (send(wire[1], &m, sizeof(m), MSG_NOSIGNAL) != sizeof(m) || read(wire[1], &go, 1) != 1)
		return failed(ERR_PLAIN, "the launcher is gone");
	prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	return 0;
}

/* Who reads what a detached restart says finds its end: from now on only the program may hold that open. */
static void leave_standard(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < 3; i++)
		if (fd != i)
			dup2(fd, i);
	if (fd > 2)
		close(fd);
}

static void tell_running(const struct options *o)
{
	status_line(o, "running");
	status_end(o);
	if (wire[1] < 0 || !o->detach)
		return;
	leave_standard();
	if (send(wire[1], "", 1, MSG_NOSIGNAL) != 1)
		log_line(LOG_INFO, "the launcher is gone");
	close(wire[1]);
	wire[1] = -1;
}

/* In the process that becomes the tree's ancestor; its exit status. */
static int build_and_run(void *arg)
{
	struct launch *l = arg;
	struct closing made = { 0, 0 };
	int rc;

	if (wire[1] >= 0)
		follow_launcher();
	status_line(l->options, "building");
	rc = rebuild_build(&l->rebuild);
	if (rc == 0)
		rc = rebuild_kept_above(&l->rebuild, l->plan.highest_fd + 1);
	if (rc == 0)
		rc = shm_make(&l->shms, &l->rebuild, l->plan.highest_fd + 1);
	if (rc == 0)
		rc = cwd_make(&l->rebuild, l->plan.highest_fd + 1);
	if (rc == 0)
		rc = ledger_make(&l->ledger, l->image, &l->rebuild, l->outer);
	if (rc == 0)
		rc = sysv_make(&l->shms, l->image, l->ledger.tree);
	if (rc == 0) {
		status_line(l->options, "processes");
		rc = tree_start(l);
		if (rc == 0)
			rc = tell_made(l);
		if (rc == 0)
			rc = rebuild_ready(&l->rebuild, NULL);
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
	job_begin(l);
	shm_done(&l->shms);
	cwd_done();
	tree_go(l);
	tell_running(l->options);
	for (uint32_t i = 0; i < l->image->nobjects; i++)
		if (l->rebuild.fds[i] >= 0)
			place_close(&made, l->rebuild.fds[i]);
	place_close(&made, -1);
	for (uint32_t i = 0; i < l->rebuild.nkept; i++)
		close(l->rebuild.kept[i].fd);
	for (int i = 0; i < 3; i++)
		close(l->rebuild.launcher_std[i]);
	job_run(l, wire[1]);
	sys_rt_sigprocmask(SIG_SETMASK, &l->mask, NULL);
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

/* In the launcher, whose child becomes the tree's ancestor. */
static int follow(struct launch *l, int ancestor)
{
	struct made m = { 0 };
	char running;
	int rc;

	if (read(wire[0], &m, sizeof(m)) != sizeof(m)) {
		rc = wait_child(ancestor);
		if (rc == EXIT_REFUSED)      /* and has said why */
			return rc;
		failed(ERR_PLAIN, "the process that was to be the tree's ancestor ended with %d", rc);
		return refuse();
	}
	if (l->namespace)
		m.root = outer_pid(ancestor, m.root);
	write_pidfile(l->options, m.root);
	send(wire[0], "", 1, MSG_NOSIGNAL);
	if (l->options->detach)
		return read(wire[0], &running, 1) == 1 ? 0 : EXIT_REFUSED;
	status_end(l->options);
	job_follow(l, m.root, wire[0]);
	rc = wait_child(ancestor);
	unlink(m.shared);
	return rc;
}

static int launch(struct launch *l)
{
	struct clocks clocks = clocks_needed(l->image);
	const uint64_t all = ~0ull;
	int rc, init_pid = 0;

	job_look(l->options);
	treefile_sweep(getenv("TMPDIR"));        /* what killed incarnations left */
	quiet_sweep();
	l->outer = l->namespace ? treefile_pidns() : 0;
	/* nothing may interrupt from here to the program's own first instruction; children inherit the mask */
	/* raw: libc's leaves out the two of its own, and timers of SIGEV_THREAD use one */
	sys_rt_sigprocmask(SIG_SETMASK, &all, &l->mask);
	if (!l->namespace && !l->options->detach && !clocks.monotonic && !clocks.boottime)
		return build_and_run(l);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire) < 0) {
		failed(-errno, "a socket pair");
		return refuse();
	}
	if (l->namespace) {
		bool ipc = !check_may_set_pids() && sysv_missing(&l->shms, l->image);

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
	close(wire[1]);
	return rc < 0 ? refuse() : follow(l, init_pid);
}

/* The tree was on a terminal and has the launcher's now, which only its session can have. */
static bool keeps_terminal(const struct image *image)
{
	int tty = image->processes[0].task->tty_dev ? open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;

	if (tty >= 0)
		close(tty);
	return tty >= 0;
}

/* Where the old pids shall be had: here, or, for who may not choose them and where one is taken, in a namespace of our own. */
static int choose_namespace(struct launch *l)
{
	int rc;

	l->namespace = !check_may_set_pids();
	if (l->options->plan || l->options->sockets_only)
		return 0;
	rc = check_running(l->image);
	if (rc == 0)
		rc = check_init(l->image);
	if (rc < 0 || l->namespace || check_pids(l->image) == 0)
		return rc;
	log_line(LOG_WARN, "%s: the tree gets a pid namespace of its own", err_text());
	err_reset();
	l->namespace = true;
	return 0;
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
	if (o.or_run && !image_is_there(o.dir)) {
		if (!o.plan)
			return command_run(&o);
		printf("%s: no checkpoint, %s is started under the shim\n", o.dir, o.command[0]);
		return 0;
	}
	raise_limits();
	status_line(&o, "loading");
	rc = image_load(&image, o.dir, IMAGE_EVERYTHING);
	if (rc < 0)
		return refuse();
	l.image = &image;
	l.options = &o;
	rc = choose_namespace(&l);
	if (rc == 0)
		rc = o.sockets_only || !l.namespace || keeps_terminal(&image) ? plan_make(&l.plan, &image) :
										 plan_make_alone(&l.plan, &image);
	if (rc == 0 && l.plan.n > SHARED_PIDS)
		rc = failed(ERR_PLAIN, "more than %lu processes", SHARED_PIDS);
	if (rc == 0)
		rc = shm_plan(&l.shms, &image);
	if (rc == 0)
		rc = rebuild_begin(&l.rebuild, &image, &o, &image.arena);
	if (rc == 0)
		rc = address_apply(&l.rebuild);
	if (rc < 0)
		return refuse();
	if (o.plan) {
		plan_print(&l.plan, &l.rebuild);
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
	rc = check_image(&image);
	if (rc == 0)
		rc = jail_there(&image);
	if (rc == 0) {
		made_early = &l.shms;
		rc = shm_early(&l.shms, &image);
	}
	if (rc == 0)
		rc = rebuild_check(&l.rebuild, NULL);
	if (rc == 0)
		rc = check_pidfile(&o);
	return rc < 0 ? refuse() : launch(&l);
}
