/*
 * memory.c - regions, as steps
 *
 * First all are mapped, then their contents are read (load.c), then each gets
 * what may only come behind them: a region that the program may not write is
 * mapped writable until its pages are there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#define MAP_DROPPABLE_ 8
#define LOWEST 0x10000ul             /* where vm.mmap_min_addr lets everybody map */
#define NR_MSEAL 462                /* Linux 6.10 */

static int open_file(const struct process_record *p, const struct file_record *f, int flags, int above)
{
	char path[4097];
	int fd;

	snprintf(path, sizeof(path), "%.*s", (int)f->path.n, (const char *)f->path.p);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? failed(-errno, "pid %d: mapped file %s", p->pid, path) : place_above(fd, above);
}

int memory_files(struct image *image, uint32_t process, int above, int **fds)
{
	struct process_record *p = image->processes[process].task;
	const struct vma_record *v = p->vmas.items;
	struct file_record *f = p->files.items;
	int *list = calloc(2ul * p->files.n + 1, sizeof(*list)), *readonly;

	if (!list)
		return failed(-ENOMEM, "pid %d: memory for its files", p->pid);
	readonly = list + p->files.n;
	for (uint32_t i = 0; i < p->vmas.n; i++)
		if (v[i].content == VMA_FILE_SHARED && (v[i].advice & ADVICE_READONLY))
			readonly[v[i].file] = 1;
	for (uint32_t i = 0; i < p->files.n; i++) {
		list[i] = open_file(p, &f[i], f[i].open_flags ? O_RDWR : O_RDONLY, above);
		if (list[i] < 0)
			return list[i];
		readonly[i] = f[i].open_flags && readonly[i] ? open_file(p, &f[i], O_RDONLY, above) : list[i];
		if (readonly[i] < 0)
			return readonly[i];
	}
	*fds = list;
	return 0;
}

static const struct {
	uint32_t bit;
	int advice;
} advices[] = {
	{ ADVICE_DONTFORK, MADV_DONTFORK }, { ADVICE_DONTDUMP, MADV_DONTDUMP }, { ADVICE_WIPEONFORK, MADV_WIPEONFORK },
	{ ADVICE_HUGEPAGE, MADV_HUGEPAGE }, { ADVICE_NOHUGEPAGE, MADV_NOHUGEPAGE }, { ADVICE_MERGEABLE, MADV_MERGEABLE },
	{ ADVICE_SEQUENTIAL, MADV_SEQUENTIAL }, { ADVICE_RANDOM, MADV_RANDOM },
};

/* Behind the pages, before the lock: a locked region takes none. */
static void guard(struct script_builder *s, const struct vma_record *v, const struct list *guards)
{
	const struct range_record *g = guards->items;
	uint32_t low = 0, high = guards->n;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (g[mid].end <= v->start)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < guards->n && g[low].start < v->end; low++)
		SCRIPT_CALL(s, "guard region", __NR_madvise, g[low].start, g[low].end - g[low].start, MADV_GUARD_INSTALL, 0, 0);
}

/* "[anon:NAME]" and "[anon_shmem:NAME]", where the kernel has such names (CONFIG_ANON_VMA_NAME). */
static void anon_name(struct script_builder *s, const struct vma_record *v)
{
	const char *p = memchr(v->name.p, ':', v->name.n);
	char name[80] = "";
	size_t n;

	if (!p || !(blob_starts(v->name, "[anon:") || blob_starts(v->name, "[anon_shmem:")))
		return;
	n = (size_t)((const char *)v->name.p + v->name.n - p) - 2;    /* without ':' and ']' */
	if (n >= sizeof(name))
		return;
	memcpy(name, p + 1, n);
	script_step(s, "", STEP_TRY, __NR_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, v->start, v->end - v->start,
		    script_put(s, name, n + 1), 0);
}

