/*
 * checkpoint.c - the conductor
 *
 * Theory of operation. The leader's process and every member do the same:
 *
 *   stop      all threads stand in their signal frames (quiesce.c)
 *   collect   what the kernel knows of the process, into an arena (collect.c)
 *   fork      a copy-on-write child, the writer, has the memory of this moment
 *   go        everybody runs again
 *
 * and the leader does four things more: claims the tree, makes the directory,
 * finds what is one object in several processes, and has its writer commit
 * when all writers are done. Between two stages everybody meets (meet.c).
 *
 * The writer must not be seen: it is made by a short-lived helper that shares
 * our memory (CLONE_VM), is waited for as a clone (__WCLONE, so no SIGCHLD and
 * nothing for the program's wait) and leaves the writer to init. It gives up
 * all descriptors before the program goes on, or a pipe would stay open behind
 * the program's back. Where fork is refused (strict overcommit, process limit)
 * the image is written while the world stands.
 *
 * context_save() in fork_writer() returns twice: in this process, and in the
 * restarted one, years later.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "collect.h"
#include "skshim/held.h"
#include "skshim/view.h"

#include "skshim/frozen.h"

#define NS 1000000000ll
#define MS 1000000ll
#define WRITER_STACK (1024 * 1024)
#define HELPER_STACK (64 * 1024)

struct work work;

static void futex_wait(uint32_t *word, uint32_t value, int64_t ns)
{
	struct __kernel_timespec t = { ns / NS, ns % NS };

	sys_futex(word, FUTEX_WAIT, value, &t);
}

static void set_written(enum written value)
{
	struct member *m = members_self();

	if (!m)
		return;
	__atomic_store_n(&m->written, value, __ATOMIC_SEQ_CST);
	sys_futex(&m->written, FUTEX_WAKE, 0x7fffffff, NULL);
}

bool checkpoint_owns_fd(int fd)
{
	return ledger_owns_fd(fd) || held_tcp_owns(fd) || fd == work.parent || fd == work.partial || fd == work.pages.pagemap || fd == work.pages.mem ||
	       fd == work.files[FILE_TASK] || fd == work.files[FILE_RUNS] || fd == work.files[FILE_PAGES] ||
	       fd == work.files[FILE_KEYS] || fdtable_owns(fd) || jail_owns_fd(fd);
}

/* --- the writer --------------------------------------------------------------------------------------------- */

/* Leaves only the given descriptors; a program may have had its 0, 1 and 2 closed, then they are among them. */
static void close_all_but(const int *keep, int n)
{
	int low = 0;

	for (;;) {
		int next = -1;

		for (int i = 0; i < n; i++)
			if (keep[i] >= low && (next < 0 || keep[i] < next))
				next = keep[i];
		if (next < 0)
			break;
		if (next > low)
			sys_close_range((unsigned)low, (unsigned)next - 1, 0);
		low = next + 1;
	}
	sys_close_range((unsigned)low, ~0u, 0);
}

static int write_pages(struct work *w)
{
	int rc = w->detached;

	if (rc == 0)
		rc = memory_finish(&w->arena, &w->memory, &w->task);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; rc == 0 && i < w->memory.n; i++) {
		const struct region *r = &w->memory.regions[i];

		if (!r->skip && (r->guarded || memory_guarded))
			rc = pages_guards(&w->arena, &w->pages, &w->memory, r);
		if (rc < 0)
			return rc;
		/* what is shared and is not copied is a private mapping of it */
		if (!r->skip && !r->copied && r->vma.content != VMA_FILE_SHARED && r->vma.content != VMA_LEDGER)
			rc = pages_write(&w->arena, &w->pages, r);
	}
	w->task.guards = (struct list){ w->memory.guards, w->memory.nguards };
	if (rc == 0)
		rc = sys_fsync(w->pages.fd);
	return rc < 0 && !*err_text() ? failed(rc, "pid %d: its pages", shim.pid) : rc;
}

static int write_files(struct work *w)
{
	char name[IMAGE_NAME_MAX];
	struct encode e;
	int rc = write_pages(w);

	if (rc < 0)
		return rc;
	encode_begin(&e, &w->arena, "runs");
	for (uint32_t i = 0; i < w->pages.nruns; i++)
		encode_frame(&e, "run", fields_run, &w->pages.runs[i]);
	encode_end(&e);
	text_format(name, sizeof(name), IMAGE_RUNS, shim.pid);
	rc = directory_put(w->files[FILE_RUNS], name, &e);
	if (rc == 0)
		rc = collect_encode(w, &e);
	text_format(name, sizeof(name), IMAGE_TASK, shim.pid);
	return rc < 0 ? rc : directory_put(w->files[FILE_TASK], name, &e);
}

