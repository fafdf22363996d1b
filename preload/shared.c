/*
 * shared.c - memory that processes share
 *
 * Each process describes the shared memory it maps; kind, device and inode
 * tell at the restart what is one. The pages of a region are written by the
 * first process that comes to them, which claims them in the tree's memory.
 * fork doesn't freeze shared memory, so all this happens while everybody stands.
 */
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "skshim/treefile.h"
#include "stop.h"

#include "skshim/frozen.h"

#define AT_FDCWD_ (-100)
#define TMPFS 0x01021994
#define DELETED " (deleted)"
/* Smaller regions are written by everybody who has them: a claim costs more. */
#define CLAIM_MIN (64ul << 10)

bool shared_sysv(const struct region *r)
{
	return major(r->dev) == 0 && blob_starts(r->path, "/SYSV") && r->path.n == 13 + sizeof(DELETED) - 1;
}

bool shared_named(struct blob path)
{
	struct statfs fs;

	return blob_starts(path, "/dev/shm/") && SYS2(__NR_statfs, "/dev/shm", &fs) == 0 && fs.f_type == TMPFS;
}

/*
 * glibc's sem_open makes a file of another name, links it and removes the
 * first name, by which the kernel goes on calling it.
 */
bool shared_renamed(struct arena *a, struct region *r)
{
	_Alignas(8) char buf[4096];
	int fd = sys_openat(AT_FDCWD_, "/dev/shm", 0200000 | 02000000 /* O_DIRECTORY|O_CLOEXEC */, 0);
	bool found = false;
	struct stat st;
	long n;

	while (fd >= 0 && !found && (n = sys_getdents64(fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n && !found; at += *(uint16_t *)(buf + at + 16)) {
			const char *name = buf + at + 19;

			if (*(uint64_t *)(buf + at) != r->ino || sys_fstatat(fd, name, &st, 0x100 /* AT_SYMLINK_NOFOLLOW */) < 0 ||
			    st.st_ino != r->ino || st.st_dev != r->dev)
				continue;
			r->path = arena_format(a, "/dev/shm/%s", name);
			found = r->path.p;
		}
	}
	if (fd >= 0)
		sys_close(fd);
	return found;
}

/* --- the list ------------------------------------------------------------------------------------------------ */

int shared_begin(struct arena *a, struct shared_list *l, uint32_t regions)
{
	memset(l, 0, sizeof(*l));
	l->size = 16;
	while (l->size < 2 * regions)
		l->size *= 2;
	l->items = arena_alloc(a, (regions + 1) * sizeof(*l->items));
	l->index = arena_alloc(a, l->size * sizeof(*l->index));
	return l->items && l->index ? 0 : failed(-12, "pid %d: memory for its shared memory", shim.pid);
}

static uint32_t kind_of(const struct region *r)
{
	if (shared_sysv(r))
		return SHARED_SYSV;
	return r->named ? SHARED_NAMED : SHARED_ANON;
}

/* The place in the index of the region's memory, taken or free. */
static uint32_t *place_of(struct shared_list *l, uint32_t kind, uint64_t dev, uint64_t ino)
{
	uint32_t at = (uint32_t)(((ino ^ dev << 32) * 4 + kind) * 0x9e3779b97f4a7c15ull >> 32) & (l->size - 1);

	for (; l->index[at]; at = (at + 1) & (l->size - 1)) {
		const struct shared_record *s = &l->items[l->index[at] - 1];

		if (s->kind == kind && s->ino == ino && s->dev == dev)
			break;
	}
	return &l->index[at];
}

static int describe_sysv(struct shared_record *s, const struct region *r)
{
	struct shmid_ds ds;
	int rc = (int)SYS3(__NR_shmctl, r->ino, IPC_STAT, &ds);

	if (rc < 0)
		return failed(rc, "pid %d memory %lx-%lx: SysV memory %lu", shim.pid, r->vma.start, r->vma.end, r->ino);
	s->size = ds.shm_segsz;
	s->mode = ds.shm_perm.mode & 0777;
	s->uid = ds.shm_perm.uid;
	s->gid = ds.shm_perm.gid;
	s->key = ds.shm_perm.__key;
	if (ds.shm_perm.mode & 01000 /* SHM_DEST */)
		s->flags |= SHARED_REMOVED;
	if (ds.shm_perm.mode & 02000 /* SHM_LOCKED */)
		s->flags |= SHARED_LOCKED;
	return 0;
}

static int describe(struct arena *a, struct shared_record *s, const struct region *r)
{
	struct blob path = arena_blob(a, r->path.p, r->path.n);
	struct stat st;
	int rc;

	s->name = r->path;
	if (s->name.n >= sizeof(DELETED) - 1 &&
	    memcmp((const char *)s->name.p + s->name.n - (sizeof(DELETED) - 1), DELETED, sizeof(DELETED) - 1) == 0)
		s->name.n -= sizeof(DELETED) - 1;
	if (s->kind == SHARED_SYSV)
		return describe_sysv(s, r);
	if (s->kind != SHARED_NAMED)
		return 0;
	rc = path.p ? sys_fstatat(AT_FDCWD_, path.p, &st, 0) : -12;
	if (rc < 0)
		return failed(rc, "%.*s", (int)r->path.n, (const char *)r->path.p);
	s->size = (uint64_t)st.st_size;
	s->mode = st.st_mode & 07777;
	s->uid = st.st_uid;
	s->gid = st.st_gid;
	return 0;
}

int shared_add(struct arena *a, struct shared_list *l, struct region *r)
{
	uint64_t dev = kind_of(r) == SHARED_SYSV ? 0 : r->dev, end = r->vma.offset + (r->vma.end - r->vma.start);
	uint32_t *at = place_of(l, kind_of(r), dev, r->ino);
	struct shared_record *s;
	int rc;

	if (!*at) {
		s = &l->items[l->n];
		s->kind = kind_of(r);
		s->dev = dev;
		s->ino = r->ino;
		rc = describe(a, s, r);
		if (rc < 0)
			return rc;
		*at = ++l->n;
	}
	s = &l->items[*at - 1];
	if (s->kind == SHARED_ANON && end > s->size)
		s->size = end;
	r->vma.shm = *at - 1;
	return 0;
}

/* A descriptor of the file itself; the object behind it is restored. */
static bool is_open(const struct collection *c, const struct region *r)
{
	for (uint32_t i = 0; i < c->nprobes; i++)
		if (S_ISREG(c->probes[i].st.st_mode) && c->probes[i].st.st_ino == r->ino && c->probes[i].st.st_dev == r->dev &&
		    !(c->probes[i].flags & 010000000 /* O_PATH */))
			return true;
	return false;
}

int shared_privates(struct arena *a, struct memory *m, const struct collection *c)
{
	for (uint32_t i = 0; i < m->n; i++) {
		struct region *r = &m->regions[i];
		int rc;

		if (r->skip || (r->vma.map_flags & MAP_SHARED) || r->ino == 0 || !(r->nameless || shared_named(r->path)))
			continue;
		r->named = !r->nameless;
		if (!*place_of(&m->shared, kind_of(r), r->dev, r->ino) && (r->named || !is_open(c, r)))
			continue;
		rc = shared_add(a, &m->shared, r);
		if (rc < 0)
			return rc;
		r->vma.content = VMA_SHARED;
		r->vma.offset = r->offset;
		r->embed = false;
	}
	return 0;
}

/* --- whose pages ---------------------------------------------------------------------------------------------- */

/* How often a slot that is being filled is looked at before its process is taken for dead. */
#define PATIENCE 100000
#define PROBES 64
#define CLAIM_FILE 0x100             /* behind enum shared_kind */

/* 1: it was nobody's before in this checkpoint, or that can't be told; 0: another process has it. */
static int claim(const struct tree_claim *mine)
{
	uint64_t filling = (uint64_t)shim.tree->taken << 1, hash;

	if (!treefile_backed(&shim.tree->claims_ready, shim.tree->claims, sizeof(shim.tree->claims)))
		return 1;
	hash = ((mine->ino * 31 + mine->offset) * 31 + mine->length) * 0x9e3779b97f4a7c15ull >> 32;
	for (uint32_t i = 0; i < PROBES; i++) {
		struct tree_claim *c = &shim.tree->claims[(hash + i) % TREE_CLAIMS];
		uint64_t state = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);

		if (state != filling && state != filling + 1 &&
		    __atomic_compare_exchange_n(&c->state, &state, filling, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			memcpy((char *)c + sizeof(c->state), (const char *)mine + sizeof(c->state), sizeof(*mine) - sizeof(c->state));
			__atomic_store_n(&c->state, filling + 1, __ATOMIC_RELEASE);
			return 1;
		}
		for (int k = 0; k < PATIENCE && state == filling; k++)
			state = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);
		if (state == filling)
			return 1;
		if (memcmp((char *)c + sizeof(c->state), (const char *)mine + sizeof(c->state), sizeof(*mine) - sizeof(c->state)) == 0)
			return 0;
	}
	return 1;
}