/* The keys that there were, and those whose memory outlived them; an image that has no list of them: up to the highest. */
static uint32_t keys_of(const struct process_record *p)
{
	const struct vma_record *v = p->vmas.items;
	uint32_t all = p->pkeys | (p->pkey_exec ? 1u << p->pkey_exec : 0);
	bool known = all;

	for (uint32_t i = 0; i < p->vmas.n; i++)
		if (ADVICE_PKEY(v[i].advice))
			all |= known ? 1u << ADVICE_PKEY(v[i].advice) : (2u << ADVICE_PKEY(v[i].advice)) - 2;
	return all;
}

/*
 * Protection keys are given out from 1 on. The kernel's own comes to be with the first memory that may only be
 * executed (at `spare`, for a moment). What was free is given back when memory is there (keys_free).
 */
static void keys_take(struct script_builder *s, const struct process_record *p, uint64_t spare)
{
	uint32_t all = keys_of(p);

	for (uint32_t k = 1; all >> k; k++) {
		if (k != p->pkey_exec) {
			SCRIPT_CALL(s, "protection key", __NR_pkey_alloc, 0, 0, 0, 0, 0);
			continue;
		}
		script_step(s, "protection key", STEP_MAP, 0, spare, ARCH_PAGE, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			    (uint64_t)-1, 0);
		SCRIPT_CALL(s, "protection key", __NR_munmap, spare, ARCH_PAGE, 0, 0, 0);
	}
}

static void keys_free(struct script_builder *s, const struct process_record *p)
{
	uint32_t all = keys_of(p), keep = p->pkeys || p->pkey_exec ? p->pkeys | 1u << p->pkey_exec : all;

	for (uint32_t k = 1; all >> k; k++)
		if (!(keep & (1u << k)))
			SCRIPT_CALL(s, "protection key", __NR_pkey_free, k, 0, 0, 0, 0);
}

/* What a region is mapped from, -1: nothing. */
static int region_fd(const struct process_record *p, const struct vma_record *v, const struct shm *shm, const int *files)
{
	if (v->content == VMA_ANON || (shm && shm->direct))
		return -1;
	if (v->content == VMA_RING)
		return -1;
	if (!shm)
		return files[v->file + (v->advice & ADVICE_READONLY ? p->files.n : 0)];
	return (v->advice & ADVICE_READONLY) && shm->readonly >= 0 ? shm->readonly : shm->fd;
}

/* What steps about one region need to know. */
struct region {
	const struct vma_record *v;
	const struct shm *shm;       /* NULL: it isn't shared */
	bool pages;                  /* the image has some */
	bool keyed;                  /* it has a protection key of the program's */
	uint32_t prot;               /* while they are read */
	char what[160];
};

static struct region region_of(const struct image_process *ip, const struct vma_record *v, const struct shm *shm)
{
	const struct run_record *run = ip->runs.items;
	uint32_t first = load_run_at(&ip->runs, v->start);
	struct region r = { .v = v, .shm = shm };

	r.pages = first < ip->runs.n && run[first].start < v->end && v->content != VMA_FILE_SHARED &&
		  !(shm && !shm->direct && (v->map_flags & MAP_SHARED));
	/* with such a key not even for a moment what may only be executed, which would get the kernel's */
	r.keyed = ADVICE_PKEY(v->advice) && ADVICE_PKEY(v->advice) != ip->task->pkey_exec;
	r.prot = r.pages ? v->prot | PROT_READ | PROT_WRITE : r.keyed ? PROT_NONE : v->prot;
	snprintf(r.what, sizeof(r.what), "memory %lx-%lx %.*s", v->start, v->end, (int)(v->name.n < 100 ? v->name.n : 100),
		 (const char *)v->name.p);
	return r;
}

