/*
 * shm.c - memory that processes share, made once
 *
 * Each process of the image describes the shared memory it maps. What is one is
 * found here, made in the builder before the tree is forked, and given its
 * contents; the processes then only map it:
 *
 *   anonymous  of one region alone: mapped there, and read there. Else a memfd,
 *              for a descriptor is the only way to hand it on
 *   a memfd    the one that a descriptor of the tree refers to, or a new one
 *   a file     without a name: the same; in /dev/shm: the file of that name,
 *              written back, or made again when it is gone
 *   SysV       the one with the old id, written back, or made again (sysv.c)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart.h"
#include "skshim/kind.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif
#define HUGE_FLAG_SHIFT 26

/* --- what is one --------------------------------------------------------------------------------------------- */

struct entry {
	const struct shared_record *rec;
	uint32_t process, number;
};

static int by_identity(const void *a, const void *b)
{
	const struct shared_record *x = ((const struct entry *)a)->rec, *y = ((const struct entry *)b)->rec;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* How often each is mapped, and how far. */
static void measure(struct shms *s, const struct image *image)
{
	for (uint32_t p = 0; p < image->nprocesses; p++) {
		const struct process_record *t = image->processes[p].task;
		const struct vma_record *v = t->vmas.items;

		for (uint32_t i = 0; i < t->vmas.n; i++) {
			struct shm *m = v[i].content == VMA_SHARED ? &s->list[s->of[p][v[i].shm]] : NULL;

			if (!m)
				continue;
			m->direct = m->regions++ == 0 && v[i].offset == 0 && (v[i].map_flags & MAP_SHARED) &&
				    m->rec->kind == SHARED_ANON &&
				    (blob_is(m->rec->name, "/dev/zero") || blob_is(m->rec->name, "/anon_hugepage") ||
				     blob_starts(m->rec->name, "[anon_shmem:"));
		}
	}
}

/* SysV memory that nobody has attached is described apart. */
static int plan_unattached(struct shms *s, struct image *image)
{
	for (uint32_t p = 0; p < image->nprocesses; p++) {
		const struct list *l = &image->processes[p].task->ipc;
		const struct ipc_record *r = l->items;
		struct shared_record *rec = calloc(l->n + 1, sizeof(*rec));
		struct shm *more = realloc(s->list, (s->n + l->n + 1) * sizeof(*more));

		if (!rec || !more)
			return failed(-ENOMEM, "memory for %u SysV objects", l->n);
		s->list = more;
		for (uint32_t i = 0; i < l->n; i++) {
			if (r[i].type != IPC_MEMORY)
				continue;
			rec[i] = (struct shared_record){ .kind = SHARED_SYSV, .ino = (uint64_t)r[i].id, .name = BLOB("SysV"),
				.size = r[i].size, .mode = r[i].mode, .uid = r[i].uid, .gid = r[i].gid, .key = r[i].key };
			s->list[s->n++] = (struct shm){ .rec = &rec[i], .ipc = &r[i], .size = r[i].size, .fd = -1, .readonly = -1 };
		}
	}
	return 0;
}

int shm_plan(struct shms *s, struct image *image)
{
	struct entry *e;
	uint32_t n = 0, all = 0;

	memset(s, 0, sizeof(*s));
	for (uint32_t p = 0; p < image->nprocesses; p++)
		all += image->processes[p].task->shared.n;
	s->list = calloc(all + 1, sizeof(*s->list));
	s->of = calloc(image->nprocesses, sizeof(*s->of));
	e = calloc(all + 1, sizeof(*e));
	if (!s->list || !s->of || !e)
		return failed(-ENOMEM, "memory for %u pieces of shared memory", all);
	for (uint32_t p = 0; p < image->nprocesses; p++) {
		const struct list *l = &image->processes[p].task->shared;

		s->of[p] = calloc(l->n + 1, sizeof(**s->of));
		if (!s->of[p])
			return failed(-ENOMEM, "memory for %u pieces of shared memory", all);
		for (uint32_t i = 0; i < l->n; i++)
			e[n++] = (struct entry){ (const struct shared_record *)l->items + i, p, i };
	}
	qsort(e, n, sizeof(*e), by_identity);
	for (uint32_t i = 0; i < n; i++) {
		struct shm *m;

		if (i == 0 || by_identity(&e[i - 1], &e[i]) != 0)
			s->list[s->n++] = (struct shm){ .rec = e[i].rec, .fd = -1, .readonly = -1 };
		m = &s->list[s->n - 1];
		if (e[i].rec->size > m->size)
			m->size = e[i].rec->size;
		s->of[e[i].process][e[i].number] = s->n - 1;
	}
	free(e);
	measure(s, image);
	return plan_unattached(s, image);
}

const struct shm *shm_of(const struct shms *s, uint32_t process, uint32_t number)
{
	return &s->list[s->of[process][number]];
}

/* --- making -------------------------------------------------------------------------------------------------- */

static const char *text(struct blob b, char buf[4097])
{
	snprintf(buf, 4097, "%.*s", (int)b.n, (const char *)b.p);
	return buf;
}

/* A descriptor of the tree's own for the same inode: memfds, and files without a name; their records begin with dev and ino. */
static int descriptor_of(const struct rebuild *rb, const struct shared_record *r)
{
	for (uint32_t i = 0; i < rb->image->nobjects; i++) {
		const struct image_object *o = &rb->image->objects[i];
		const uint64_t *inode = o->rec;

		if (rb->fds[i] >= 0 && (strcmp(o->kind->tag, "memfd") == 0 || strcmp(o->kind->tag, "regfile") == 0) &&
		    inode[0] == r->dev && inode[1] == r->ino && !(o->common->flags & O_PATH))
			return rb->fds[i];
	}
	return -1;
}

/* The same file, to write or only to read; its mode may forbid what the program once could. */
static int reopen(int fd, int flags)
{
	char path[64];
	struct stat st;
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	if (again >= 0 || errno != EACCES || fstat(fd, &st) < 0 || fchmod(fd, 0600) < 0)
		return again < 0 ? -errno : again;
	again = open(path, flags | O_CLOEXEC);
	if (again < 0)
		again = -errno;
	fchmod(fd, st.st_mode & 07777);
	return again;
}

static int new_memfd(const struct shared_record *r)
{
	unsigned flags = MFD_CLOEXEC;
	char name[4097];
	int fd;

	if (r->flags & SHARED_HUGE)
		flags |= MFD_HUGETLB | SHARED_HUGE_SHIFT(r->flags) << HUGE_FLAG_SHIFT;
	text(r->name, name);
	name[240] = 0;       /* the kernel's limit is 249 */
	fd = memfd_create(strncmp(name, "/memfd:", 7) == 0 ? name + 7 : "shared memory", flags);
	return fd < 0 ? -errno : fd;
}

/* Deleted: on the same file system where that can be, for it may be more than memory holds. */
static int new_nameless(const struct shared_record *r)
{
	char path[4097], *slash;
	int fd;

	slash = strrchr(text(r->name, path), '/');
	if (slash && slash > path && strncmp(path, "/memfd:", 7) != 0 && strcmp(path, "/dev/zero") != 0 &&
	    strcmp(path, "/anon_hugepage") != 0) {
		*slash = 0;
		fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd >= 0)
			return fd;
	}
	return new_memfd(r);
}

