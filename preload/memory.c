/*
 * memory.c - the regions of a process
 *
 * /proc/thread-self/maps is read while the world stands. What only smaps tells (the
 * VmFlags) is read in the writer from its own, which costs the program
 * nothing: a fork's regions are the same. Three things are not inherited:
 * MADV_DONTFORK regions, the contents of MADV_WIPEONFORK ones, and locks. A
 * program that has such (wrap_madvise notes it, VmLck tells) has its smaps
 * read, and these regions written, while it stands. The writer checks that
 * nothing slipped through.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "skshim/view.h"
#include "stop.h"
#include "skshim/elf.h"

#include "skshim/frozen.h"

#define PKEYS 16
#define HASH_PIECE (64 * 1024ul)

/* Set by the madvise wrapper, and after a writer has met such a region unprepared. */
uint32_t memory_special;
/* By the same: VmFlags tell of guard regions since Linux 6.18 only. */
uint32_t memory_guarded;

static const struct {
	char name[3];
	uint32_t bit;
} flag_names[] = {
	{ "dc", ADVICE_DONTFORK }, { "dd", ADVICE_DONTDUMP }, { "wf", ADVICE_WIPEONFORK }, { "lo", ADVICE_LOCKED }, { "lf", ADVICE_ONFAULT },
	{ "hg", ADVICE_HUGEPAGE }, { "nh", ADVICE_NOHUGEPAGE }, { "mg", ADVICE_MERGEABLE }, { "sr", ADVICE_SEQUENTIAL },
	{ "rr", ADVICE_RANDOM },
	{ "sl", ADVICE_SEALED }, { "dp", ADVICE_DROPPABLE },
};

/* "VmFlags: rd wr mr mw me ac sd" */
static void parse_flags(struct blob line, struct region *r)
{
	struct vma_record *v = &r->vma;
	const char *p = line.p;
	bool writable = false;

	for (uint64_t i = 8; i + 2 <= line.n; i++) {
		if (p[i - 1] != ' ')
			continue;
		for (size_t k = 0; k < sizeof(flag_names) / sizeof(*flag_names); k++)
			if (p[i] == flag_names[k].name[0] && p[i + 1] == flag_names[k].name[1])
				v->advice |= flag_names[k].bit;
		if (p[i] == 'n' && p[i + 1] == 'r')
			v->map_flags |= MAP_NORESERVE;
		if (p[i] == 'g' && p[i + 1] == 'd')
			v->map_flags |= MAP_GROWSDOWN;
		if (p[i] == 'h' && p[i + 1] == 't')
			v->map_flags |= MAP_HUGETLB | (uint32_t)__builtin_ctzl(r->page_size | 1ul << 40) << MAP_HUGE_SHIFT;
		writable |= p[i] == 'm' && p[i + 1] == 'w';
		r->guarded |= p[i] == 'g' && p[i + 1] == 'u';
	}
	if (!writable && (v->map_flags & MAP_SHARED))
		v->advice |= ADVICE_READONLY;
}

/* One line of smaps behind a region's first. */
static void parse_detail(struct memory *m, struct blob line, struct region *r)
{
	uint64_t kib;

	if (text_field(line, "KernelPageSize:", 10, &kib))
		r->page_size = kib << 10;
	if (text_field(line, "ProtectionKey:", 10, &kib))
		r->vma.advice |= (uint32_t)kib << 24;
	if (!blob_starts(line, "VmFlags:"))
		return;
	parse_flags(line, r);
	if ((r->vma.map_flags & MAP_HUGETLB) && (r->vma.map_flags & MAP_SHARED) && r->vma.content == VMA_SHARED && !r->skip)
		m->shared.items[r->vma.shm].flags |= SHARED_HUGE | (uint32_t)__builtin_ctzl(r->page_size | 1ul << 40) << 8;
}

static bool eat(const char **p, const char *end, char c)
{
	if (*p >= end || **p != c)
		return false;
	(*p)++;
	return true;
}