int shared_claim(const struct shared_list *l, const struct region *r)
{
	const struct shared_record *s = &l->items[r->vma.shm];
	struct tree_claim mine = { 0, s->dev, s->ino, r->vma.offset, r->vma.end - r->vma.start, s->kind };

	return mine.length < CLAIM_MIN ? 1 : claim(&mine);
}

bool shared_claim_file(uint64_t dev, uint64_t ino)
{
	struct tree_claim mine = { 0, dev, ino, 0, 0, CLAIM_FILE };

	return claim(&mine) == 1;
}

/* --- what is mapped ------------------------------------------------------------------------------------------- */

static bool before(const struct region *a, const struct region *b)
{
	return a->vma.shm != b->vma.shm ? a->vma.shm < b->vma.shm : a->vma.offset < b->vma.offset;
}

/* Merge sort. */
static void sort(const struct region **v, const struct region **spare, uint32_t n)
{
	uint32_t half = n / 2, i = 0, k = half, at = 0;

	if (n < 2)
		return;
	sort(v, spare, half);
	sort(v + half, spare, n - half);
	memcpy(spare, v, n * sizeof(*v));
	while (i < half && k < n)
		v[at++] = before(spare[k], spare[i]) ? spare[k++] : spare[i++];
	while (i < half)
		v[at++] = spare[i++];
	while (k < n)
		v[at++] = spare[k++];
}