/* The leader's writer waits for the others'. */
static int await_writers(void)
{
	struct tree *t = shim.tree;

	for (uint32_t i = 0; i < t->nmembers; i++) {
		struct member *m = &t->members[i];
		bool ours = false;

		for (uint32_t k = 0; k < work.npids; k++)
			ours |= work.pids[k].pid == m->pid && m->pid > 0;
		if (!ours || m->pid == shim.pid)
			continue;
		for (;;) {
			uint32_t done = __atomic_load_n(&m->written, __ATOMIC_SEQ_CST);

			if (done == WRITTEN_DONE)
				break;
			if (done == WRITTEN_FAILED)
				return ERR_PLAIN;    /* it told why */
			futex_wait(&m->written, done, 100 * MS);
			/* it may not have forked yet, or write itself; gone, it may have finished first */
			if (!meet_alive(m->writer ? m->writer : m->pid) && __atomic_load_n(&m->written, __ATOMIC_SEQ_CST) == done)
				return failed(ERR_PLAIN, "pid %d: the process that wrote its image is gone", m->pid);
		}
	}
	return 0;
}

static int sum_file(struct arena *a, int dirfd, const char *name, bool whole, struct file_sum_record *sum)
{
	struct blob b = { NULL, 0 };
	int fd, rc = 0;

	sum->name = arena_blob(a, name, strlen(name));
	if (whole) {
		rc = arena_read_file(a, dirfd, name, &b);
		sum->size = b.n;
		sum->hash = rc == 0 ? image_hash(b.p, b.n) : 0;
	} else {
		fd = sys_openat(dirfd, name, O_CLOEXEC, 0);
		rc = fd;
		if (fd >= 0) {
			int64_t size = sys_lseek(fd, 0, 2);

			sum->size = (uint64_t)size;
			sum->hash = 0;
			sys_close(fd);
			rc = size < 0 ? (int)size : 0;
		}
	}
	return rc < 0 ? failed(rc, "%s", name) : 0;
}

static int commit(struct work *w)
{
	struct file_sum_record *sums = arena_alloc(&w->arena, 3ul * w->npids * sizeof(*sums));
	uint32_t n = 0;
	char name[IMAGE_NAME_MAX];
	int rc = await_writers();

	if (rc < 0)
		return rc;
	if (!sums)
		return failed(-ENOMEM, "memory for the manifest");
	for (uint32_t i = 0; rc == 0 && i < w->npids; i++) {
		text_format(name, sizeof(name), IMAGE_TASK, w->pids[i].pid);
		rc = sum_file(&w->arena, w->partial, name, true, &sums[n++]);
		text_format(name, sizeof(name), IMAGE_RUNS, w->pids[i].pid);
		if (rc == 0)
			rc = sum_file(&w->arena, w->partial, name, true, &sums[n++]);
		text_format(name, sizeof(name), IMAGE_PAGES, w->pids[i].pid);
		if (rc == 0)
			rc = sum_file(&w->arena, w->partial, name, false, &sums[n++]);
	}
	if (rc == 0)
		rc = manifest_write(&w->arena, sums, n, w->partial);
	return rc < 0 ? rc : directory_commit(w->parent, w->partial, w->number, shim.tree->keep);
}

static void report_failure(void)
{
	meet_tell();
	log_line(LOG_ERROR, "cannot checkpoint: %s", shim.tree->result_text);
}

/* Writes this process's files; the leader's commits. Runs in the writer, or in the stopped process where fork failed. */
static int write_image(struct work *w)
{
	char dir[TREE_DIR + 16];
	int rc;

	if (shim.tree->progress_all == 0)
		w->pages.tree = NULL;
	rc = write_files(w);
	if (rc < 0)
		meet_tell();
	if (!w->leader) {
		set_written(rc < 0 ? WRITTEN_FAILED : WRITTEN_DONE);
		return rc;
	}
	if (rc == 0)
		rc = commit(w);
	if (rc < 0) {
		directory_abandon(w->parent, w->number);
		report_failure();
		meet_result(RESULT_FAILED, "");
	} else {
		text_format(dir, sizeof(dir), "%s/%06u", shim.tree->dir, w->number);
		log_line(LOG_INFO, "checkpoint %s", dir);
		meet_result(RESULT_COMPLETE, dir);
	}
	return rc;
}

