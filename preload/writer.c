/*
 * writer.c - pages to disk
 *
 * Only pages the process doesn't share with a file are written, unless the
 * region is embedded; pages of zeros never. PAGEMAP_SCAN (Linux 6.7) finds
 * them without reading a word per page; older kernels have /proc/thread-self/pagemap
 * (Documentation/admin-guide/mm/pagemap.rst). Pages go to the file straight
 * from where they are; regions that can't be read are copied through
 * /proc/thread-self/mem, which doesn't mind.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "stop.h"

#include "skshim/frozen.h"

#define BOUNCE (256 * 1024ul)

/* linux/fs.h of 6.7; spelled out since the headers may be older */
struct scan_region {
	uint64_t start, end, categories;
};
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL 0xc0606610ul
#define IS_FILE (1u << 2)
#define IS_PRESENT (1u << 3)
#define IS_SWAPPED (1u << 4)
#define IS_PFNZERO (1u << 5)
#define IS_GUARD (1u << 8)

static const uint64_t zeros[512];

uint64_t pages_limit(void)
{
	struct rlimit64 limit;

	return sys_prlimit(0, RLIMIT_FSIZE, NULL, &limit) < 0 ? RLIM64_INFINITY : limit.rlim_cur;
}

int pages_begin(struct arena *a, struct pages *w, int fd)
{
	struct tree *tree = w->tree;

	memset(w, 0, sizeof(*w));
	w->tree = tree;
	w->pagemap = w->mem = -1;
	w->fd = fd;
	w->limit = pages_limit();
	w->carried = IMAGE_CONTENTS;
	w->bounce = arena_alloc(a, BOUNCE);
	w->room = 1024;
	w->runs = arena_alloc(a, w->room * sizeof(*w->runs));
	return w->bounce && w->runs ? 0 : failed(-ENOMEM, "pid %d: memory for the list of pages", shim.pid);
}

static int write_all(struct pages *w, const void *p, uint64_t n)
{
	if (w->at + n > w->limit)
		return failed(-EFBIG, "pid %d: writing its memory (RLIMIT_FSIZE)", shim.pid);
	while (n) {
		long rc = sys_pwrite(w->fd, p, n > (8u << 20) ? 8u << 20 : n, (int64_t)w->at);

		if (rc == -EINTR)
			continue;
		if (rc <= 0)
			return failed(rc ? (int)rc : -28, "pid %d: writing its memory", shim.pid);
		p = (const char *)p + rc;
		n -= (uint64_t)rc;
		w->at += (uint64_t)rc;
		if (w->tree)
			w->tree->progress_done = (uint32_t)(w->at >> 20);
	}
	return 0;
}

static struct run_record *new_run(struct arena *a, struct pages *w)
{
	if (w->nruns == w->room) {
		struct run_record *more = arena_alloc(a, 2ul * w->room * sizeof(*more));

		if (!more)
			return NULL;
		memcpy(more, w->runs, w->nruns * sizeof(*more));
		w->runs = more;
		w->room *= 2;
	}
	return &w->runs[w->nruns++];
}

static bool is_zero(const void *page)
{
	const uint64_t *p = page;

	/* a page with data mostly has some at its start */
	return p[0] == 0 && p[1] == 0 && p[511] == 0 && memcmp(p, zeros, ARCH_PAGE) == 0;
}

/* One run: `n` pages at p (where they can be read) that belong at address `at`. */
static int put_run(struct arena *a, struct pages *w, const char *p, uint64_t at, uint64_t n)
{
	struct run_record *run = new_run(a, w);

	if (!run)
		return failed(-ENOMEM, "pid %d: memory for the list of pages", shim.pid);
	run->start = at;
	run->pages = n;
	run->at = w->at;
	run->hash = image_hash(p, n * ARCH_PAGE);
	return write_all(w, p, n * ARCH_PAGE);
}