static void map_region(struct script_builder *s, const struct process_record *p, const struct region *r, const int *files)
{
	const struct vma_record *v = r->v;
	int fd = region_fd(p, v, r->shm, files);
	bool anon = fd < 0;
	uint32_t flags = (v->map_flags & (MAP_PRIVATE | MAP_SHARED | MAP_GROWSDOWN | MAP_NORESERVE | MAP_HUGETLB | MAP_HUGE_MASK << MAP_HUGE_SHIFT)) | MAP_FIXED;

	if (v->content == VMA_RING || (r->shm && r->shm->rec->kind == SHARED_SYSV))       /* there already */
		SCRIPT_CALL(s, r->what, __NR_mprotect, v->start, v->end - v->start, r->prot, 0, 0);
	else
		script_step(s, r->what, STEP_MAP, 0, v->start, v->end - v->start, r->prot, flags | (anon ? MAP_ANONYMOUS : 0),
			    (uint64_t)(int64_t)fd, anon ? 0 : v->offset);
	if (v->advice & ADVICE_DROPPABLE)         /* Linux 6.11 */
		script_step(s, "", STEP_TRY, __NR_mmap, v->start, v->end - v->start, r->prot, MAP_DROPPABLE_ | MAP_ANONYMOUS | MAP_FIXED,
			    (uint64_t)-1, 0);
	for (size_t i = 0; i < sizeof(advices) / sizeof(*advices); i++)
		if (v->advice & advices[i].bit)
			script_step(s, "", STEP_TRY, __NR_madvise, v->start, v->end - v->start, (uint64_t)advices[i].advice, 0, 0, 0);
}

/* Its pages are there. */
static void finish_region(struct script_builder *s, const struct region *r, const struct list *guards)
{
	const struct vma_record *v = r->v;

	if (r->prot != v->prot && !r->keyed)
		SCRIPT_CALL(s, r->what, __NR_mprotect, v->start, v->end - v->start, v->prot, 0, 0);
	anon_name(s, v);
	if (r->keyed)
		script_step(s, r->what, STEP_CALL, __NR_pkey_mprotect, v->start, v->end - v->start, v->prot, ADVICE_PKEY(v->advice), 0, 0);
	guard(s, v, guards);
	if (v->advice & ADVICE_LOCKED)
		script_step(s, "", STEP_TRY, __NR_mlock2, v->start, v->end - v->start,
			    v->advice & ADVICE_ONFAULT ? MLOCK_ONFAULT : 0, 0, 0, 0);
	if (v->advice & ADVICE_SEALED)
		script_step(s, "", STEP_TRY, NR_MSEAL, v->start, v->end - v->start, 0, 0, 0, 0);
}

/* What /proc/PID/cmdline, environ, auxv, exe, and brk() go by: man 2 PR_SET_MM. */
static void layout(struct script_builder *s, const struct process_record *p, const int *files)
{
	struct prctl_mm_map map = {
		.start_code = p->start_code, .end_code = p->end_code, .start_data = p->start_data, .end_data = p->end_data,
		.start_brk = p->start_brk, .brk = p->brk, .start_stack = p->start_stack, .arg_start = p->arg_start,
		.arg_end = p->arg_end, .env_start = p->env_start, .env_end = p->env_end,
		.auxv_size = (uint32_t)p->auxv.n, .exe_fd = p->exe_file == OBJ_NONE ? (uint32_t)-1 : (uint32_t)files[p->exe_file],
	};
	uint64_t at;

	map.auxv = (void *)script_put(s, p->auxv.p, p->auxv.n);
	at = script_put(s, &map, sizeof(map));
	SCRIPT_CALL(s, "PR_SET_MM_MAP", __NR_prctl, PR_SET_MM, PR_SET_MM_MAP, at, sizeof(map), 0);
}

/*
 * SysV memory is attached as a whole, in one call, so that it counts as one
 * attachment; what the program has unmapped of it since goes again. Regions of
 * one attachment have their start minus their offset in common. All are
 * attached before anything else is mapped, which may lie in the gaps.
 */
