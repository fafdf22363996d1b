/*
 * check.c - does the image make sense?
 *
 * Hashes tell an accident; these tell an image that somebody made on purpose,
 * or a writer's mistake. After them the restart may use every index, address
 * and length without a thought.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "skshim/arch_x86_64.h"
#include "skshim/err.h"
#include "skshim/tree.h"

#include "load.h"

#define AUXV_ENTRY 16
#define SIGINFO_BYTES 128

#define EACH(T, v, list) (const T *v = (list).items, *v##_end = v + (list).n; v < v##_end; v++)

/* First of two equal numbers in n sorted ones, or NULL. */
static const int32_t *pids_twice(int32_t *pids, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		if (pids[i - 1] == pids[i])
			return &pids[i];
	return NULL;
}

static int pid_order(const void *a, const void *b)
{
	const int32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool pid_known(const int32_t *sorted, uint32_t n, int32_t pid)
{
	return bsearch(&pid, sorted, n, sizeof(pid), pid_order) != NULL;
}

/* All pids of the tree, the dead included, none twice. */
static int check_pids(const struct image *image, int32_t *pids)
{
	const struct manifest_record *m = image->manifest;
	uint32_t n = 0;

	for EACH(struct pid_record, p, m->processes)
		pids[n++] = p->pid;
	qsort(pids, n, sizeof(*pids), pid_order);
	if (n == 0)
		return image_damaged(image, "has no processes");
	for EACH(struct pid_record, p, m->processes)
		if (p->exit_signal > TASK_SIGNALS + 1)
			return image_damaged(image, "%d: the signal of its end is %u", p->pid, p->exit_signal - 1);
	if (!pid_known(pids, n, m->root_pid))
		return image_damaged(image, "the root %d is no process of it", m->root_pid);
	for EACH(struct dead_record, d, m->dead) {
		if (!pid_known(pids, m->processes.n, d->ppid))
			return image_damaged(image, "nobody waits for the dead process %d", d->pid);
		if (d->pgid < 0 || d->sid < 0)
			return image_damaged(image, "the dead process %d is of no group", d->pid);
		if (d->exit_signal > TASK_SIGNALS + 1)
			return image_damaged(image, "%d: the signal of its end is %u", d->pid, d->exit_signal - 1);
	}
	for EACH(struct dead_record, d, m->dead)
		pids[n++] = d->pid;
	qsort(pids, n, sizeof(*pids), pid_order);
	if (pids[0] <= 0)
		return image_damaged(image, "%d is no pid", pids[0]);
	if (pids_twice(pids, n))
		return image_damaged(image, "pid %d is there twice", *pids_twice(pids, n));
	return 0;
}

int check_manifest(const struct image *image)
{
	const struct manifest_record *m = image->manifest;
	int32_t *pids;
	int rc;

	if (m->version != IMAGE_VERSION)
		return image_damaged(image, "manifest: version %u in a file of version %d", m->version, IMAGE_VERSION);
	if (!blob_is(m->arch, ARCH_NAME)) {
		failed(ERR_PLAIN, "image %s: of a %.*s machine, this one is " ARCH_NAME, image->dir,
		       (int)(m->arch.n < 32 ? m->arch.n : 32), (const char *)m->arch.p);
		return -EPROTONOSUPPORT;
	}
	if (m->page_size != ARCH_PAGE) {
		failed(ERR_PLAIN, "image %s: of a machine with pages of %u bytes, here they have %lu", image->dir, m->page_size, ARCH_PAGE);
		return -EPROTONOSUPPORT;
	}
	if (m->stopped > 1)
		return image_damaged(image, "manifest: stopped is %u", m->stopped);
	if (m->realtime_ns < 0 || m->monotonic_ns < 0 || m->boottime_ns < 0)
		return image_damaged(image, "manifest: a clock before its beginning");
	if (m->signal > TASK_SIGNALS || m->after_exit > 1 || m->after_code > 255 || m->log_level > LOG_DEBUG || m->backtrace > 1 ||
	    m->checkpoint_dir.n >= TREE_DIR || m->log_path.n >= TREE_DIR || m->shim_path.n >= TREE_DIR || m->preload.n >= TREE_DIR)
		return image_damaged(image, "manifest: how the tree was set up makes no sense");
	pids = calloc((size_t)m->processes.n + m->dead.n + 1, sizeof(*pids));
	if (!pids)
		return failed(-ENOMEM, "image %s", image->dir);
	rc = check_pids(image, pids);
	free(pids);
	return rc;
}

static bool user_address(uint64_t a)
{
	return a < ARCH_TASK_END;
}

static int check_pending(const struct image *image, int32_t id, const struct list *pending)
{
	for EACH(struct siginfo_record, s, *pending)
		if (s->sig < 1 || s->sig > TASK_SIGNALS || s->info.n != SIGINFO_BYTES)
			return image_damaged(image, "%d: pending signal %d with %lu bytes", id, s->sig, s->info.n);
	return 0;
}

static int check_thread(const struct image *image, const struct thread_record *t)
{
	if (t->tid <= 0)
		return image_damaged(image, "%d is no thread id", t->tid);
	if (!user_address(t->resume_sp) || !user_address(t->resume_pc) || !user_address(t->frame) || !user_address(t->fs_base) ||
	    !user_address(t->gs_base) || !user_address(t->clear_tid) || !user_address(t->robust_list) || !user_address(t->rseq))
		return image_damaged(image, "thread %d: an address that no program has", t->tid);
	if (t->affinity.n % 8 || t->no_new_privs > 1)
		return image_damaged(image, "thread %d: affinity or no_new_privs", t->tid);
	return check_pending(image, t->tid, &t->pending);
}

static int check_threads(const struct image *image, const struct process_record *t)
{
	int32_t *tids = calloc((size_t)t->threads.n + 1, sizeof(*tids));
	uint32_t n = 0;
	int rc = 0;

	if (!tids)
		return failed(-ENOMEM, "image %s", image->dir);
	for EACH(struct thread_record, thread, t->threads) {
		rc = check_thread(image, thread);
		if (rc < 0)
			goto out;
		tids[n++] = thread->tid;
	}
	qsort(tids, n, sizeof(*tids), pid_order);
	if (pid_known(tids, n, t->pid) == (t->first_ended != 0))
		rc = image_damaged(image, "%d: its first thread %s", t->pid, t->first_ended ? "has ended, and is there" : "is missing");
	else if (!pid_known(tids, n, t->leader_tid))
		rc = image_damaged(image, "%d: the leader %d is no thread of it", t->pid, t->leader_tid);
	else if (pids_twice(tids, n))
		rc = image_damaged(image, "%d: thread %d is there twice", t->pid, *pids_twice(tids, n));
out:
	free(tids);
	return rc;
}

static int check_fds(const struct image *image, const struct image_process *p)
{
	int32_t last = -1;

	for EACH(struct fd_record, fd, p->task->fds) {
		if (fd->fd <= last || fd->cloexec > 1)
			return image_damaged(image, "%d: descriptor %d behind %d, close on exec %u", p->task->pid, fd->fd, last, fd->cloexec);
		if (fd->obj >= p->nobjects)
			return image_damaged(image, "%d: descriptor %d is of no object", p->task->pid, fd->fd);
		last = fd->fd;
	}
	return 0;
}

static bool is_open(const struct process_record *t, uint32_t number)
{
	const struct fd_record *fd = t->fds.items;

	for (uint32_t i = 0; i < t->fds.n; i++)
		if (fd[i].fd == (int32_t)number)
			return true;
	return false;
}

static const char *vma_wrong(const struct process_record *t, const struct vma_record *v)
{
	bool file = v->content == VMA_FILE_PRIVATE || v->content == VMA_FILE_SHARED;
	uint32_t sharing = v->map_flags & MAP_TYPE;

	if (v->start >= v->end || v->end > ARCH_TASK_END || v->start % ARCH_PAGE || v->end % ARCH_PAGE)
		return "bounds";
	if (v->prot & ~(uint32_t)(PROT_READ | PROT_WRITE | PROT_EXEC))
		return "protection";
	if (v->content > VMA_AIO)
		return "content";
	/* that of an io_uring is a descriptor, perhaps of another process's table: check_tables() */
	if (v->content != VMA_RING && (file ? v->file >= t->files.n : v->file != OBJ_NONE && v->file >= t->files.n))
		return "file";
	if (v->content == VMA_SHARED ? v->shm >= t->shared.n : v->shm != OBJ_NONE)
		return "shared object";
	if (v->offset % ARCH_PAGE || (v->content == VMA_SHARED && v->offset > ARCH_TASK_END))
		return "offset";
	if ((v->content == VMA_ANON || v->content == VMA_FILE_PRIVATE) && sharing != MAP_PRIVATE)
		return "flags";
	if (v->content == VMA_SHARED && sharing != MAP_SHARED && sharing != MAP_PRIVATE)
		return "flags";
	if ((v->content == VMA_FILE_SHARED || v->content == VMA_RING || v->content == VMA_AIO) && sharing != MAP_SHARED)
		return "flags";
	return NULL;
}

/* Completions fit into the memory that the context will have. */
static int check_aio(const struct image *image, const struct process_record *t)
{
	const struct vma_record *v = t->vmas.items, *end = v + t->vmas.n;

	for EACH(struct aio_record, a, t->aio) {
		while (v < end && v->start < a->start)
			v++;
		if (v == end || v->start != a->start || v->content != VMA_AIO || a->events.n % AIO_EVENT ||
		    a->events.n + 2 * AIO_EVENT > v->end - v->start)
			return image_damaged(image, "%d: asynchronous I/O at 0x%lx", t->pid, a->start);
		v++;
	}
	return 0;
}

/* Sizes and offsets are added up and mapped later on. */
static int check_shared(const struct image *image, const struct process_record *t)
{
	uint64_t last = 0;

	for EACH(struct shared_record, s, t->shared)
		if (s->kind > SHARED_SYSV || s->size > ARCH_TASK_END || SHARED_HUGE_SHIFT(s->flags) > 40 ||
		    (s->kind == SHARED_SYSV && s->ino > INT32_MAX) ||
		    (s->kind == SHARED_NAMED && !blob_starts(s->name, "/dev/shm/")))
			return image_damaged(image, "%d: shared memory %lu", t->pid, s->ino);
	for EACH(struct range_record, g, t->guards) {
		if (g->start < last || g->start >= g->end || g->end > ARCH_TASK_END || g->start % ARCH_PAGE || g->end % ARCH_PAGE)
			return image_damaged(image, "%d: guard region 0x%lx", t->pid, g->start);
		last = g->end;
	}
	for EACH(struct ipc_record, i, t->ipc) {
		uint64_t at = 0;

		if (i->type > IPC_MESSAGES || i->id < 0 || i->size > ARCH_TASK_END ||
		    (i->type == IPC_SEMAPHORES && i->values.n != i->size * 2))
			return image_damaged(image, "%d: SysV object %d", t->pid, i->id);
		for EACH(struct piece_record, p, i->pieces) {
			if (i->type == IPC_MEMORY && (p->at < at || p->at > i->size || p->bytes.n > i->size - p->at))
				return image_damaged(image, "%d: SysV memory %d", t->pid, i->id);
			at = p->at + p->bytes.n;
		}
	}
	return 0;
}

static int check_vmas(const struct image *image, const struct process_record *t)
{
	uint64_t last = 0;

	for EACH(struct vma_record, v, t->vmas) {
		const char *wrong = v->start < last ? "order" : vma_wrong(t, v);

		if (wrong)
			return image_damaged(image, "%d: region 0x%lx-0x%lx: %s", t->pid, v->start, v->end, wrong);
		last = v->end;
	}
	return 0;
}

static int check_signals(const struct image *image, const struct process_record *t)
{
	uint32_t last = 0;

	for EACH(struct sigaction_record, s, t->sigactions) {
		if (s->sig <= last || s->sig > TASK_SIGNALS || s->sig == SIGKILL || s->sig == SIGSTOP)
			return image_damaged(image, "%d: action of signal %u", t->pid, s->sig);
		last = s->sig;
	}
	for EACH(struct timer_record, timer, t->timers)
		if (timer->id < 0 || timer->signo < 0 || timer->signo > TASK_SIGNALS)
			return image_damaged(image, "%d: timer %d", t->pid, timer->id);
	if (t->itimers.n != 3)
		return image_damaged(image, "%d: has %u interval timers", t->pid, t->itimers.n);
	return check_pending(image, t->pid, &t->pending);
}

static int check_identity(const struct image *image, const struct process_record *t)
{
	if (t->pgid < 0 || t->sid < 0 || t->ppid < 0)
		return image_damaged(image, "%d: parent, group or session", t->pid);
	if (t->exe_file != OBJ_NONE && t->exe_file >= t->files.n)
		return image_damaged(image, "%d: its program is no file of it", t->pid);
	if (t->groups.n % 4 || t->auxv.n % AUXV_ENTRY || t->rlimits.n != RLIM_NLIMITS * sizeof(struct rlimit_record))
		return image_damaged(image, "%d: groups, auxv or limits have a wrong length", t->pid);
	if (!user_address(t->start_code) || !user_address(t->end_code) || !user_address(t->start_data) || !user_address(t->end_data) ||
	    !user_address(t->start_brk) || !user_address(t->brk) || !user_address(t->start_stack) || !user_address(t->arg_start) ||
	    !user_address(t->arg_end) || !user_address(t->env_start) || !user_address(t->env_end) || !user_address(t->handover) ||
	    !user_address(t->ledger) || t->ledger_size > ARCH_TASK_END - t->ledger)
		return image_damaged(image, "%d: an address that no program has", t->pid);
	if (t->start_brk > t->brk || t->arg_start > t->arg_end || t->env_start > t->env_end)
		return image_damaged(image, "%d: heap, arguments or environment end before they begin", t->pid);
	return 0;
}

struct place {
	int32_t pid;             /* first, so that pid_order() can compare places */
	uint32_t index;
};

/* Index of the process's parent, OBJ_NONE when that is outside (the root's, an orphan's). */
static uint32_t parent_of(const struct image *image, const struct place *places, uint32_t i)
{
	const struct place *p = bsearch(&image->processes[i].task->ppid, places, image->nprocesses, sizeof(*p), pid_order);

	return p ? p->index : OBJ_NONE;
}

/* Whose descriptors a process has, if not its own, and what it has mapped by them. */
int check_tables(const struct image *image)
{
	for (uint32_t i = 0; i < image->nprocesses; i++) {
		const struct process_record *t = image->processes[i].task, *of = NULL;

		for (uint32_t k = 0; t->files_of && k < image->nprocesses && !of; k++)
			if ((uint32_t)image->processes[k].task->pid == t->files_of)
				of = image->processes[k].task;
		if (t->files_of && (!of || of->files_of || t->fds.n))
			return image_damaged(image, "%d: has the descriptors of %u", t->pid, t->files_of);
		for EACH(struct vma_record, v, t->vmas)
			if (v->content == VMA_RING && !is_open(of ? of : t, v->file))
				return image_damaged(image, "%d: region 0x%lx-0x%lx: file", t->pid, v->start, v->end);
	}
	return 0;
}

/* Nobody is an ancestor of himself. */
int check_parents(const struct image *image)
{
	struct place *places = calloc(image->nprocesses, sizeof(*places));
	uint32_t *walk = calloc(image->nprocesses, sizeof(*walk));   /* in which walk a process was met, 0 none */
	int rc = 0;

	if (!places || !walk) {
		rc = failed(-ENOMEM, "image %s", image->dir);
		goto out;
	}
	for (uint32_t i = 0; i < image->nprocesses; i++)
		places[i] = (struct place){ image->processes[i].task->pid, i };
	qsort(places, image->nprocesses, sizeof(*places), pid_order);
	for (uint32_t i = 0; i < image->nprocesses && rc == 0; i++) {
		uint32_t at = i;

		while (at != OBJ_NONE && !walk[at]) {
			walk[at] = i + 1;
			at = parent_of(image, places, at);
		}
		if (at != OBJ_NONE && walk[at] == i + 1)
			rc = image_damaged(image, "%d: is its own ancestor", image->processes[at].task->pid);
	}
out:
	free(places);
	free(walk);
	return rc;
}

int check_process(const struct image *image, const struct image_process *p)
{
	const struct process_record *t = p->task;
	int rc;

	for (uint32_t i = 0; i < p->nobjects; i++) {
		const struct image_object *o = &p->objects[i];

		if (o->common->obj != i)
			return image_damaged(image, "%d: object %u has the number %u", t->pid, i, o->common->obj);
		if (o->lineage && o->lineage->obj != i)
			return image_damaged(image, "%d: object %u has the lineage of %u", t->pid, i, o->lineage->obj);
	}
	rc = check_identity(image, t);
	if (rc == 0)
		rc = check_threads(image, t);
	if (rc == 0)
		rc = check_signals(image, t);
	if (rc == 0)
		rc = check_fds(image, p);
	if (rc == 0)
		rc = check_shared(image, t);
	if (rc == 0)
		rc = check_vmas(image, t);
	return rc < 0 ? rc : check_aio(image, t);
}

static int run_order(const void *a, const void *b)
{
	const struct run_record *const *x = a, *const *y = b;

	return (*x)->start < (*y)->start ? -1 : (*x)->start > (*y)->start;
}

/* Runs sorted by address against regions, which are. */
static int runs_placed(const struct image *image, const struct process_record *t, const struct run_record **runs, uint32_t n)
{
	const struct vma_record *v = t->vmas.items, *end = v + t->vmas.n;
	uint64_t last = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t stop = runs[i]->start + runs[i]->pages * ARCH_PAGE;

		while (v < end && v->end <= runs[i]->start)
			v++;
		if (runs[i]->start < last)
			return image_damaged(image, "%d: pages at 0x%lx are there twice", t->pid, runs[i]->start);
		if (runs[i]->start >= IMAGE_CONTENTS) {
			last = stop;
			continue;
		}
		if (v == end || runs[i]->start < v->start || stop > v->end)
			return image_damaged(image, "%d: pages 0x%lx-0x%lx are of no region", t->pid, runs[i]->start, stop);
		if (v->content == VMA_FILE_SHARED || v->content == VMA_LEDGER || v->content == VMA_AIO)
			return image_damaged(image, "%d: pages at 0x%lx of a region that keeps its own", t->pid, runs[i]->start);
		last = stop;
	}
	return 0;
}