static int make_anon(struct shm *m, const struct rebuild *rb)
{
	struct stat st;
	int fd = descriptor_of(rb, m->rec);

	if (fd >= 0) {
		m->fd = reopen(fd, O_RDWR);
		m->sealed = m->fd == -EPERM;
		if (m->sealed)
			m->fd = reopen(fd, O_RDONLY);
		m->empty = true;     /* but for the contents that came with it */
		if (m->fd >= 0 && fstat(m->fd, &st) == 0)
			m->size = (uint64_t)st.st_size;
		return m->fd;
	}
	m->fd = new_nameless(m->rec);
	m->empty = true;
	if (m->rec->flags & SHARED_HUGE)
		m->size = (m->size + (1ul << SHARED_HUGE_SHIFT(m->rec->flags)) - 1) & ~((1ul << SHARED_HUGE_SHIFT(m->rec->flags)) - 1);
	if (m->fd >= 0 && ftruncate(m->fd, (off_t)m->size) < 0)
		return -errno;
	return m->fd;
}

static int make_named(struct shm *m)
{
	const struct shared_record *r = m->rec;
	char path[4097];
	struct stat st;

	m->fd = open(text(r->name, path), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (m->fd < 0 && errno == ENOENT) {
		m->fd = open(path, O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, 0600);
		m->made = m->empty = m->fd >= 0;
		/* who may not give files away owns what was another's */
		if (m->fd >= 0 && fchown(m->fd, r->uid, r->gid) < 0)
			log_line(LOG_INFO, "%s: its owner %u:%u: %s", path, r->uid, r->gid, strerror(errno));
		if (m->fd >= 0 && fchmod(m->fd, r->mode) < 0)
			return -errno;
	}
	if (m->fd < 0 || fstat(m->fd, &st) < 0)
		return -errno;
	return m->size != (uint64_t)st.st_size && ftruncate(m->fd, (off_t)m->size) < 0 ? -errno : 0;
}

static uint64_t *record_field(const struct image_object *o, const char *name)
{
	for (const struct field *f = o->kind->fields; f->type != FIELD_END_T; f++)
		if (strcmp(f->name, name) == 0)
			return (uint64_t *)((char *)o->rec + f->offset);
	return NULL;
}

/* Descriptors of the old file become the new one's. */
static int take_over(const struct shm *m, struct image *image)
{
	struct stat st;
	int64_t mtime = 0;

	if (fstat(m->fd, &st) < 0)
		return -errno;
	for (uint32_t i = 0; i < image->nobjects; i++) {
		const struct image_object *o = &image->objects[i];
		uint64_t *inode = o->rec;

		if (strcmp(o->kind->tag, "regfile") != 0 || inode[0] != m->rec->dev || inode[1] != m->rec->ino)
			continue;
		inode[0] = st.st_dev;
		inode[1] = st.st_ino;
		mtime = (int64_t)*record_field(o, "mtime_ns");
	}
	return futimens(m->fd, (struct timespec[]){ { .tv_nsec = UTIME_OMIT }, { mtime / 1000000000, mtime % 1000000000 } }) < 0 ?
	       -errno : 0;
}

int shm_early(struct shms *s, struct image *image)
{
	char path[4097];

	for (uint32_t i = 0; i < s->n; i++) {
		struct shm *m = &s->list[i];
		int rc;

		if (m->rec->kind != SHARED_NAMED || access(text(m->rec->name, path), F_OK) == 0 || errno != ENOENT)
			continue;
		rc = make_named(m);
		if (rc == 0)
			rc = take_over(m, image);
		if (rc < 0)
			return failed(rc, "%s", path);
		close(m->fd);
		m->fd = -1;
	}
	return 0;
}

static int make_one(struct shm *m, const struct rebuild *rb, int above)
{
	int rc;

	if (m->rec->kind == SHARED_SYSV)
		return sysv_memory(m);
	rc = m->rec->kind == SHARED_NAMED ? make_named(m) : make_anon(m, rb);
	if (rc < 0)
		return failed(rc, "shared memory %.*s", (int)m->rec->name.n, (const char *)m->rec->name.p);
	m->fd = place_above(m->fd, above);
	return m->fd;
}

/* Regions that may never be written come from a descriptor that may only read. */
static int make_readonly(struct shms *s, const struct image *image, int above)
{
	for (uint32_t p = 0; p < image->nprocesses; p++) {
		const struct process_record *t = image->processes[p].task;
		const struct vma_record *v = t->vmas.items;

		for (uint32_t i = 0; i < t->vmas.n; i++) {
			struct shm *m = v[i].content == VMA_SHARED ? &s->list[s->of[p][v[i].shm]] : NULL;

			if (!m || m->direct || m->rec->kind == SHARED_SYSV || m->sealed || m->readonly >= 0 || !(v[i].advice & ADVICE_READONLY))
				continue;
			m->readonly = reopen(m->fd, O_RDONLY);
			if (m->readonly < 0)
				return failed(m->readonly, "shared memory %.*s", (int)m->rec->name.n, (const char *)m->rec->name.p);
			m->readonly = place_above(m->readonly, above);
			if (m->readonly < 0)
				return m->readonly;
		}
	}
	return 0;
}

/* --- contents ------------------------------------------------------------------------------------------------ */

/* All of it, here; what it held before is gone. */
static int map_here(struct shm *m)
{
	if (m->map || m->size == 0)
		return 0;
	if (m->rec->kind == SHARED_SYSV)
		m->map = shmat((int)m->rec->ino, NULL, 0);
	else
		m->map = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		return failed(-errno, "shared memory %.*s: its contents", (int)m->rec->name.n, (const char *)m->rec->name.p);
	}
	return 0;
}

