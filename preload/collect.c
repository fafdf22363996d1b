/*
 * collect.c - one process's part of the image, gathered while the world stands
 *
 * Everything goes into an arena that is no part of the image. Encoding waits
 * for the writer: its copy of the arena is as good.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <sys/resource.h>

#include "collect.h"
#include "family.h"
#include "skshim/probe.h"

#include "skshim/frozen.h"

#define ARENA_SIZE (8ull << 30)

static int collect_threads(struct arena *a, struct process_record *p)
{
	struct thread_record *list = arena_alloc(a, quiesce.nslots * sizeof(*list));
	uint32_t n = 0;

	if (!list)
		return failed(-ENOMEM, "pid %d: memory for %u threads", shim.pid, quiesce.nslots);
	for (uint32_t i = 0; i < quiesce.nslots; i++) {
		const struct slot *s = &quiesce.slots[i];

		if (s->state != SLOT_PARKED)
			continue;
		thread_to_record(a, s, &list[n++]);
		if (i == quiesce.leader)
			p->leader_tid = s->tid;
	}
	p->threads.items = list;
	p->threads.n = n;
	return 0;
}

static void common_record(const struct probe *probe, struct object_record *o)
{
	struct { int type, pid; } owner = { 0, 0 };
	long sig;

	o->obj = probe->obj;
	o->flags = probe->flags;
	o->cookie = probe->cookie;
	o->fd = probe->fd;
	o->loss = BLOB("");
	o->mode = o->uid = o->gid = 0;
	if (probe->flags & O_PATH)
		return;
	if (S_ISSOCK(probe->st.st_mode) || blob_starts(probe->path, "pipe:") || blob_starts(probe->path, "/memfd:")) {
		o->mode = probe->st.st_mode;
		o->uid = probe->st.st_uid;
		o->gid = probe->st.st_gid;
	}
	if (sys_fcntl(probe->fd, F_GETOWN_EX, (long)&owner) == 0) {
		o->owner_type = owner.type;
		o->owner = owner.pid;
	}
	sig = sys_fcntl(probe->fd, F_GETSIG, 0);
	o->owner_sig = sig > 0 ? (int32_t)sig : 0;
}

/* Room for `n` objects; kinds may add descriptors in flight while they collect. */
static int grow(struct work *w, uint32_t n)
{
	uint32_t room = n + n / 2 + 64;
	struct object_record *objects;

	if (n <= w->room)
		return 0;
	objects = arena_alloc(&w->arena, room * sizeof(*objects));
	void **records = arena_alloc(&w->arena, room * sizeof(*records));
	const struct kind **list = arena_alloc(&w->arena, room * sizeof(*list));

	if (!objects || !records || !list)
		return failed(-ENOMEM, "pid %d: memory for %u descriptors", shim.pid, n);
	if (w->room) {
		memcpy(objects, w->objects, w->room * sizeof(*objects));
		memcpy(records, w->records, w->room * sizeof(*records));
		memcpy(list, w->kinds, w->room * sizeof(*list));
	}
	w->objects = objects;
	w->records = records;
	w->kinds = list;
	w->room = room;
	return 0;
}

static int collect_object(struct work *w, uint32_t i)
{
	const struct kind *kind = NULL;
	int rc = grow(w, i + 1);

	if (rc < 0)
		return rc;
	for (int k = 0; kinds[k] && !kind; k++)
		if (kinds[k]->match(&w->all.probes[i]))
			kind = kinds[k];
	if (!kind)
		return collection_refuse(&w->all, &w->all.probes[i], -95, "%.*s is not supported",
					 (int)w->all.probes[i].path.n, (const char *)w->all.probes[i].path.p);
	common_record(&w->all.probes[i], &w->objects[i]);
	w->kinds[i] = kind;
	w->objects[i].kind = arena_blob(&w->arena, kind->tag, strlen(kind->tag));
	w->records[i] = arena_alloc(&w->arena, kind->size ? kind->size : 1);
	if (!w->records[i])
		return failed(-ENOMEM, "pid %d: memory for its descriptors", shim.pid);
	rc = kind->collect(&w->all, &w->all.probes[i], w->records[i]);
	if (rc >= 0 && w->all.losses && w->all.losses[i].n)
		w->objects[i].loss = w->all.losses[i];
	return rc;
}