int check_runs(const struct image *image, const struct image_process *p, uint64_t pages_size)
{
	const struct run_record **runs = calloc((size_t)p->runs.n + 1, sizeof(*runs));
	uint64_t at = 0;
	uint32_t n = 0;
	int rc;

	if (!runs)
		return failed(-ENOMEM, "image %s", image->dir);
	for EACH(struct run_record, r, p->runs) {
		uint64_t end = r->start < IMAGE_CONTENTS ? ARCH_TASK_END : 2 * IMAGE_CONTENTS;

		if (r->pages == 0 || r->start % ARCH_PAGE || r->start >= end || r->pages > (end - r->start) / ARCH_PAGE) {
			rc = image_damaged(image, "%d: run of %lu pages at 0x%lx", p->task->pid, r->pages, r->start);
			goto out;
		}
		if (r->at != at || r->pages * ARCH_PAGE > pages_size - at) {
			rc = image_damaged(image, "%d: pages at 0x%lx lie at %lu of the file, %lu expected, %lu long", p->task->pid,
					   r->start, r->at, at, pages_size);
			goto out;
		}
		at += r->pages * ARCH_PAGE;
		runs[n++] = r;
	}
	if (at != pages_size) {
		rc = image_damaged(image, "%d: %lu bytes of pages that nobody asked for", p->task->pid, pages_size - at);
		goto out;
	}
	qsort(runs, n, sizeof(*runs), run_order);
	rc = runs_placed(image, p->task, runs, n);
out:
	free(runs);
	return rc;
}

int check_objects(const struct image *image)
{
	for (uint32_t i = 0; i < image->nprocesses; i++) {
		const struct image_process *p = &image->processes[i];

		for (uint32_t n = 0; n < p->nobjects; n++) {
			const struct image_object *o = &p->objects[n], *g = &image->objects[p->global[n]];

			if (o->kind != g->kind || o->common->cookie != g->common->cookie)
				return image_damaged(image, "object %u is a %s in one process and a %s in another", p->global[n],
						     g->kind->tag, o->kind->tag);
		}
	}
	return 0;
}