/* Pages [at, at + n) readable at p: those that aren't zero. */
static int put_pages(struct arena *a, struct pages *w, const char *p, uint64_t at, uint64_t n)
{
	uint64_t first = 0;
	int rc;

	for (uint64_t i = 0; i <= n; i++) {
		bool cut = i == n || i - first == IMAGE_RUN_PAGES || is_zero(p + i * ARCH_PAGE);

		if (!cut)
			continue;
		if (i > first) {
			rc = put_run(a, w, p + first * ARCH_PAGE, at + first * ARCH_PAGE, i - first);
			if (rc < 0)
				return rc;
		}
		first = i;
		if (i < n && is_zero(p + i * ARCH_PAGE))
			first = i + 1;
	}
	return 0;
}

static int put_range(struct arena *a, struct pages *w, uint64_t start, uint64_t end, bool readable)
{
	int rc;

	if (readable)
		return put_pages(a, w, (const char *)start, start, (end - start) / ARCH_PAGE);
	if (w->mem < 0) {
		w->mem = sys_openat(AT_FDCWD, "/proc/thread-self/mem", O_CLOEXEC, 0);
		if (w->mem < 0)
			return failed(w->mem, "/proc/thread-self/mem");
	}
	while (start < end) {
		uint64_t n = end - start < BOUNCE ? end - start : BOUNCE;
		long got = sys_pread(w->mem, w->bounce, n, (int64_t)start);

		got -= got > 0 ? got % (long)ARCH_PAGE : 0;
		if (got <= 0) {      /* behind the end of a mapped file nothing can be read, nor written */
			start += ARCH_PAGE;
			continue;
		}
		rc = put_pages(a, w, w->bounce, start, (uint64_t)got / ARCH_PAGE);
		if (rc < 0)
			return rc;
		start += (uint64_t)got;
	}
	return 0;
}

int pages_carry(struct arena *a, struct pages *w, int fd, uint64_t at, uint64_t n, uint64_t *where)
{
	*where = w->carried;
	while (n) {
		uint64_t want = n < BOUNCE ? n : BOUNCE, got = 0, pages = (want + ARCH_PAGE - 1) / ARCH_PAGE;
		int rc;

		while (got < want) {
			long part = sys_pread(fd, (char *)w->bounce + got, want - got, (int64_t)(at + got));

			if (part == -EINTR)
				continue;
			if (part <= 0)
				return part ? (int)part : -EIO;
			got += (uint64_t)part;
		}
		memset((char *)w->bounce + want, 0, pages * ARCH_PAGE - want);
		rc = put_run(a, w, w->bounce, w->carried, pages);
		if (rc < 0)
			return rc;
		w->carried += pages * ARCH_PAGE;
		at += want;
		n -= want;
	}
	return 0;
}

static bool swap_in_use(struct arena *a, struct pages *w)
{
	struct blob text;
	uint64_t kib = 0, unused = 0;

	if (!w->swap)
		w->swap = arena_read_file(a, AT_FDCWD, "/proc/meminfo", &text) < 0 ||
			  (text_field(text, "SwapTotal:", 10, &kib) && text_field(text, "SwapFree:", 10, &unused) && kib != unused) ?
			  2 : 1;
	return w->swap == 2;
}

/*
 * A shared object's pages may be there without being in this process's page
 * tables; mincore() tells (reading a hole would fill it). It doesn't see what
 * is swapped out: then everything is read.
 */
static bool in_memory(const struct region *r)
{
	return blob_starts(r->path, "/memfd:") || blob_starts(r->path, "/dev/zero") || blob_starts(r->path, "/dev/shm/") ||
	       blob_starts(r->path, "[anon_shmem:") ||
	       shared_sysv(r);
}