static bool mapped(uint64_t dev, uint64_t ino, uint64_t start, uint64_t end)
{
	return shared_covers(&work.arena, &work.memory, dev, ino, start, end);
}

static int carry(int fd, uint64_t at, uint64_t n, uint64_t *where)
{
	return pages_carry(&work.arena, &work.pages, fd, at, n, where);
}

/* Nothing of the checkpoint before: it lay in an arena that is gone. */
static void descriptors_begin(struct work *w)
{
	w->room = 0;
	memset(&w->all, 0, sizeof(w->all));
	w->all.arena = &w->arena;
	w->all.pid = shim.pid;
	w->all.tree = shim.tree;
}

int collect_adopt(struct work *w)
{
	int rc;

	descriptors_begin(w);
	rc = probe_numbers(&w->all, ledger_adopt);
	/* others may have put some of ours into a table that we share */
	if (rc < 0 || fdtable_shared)
		return rc;
	w->fds = w->all.fds;
	w->nfds = w->all.nfds;
	w->cookies = w->all.cookies;
	return 0;
}

static int collect_descriptors(struct work *w)
{
	struct fd_record *fds;
	int rc;

	descriptors_begin(w);
	w->all.fds = w->fds;
	w->all.nfds = w->nfds;
	w->all.cookies = w->cookies;
	w->all.going_on = !shim.tree->ending;
	text_format(w->image, sizeof(w->image), "%s/%06u", shim.tree->dir, shim.tree->number);
	w->all.image = w->image;
	w->all.mapped = mapped;
	w->all.files_most = shim.tree->files_most;
	w->all.files_written = shim.tree->files_written;
	w->all.carry = carry;
	w->all.carries = shared_claim_file;
	w->all.notification = notify_of;
	w->all.alone = sharing_alone;
	w->all.elsewhere = sharing_elsewhere;
	w->all.peer_lives = peer_lives;
	w->all.member = members_has;
	rc = probe_all(&w->all, ledger_find);
	for (uint32_t i = 0; rc >= 0 && i < w->all.nprobes; i++)
		rc = collect_object(w, i);
	if (rc < 0)
		return rc;
	fds = arena_alloc(&w->arena, (w->all.nfds + 1) * sizeof(*fds));
	if (!fds)
		return failed(-ENOMEM, "pid %d: memory for its descriptors", shim.pid);
	for (uint32_t i = 0; i < w->all.nfds; i++)
		fds[i] = (struct fd_record){ w->all.fds[i].fd, w->all.fds[i].cloexec, w->all.fds[i].obj };
	w->task.fds = (struct list){ fds, w->all.nfds };
	return 0;
}

static void descriptors_of_another(struct work *w)
{
	descriptors_begin(w);
	w->task.files_of = (uint32_t)fdtable_owner();
	w->task.fds = (struct list){ NULL, 0 };
}