/*
 * What stays behind the process is made when the image is there, and by the writer: the process may have been killed
 * meanwhile. If the leader's writer is killed, nothing comes of it.
 */
static void leave_behind(struct work *w)
{
	struct tree *t = shim.tree;
	uint32_t seen;

	if (!w->all.leave)
		return;
	while ((seen = __atomic_load_n(&t->result_seq, __ATOMIC_SEQ_CST)) != t->taken && (w->leader || meet_alive(t->writer > 0 ? t->writer : (int)t->leader)))
		futex_wait(&t->result_seq, seen, 200 * MS);
	if (seen == t->taken && t->result == RESULT_COMPLETE)
		w->all.leave(&w->all);
}

static void writer_main(void *arg)
{
	struct work *w = arg;
	int32_t coming = WRITER_COMING;
	int keep[] = { w->files[FILE_TASK], w->files[FILE_RUNS], w->files[FILE_PAGES], w->partial, w->parent, 2 /* the log */,
		       w->all.leave ? w->all.leave_fd : 2, view.fds.proc, view.fds.dir };

	/* the leader may be killed before it does this */
	if (w->leader)
		__atomic_compare_exchange_n(&shim.tree->writer, &coming, sys_getpid(), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	close_all_but(keep, sizeof(keep) / sizeof(*keep));
	w->pages.pagemap = w->pages.mem = -1;   /* the program's, not ours */
	sys_prctl(PR_SET_NAME, (unsigned long)"skshim-writer", 0, 0, 0);
	thread_leave_rseq(&quiesce.slots[quiesce.leader]);
	SYS0(__NR_setsid);
	w->detached = memory_detach(&w->arena, &w->memory);
	set_written(WRITTEN_DETACHED);
	write_image(w);
	leave_behind(w);
	if (w->leader)
		meet_abandon();
	sys_exit_group(0);
}

/* Shares our memory; the writer it forks doesn't. */
static int helper_main(void *arg)
{
	struct work *w = arg;
	long pid = SYS5(__NR_clone, 0, 0, 0, 0, 0);

	if (pid == 0)
		context_call(writer_main, w, w->writer_stack + WRITER_STACK);
	w->writer = (int32_t)pid;
	return 0;
}

/* --- every process ------------------------------------------------------------------------------------------ */

static int spawn_writer(struct work *w)
{
	char *helper_stack = arena_alloc(&w->arena, HELPER_STACK);
	struct member *self = members_self();
	int32_t coming = WRITER_COMING;
	int status;
	long pid;

	w->writer_stack = arena_alloc(&w->arena, WRITER_STACK);
	if (!helper_stack || !w->writer_stack)
		return failed(-ENOMEM, "pid %d: memory for the writer", shim.pid);
	w->writer = 0;
	w->detached = 0;
	if (w->leader)
		__atomic_store_n(&shim.tree->writer, WRITER_COMING, __ATOMIC_SEQ_CST);
	pid = context_clone(CLONE_VM | CLONE_FS | CLONE_FILES, helper_stack + HELPER_STACK, helper_main, w);
	if (pid > 0)
		while (sys_wait4((int)pid, &status, __WCLONE) == -EINTR)
			;
	if (w->leader)
		__atomic_compare_exchange_n(&shim.tree->writer, &coming, w->writer > 0 ? w->writer : 0, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST);
	if (pid < 0 || w->writer <= 0)
		return pid < 0 ? (int)pid : w->writer;
	if (self)
		self->writer = w->writer;
	/* until it has closed its descriptors */
	while (self && __atomic_load_n(&self->written, __ATOMIC_SEQ_CST) == WRITTEN_NOT) {
		futex_wait(&self->written, WRITTEN_NOT, 20 * MS);
		if (!meet_alive(w->writer) && __atomic_load_n(&self->written, __ATOMIC_SEQ_CST) == WRITTEN_NOT)
			return failed(ERR_PLAIN, "pid %d: the process that writes its image was killed", shim.pid);
	}
	return 0;
}

/* 0: the writer is at work; 1: in the restarted process; negative: failed. */
static int fork_writer(struct work *w)
{
	int rc;

	if (context_save(&quiesce.slots[quiesce.leader].context))
		return 1;
	rc = spawn_writer(w);
	if (rc >= 0)
		return 0;
	if (*err_text())
		return rc;
	log_line(LOG_INFO, "pid %d: no fork (%s): writing while the program stands", shim.pid, text_error(rc));
	if (w->leader) {
		/* the members' parts, which the leader's waits for */
		rc = meet_phase(PHASE_FORK, MEMBER_FORKED);
		if (rc < 0)
			return rc;
	} else {
		set_written(WRITTEN_STANDING);
	}
	write_image(w);
	collection_relock(&w->all);
	return 0;
}

static void raise_limit(int resource, struct raised *had)
{
	struct raised most;

	if (sys_prlimit(0, resource, NULL, (struct rlimit64 *)had) < 0 || had->soft >= had->hard)
		return;
	most = (struct raised){ had->hard, had->hard };
	sys_prlimit(0, resource, (struct rlimit64 *)&most, NULL);
}

/* Stops, clocks included. */
static int stop_process(struct work *w, ucontext_t *uc)
{
	struct __kernel_timespec t;
	struct member *self = members_self();
	int rc;

	rc = quiesce_stop(uc);
	if (rc < 0)
		return rc;
	stopped_look();
	/* a program may have used up its descriptors; looking at them takes some more, and files are written */
	raise_limit(RLIMIT_NOFILE, &w->nofile);
	raise_limit(RLIMIT_FSIZE, &w->fsize);
	w->dumpable = (uint32_t)sys_prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	w->stood = true;
	thread_fsids_raise(&quiesce.slots[quiesce.leader]);
	if (w->dumpable != 1)
		sys_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (self) {
		self->tid = quiesce_base();
		self->ppid = sys_getppid();
		self->written = WRITTEN_NOT;
		self->writer = 0;
		self->wants = 0;
	}
	sys_clock_gettime(0, &t);
	w->realtime = t.tv_sec * NS + t.tv_nsec;
	w->monotonic = quiesce.stopped_at;
	sys_clock_gettime(7, &t);
	w->boottime = t.tv_sec * NS + t.tv_nsec;
	return 0;
}

/* In the restarted process: the arena is gone, the tree's shared memory is new. */
static void restarted(void)
{
	uint32_t *ready = (uint32_t *)handover.ready, *go = (uint32_t *)handover.go, *alive = (uint32_t *)handover.alive;

	jail_restored();
	held_tcp_forget();
	thread_restore(&quiesce.slots[quiesce.leader]);
	quiesce_wait_restored();
	late_timer_arm();
	work.arena.base = NULL;
	work.arena.size = 0;
	if (work.task.subreaper)
		sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	attribute_process_restore();
	if (work.task.dumpable <= 1)
		sys_prctl(PR_SET_DUMPABLE, work.task.dumpable, 0, 0, 0);
	notify_restore();
	undo_restore();
	memory_restored();
	members_join();
	peer_restarted();
	ledger_restarted();
	__atomic_fetch_add(ready, 1, __ATOMIC_SEQ_CST);
	sys_futex(ready, FUTEX_WAKE, 0x7fffffff, NULL);
	while (__atomic_load_n(go, __ATOMIC_SEQ_CST) == 0 && !(alive && (__atomic_load_n(alive, __ATOMIC_SEQ_CST) & SCRIPT_LOST)))
		futex_wait(go, 0, 100 * MS);
	if (__atomic_load_n(go, __ATOMIC_SEQ_CST) != 1)
		sys_exit_group(125);
	sys_munmap((void *)handover.blob, handover.blob_size);
	log_setup("skshim", (enum log_level)shim.tree->log_level, *shim.tree->log_path ? shim.tree->log_path : NULL);
	stopped_settle();
	stopped_again();
	quiesce.stood = stop_now() - quiesce.stopped_at;
	quiesce_release();
	api_after(true);
}

/* --stop, SKSHIM_AFTER=exit: nobody runs again. */
static void end_tree(void)
{
	struct tree *t = shim.tree;

	if (work.writer <= 0 && work.all.leave) /* or the writer does */
		work.all.leave(&work.all);
	sys_exit_group(t->after_exit ? (int)t->after_code : 0);
}

/*
 * The writers of its descendants shall not become its children. All processes stand: until the last one has ended
 * this, none may run, or its orphans would find another parent.
 */
static void reaper_pause(struct work *w)
{
	uint32_t subreaper = 0;

	if (sys_prctl(PR_GET_CHILD_SUBREAPER, (unsigned long)&subreaper, 0, 0, 0) < 0 || !subreaper)
		return;
	__atomic_fetch_add(&shim.tree->reapers, 1, __ATOMIC_SEQ_CST);
	w->subreaper = true;
	sys_prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

/* One that was killed meanwhile never ends it. */
static void reapers_await(void)
{
	struct __kernel_timespec step = { .tv_nsec = 10 * MS };
	int64_t until = stop_now() + NS;
	uint32_t left;

	while ((left = __atomic_load_n(&shim.tree->reapers, __ATOMIC_SEQ_CST)) && stop_now() < until)
		sys_futex(&shim.tree->reapers, FUTEX_WAIT, left, &step);
}

/* What every process does once it stands and the leader says so; `w` is filled. */
static int part_collect(struct work *w)
{
	int rc;

	if (!stopped_any())
		thread_look_again(&quiesce.slots[quiesce.leader]);
	reaper_pause(w);
	rc = fdtable_look();
	if (rc == 0)
		rc = fdtable_await();
	if (rc == 0)
		rc = collect_process(w);
	if (rc < 0 && !*err_text())
		failed(rc, "pid %d: collecting", shim.pid);
	return rc;
}

/* Whoever describes a table that is this process's too leaves these out. */
static void tell_descriptors(struct work *w)
{
	const int fds[] = { w->files[FILE_TASK], w->files[FILE_RUNS], w->files[FILE_PAGES], w->files[FILE_KEYS], w->pages.pagemap, w->pages.mem,
			    view.fds.proc, view.fds.dir };

	if (fdtable_quiet())
		fdtable_tell(fds, sizeof(fds) / sizeof(*fds));
}

/* A member's way through the stages once it stands; 0, 1 in the restarted process, 2 when the leader gave up, or negative. */
static int join_stages(struct work *w)
{
	int rc = collect_adopt(w);

	if (rc < 0)
		return rc;
	meet_reached(MEMBER_STOPPED);
	if (meet_wait(PHASE_COLLECT))
		return 2;
	rc = directory_join();
	if (rc == 0)
		rc = part_collect(w);
	if (rc == 0)
		rc = manifest_keys_write();
	if (rc < 0)
		return rc;
	tell_descriptors(w);
	meet_reached(MEMBER_COLLECTED);
	return meet_wait(PHASE_FORK) ? 2 : fork_writer(w);
}

void checkpoint_join(ucontext_t *uc)
{
	struct tree *t = shim.tree;
	struct work *w = &work;
	bool hooked, stood = false;
	int rc;

	stopped_entered();
	if (!t->leader || t->phase != PHASE_STOP) {
		signals_hide(uc);      /* an order that came late, a request whose checkpoint has only begun: it will be ordered */
		stopped_again();
		return;
	}
	err_reset();
	w->leader = false;
	rc = collect_begin(w);
	hooked = rc == 0 && api_before() == 0;
	if (rc == 0)
		rc = hooked ? stop_process(w, uc) : failed(ERR_PLAIN, "pid %d: the program's own hook refuses", shim.pid);
	stood = rc == 0;
	if (rc == 0)
		rc = join_stages(w);
	if (rc == 1) {
		restarted();
		return;
	}
	if (rc < 0)
		meet_tell();
	if (rc != 2) {
		trigger_answered();
		meet_reached(rc < 0 ? MEMBER_FAILED : MEMBER_FORKED);
		meet_wait(PHASE_GO);
	}
	if (t->ending && t->result == RESULT_COMPLETE && t->result_seq == t->taken)
		end_tree();
	collect_end(w);
	meet_reached(MEMBER_ALIVE);
	reapers_await();
	stopped_settle();
	fdtable_leave();
	stopped_again();
	fdtable_await_left();
	if (stood)
		quiesce_release();
	if (hooked)
		api_after(false);
}

static void begin(struct work *w)
{
	struct tree *t = shim.tree;

	err_reset();
	w->leader = true;
	__atomic_store_n(&t->again, 0, __ATOMIC_SEQ_CST);       /* whoever has asked until now is served */
	t->taken = __atomic_add_fetch(&t->request, 1, __ATOMIC_SEQ_CST);
	t->ending = __atomic_exchange_n(&t->stop_after, 0, __ATOMIC_SEQ_CST) || t->after_exit;
	t->told = 0;
	t->reapers = 0;
	t->result_text[0] = 0;
	t->progress_done = 0;
	t->progress_all = 0;
	__atomic_store_n(&t->result, RESULT_RUNNING, __ATOMIC_SEQ_CST);      /* meet_answers() from here on */
}

/* What `skshim checkpoint` shows of the way. */
static void measure(struct work *w)
{
	struct tree *t = shim.tree;
	struct blob statm;
	uint64_t pages = 0;

	w->pages.tree = t;
	if (arena_read_file(&w->arena, AT_FDCWD, "/proc/thread-self/statm", &statm) == 0) {
		const char *p = statm.p, *end = p + statm.n;

		if (text_number(&p, end, 10, &pages) && p < end && *p++ == ' ' && text_number(&p, end, 10, &pages))
			t->progress_all = (uint32_t)(pages * ARCH_PAGE >> 20) + 1;
	}
}

/* With --stop nobody runs before the image is on disk. */
static bool await_complete(void)
{
	struct tree *t = shim.tree;
	uint32_t seen;

	while ((seen = __atomic_load_n(&t->result_seq, __ATOMIC_SEQ_CST)) != t->taken) {
		futex_wait(&t->result_seq, seen, 200 * MS);
		if (!meet_alive(t->writer) && __atomic_load_n(&t->result_seq, __ATOMIC_SEQ_CST) == seen) {
			failed(ERR_PLAIN, "pid %d: the process that wrote its image was killed", shim.pid);
			return false;
		}
	}
	return t->result == RESULT_COMPLETE;
}

/* The leader's way through the stages; 0, 1 in the restarted process, or negative with everything still standing. */
static int lead_stages(struct work *w)
{
	int rc = directory_begin();

	w->number = shim.tree->number;
	if (rc == 0)
		rc = collect_adopt(w);
	if (rc == 0)
		rc = meet_stop();
	if (rc == 0)
		rc = meet_phase(PHASE_COLLECT, MEMBER_STOPPED);
	if (rc == 0)
		rc = part_collect(w);
	if (rc == 0)
		rc = meet_phase(PHASE_COLLECT, MEMBER_COLLECTED);
	if (rc == 0)
		rc = manifest_unify();
	if (rc == 0)
		rc = zombies_collect();
	if (rc == 0)
		rc = fork_writer(w);
	if (rc == 0)
		rc = meet_phase(PHASE_FORK, MEMBER_FORKED);
	return rc;
}

void checkpoint_lead(ucontext_t *uc)
{
	struct work *w = &work;
	bool writing, stood = false, hooked;
	int rc;

	if (meet_answers()) {
		checkpoint_join(uc);
		return;
	}
	stopped_entered();
	if (!meet_claim()) {
		signals_hide(uc);
		stopped_again();
		return;
	}
	begin(w);
	rc = collect_begin(w);
	hooked = rc == 0 && api_before() == 0;
	if (rc == 0 && !hooked)
		rc = failed(ERR_PLAIN, "pid %d: the program's own hook refuses", shim.pid);
	if (rc == 0) {
		measure(w);
		rc = meet_untraced();
	}
	if (rc == 0) {
		meet_reached(MEMBER_STOPPED);
		rc = stop_process(w, uc);
		stood = rc == 0;
	}
	if (rc == 0)
		rc = lead_stages(w);
	if (rc == 1) {
		restarted();
		return;
	}
	writing = w->writer > 0;
	trigger_answered();
	if (rc < 0) {
		meet_tell();
		if (writing)
			sys_kill(w->writer, 9);
		if (w->parent >= 0)
			directory_abandon(w->parent, w->number);
		log_line(LOG_ERROR, "cannot checkpoint: %s", shim.tree->result_text);
		meet_result(RESULT_FAILED, "");
		writing = false;
	} else if (shim.tree->ending && await_complete()) {
		meet_go();
		end_tree();
	}
	meet_go();
	collect_end(w);
	meet_reached(MEMBER_ALIVE);
	reapers_await();
	stopped_settle();
	fdtable_leave();
	if (writing)
		meet_leave(w->writer);
	else
		meet_abandon();
	stopped_again();
	fdtable_await_left();
	if (stood)
		quiesce_release();
	if (hooked)
		api_after(false);
}