static int shared_pages(struct arena *a, struct pages *w, const struct region *r)
{
	unsigned char in[1024];
	uint64_t at = r->vma.start, first = 0;
	int rc;

	/* of a file on a disk it doesn't see what is only there; of huge pages it only sees those in this process's tables; reading takes one that was reserved */
	if (swap_in_use(a, w) || (r->vma.map_flags & MAP_HUGETLB) || !in_memory(r))
		return put_range(a, w, r->vma.start, r->vma.end, false);
	while (at < r->vma.end) {
		uint64_t n = (r->vma.end - at) / ARCH_PAGE;

		n = n < sizeof(in) ? n : sizeof(in);
		rc = (int)SYS3(__NR_mincore, at, n * ARCH_PAGE, in);
		if (rc < 0)
			return failed(rc, "pid %d memory %lx: mincore", shim.pid, at);
		for (uint64_t i = 0; i < n; i++, at += ARCH_PAGE) {
			if ((in[i] & 1) && !first)
				first = at;
			if (!(in[i] & 1) && first) {
				rc = put_range(a, w, first, at, false);
				if (rc < 0)
					return rc;
				first = 0;
			}
		}
	}
	return first ? put_range(a, w, first, at, false) : 0;
}

static int open_pagemap(struct pages *w)
{
	if (w->pagemap < 0)
		w->pagemap = sys_openat(AT_FDCWD, "/proc/thread-self/pagemap", O_CLOEXEC, 0);
	return w->pagemap < 0 ? failed(w->pagemap, "/proc/thread-self/pagemap") : 0;
}

/* Without PAGEMAP_SCAN: 8 bytes a page; bit 63 present, 62 swapped, 61 of a file or shared. */
static int old_pagemap(struct arena *a, struct pages *w, const struct region *r, bool readable)
{
	uint64_t words[512], at = r->vma.start, first = 0;
	int rc;

	while (at < r->vma.end) {
		uint64_t n = (r->vma.end - at) / ARCH_PAGE;
		long got = sys_pread(w->pagemap, words, n < 512 ? n * 8 : 4096, (int64_t)(at / ARCH_PAGE * 8));

		if (got <= 0)
			return failed(got < 0 ? (int)got : -5, "/proc/thread-self/pagemap");
		for (long i = 0; i < got / 8; i++, at += ARCH_PAGE) {
			bool ours = (words[i] >> 62) && (!(words[i] & (1ull << 61)) || r->embed);

			if (ours && !first)
				first = at;
			if (!ours && first) {
				rc = put_range(a, w, first, at, readable);
				if (rc < 0)
					return rc;
				first = 0;
			}
		}
	}
	return first ? put_range(a, w, first, at, readable) : 0;
}

static struct range_record *new_guard(struct arena *a, struct memory *m)
{
	if (m->nguards == m->room_guards) {
		struct range_record *more = arena_alloc(a, (2ul * m->room_guards + 64) * sizeof(*more));

		if (!more)
			return NULL;
		memcpy(more, m->guards, m->nguards * sizeof(*more));
		m->guards = more;
		m->room_guards = 2 * m->room_guards + 64;
	}
	return &m->guards[m->nguards++];
}

int pages_guards(struct arena *a, struct pages *w, struct memory *m, const struct region *r)
{
	struct scan_region found[64];
	struct scan_arg arg;
	int rc = open_pagemap(w);

	if (rc < 0)
		return rc;
	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.start = r->vma.start;
	arg.end = r->vma.end;
	arg.vec = (uint64_t)found;
	arg.vec_len = sizeof(found) / sizeof(*found);
	arg.category_mask = arg.return_mask = IS_GUARD;
	while (arg.start < arg.end) {
		long n = sys_ioctl(w->pagemap, SCAN_IOCTL, (long)&arg);

		if (n < 0)
			return failed(n == -EINVAL || n == -ENOTTY ? ERR_PLAIN : (int)n,
				      "pid %d memory %lx-%lx: this kernel doesn't tell where its guard regions are", shim.pid,
				      r->vma.start, r->vma.end);
		for (long i = 0; i < n; i++) {
			struct range_record *g = new_guard(a, m);

			if (!g)
				return failed(-ENOMEM, "pid %d: memory for its guard regions", shim.pid);
			*g = (struct range_record){ found[i].start, found[i].end };
		}
		arg.start = arg.walk_end;
	}
	return 0;
}