/* "start-end rwxp offset major:minor inode   path" */
static bool parse_line(struct blob line, struct region *r)
{
	const char *p = line.p, *end = p + line.n;
	struct vma_record *v = &r->vma;
	uint64_t major_, minor_;

	memset(r, 0, sizeof(*r));
	v->file = v->shm = OBJ_NONE;
	if (!text_number(&p, end, 16, &v->start) || !eat(&p, end, '-') || !text_number(&p, end, 16, &v->end) ||
	    !eat(&p, end, ' ') || end - p < 5)
		return false;
	v->prot = (p[0] == 'r' ? PROT_READ : 0) | (p[1] == 'w' ? PROT_WRITE : 0) | (p[2] == 'x' ? PROT_EXEC : 0);
	v->map_flags = p[3] == 's' ? MAP_SHARED : MAP_PRIVATE;
	p += 5;
	if (!text_number(&p, end, 16, &v->offset) || !eat(&p, end, ' ') || !text_number(&p, end, 16, &major_) ||
	    !eat(&p, end, ':') || !text_number(&p, end, 16, &minor_) || !eat(&p, end, ' ') ||
	    !text_number(&p, end, 10, &r->ino))
		return false;
	r->dev = makedev((unsigned)major_, (unsigned)minor_);
	while (p < end && *p == ' ')
		p++;
	r->path.p = p;
	r->path.n = (uint64_t)(end - p);
	v->name = r->path;
	return true;
}

static bool ends(struct blob b, const char *with)
{
	size_t n = strlen(with);

	return b.n >= n && memcmp((const char *)b.p + b.n - n, with, n) == 0;
}

/* Is the file at the path the one that is mapped? */
static bool same_file(struct arena *a, const struct region *r, struct stat *st)
{
	struct blob path = arena_blob(a, r->path.p, r->path.n);

	return path.p && sys_fstatat(AT_FDCWD, path.p, st, 0) == 0 && st->st_ino == r->ino && st->st_dev == r->dev;
}

static bool hidden(struct arena *a, const struct region *r)
{
	struct blob path = arena_blob(a, r->path.p, r->path.n);

	return path.p && view_hidden(path.p);
}

static int classify_ring(struct region *r)
{
	int fd = rings_descriptor(r);

	if (fd < 0)
		return failed(ERR_PLAIN, "pid %d memory %lx-%lx: io_uring is not supported when its descriptor is closed", shim.pid,
			      r->vma.start, r->vma.end);
	r->vma.content = VMA_RING;
	r->vma.file = (uint32_t)fd;
	r->copied = true;
	return 0;
}

/* What the region is, and what has to be done about it while the world stands. */
static int classify(struct arena *a, struct memory *m, struct region *r)
{
	struct vma_record *v = &r->vma;
	struct stat st;
	bool shared = v->map_flags & MAP_SHARED;

	if (v->start >= ARCH_TASK_END) {
		r->skip = true;
		return 0;
	}
	if (blob_is(r->path, "[vdso]") || blob_starts(r->path, "[vvar")) {
		v->content = VMA_VDSO;
		return 0;
	}
	if (v->start == (uint64_t)shim.tree) {
		v->content = VMA_LEDGER;
		return 0;
	}
	if (v->start >= shim.base && v->start < shim.end) {
		v->content = VMA_ANON;
		v->offset = 0;
		v->name = BLOB("");
		r->embed = true;
		return 0;
	}
	if (r->ino == 0 && !shared) {
		v->content = VMA_ANON;
		v->offset = 0;
		if (blob_is(r->path, "[stack]"))
			v->map_flags |= MAP_GROWSDOWN;
		return 0;
	}
	if (blob_starts(r->path, "/anon_hugepage")) {
		/* a fork's copy may find no huge page to be copied to */
		v->content = shared ? VMA_SHARED : VMA_ANON;
		r->copied = true;
		if (!shared)
			v->offset = 0;
		return 0;
	}
	if (blob_is(r->path, "anon_inode:[io_uring]"))
		return classify_ring(r);
	if (blob_is(r->path, "/[aio] (deleted)"))
		return aio_collect(a, m, r);
	if (blob_starts(r->path, "anon_inode:") || blob_is(r->path, "/secretmem (deleted)"))
		return failed(ERR_PLAIN, "pid %d memory %lx-%lx: a mapping of %.*s is not supported", shim.pid, v->start, v->end,
			      (int)r->path.n, (const char *)r->path.p);
	if (shared && shared_named(r->path) && (ends(r->path, " (deleted)") ? shared_renamed(a, r) : same_file(a, r, &st))) {
		v->content = VMA_SHARED;
		r->copied = r->named = true;
		return 0;
	}
	if (shared && !ends(r->path, " (deleted)") && hidden(a, r))
		return failed(ERR_PLAIN, "pid %d memory %lx-%lx: a shared mapping of %.*s, which is outside of its root directory",
			      shim.pid, v->start, v->end, (int)r->path.n, (const char *)r->path.p);
	if (ends(r->path, " (deleted)") || !same_file(a, r, &st)) {
		v->content = shared ? VMA_SHARED : VMA_ANON;
		r->copied = shared;
		r->embed = true;
		r->nameless = true;
		r->offset = v->offset;
		if (!shared)
			v->offset = 0;
		return 0;
	}
	r->offset = v->offset;
	if (S_ISCHR(st.st_mode) && !(st.st_rdev == makedev(1, 5) && !shared))
		return failed(ERR_PLAIN, "pid %d memory %lx-%lx: a mapping of the device %.*s is not supported", shim.pid,
			      v->start, v->end, (int)r->path.n, (const char *)r->path.p);
	if (S_ISCHR(st.st_mode)) {
		v->content = VMA_ANON;
		v->offset = 0;
		return 0;
	}
	v->content = shared ? VMA_FILE_SHARED : VMA_FILE_PRIVATE;
	return 0;
}