static int unmap_here(struct shm *m)
{
	int rc = 0;

	if (m->map)
		rc = m->rec->kind == SHARED_SYSV ? shmdt(m->map) : munmap(m->map, m->size);
	m->map = NULL;
	return rc < 0 ? failed(-errno, "shared memory %.*s", (int)m->rec->name.n, (const char *)m->rec->name.p) : 0;
}

static int clear(struct shm *m)
{
	int rc = map_here(m);

	if (rc == 0 && m->map && madvise(m->map, m->size, MADV_REMOVE) < 0)
		memset(m->map, 0, m->size);
	return rc;
}

static int read_run(struct shm *m, uint64_t at, const struct run_record *r, int pages)
{
	uint64_t n = r->pages * ARCH_PAGE, done = 0;
	int rc = map_here(m);

	if (at >= m->size)
		return rc;
	/* the last page of a file is there as a whole */
	if (n > ((m->size + ARCH_PAGE - 1) & ~(ARCH_PAGE - 1)) - at)
		n = ((m->size + ARCH_PAGE - 1) & ~(ARCH_PAGE - 1)) - at;
	while (rc == 0 && done < n) {
		ssize_t got = pread(pages, m->map + at + done, n - done, (off_t)(r->at + done));

		if (got <= 0 && errno != EINTR)
			rc = failed(got < 0 ? -errno : -EIO, "shared memory %.*s: its pages", (int)m->rec->name.n,
				    (const char *)m->rec->name.p);
		done += got > 0 ? (uint64_t)got : 0;
	}
	return rc;
}