static void order(struct arena *a, struct memory *m)
{
	const struct region **spare = arena_alloc(a, (m->n + 1) * sizeof(*spare));

	m->by_offset = arena_alloc(a, (m->n + 1) * sizeof(*m->by_offset));
	if (!m->by_offset || !spare)
		return;
	for (uint32_t i = 0; i < m->n; i++)
		if (!m->regions[i].skip && m->regions[i].vma.content == VMA_SHARED)
			m->by_offset[m->nby_offset++] = &m->regions[i];
	sort(m->by_offset, spare, m->nby_offset);
}

bool shared_covers(struct arena *a, struct memory *m, uint64_t dev, uint64_t ino, uint64_t start, uint64_t end)
{
	uint32_t shm = m->shared.n ? *place_of(&m->shared, SHARED_ANON, dev, ino) : 0, low = 0, high;

	if (!shm--)
		return false;
	if (!m->by_offset)
		order(a, m);
	/* behind the last region that begins at or before start */
	for (high = m->nby_offset; low < high;) {
		uint32_t mid = (low + high) / 2;
		const struct vma_record *v = &m->by_offset[mid]->vma;

		if (v->shm < shm || (v->shm == shm && v->offset <= start))
			low = mid + 1;
		else
			high = mid;
	}
	for (uint32_t i = low ? low - 1 : 0; i < m->nby_offset && start < end; i++) {
		const struct vma_record *v = &m->by_offset[i]->vma;

		if (v->shm != shm || v->offset > start)
			return false;
		if (v->offset + (v->end - v->start) > start)
			start = v->offset + (v->end - v->start);
	}
	return start >= end;
}

/* --- where a memfd ends --------------------------------------------------------------------------------------- */

/* Its size is known to who has a descriptor of it; mapped alone, by which pages can be read. */
int shared_end(struct shared_list *l, const struct memory *m)
{
	char byte;
	int mem = -1;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct region *r = &m->regions[i];
		struct shared_record *s = r->skip || r->vma.content != VMA_SHARED ? NULL : &l->items[r->vma.shm];
		uint64_t low, high;

		if (!s || s->kind != SHARED_ANON || blob_is(s->name, "/dev/zero") || blob_starts(s->name, "[anon_shmem:") || blob_is(s->name, "/anon_hugepage") ||
		    (s->flags & SHARED_HUGE) ||
		    r->vma.offset + (r->vma.end - r->vma.start) != s->size)
			continue;
		if (mem < 0)
			mem = sys_openat(AT_FDCWD_, "/proc/thread-self/mem", 02000000, 0);
		if (mem < 0)
			return failed(mem, "/proc/thread-self/mem");
		/* pages [start, low) are there, those from high on are not */
		low = r->vma.start;
		high = r->vma.end;
		if (sys_pread(mem, &byte, 1, (int64_t)(high - ARCH_PAGE)) == 1)
			low = high;
		while (low < high) {
			uint64_t mid = low + (high - low) / ARCH_PAGE / 2 * ARCH_PAGE;

			if (sys_pread(mem, &byte, 1, (int64_t)mid) == 1)
				low = mid + ARCH_PAGE;
			else
				high = mid;
		}
		s->size -= r->vma.end - low;
	}
	if (mem >= 0)
		sys_close(mem);
	return 0;
}