/* The program's own regions are whole; shim's arena and the like are not part of the image. */
static bool is_skipped(const struct region *r, uint64_t start, uint64_t end)
{
	return r->vma.start >= start && r->vma.end <= end;
}

static bool locked_memory(struct arena *a)
{
	struct blob status;
	uint64_t kib = 0;

	return arena_read_file(a, AT_FDCWD, "/proc/thread-self/status", &status) == 0 && text_field(status, "VmLck:", 10, &kib) && kib;
}

int memory_collect(struct arena *a, struct memory *m, uint64_t skip_start, uint64_t skip_end)
{
	const struct member *self = members_self();
	bool all = __atomic_load_n(&memory_special, __ATOMIC_ACQUIRE) || (self && (self->confined & CONFINED_MEMORY)) || locked_memory(a);
	const char *path = all ? "/proc/thread-self/smaps" : "/proc/thread-self/maps";
	struct blob text, line, count;
	struct region *r = NULL;
	int rc;

	memset(m, 0, sizeof(*m));
	if (self && (self->confined & CONFINED_MEMORY))
		memory_special = 1;
	rc = arena_read_file(a, AT_FDCWD, path, &text);
	if (rc < 0)
		return failed(rc, "%s", path);
	for (count = text; text_line(&count, &line);)
		m->room += line.n && ((const char *)line.p)[0] >= '0' && ((const char *)line.p)[0] <= 'f';
	m->regions = arena_alloc(a, m->room * sizeof(*m->regions));
	if (!m->regions)
		return failed(-ENOMEM, "pid %d: memory for its regions", shim.pid);
	rc = shared_begin(a, &m->shared, m->room);
	if (rc < 0)
		return rc;
	while (text_line(&text, &line)) {
		const char *p = line.p;

		if (line.n && ((p[0] >= '0' && p[0] <= '9') || (p[0] >= 'a' && p[0] <= 'f'))) {
			r = &m->regions[m->n];
			if (!parse_line(line, r))
				return failed(-EIO, "%s: a line that makes no sense", path);
			if (r->ino)
				r->path = view_global(a, r->path, r->dev, r->ino);
			m->n++;
			r->skip = is_skipped(r, skip_start, skip_end);
			if (!r->skip && (rc = classify(a, m, r)) < 0)
				return rc;
			if (!r->skip && r->vma.content == VMA_SHARED && (rc = shared_add(a, &m->shared, r)) < 0)
				return rc;
		} else if (r) {
			parse_detail(m, line, r);
			if ((r->vma.advice & (ADVICE_DONTFORK | ADVICE_WIPEONFORK)) || (r->vma.map_flags & MAP_HUGETLB))
				r->copied = true;
		}
	}
	return shared_end(&m->shared, m);
}

/* --- in the writer ------------------------------------------------------------------------------------------ */

static int read_flags(struct arena *a, struct memory *m)
{
	struct member *self = members_self();
	struct blob text, line;
	struct region here, *r = NULL;
	uint32_t at = 0;
	int rc = arena_read_file(a, AT_FDCWD, "/proc/thread-self/smaps", &text);

	if (rc < 0)
		return failed(rc, "/proc/thread-self/smaps");
	while (text_line(&text, &line)) {
		const char *p = line.p;

		if (line.n && ((p[0] >= '0' && p[0] <= '9') || (p[0] >= 'a' && p[0] <= 'f'))) {
			r = NULL;
			if (!parse_line(line, &here))
				return failed(-EIO, "/proc/thread-self/smaps: a line that makes no sense");
			while (at < m->n && m->regions[at].vma.start < here.vma.start) {
				if (!m->regions[at].skip && !m->regions[at].copied)
					goto special;
				at++;
			}
			if (at < m->n && m->regions[at].vma.start == here.vma.start)
				r = &m->regions[at++];
		} else if (r) {
			parse_detail(m, line, r);
			/* what may be dropped is allowed to be empty */
			if (((r->vma.advice & ADVICE_WIPEONFORK) || (r->vma.map_flags & MAP_HUGETLB)) && !r->copied && !r->skip &&
			    !(r->vma.advice & ADVICE_DROPPABLE))
				goto special;
		}
	}
	return 0;
special:
	if (self)
		__atomic_fetch_or(&self->confined, CONFINED_MEMORY, __ATOMIC_SEQ_CST);
	return failed(ERR_PLAIN, "pid %d memory %lx: not inherited by fork, which nobody knew before: the next checkpoint will do", shim.pid,
		      m->regions[at < m->n ? at : m->n - 1].vma.start);
}