static int fill_unattached(struct shm *m)
{
	const struct piece_record *p = m->ipc->pieces.items;
	int rc = map_here(m);

	for (uint32_t i = 0; rc == 0 && i < m->ipc->pieces.n; i++)
		memcpy(m->map + p[i].at, p[i].bytes.p, p[i].bytes.n);
	return rc;
}

static int fill_from(struct shms *s, struct image *image, uint32_t p)
{
	struct image_process *ip = &image->processes[p];
	const struct vma_record *v = ip->task->vmas.items;
	char name[IMAGE_NAME_MAX];
	int pages = -1, rc = 0;

	load_sort_runs(ip);
	for (uint32_t i = 0; rc == 0 && i < ip->task->vmas.n; i++) {
		struct shm *m = v[i].content == VMA_SHARED ? &s->list[s->of[p][v[i].shm]] : NULL;
		const struct run_record *r = ip->runs.items;

		/* a private mapping's pages are its own */
		if (!m || m->direct || m->sealed || !(v[i].map_flags & MAP_SHARED))
			continue;
		for (uint32_t k = load_run_at(&ip->runs, v[i].start); rc == 0 && k < ip->runs.n && r[k].start < v[i].end; k++) {
			if (pages < 0) {
				snprintf(name, sizeof(name), IMAGE_PAGES, ip->task->pid);
				pages = openat(image->dirfd, name, O_RDONLY | O_CLOEXEC);
				if (pages < 0)
					return failed(-errno, "%s/%s", image->dir, name);
			}
			rc = read_run(m, v[i].offset + (r[k].start - v[i].start), &r[k], pages);
		}
	}
	if (pages >= 0)
		close(pages);
	return rc;
}

int shm_make(struct shms *s, const struct rebuild *rb, int above)
{
	struct image *image = rb->image;
	int rc = 0;

	for (uint32_t i = 0; rc >= 0 && i < s->n; i++) {
		struct shm *m = &s->list[i];

		if (m->direct)
			continue;
		rc = make_one(m, rb, above);
		if (rc >= 0 && !m->empty)
			rc = clear(m);
		if (rc >= 0 && m->ipc)
			rc = fill_unattached(m);
	}
	for (uint32_t p = 0; rc >= 0 && p < image->nprocesses; p++)
		rc = fill_from(s, image, p);
	for (uint32_t i = 0; i < s->n; i++) {
		int last = unmap_here(&s->list[i]);

		rc = rc < 0 ? rc : last;
	}
	return rc < 0 ? rc : make_readonly(s, image, above);
}

/* Every process has mapped what it needs. */
void shm_done(struct shms *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		struct shm *m = &s->list[i];

		if (m->rec->kind == SHARED_SYSV && (m->rec->flags & SHARED_REMOVED))
			shmctl((int)m->rec->ino, IPC_RMID, NULL);
		if (m->fd >= 0)
			close(m->fd);
		if (m->readonly >= 0)
			close(m->readonly);
		m->fd = m->readonly = -1;
	}
}

void shm_undo(struct shms *s)
{
	char path[4097];

	for (uint32_t i = 0; i < s->n; i++) {
		struct shm *m = &s->list[i];

		if (m->made && m->rec->kind == SHARED_SYSV)
			shmctl((int)m->rec->ino, IPC_RMID, NULL);
		if (m->made && m->rec->kind == SHARED_NAMED)
			unlink(text(m->rec->name, path));
	}
}
