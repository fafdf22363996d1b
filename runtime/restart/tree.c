/*
 * tree.c - the processes, cloned with their old pids
 *
 * Each process is made by its parent with clone3 and set_tid. Then it goes the
 * same way: session and group, children, descriptors, what it says about
 * itself, script. Between the phases all meet at gates that the launcher opens
 * in a shared page, so that a failure anywhere ends everything before anybody
 * has run a single instruction of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart.h"
#include "skshim/treefile.h"
#include "skshim/view.h"

#define PARK_STACK 4096
#define LINGERS 2000                /* ms */
#define SPARE_TRIES 100
#define END_MS 5000
#define LOOKS 64                    /* processes that are looked at in one round */

static void wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
}

static void post(uint32_t *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
	wake(word);
}

/* In a process: its failure becomes the restart's. */
__attribute__((noreturn)) static void give_up(struct launch *l)
{
	uint32_t none = 0;

	if (__atomic_compare_exchange_n(&l->shared->failed, &none, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		snprintf(l->shared->error, sizeof(l->shared->error), "%s", err_text());
		__atomic_store_n(&l->shared->failed, 2, __ATOMIC_SEQ_CST);
	}
	_exit(EXIT_REFUSED);
}

/* The launcher is dead. */
static bool lost(const struct launch *l)
{
	return __atomic_load_n((const uint32_t *)&l->shared->alive, __ATOMIC_SEQ_CST) & SCRIPT_LOST;
}

/* Held until this process ends; glibc's lock word comes first in a mutex. */
static int hold_alive(struct launch *l)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (pthread_mutex_init(&l->shared->alive, &attr) != 0 || pthread_mutex_lock(&l->shared->alive) != 0)
		return failed(ERR_PLAIN, "a lock");
	return 0;
}

static void await_word(struct launch *l, uint32_t *word, uint32_t least)
{
	uint32_t now;

	while ((now = __atomic_load_n(word, __ATOMIC_SEQ_CST)) < least) {
		struct timespec t = { 0, 100000000 };

		if (__atomic_load_n(&l->shared->go, __ATOMIC_SEQ_CST) == 2 || lost(l))
			_exit(EXIT_REFUSED);
		syscall(SYS_futex, word, FUTEX_WAIT, now, &t, NULL, 0);
	}
}

static void await_gate(struct launch *l, uint32_t gate)
{
	await_word(l, &l->shared->gate, gate);
}

static const struct image_process *process_of(const struct launch *l, uint32_t who)
{
	return &l->image->processes[l->plan.list[who].process];
}

/* The n-th number from the top, where few are, or one below that neither the image nor anybody here has. */
static int32_t spare_pid(const struct launch *l, uint32_t n)
{
	int32_t max = 32768;
	FILE *f = fopen("/proc/sys/kernel/pid_max", "re");
	bool taken = true;

	if (f && fscanf(f, "%d", &max) != 1)
		max = 32768;
	if (f)
		fclose(f);
	for (max -= 1 + (int32_t)n; taken && max > 300; max--) {
		taken = kill(max, 0) == 0 || errno != ESRCH || kill(-max, 0) == 0 || errno != ESRCH;
		for (uint32_t i = 0; !taken && i < l->image->nprocesses; i++) {
			const struct process_record *p = l->image->processes[i].task;
			const struct thread_record *t = p->threads.items;

			for (uint32_t k = 0; k < p->threads.n; k++)
				taken |= t[k].tid == max;
		}
		for (uint32_t i = 0; !taken && i < l->plan.n; i++)
			taken = l->plan.list[i].pid == max;
		if (!taken)
			return max;
	}
	return 0;
}

/* --- one process -------------------------------------------------------------------------------------------- */

static int sessions_and_groups(const struct planned *d)
{
	if (d->session) {
		if (setsid() < 0)
			return failed(-errno, "pid %d: a session of its own", d->pid);
	} else if (d->group && setpgid(0, 0) < 0) {
		return failed(-errno, "pid %d: a process group of its own", d->pid);
	}
	return 0;
}