/* The kernel's: some of the data's pages are not there, and neither it nor /proc/self/mem may touch those; a pipe may. */
static int vdso_pages(struct arena *a, struct pages *w, const struct region *r)
{
	int both[2], rc = sys_pipe2(both, O_CLOEXEC | O_NONBLOCK);
	uint64_t first = r->vma.start, n = 0;

	if (rc < 0)
		return failed(rc, "pid %d: a pipe", shim.pid);
	for (uint64_t at = r->vma.start; rc >= 0 && at < r->vma.end; at += ARCH_PAGE) {
		char *to = (char *)w->bounce + n * ARCH_PAGE;
		bool there = sys_write(both[1], (const void *)at, ARCH_PAGE) == (long)ARCH_PAGE &&
			     sys_read(both[0], to, ARCH_PAGE) == (long)ARCH_PAGE;

		n += there;
		if (there && at + ARCH_PAGE < r->vma.end && n < BOUNCE / ARCH_PAGE)
			continue;
		rc = put_pages(a, w, w->bounce, first, n);
		first = at + ARCH_PAGE;
		n = 0;
	}
	sys_close(both[0]);
	sys_close(both[1]);
	return rc;
}

int pages_write(struct arena *a, struct pages *w, const struct region *r)
{
	struct scan_region found[256];
	struct scan_arg arg;
	/* in a signal handler all protection keys but 0 are closed */
	bool readable = (r->vma.prot & PROT_READ) && !ADVICE_PKEY(r->vma.advice);
	int rc = open_pagemap(w);

	if (rc < 0)
		return rc;
	if (r->vma.content == VMA_SHARED && (r->vma.map_flags & MAP_SHARED))
		return shared_pages(a, w, r);
	if (r->vma.content == VMA_RING)
		return put_range(a, w, r->vma.start, r->vma.end, true);
	if (r->vma.content == VMA_VDSO)
		return vdso_pages(a, w, r);
	/* what a file backs may not be present and counts all the same */
	if (r->embed)
		return put_range(a, w, r->vma.start, r->vma.end, false);
	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.start = r->vma.start;
	arg.end = r->vma.end;
	arg.vec = (uint64_t)found;
	arg.vec_len = sizeof(found) / sizeof(*found);
	arg.category_inverted = IS_FILE | IS_PFNZERO | (w->guards_unknown ? 0 : IS_GUARD);
	arg.category_mask = arg.category_inverted;
	arg.category_anyof_mask = IS_PRESENT | IS_SWAPPED;
	arg.return_mask = IS_PRESENT | IS_SWAPPED;
	while (arg.start < arg.end) {
		long n = sys_ioctl(w->pagemap, SCAN_IOCTL, (long)&arg);

		if (n == -EINVAL && !w->guards_unknown) {
			w->guards_unknown = true;
			return pages_write(a, w, r);
		}
		if (n == -ENOTTY)
			return old_pagemap(a, w, r, readable);
		if (n < 0)
			return failed((int)n, "pid %d memory %lx-%lx: PAGEMAP_SCAN", shim.pid, r->vma.start, r->vma.end);
		for (long i = 0; i < n; i++) {
			/* without IS_GUARD (Linux 6.13 to 6.15) a guard page looks swapped, and must not be touched */
			bool here = readable && !(w->guards_unknown && !(found[i].categories & IS_PRESENT));

			rc = put_range(a, w, found[i].start, found[i].end, here);
			if (rc < 0)
				return rc;
		}
		arg.start = arg.walk_end;
	}
	return 0;
}