static int finish_flags(struct arena *a, struct memory *m)
{
	int rc = m->flagged ? 0 : read_flags(a, m);

	m->flagged = true;
	return rc;
}

/* Attachments are counted: the program must not see the writer's. */
int memory_detach(struct arena *a, struct memory *m)
{
	int rc = 0;

	for (uint32_t i = 0; i < m->n && rc == 0; i++) {
		struct region *r = &m->regions[i];

		if (r->skip || r->vma.content != VMA_SHARED || m->shared.items[r->vma.shm].kind != SHARED_SYSV)
			continue;
		rc = finish_flags(a, m);
		if (rc == 0)
			sys_munmap((void *)r->vma.start, r->vma.end - r->vma.start);
	}
	return rc;
}

/* GNU build id of an ELF file; empty when there is none, or not at its start. */
static struct blob build_id(struct arena *a, const char *path)
{
	char head[4096] __attribute__((aligned(8)));
	int fd = sys_openat(AT_FDCWD, path, O_CLOEXEC, 0);
	struct blob id;
	long n;

	if (fd < 0)
		return BLOB("");
	n = sys_pread(fd, head, sizeof(head), 0);
	sys_close(fd);
	id = n > 0 ? elf_build_id(head, (uint64_t)n) : BLOB("");
	return arena_blob(a, id.p, id.n);
}

/* Of files outside of the root directory only the program itself is described by its path (classify()). */
static const char *reach(const char *path)
{
	return view_hidden(path) ? "/proc/thread-self/exe" : path;
}

static int file_of(struct arena *a, struct file_record *files, uint32_t *n, struct blob path, uint32_t flags)
{
	struct file_record *f;
	struct stat st;
	struct blob copy;
	int rc;

	for (uint32_t i = 0; i < *n; i++)
		if (blob_eq(files[i].path, path)) {
			files[i].open_flags |= flags;
			return (int)i;
		}
	copy = arena_blob(a, path.p, path.n);
	if (!copy.p)
		return failed(-ENOMEM, "pid %d: memory for its files", shim.pid);
	rc = sys_fstatat(AT_FDCWD, reach(copy.p), &st, 0);
	if (rc < 0)
		return failed(rc, "pid %d: mapped file %s", shim.pid, (const char *)copy.p);
	f = &files[*n];
	f->path = copy;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->size = (uint64_t)st.st_size;
	f->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	f->mode = st.st_mode;
	f->build_id = build_id(a, reach(copy.p));
	f->open_flags = flags;
	return (int)(*n)++;
}

/* What the restart compares a file with when another one lies at the same place. */
static int hash_files(struct arena *a, struct file_record *files, const struct process_record *p)
{
	const struct vma_record *v = p->vmas.items;
	char *piece = arena_alloc(a, HASH_PIECE);
	int rc = piece ? 0 : failed(-ENOMEM, "pid %d: memory for its files", shim.pid);

	for (uint32_t i = 0; rc == 0 && i < p->files.n; i++) {
		struct file_record *f = &files[i];
		bool fixed = i == p->exe_file;
		int fd;

		for (uint32_t k = 0; k < p->vmas.n; k++)
			fixed |= v[k].content == VMA_FILE_PRIVATE && v[k].file == i;
		if (!fixed || f->size > FILE_HASHED || !S_ISREG(f->mode))
			continue;
		rc = fd = sys_openat(AT_FDCWD, reach(f->path.p), O_CLOEXEC, 0);
		if (fd >= 0) {
			rc = image_hash_file(fd, f->size, piece, HASH_PIECE, &f->hash);
			sys_close(fd);
		}
		if (rc == -EACCES || rc == -EPERM)   /* executed, but not to be read: then size and time must do */
			rc = 0;
		if (rc < 0)
			return failed(rc, "pid %d: mapped file %s", shim.pid, (const char *)f->path.p);
	}
	return rc;
}