int collect_process(struct work *w)
{
	struct memory *m = &w->memory;
	int rc = identity_collect(&w->arena, &w->task);

	w->task.dumpable = w->dumpable;
	w->task.subreaper = w->subreaper;
	if (rc == 0 && w->nofile.soft < w->nofile.hard)
		memcpy((char *)w->task.rlimits.p + RLIMIT_NOFILE * sizeof(w->nofile), &w->nofile, sizeof(w->nofile));
	if (rc == 0 && w->fsize.soft < w->fsize.hard)
		memcpy((char *)w->task.rlimits.p + RLIMIT_FSIZE * sizeof(w->fsize), &w->fsize, sizeof(w->fsize));
	if (rc == 0)
		rc = collect_threads(&w->arena, &w->task);
	if (rc == 0)
		rc = memory_collect(&w->arena, m, (uint64_t)w->arena.base - ARCH_PAGE,
				    (uint64_t)w->arena.base + w->arena.size + ARCH_PAGE);
	if (rc == 0)
		rc = pages_begin(&w->arena, &w->pages, w->files[FILE_PAGES]);
	if (rc == 0 && !fdtable_quiet())
		rc = collect_descriptors(w);
	else if (rc == 0)
		descriptors_of_another(w);
	if (rc == 0)
		rc = shared_privates(&w->arena, m, &w->all);
	w->task.aio = (struct list){ m->aio, m->naio };
	w->task.ipc = (struct list){ NULL, 0 };
	if (rc == 0 && w->leader)
		rc = sysv_collect(&w->arena, &w->task);
	for (uint32_t i = 0; rc == 0 && i < m->n; i++) {
		struct region *r = &m->regions[i];

		if (!r->copied || r->skip)
			continue;
		if (r->vma.content == VMA_SHARED)
			rc = shared_claim(&m->shared, r);
		if (r->vma.content != VMA_AIO && (r->vma.content != VMA_SHARED || rc == 1))
			rc = pages_write(&w->arena, &w->pages, r);
	}
	return rc;
}

int collect_begin(struct work *w)
{
	int rc;

	memory_fill_later(true);
	fdtable_begin();
	/* valgrind would keep account of each byte of it */
	rc = shim.emulated ? 0 : arena_begin(&w->arena, ARENA_SIZE);
	/* the last checkpoint's lies in an arena that is gone: collect_end() must not find it */
	memset(&w->all, 0, sizeof(w->all));
	w->fds = NULL;
	w->cookies = NULL;
	w->nfds = 0;
	w->dumpable = 1;
	w->nofile = w->fsize = (struct raised){ 0, 0 };
	w->subreaper = w->stood = false;
	w->partial = w->parent = -1;
	for (int i = 0; i < FILES; i++)
		w->files[i] = -1;
	w->pages.fd = w->pages.mem = w->pages.pagemap = -1;
	w->writer = 0;
	if (shim.emulated)
		return failed(ERR_PLAIN, "pid %d runs under valgrind", shim.pid);
	return rc < 0 ? failed(rc, "pid %d: memory to collect in", shim.pid) : 0;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		sys_close(*fd);
	*fd = -1;
}