static void attach(struct script_builder *s, const struct process_record *p, const struct shms *shms, uint32_t process)
{
	const struct vma_record *v = p->vmas.items;

	for (uint32_t i = 0; i < p->vmas.n; i++) {
		const struct shm *shm = v[i].content == VMA_SHARED ? shm_of(shms, process, v[i].shm) : NULL;
		uint64_t base = v[i].start - v[i].offset, at = base, end;
		int flags = SHM_REMAP;
		bool again = false;

		if (!shm || shm->rec->kind != SHARED_SYSV)
			continue;
		end = base + ((shm->size + ARCH_PAGE - 1) & ~(ARCH_PAGE - 1));
		for (uint32_t k = i; k-- > 0 && v[k].end > base && !again;)
			again = v[k].content == VMA_SHARED && v[k].shm == v[i].shm && v[k].start - v[k].offset == base;
		if (again)
			continue;
		if (v[i].advice & ADVICE_READONLY)
			flags |= SHM_RDONLY;
		for (uint32_t k = i; k < p->vmas.n && v[k].start < end; k++)
			if (v[k].content == VMA_SHARED && v[k].shm == v[i].shm && (v[k].prot & PROT_EXEC))
				flags |= SHM_EXEC;
		SCRIPT_CALL(s, "attaching SysV memory", __NR_shmat, shm->rec->ino, base, flags, 0, 0);
		for (uint32_t k = i; k < p->vmas.n && v[k].start < end; k++) {
			if (v[k].content != VMA_SHARED || v[k].shm != v[i].shm || v[k].start - v[k].offset != base)
				continue;
			if (v[k].start > at)
				SCRIPT_CALL(s, "attaching SysV memory", __NR_munmap, at, v[k].start - at, 0, 0, 0);
			at = v[k].end;
		}
		if (at < end)
			SCRIPT_CALL(s, "attaching SysV memory", __NR_munmap, at, end - at, 0, 0, 0);
	}
}

static void fill(struct script_builder *s, bool take, uint64_t from, uint64_t to)
{
	if (from >= to)
		return;
	if (take)
		script_step(s, "what the kernel places", STEP_MAP, 0, from, to - from, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, (uint64_t)-1, 0);
	else
		SCRIPT_CALL(s, "what the kernel places", __NR_munmap, from, to - from, 0, 0, 0);
}

/* Takes all that is free, or gives it back; the rings up to the last'th and our own memory [base, end) are not. */
static void fill_gaps(struct script_builder *s, bool take, const struct vma_record *v, uint32_t last, uint64_t end)
{
	uint64_t from = LOWEST;
	bool ours = false;

	for (uint32_t i = 0; i <= last; i++) {
		if (v[i].content != VMA_RING && v[i].content != VMA_AIO)
			continue;
		if (!ours && s->base < v[i].start) {
			fill(s, take, from, s->base);
			from = end;
			ours = true;
		}
		fill(s, take, from, v[i].start);
		from = v[i].end;
	}
	if (!ours) {
		fill(s, take, from, s->base);
		from = end;
	}
	fill(s, take, from, ARCH_TASK_END);
}

/* As many requests as give a context memory of so many bytes: twice as many and two have room behind its head. */
static uint64_t aio_requests(uint64_t bytes)
{
	uint64_t before = bytes - ARCH_PAGE;

	return before > 3 * AIO_EVENT ? (before - 3 * AIO_EVENT) / (2 * AIO_EVENT) + 1 : 1;
}

/* Requests that do nothing end at once; then their completions become what the program's were. */
static int aio_complete(struct script_builder *s, const struct aio_record *a, int null)
{
	struct iocb request = { .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)null };
	uint64_t at = script_put(s, &request, sizeof(request)), list = script_put(s, &at, sizeof(at));

	for (uint64_t n = a->events.n / AIO_EVENT; n; n--)
		SCRIPT_CALL(s, "a completion of asynchronous I/O", __NR_io_submit, a->start, 1, list, 0, 0);
	script_step(s, "completions of asynchronous I/O", STEP_COPY, 0, script_put(s, a->events.p, a->events.n), a->start + AIO_EVENT,
		    a->events.n, 0, 0, 0);
	return s->rc;
}

static int aio_fill(struct script_builder *s, const struct process_record *p, int above)
{
	const struct aio_record *a = p->aio.items;
	int null = -1, rc = 0;

	for (uint32_t i = 0; rc == 0 && i < p->aio.n; i++) {
		if (!a[i].events.n)
			continue;
		if (null < 0)
			null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (null < 0)
			return failed(-errno, "/dev/null");
		if (null < above)
			null = place_above(null, above);
		rc = null < 0 ? null : aio_complete(s, &a[i], null);
	}
	return rc;
}

/*
 * The kernel maps an io_uring and a context of io_setup where it likes and takes no address
 * (tests/kernel/io_uring_place.c). So this comes first, when there is nothing
 * but our own memory, and all is taken but the place where it was.
 */