/* A session's first process takes its terminal, where that is the tree's, before it has children who inherit it. */
static int take_terminal(struct launch *l, uint32_t who)
{
	const struct process_record *p = process_of(l, who)->task;
	int fd = p->sid == p->pid && p->tty_dev ? rebuild_terminal(&l->rebuild, p->tty_dev) : -ENOENT;

	if (fd == -ENOENT)
		return -1;
	/* another one may put descriptors at their numbers in the same table before this is closed */
	fd = place_above(fd, l->plan.highest_fd + 1);
	if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) < 0) {
		failed(fd < 0 ? fd : -errno, "pid %d: its controlling terminal", p->pid);
		give_up(l);
	}
	return fd;
}

/* When all are in their groups. Everything is blocked, so from the background too. */
static void set_foreground(struct launch *l, uint32_t who, int tty)
{
	const struct process_record *p = process_of(l, who)->task;

	if (p->tty_pgrp && ioctl(tty, TIOCSPGRP, &p->tty_pgrp) < 0)
		log_line(LOG_INFO, "pid %d: the terminal's foreground group %d is gone: %s", p->pid, p->tty_pgrp, strerror(errno));
	close(tty);
}

/* Ends as it ended. It leaves nothing that its parent may not do: who may not look at it is told another status. */
__attribute__((noreturn)) static void die(const struct launch *l, uint32_t who)
{
	const struct process_record *parent = process_of(l, who)->task;
	const struct dead_record *d = l->image->manifest->dead.items;
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2] = { { 0 } };
	struct rlimit none = { 0, 0 };
	int status = l->plan.list[who].status, sig = WTERMSIG(status);
	char comm[16];

	while (d->pid != l->plan.list[who].pid)
		d++;
	snprintf(comm, sizeof(comm), "%.*s", (int)d->comm.n, (const char *)d->comm.p);
	if (*comm)
		prctl(PR_SET_NAME, comm, 0, 0, 0);
	if (identity_credentials(parent) < 0 || syscall(SYS_capset, &head, caps) < 0)
		_exit(EXIT_REFUSED);
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	setrlimit(RLIMIT_CORE, &none);
	signal(sig, SIG_DFL);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, sig);
	kill(getpid(), sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(EXIT_REFUSED);
}

/* A parent's dead are there, and have announced themselves; what of that was still to be delivered is in the image. */
static int settle_children(struct launch *l, uint32_t who)
{
	struct timespec none = { 0, 0 };
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (uint32_t i = 0; i < l->plan.n; i++) {
		const struct planned *d = &l->plan.list[i];

		if (d->parent != (int32_t)who || d->actor == ACTOR_PROCESS)
			continue;
		if (waitid(P_PID, (id_t)l->shared->pids[i], &info, __WALL | WEXITED | (d->actor == ACTOR_DEAD ? WNOWAIT : 0)) < 0)
			return failed(-errno, "pid %d: its child %d", l->plan.list[who].pid, d->pid);
		if (d->actor == ACTOR_STANDIN)
			l->shared->pids[i] = 0;
		if (d->exit_signal)
			sigaddset(&set, d->exit_signal);
	}
	while (sigtimedwait(&set, &info, &none) > 0)
		;
	return 0;
}