/* The program (or its debugger) has written into a private page: 8 bytes a page, bit 63 present, 61 of a file. */
static bool is_changed(const struct region *r)
{
	uint64_t words[64], pages = (r->vma.end - r->vma.start) / ARCH_PAGE;
	int fd = sys_openat(AT_FDCWD, "/proc/self/pagemap", O_CLOEXEC, 0);
	long n = fd < 0 ? 0 : sys_pread(fd, words, pages < 64 ? pages * 8 : sizeof(words), (int64_t)(r->vma.start / ARCH_PAGE * 8));
	bool changed = false;

	if (fd >= 0)
		sys_close(fd);
	for (long i = 0; i < n / 8; i++)
		changed |= (words[i] >> 63) && !(words[i] & (1ull << 61));
	return changed;
}

/* The kernel's code: another kernel has another one. */
static void look_vdso(struct arena *a, struct region *r, struct process_record *p)
{
	struct blob id = BLOB("");

	if (r->vma.prot & PROT_READ)
		id = elf_build_id((const void *)r->vma.start, r->vma.end - r->vma.start);
	p->vdso_build_id = arena_blob(a, id.p, id.n);
	if (is_changed(r))
		r->vma.advice |= ADVICE_CHANGED;
}

/*
 * Which protection keys there are is told by nobody: the free ones are those that can be had, of the others the
 * program's are those it may use, and one that is neither is the kernel's own, for what may only be executed.
 */
static void look_keys(struct arena *a, struct process_record *p)
{
	void *page = arena_alloc(a, 2 * ARCH_PAGE);
	uint32_t gone = 0;
	long key;

	page = (void *)(((uint64_t)page + ARCH_PAGE - 1) & ~(ARCH_PAGE - 1));
	while ((key = SYS2(__NR_pkey_alloc, 0, 0)) > 0 && key < 32)
		gone |= 1u << key;
	for (uint32_t k = 1; k < PKEYS; k++)
		if (gone & (1u << k))
			SYS1(__NR_pkey_free, k);
	for (uint32_t k = 1; k < PKEYS && key == -ENOSPC; k++) {
		if (gone & (1u << k))
			continue;
		if (SYS4(__NR_pkey_mprotect, page, ARCH_PAGE, PROT_READ | PROT_WRITE, k) == 0)
			p->pkeys |= 1u << k;
		else
			p->pkey_exec = k;
	}
	SYS4(__NR_pkey_mprotect, page, ARCH_PAGE, PROT_READ | PROT_WRITE, 0);
}

int memory_finish(struct arena *a, struct memory *m, struct process_record *p)
{
	struct file_record *files = arena_alloc(a, (m->n + 1) * sizeof(*files));
	struct vma_record *vmas = arena_alloc(a, (m->n + 1) * sizeof(*vmas));
	uint32_t nfiles = 0, nvmas = 0;
	int rc = finish_flags(a, m);

	if (rc < 0)
		return rc;
	if (!files || !vmas)
		return failed(-ENOMEM, "pid %d: memory for its regions", shim.pid);
	look_keys(a, p);
	for (uint32_t i = 0; i < m->n; i++) {
		struct region *r = &m->regions[i];
		bool write = (r->vma.map_flags & MAP_SHARED) && !(r->vma.advice & ADVICE_READONLY);

		if (r->skip)
			continue;
		if (r->vma.content == VMA_FILE_PRIVATE || r->vma.content == VMA_FILE_SHARED) {
			rc = file_of(a, files, &nfiles, r->path, write ? 2 : 0);
			if (rc < 0)
				return rc;
			r->vma.file = (uint32_t)rc;
		}
		if (r->vma.content == VMA_VDSO && blob_is(r->path, "[vdso]"))
			look_vdso(a, r, p);
		vmas[nvmas++] = r->vma;
	}
	p->exe_file = OBJ_NONE;
	if (p->exe.n && !ends(p->exe, " (deleted)")) {
		rc = file_of(a, files, &nfiles, p->exe, 0);
		if (rc < 0)
			return rc;
		p->exe_file = (uint32_t)rc;
	}
	p->vmas.items = vmas;
	p->vmas.n = nvmas;
	p->files.items = files;
	p->files.n = nfiles;
	p->shared = (struct list){ m->shared.items, m->shared.n };
	return hash_files(a, files, p);
}