static void map_rings(struct script_builder *s, const struct process_record *p, uint64_t end)
{
	const struct vma_record *v = p->vmas.items;
	uint64_t none = 0;

	for (uint32_t i = 0; i < p->vmas.n; i++) {
		if (v[i].content != VMA_RING && v[i].content != VMA_AIO)
			continue;
		fill_gaps(s, true, v, i, end);
		if (v[i].content == VMA_RING)
			script_step(s, "an io_uring's memory", STEP_CALL, __NR_mmap, 0, v[i].end - v[i].start, PROT_READ | PROT_WRITE,
				    MAP_SHARED, v[i].file, v[i].offset);
		else
			SCRIPT_CALL(s, "asynchronous I/O (io_setup)", __NR_io_setup, aio_requests(v[i].end - v[i].start),
				    script_put(s, &none, sizeof(none)), 0, 0, 0);
		fill_gaps(s, false, v, i, end);
	}
}

/* Maps all, reads all, finishes all. */
static int regions(struct script_builder *s, const struct image_process *ip, uint32_t process, const int *files, int ledger_fd,
		   const struct memory_source *from)
{
	const struct process_record *p = ip->task;
	const struct vma_record *v = p->vmas.items;
	struct region *list = calloc(p->vmas.n + 1, sizeof(*list));
	struct load load = { 0 };
	uint32_t n = 0;
	int rc = list ? 0 : failed(-ENOMEM, "pid %d: memory for its regions", p->pid);

	for (uint32_t i = 0; rc == 0 && i < p->vmas.n; i++) {
		struct region *r = &list[n];

		if (v[i].content == VMA_VDSO || v[i].content == VMA_AIO)
			continue;
		if (v[i].content == VMA_LEDGER) {
			script_step(s, "the tree's shared memory", STEP_MAP, 0, v[i].start, v[i].end - v[i].start,
				    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (uint64_t)ledger_fd, 0);
			continue;
		}
		n++;
		*r = region_of(ip, &v[i], v[i].content == VMA_SHARED ? shm_of(from->shms, process, v[i].shm) : NULL);
		map_region(s, p, r, files);
		if (r->pages)
			rc = load_region(&load, r->v, &ip->runs, v[i].content == VMA_ANON && !(v[i].advice & ADVICE_NOHUGEPAGE) &&
					 !(v[i].map_flags & MAP_HUGETLB));
	}
	if (rc == 0)
		rc = load_step(&load, s, from->pages, from->tids, load_helpers(&load, from->large));
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		finish_region(s, &list[i], &p->guards);
	load_end(&load);
	free(list);
	return rc;
}

int memory_script(struct script_builder *s, struct image *image, uint32_t process, int above, const struct memory_source *from,
		  struct vdso *vdso, uint64_t parking)
{
	struct image_process *ip = &image->processes[process];
	const struct process_record *p = ip->task;
	int *files = NULL, rc, fd = -1;
	uint64_t end = parking + vdso->own_size;

	rc = memory_files(image, process, above, &files);
	if (rc < 0)
		return rc;
	if (from->ledger->tree) {
		fd = open(from->ledger->tree->path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return failed(-errno, "%s", from->ledger->tree->path);
		fd = place_above(fd, above);
	}
	load_sort_runs(ip);
	vdso_park(s, vdso, parking);
	SCRIPT_CALL(s, "unmapping the launcher", __NR_munmap, 0, s->base, 0, 0, 0);
	SCRIPT_CALL(s, "unmapping the launcher", __NR_munmap, end, ARCH_TASK_END - end, 0, 0, 0);
	map_rings(s, p, end);
	rc = aio_fill(s, p, above);
	if (rc < 0)
		return rc;
	keys_take(s, p, end);
	attach(s, p, from->shms, process);
	rc = regions(s, ip, process, files, fd, from);
	keys_free(s, p);
	if (rc == 0)
		rc = vdso_place(s, image, process, vdso);
	if (rc < 0)
		return rc;
	layout(s, p, files);
	free(files);
	return s->rc;
}