void collect_end(struct work *w)
{
	collection_release(&w->all);
	for (int i = 0; i < FILES; i++)
		close_one(&w->files[i]);
	if (w->stood)
		thread_fsids_back(&quiesce.slots[quiesce.leader]);
	if (w->stood && w->dumpable != (uint32_t)sys_prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
		sys_prctl(PR_SET_DUMPABLE, w->dumpable == 1, 0, 0, 0);
	if (w->subreaper) {
		sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		__atomic_fetch_sub(&shim.tree->reapers, 1, __ATOMIC_SEQ_CST);
		sys_futex(&shim.tree->reapers, FUTEX_WAKE, 0x7fffffff, NULL);
	}
	if (w->nofile.soft < w->nofile.hard)
		sys_prlimit(0, RLIMIT_NOFILE, (struct rlimit64 *)&w->nofile, NULL);
	if (w->fsize.soft < w->fsize.hard)
		sys_prlimit(0, RLIMIT_FSIZE, (struct rlimit64 *)&w->fsize, NULL);
	close_one(&w->pages.pagemap);
	close_one(&w->pages.mem);
	close_one(&w->partial);
	close_one(&w->parent);
	arena_end(&w->arena);
	memory_fill_later(false);
}

/* --- in the writer ------------------------------------------------------------------------------------------ */

/* What is added to a file's own addresses where it is mapped: nothing for a program linked to a fixed place. */
static uint64_t load_bias(const struct region *first)
{
	const char *elf = (const char *)first->vma.start;

	if (first->vma.offset == 0 && (first->vma.prot & 1) && memcmp(elf, "\177ELF", 4) == 0 && elf[16] == 2 /* ET_EXEC */)
		return 0;
	return first->vma.start;
}

/* A return address, as an address of the file that is mapped there. */
static void frame_of(struct work *w, uint64_t address, struct frame_record *f)
{
	const struct memory *m = &w->memory;

	f->address = address;
	f->module = f->function = BLOB("");
	f->offset = address;
	for (uint32_t i = 0; i < m->n; i++) {
		const struct region *r = &m->regions[i], *first = r;

		if (address < r->vma.start || address >= r->vma.end || !r->ino)
			continue;
		while (first > m->regions && first[-1].ino == r->ino && first[-1].dev == r->dev && first->vma.offset)
			first--;
		f->module = r->path;
		f->offset = address - load_bias(first);
	}
}

static struct blob here_string(struct arena *a, const char *s, size_t room)
{
	size_t n = 0;

	while (n < room && s[n])
		n++;
	return arena_blob(a, s, n);
}

static int lineage_frame(struct work *w, struct encode *e, const struct probe *probe)
{
	const struct lineage *l = probe->lineage;
	struct lineage_record r;
	struct frame_record *frames;
	uint32_t n = l->nframes <= LINEAGE_FRAMES ? l->nframes : LINEAGE_FRAMES;

	memset(&r, 0, sizeof(r));
	frames = arena_alloc(&w->arena, (n + 1) * sizeof(*frames));
	if (!frames)
		return failed(-ENOMEM, "pid %d: memory for its lineages", shim.pid);
	for (uint32_t i = 0; i < n; i++)
		frame_of(w, l->frames[i], &frames[i]);
	r.obj = probe->obj;
	r.origin = l->origin;
	r.pid = l->pid;
	r.tid = l->tid;
	r.when = l->when;
	r.program = here_string(&w->arena, l->program, sizeof(l->program));
	r.mate = l->mate;
	r.listener = l->listener;
	r.backlog = l->backlog;
	r.bound = arena_blob(&w->arena, l->bound, l->bound_len <= LINEAGE_ADDR ? l->bound_len : 0);
	r.peer = arena_blob(&w->arena, l->peer, l->peer_len <= LINEAGE_ADDR ? l->peer_len : 0);
	r.cwd_dev = l->cwd_dev;
	r.cwd_ino = l->cwd_ino;
	r.file_dev = l->file_dev;
	r.file_ino = l->file_ino;
	r.file_path = BLOB("");
	r.cwd = arena_blob(&w->arena, l->cwd, l->cwd_len <= LINEAGE_PATH ? l->cwd_len : 0);
	r.notes = arena_blob(&w->arena, l->notes, l->notes_len <= LINEAGE_NOTES ? l->notes_len : 0);
	r.notes_lost = l->notes_lost;
	r.frames = (struct list){ frames, n };
	return encode_frame(e, "lineage", fields_lineage, &r);
}

int collect_encode(struct work *w, struct encode *e)
{
	int rc;

	encode_begin(e, &w->arena, "task");
	rc = encode_frame(e, "process", fields_process, &w->task);
	for (uint32_t i = 0; rc >= 0 && i < w->all.nprobes; i++) {
		encode_frame(e, "object", fields_object, &w->objects[i]);
		rc = encode_frame(e, w->kinds[i]->tag, w->kinds[i]->fields, w->records[i]);
		if (rc >= 0 && w->all.probes[i].lineage)
			rc = lineage_frame(w, e, &w->all.probes[i]);
	}
	return rc < 0 ? failed(rc, "pid %d: encoding its image", shim.pid) : encode_end(e);
}