static int open_pages(struct launch *l, const struct image_process *p, int above)
{
	char name[IMAGE_NAME_MAX];
	int fd;

	snprintf(name, sizeof(name), IMAGE_PAGES, p->task->pid);
	fd = openat(l->image->dirfd, name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? failed(-errno, "%s/%s", l->image->dir, name) : place_above(fd, above);
}

/* Where the words of the shared page are once the restorer runs. */
static uint64_t word_at(const struct launch *l, const struct script_builder *s, const void *word)
{
	return s->base + s->size + (uint64_t)((const char *)word - (const char *)l->shared);
}

/* *first: the one with the pid, or, where that has ended, none of them. */
static uint32_t put_threads(struct script_builder *s, const struct process_record *p, struct script_thread *list, uint32_t *first)
{
	const struct thread_record *t = p->threads.items;

	*first = p->threads.n;
	for (uint32_t i = 0; i < p->threads.n; i++) {
		list[i] = (struct script_thread){ .pc = t[i].resume_pc, .sp = t[i].resume_sp, .fs_base = t[i].fs_base, .tid = t[i].tid };
		if (makers_has(t[i].tid)) {
			list[i].state = SCRIPT_PARKED;
			list[i].stack = script_room(s, PARK_STACK) + PARK_STACK;
		}
		if (t[i].tid == p->pid)
			*first = i;
	}
	return p->threads.n;
}

static void put_handover(struct launch *l, struct script_builder *s, const struct process_record *p)
{
	struct handover h = {
		.restarted = 1, .blob = s->base, .blob_size = s->size + SHARED_SIZE, .ready = word_at(l, s, &l->shared->ready),
		.go = word_at(l, s, &l->shared->go), .alive = word_at(l, s, &l->shared->alive), .ledger_entries = l->ledger.entries, .pidns = l->namespace,
	};

	script_step(s, "handing over", STEP_COPY, 0, script_put(s, &h, sizeof(h)), p->handover, sizeof(h), 0, 0, 0);
}

static uint64_t script_size(const struct image_process *p)
{
	const struct aio_record *a = p->task->aio.items;
	uint64_t completions = 0;

	for (uint32_t i = 0; i < p->task->aio.n; i++)
		completions += a[i].events.n / AIO_EVENT + 1;
	/* a part and a span a run, six steps a region, some a descriptor, with their texts */
	return (1ul << 20) + p->runs.n * 2 * (sizeof(struct script_part) + sizeof(struct script_span)) + p->task->vmas.n * (6 * sizeof(struct step) + 320) +
	       p->task->guards.n * (sizeof(struct step) + 32) + p->task->fds.n * 512ul + p->task->threads.n * (256ul + PARK_STACK) + p->task->timers.n * 512ul +
	       completions * (AIO_EVENT + sizeof(struct step) + 64);
}

static int write_script(struct launch *l, uint32_t who, struct script_builder *s, int above)
{
	const struct planned *d = &l->plan.list[who];
	const struct image_process *p = process_of(l, who);
	uint32_t process = d->process;
	struct view_fds fds;
	struct vdso vdso;
	int32_t tids[LOAD_HELPERS] = { 0 };
	struct memory_source from = {
		.pages = open_pages(l, p, above), .large = l->large, .tids = tids, .ledger = &l->ledger, .shms = &l->shms,
	};
	int rc;
	uint64_t gate = word_at(l, s, &l->shared->gate), go = word_at(l, s, &l->shared->failed);
	uint64_t alive = word_at(l, s, &l->shared->alive);

	if (from.pages < 0)
		return from.pages;
	/* what is kept lies in a table of several: it is closed with the rest (preload/fdtable.c) */
	if (d->leads || d->follows)
		l->rebuild.nkept = 0;
	for (uint32_t i = 0; l->large && i < LOAD_HELPERS; i++)
		tids[i] = spare_pid(l, l->plan.n + who * LOAD_HELPERS + i);
	rc = vdso_begin(&vdso, l->image, process);
	if (rc == 0)
		rc = memory_script(s, l->image, process, above, &from, &vdso, s->base + s->size + SHARED_SIZE);
	vdso_end(&vdso);
	if (rc < 0)
		return rc;
	put_handover(l, s, p->task);
	jail_descriptors(s, d->follows ? NULL : p->task, l->ledger.tree->dir, above, &fds);
	rc = identity_script(s, p->task);
	if (rc < 0)
		return rc;
	/* pages, mapped files, what is left of the launcher: all stand above the program's numbers */
	if (!d->leads && !d->follows)
		rebuild_close_rest(&l->rebuild, s, above, &fds);
	script_step(s, "", STEP_POST, 0, word_at(l, s, &l->shared->armed), 0, 0, 0, 0, 0);
	script_step(s, "", STEP_AWAIT, 0, gate, 4, go, alive, 0, 0);
	/* a table of several: when nobody needs any more what is there */
	if (d->leads) {
		rebuild_close_rest(&l->rebuild, s, above, &fds);
		script_step(s, "", STEP_POST, 0, word_at(l, s, &l->shared->closed), 0, 0, 0, 0, 0);
	}
	if (d->leads || d->follows)
		script_step(s, "", STEP_AWAIT, 0, word_at(l, s, &l->shared->closed), l->plan.tables, go, alive, 0, 0);
	if (!d->shares_fs)
		jail_enter(s, p->task);
	return s->rc;
}

/* The process's first thread ends, as it had, and the others go on without it. */
static void end_first(struct script_builder *s, const struct process_record *p)
{
	char name[16] = "";

	memcpy(name, p->comm.p, p->comm.n < sizeof(name) ? p->comm.n : sizeof(name) - 1);
	SCRIPT_CALL(s, "its first thread's name", __NR_prctl, PR_SET_NAME, script_put(s, name, sizeof(name)), 0, 0, 0);
	SCRIPT_CALL(s, "", __NR_exit, p->first_status >> 8 & 0xff, 0, 0, 0, 0);
}

static int run_process(struct launch *l, uint32_t who)
{
	const struct image_process *p = process_of(l, who);
	struct script_builder s;
	struct script_thread *threads = calloc(p->task->threads.n, sizeof(*threads));
	uint32_t first, n;
	int above = l->plan.highest_fd + 1, rc;

	if (!threads)
		return failed(-ENOMEM, "pid %d: memory for its threads", p->task->pid);
	rc = l->plan.list[who].follows ? place_none(&l->rebuild) : place_descriptors(&l->rebuild, l->plan.list[who].process, above);
	if (rc == 0)
		rc = ledger_own(&l->ledger, l->image, &l->rebuild, l->plan.list[who].process);
	if (rc == 0)
		rc = rebuild_link(&l->rebuild, &l->plan, who);
	if (rc == 0) {
		/* what arm() looks at may be another process's to link */
		post(&l->shared->linked);
		await_gate(l, 3);
		rc = script_begin(&s, p, script_size(p));
	}
	if (rc == 0)
		rc = write_script(l, who, &s, above);
	if (rc < 0)
		goto out;
	l->rebuild.script = &s;
	rc = rebuild_arm(&l->rebuild, &l->plan, who);
	if (rc < 0)
		goto out;
	n = put_threads(&s, p->task, threads, &first);
	for (uint32_t i = 0; i < n; i++)
		if (i != first)
			script_step(&s, "thread", STEP_SPAWN, 0, i, 0, 0, 0, 0, 0);
	rc = identity_script_threads_made(&s, p->task);
	if (first < n)
		script_step(&s, "", STEP_RESUME, 0, first, 0, 0, 0, 0, 0);
	else
		end_first(&s, p->task);
	if (rc == 0)
		rc = identity_restore(l->image, &l->plan.list[who]);
	if (rc == 0)
		rc = script_run(&s, l->shared, l->ledger.tree, threads, n);
out:
	free(threads);
	return rc;
}

/*
 * The stand-ins that `parent` made are gone, and with them those that they
 * made: what they leave behind has its parent of later from then on.
 */
static int reap_standins(struct launch *l, int32_t parent)
{
	for (uint32_t i = 0; i < l->plan.n; i++) {
		const struct planned *d = &l->plan.list[i];

		/* await_all() may have met it before */
		if (d->actor != ACTOR_STANDIN || d->parent != parent || !l->shared->pids[i])
			continue;
		if (waitpid(l->shared->pids[i], NULL, 0) < 0)
			return failed(-errno, "stand-in %d", l->shared->pids[i]);
		l->shared->pids[i] = 0;
	}
	return 0;
}

static int make_children(struct launch *l, uint32_t who, bool early)
{
	int rc = 0;

	for (uint32_t i = who + 1; rc == 0 && i < l->plan.n; i++)
		if (l->plan.list[i].parent == (int32_t)who && l->plan.list[i].early == early && l->plan.list[i].brother < 0)
			rc = l->plan.list[i].thread ? makers_child(i, l->plan.list[i].thread) : tree_make(l, i);
	return rc;
}

/* As children of our parent's. */
static int make_brothers(struct launch *l, uint32_t who)
{
	int rc = 0;

	for (uint32_t i = who + 1; rc == 0 && i < l->plan.n; i++)
		if (l->plan.list[i].brother == (int32_t)who)
			rc = tree_make(l, i);
	return rc;
}

__attribute__((noreturn)) static void process_main(struct launch *l, uint32_t who)
{
	const struct planned *d = &l->plan.list[who];
	int rc, tty = -1;
	int32_t pgid = d->pgid;

	if (d->adopts || (d->actor == ACTOR_PROCESS && process_of(l, who)->task->subreaper))
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	rc = makers_begin(l, who);
	if (rc == 0)
		rc = make_brothers(l, who);
	if (rc == 0)
		rc = make_children(l, who, true);
	/* the group that it was made in, which it leaves for a moment */
	if (d->leaves && !pgid)
		pgid = getpgrp();
	if (rc == 0)
		rc = sessions_and_groups(d);
	if (rc == 0 && d->actor == ACTOR_PROCESS)
		tty = take_terminal(l, who);
	if (rc == 0)
		rc = make_children(l, who, false);
	if (rc < 0)
		give_up(l);
	post(&l->shared->born);
	await_gate(l, 1);
	/* who leaves a group behind goes when those who join it are there */
	if (d->leaves)
		await_word(l, &l->shared->placed, l->plan.n - l->plan.leaving);
	if (pgid && setpgid(0, pgid) < 0 && getpgrp() != pgid) {
		failed(-errno, "pid %d: process group %d", d->pid, pgid);
		give_up(l);
	}
	post(&l->shared->placed);
	await_gate(l, 2);
	if (tty >= 0)
		set_foreground(l, who, tty);
	if (d->actor != ACTOR_PROCESS && reap_standins(l, (int32_t)who) < 0)
		_exit(EXIT_REFUSED);
	if (d->actor == ACTOR_STANDIN)
		_exit(0);
	if (d->actor == ACTOR_DEAD)
		die(l, who);
	if (settle_children(l, who) == 0) {
		prctl(PR_SET_CHILD_SUBREAPER, (unsigned long)process_of(l, who)->task->subreaper, 0, 0, 0);
		run_process(l, who);
	}
	give_up(l);
}

/*
 * A killed process's number is free a moment after kill() knows nobody by it, as the kernel cleans up behind the
 * last look at it; nothing tells when. Waits a little: 1 if it may be tried again.
 */
int pid_lingers(int32_t pid, int32_t *tries)
{
	if (kill(pid, 0) < 0 && errno == ESRCH && ++*tries <= LINGERS) {
		usleep(1000);
		return 1;
	}
	errno = EEXIST;
	return 0;
}

/* 0 in the maker; the new process goes its own way. */
int tree_make(struct launch *l, uint32_t who)
{
	const struct planned *d = &l->plan.list[who];
	int32_t pid, tries = 0;
	struct clone_args args = {
		.flags = (d->shares_fs ? CLONE_FS : 0) | (d->shares_files ? CLONE_FILES : 0) | (d->brother >= 0 ? CLONE_PARENT : 0),
		.exit_signal = d->brother >= 0 ? 0 : (uint64_t)d->exit_signal, .set_tid = (uint64_t)&pid, .set_tid_size = 1,
	};
	long rc;

	do {
		pid = d->pid ? d->pid : spare_pid(l, who + (uint32_t)tries * l->plan.n);
		rc = syscall(SYS_clone3, &args, sizeof(args));
		/* a spare one may be taken by somebody else in between, or be a session's, which nothing tells */
	} while (rc < 0 && errno == EEXIST && (d->pid ? pid_lingers(pid, &tries) : pid && ++tries < SPARE_TRIES));
	if (rc == 0)
		process_main(l, who);
	if (rc < 0)
		return failed(-errno, "pid %d%s", pid, errno == EEXIST ? " is taken" : " can't be had");
	l->shared->pids[who] = (int32_t)rc;
	return 0;
}

/* --- the launcher ------------------------------------------------------------------------------------------- */

/* The line of whoever failed first. */
static int tell_failure(struct launch *l)
{
	struct shared *s = l->shared;

	if (s->failed == 2)
		return failed(ERR_PLAIN, "%s", s->error);
	if (s->status.failed == 2)
		return failed((int)s->status.result, "pid %d: the restorer, step %u %.*s", s->status.pid, s->status.step, SCRIPT_WHAT - 1,
			      s->status.what);
	return failed(ERR_PLAIN, "a process of the tree ended while it was being restarted");
}

/* One that may end, and has: its number is somebody else's from now on. */
static bool reap_standin(struct launch *l, int pid)
{
	for (uint32_t i = 0; i < l->plan.n; i++) {
		if (l->shared->pids[i] != pid)
			continue;
		if (l->plan.list[i].actor != ACTOR_STANDIN || l->shared->gate < 2)
			return false;
		waitpid(pid, NULL, 0);
		l->shared->pids[i] = 0;
		return true;
	}
	return false;
}

/*
 * A process that was killed, and whose parent is another one of the tree's, which doesn't look: its number, 0 none.
 * Each call looks at some of them, from *next on.
 */
static int32_t find_killed(const struct launch *l, uint32_t *next)
{
	for (uint32_t n = 0; n < l->plan.n && n < LOOKS; n++, ++*next) {
		const struct planned *d = &l->plan.list[*next % l->plan.n];
		int32_t pid = __atomic_load_n(&l->shared->pids[*next % l->plan.n], __ATOMIC_SEQ_CST);
		struct treefile_stat st;

		if (pid > 0 && (d->actor == ACTOR_PROCESS || l->shared->gate < 2) &&
		    (treefile_stat(pid, &st) < 0 ? kill(pid, 0) < 0 && errno == ESRCH : st.state == 'Z' || st.state == 'X'))
			return pid;
	}
	return 0;
}

/* Waits until `word` has counted every process; a process that ends instead is a failure. */
static int await_all(struct launch *l, uint32_t *word, uint32_t all)
{
	uint32_t now, next = 0;

	while ((now = __atomic_load_n(word, __ATOMIC_SEQ_CST)) < all) {
		struct timespec t = { 0, 20000000 };
		siginfo_t info = { 0 };
		bool idle = syscall(SYS_futex, word, FUTEX_WAIT, now, &t, NULL, 0) < 0 && errno == ETIMEDOUT;
		int32_t killed = idle ? find_killed(l, &next) : 0;

		if (l->shared->failed || l->shared->status.failed)
			return tell_failure(l);
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
			info.si_pid = 0;
		if (*word >= all || (info.si_pid && reap_standin(l, info.si_pid)))
			continue;
		if (!info.si_pid && killed)
			return failed(ERR_PLAIN, "pid %d was killed while it was being restarted", killed);
		if (!info.si_pid)
			continue;
		if (info.si_code == CLD_EXITED)
			return tell_failure(l);
		return failed(ERR_PLAIN, "pid %d ended with signal %d while it was being restarted", info.si_pid, info.si_status);
	}
	return 0;
}

static int pass(struct launch *l, uint32_t *word, uint32_t all, uint32_t gate)
{
	int rc = await_all(l, word, all);

	if (rc < 0)
		return rc;
	__atomic_store_n(&l->shared->gate, gate, __ATOMIC_SEQ_CST);
	wake(&l->shared->gate);
	return 0;
}

int tree_start(struct launch *l)
{
	int rc = hold_alive(l);

	l->image->dirfd = place_above(l->image->dirfd, l->plan.highest_fd + 1);
	if (l->image->dirfd < 0)
		return l->image->dirfd;
	l->root = l->image->manifest->root_pid;
	l->large = load_large(l->image);
	for (uint32_t i = 0; rc == 0 && i < l->plan.n; i++)
		if (l->plan.list[i].parent < 0 && l->plan.list[i].brother < 0)
			rc = tree_make(l, i);
	if (rc == 0)
		rc = pass(l, &l->shared->born, l->plan.n, 1);
	if (rc == 0)
		rc = rebuild_late(&l->rebuild);
	if (rc == 0)
		rc = pass(l, &l->shared->placed, l->plan.n, 2);
	if (rc == 0)
		rc = pass(l, &l->shared->linked, l->plan.nprocesses, 3);
	/* before anybody asks who its parent is, or wants a signal when that ends */
	if (rc == 0)
		rc = reap_standins(l, -1);
	status_line(l->options, "memory");
	if (rc == 0)
		rc = pass(l, &l->shared->armed, l->plan.nprocesses, 4);
	if (rc == 0)
		rc = await_all(l, &l->shared->ready, l->plan.nprocesses);
	return rc;
}

void tree_go(struct launch *l)
{
	l->ledger.tree->root_pid = l->image->manifest->root_pid;
	treefile_ready(l->ledger.tree);
	__atomic_store_n(&l->shared->go, 1, __ATOMIC_SEQ_CST);
	wake(&l->shared->go);
}

/* Until it is one no more, though it may be somebody else's child. */
static void end_process(int32_t pid)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };

	if (p.fd < 0)
		return;
	syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0);
	poll(&p, 1, END_MS);
	close(p.fd);
}

/* Ends what was started; nobody has run yet. Children first: a killed one's number is its own while it has its parent. */
void tree_kill(struct launch *l)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	for (uint32_t i = l->plan.n; i-- > 0;)
		if (l->shared->pids[i] > 0)
			end_process(l->shared->pids[i]);
	__atomic_store_n(&l->shared->go, 2, __ATOMIC_SEQ_CST);
	wake(&l->shared->go);
	wake(&l->shared->gate);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}
