/*
 * image_make.h - a small image made by hand, to be spoiled on purpose
 *
 * Two processes, 100 and its child 200; three kernel objects, one of which
 * both have; a kind "box" that stands for all kinds. A test changes the records
 * before they are written, or the files afterwards. Hashes are always those of
 * what is written, so a spoiled record meets the checks and not the hashes.
 */
#ifndef IMAGE_MAKE_H
#define IMAGE_MAKE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "skshim/image.h"

struct box_item {
	uint32_t obj;
};
struct box {
	uint32_t flags;
	uint32_t other;          /* an object */
	struct blob data;
	struct list queue;       /* struct box_item */
};

static const struct field box_item_fields[] = {
	FIELD_OBJ(struct box_item, obj),
	FIELD_END
};
static const struct field box_fields[] = {
	FIELD_U32(struct box, flags),
	FIELD_OBJ(struct box, other),
	FIELD_BIN(struct box, data),
	FIELD_LIST(struct box, queue, struct box_item, box_item_fields),
	FIELD_END
};
static const struct kind kind_box = { .tag = "box", .size = sizeof(struct box), .fields = box_fields };
static const struct kind kind_crate = { .tag = "crate", .size = sizeof(struct box), .fields = box_fields };

/* In place of runtime/kinds/kinds.c. */
const struct kind *const kinds[] = { &kind_box, &kind_crate, NULL };
const struct kind *kind_by_tag(struct blob tag)
{
	for (const struct kind *const *k = kinds; *k; k++)
		if (blob_is(tag, (*k)->tag))
			return *k;
	return NULL;
}

#define MADE_PIDS 2
#define MADE_PAGES 5

struct made_process {
	struct process_record task;
	struct thread_record threads[2];
	struct fd_record fds[3];
	struct vma_record vmas[3];
	struct file_record files[1];
	struct itimer_record itimers[3];
	struct sigaction_record actions[2];
	struct siginfo_record pending[1];
	struct timer_record timers[1];
	struct object_record objects[3];
	struct box boxes[3];
	struct box_item items[1];
	uint32_t nobjects;
	struct lineage_record lineage;   /* of object 1 */
	struct frame_record frames[1];
	struct run_record runs[3];
	uint32_t nruns;
	uint64_t pages_bytes;
	bool no_box;                     /* object 0 lacks its kind's record */
	const char *first;               /* tag of the first frame */
	const char *extra;               /* a frame at the end */
};

struct made {
	struct manifest_record manifest;
	struct pid_record pids[3];
	struct dead_record dead[1];
	struct member_record members[6];
	struct file_sum_record sums[3 * MADE_PIDS];
	char names[3 * MADE_PIDS][IMAGE_NAME_MAX];
	struct made_process p[MADE_PIDS];
	char pages[MADE_PAGES * ARCH_PAGE];
	const char *manifest_tag;
	uint64_t pages_hash;
	bool keep_sums;                  /* sums are as the test set them */
};

static char made_bytes[256];

static void made_process(struct made_process *p, int32_t pid, int32_t ppid, const char *pages)
{
	uint64_t text = 0x400000, heap = 0x10000000, stack = 0x7ffc00000000;

	p->threads[0] = (struct thread_record){ .tid = pid, .comm = BLOB("main"), .resume_sp = stack, .resume_pc = text,
		.frame = stack, .affinity = { made_bytes, 8 }, .syscall = -1 };
	p->threads[1] = p->threads[0];
	p->threads[1].tid = pid + 1;
	p->threads[1].pending = (struct list){ p->pending, 1 };
	p->pending[0] = (struct siginfo_record){ 10, { made_bytes, 128 } };
	p->actions[0] = (struct sigaction_record){ .sig = 2, .handler = text };
	p->actions[1] = (struct sigaction_record){ .sig = 15, .handler = 1 };
	p->timers[0] = (struct timer_record){ .id = 0, .clock = 1, .signo = 14 };
	p->files[0] = (struct file_record){ .path = BLOB("/bin/program"), .dev = 1, .ino = 2, .size = 4096, .build_id = BLOB("\x01\x02") };
	p->vmas[0] = (struct vma_record){ .start = text, .end = text + 2 * ARCH_PAGE, .prot = 5, .map_flags = MAP_PRIVATE,
		.content = VMA_FILE_PRIVATE, .file = 0, .shm = OBJ_NONE, .name = BLOB("/bin/program") };
	p->vmas[1] = (struct vma_record){ .start = heap, .end = heap + 16 * ARCH_PAGE, .prot = 3, .map_flags = MAP_PRIVATE,
		.content = VMA_ANON, .file = OBJ_NONE, .shm = OBJ_NONE, .name = BLOB("[heap]") };
	p->vmas[2] = (struct vma_record){ .start = stack, .end = stack + 8 * ARCH_PAGE, .prot = 3,
		.map_flags = MAP_PRIVATE | MAP_GROWSDOWN, .content = VMA_ANON, .file = OBJ_NONE, .shm = OBJ_NONE, .name = BLOB("[stack]") };
	p->fds[0] = (struct fd_record){ 0, 0, 0 };
	p->fds[1] = (struct fd_record){ 1, 0, 0 };
	p->fds[2] = (struct fd_record){ 7, 1, 1 };
	p->nobjects = 2;
	for (uint32_t i = 0; i < p->nobjects; i++) {
		p->objects[i] = (struct object_record){ .obj = i, .kind = BLOB("box"), .flags = 2, .fd = (int32_t)i, .loss = BLOB("") };
		p->boxes[i] = (struct box){ .flags = 70 + i, .other = 1 - i, .data = BLOB("bytes"), .queue = { p->items, 1 } };
	}
	p->items[0].obj = 1;
	p->objects[1].cookie = 99;
	p->frames[0] = (struct frame_record){ .address = 0x1234, .module = BLOB("/lib/x.so") };
	p->lineage = (struct lineage_record){ .obj = 1, .pid = pid, .program = BLOB("prog"), .bound = BLOB("\1\0/x"), .frames = { p->frames, 1 } };
	p->runs[0] = (struct run_record){ heap + ARCH_PAGE, 2, 0, image_hash(pages, 2 * ARCH_PAGE) };
	p->runs[1] = (struct run_record){ text, 1, 2 * ARCH_PAGE, image_hash(pages + 2 * ARCH_PAGE, ARCH_PAGE) };
	p->runs[2] = (struct run_record){ stack + 6 * ARCH_PAGE, 2, 3 * ARCH_PAGE, image_hash(pages + 3 * ARCH_PAGE, 2 * ARCH_PAGE) };
	p->nruns = 3;
	p->pages_bytes = MADE_PAGES * ARCH_PAGE;
	p->task = (struct process_record){
		.pid = pid, .ppid = ppid, .pgid = 100, .sid = 100, .comm = BLOB("prog"), .exe = BLOB("/bin/program"),
		.cmdline = BLOB("prog\0-x\0"), .cwd = BLOB("/"), .root = BLOB("/"), .exe_file = 0,
		.groups = { made_bytes, 8 }, .rlimits = { made_bytes, RLIM_NLIMITS * 16 }, .start_brk = heap, .brk = heap + 16 * ARCH_PAGE,
		.arg_start = stack, .arg_end = stack + 8, .env_start = stack + 8, .env_end = stack + 16, .auxv = { made_bytes, 32 },
		.leader_tid = pid + 1, .itimers = { p->itimers, 3 }, .sigactions = { p->actions, 2 }, .timers = { p->timers, 1 },
		.pending = { p->pending, 1 }, .threads = { p->threads, 2 }, .fds = { p->fds, 3 }, .vmas = { p->vmas, 3 },
		.files = { p->files, 1 }, .handover = heap, .ledger = heap, .ledger_size = 4096,
	};
	p->first = "process";
}

/* The records of a good image. */
static void made_begin(struct made *m)
{
	memset(m, 0, sizeof(*m));
	for (size_t i = 0; i < sizeof(m->pages); i++)
		m->pages[i] = (char)(i * 7 + i / ARCH_PAGE + 1);
	made_process(&m->p[0], 100, 1, m->pages);
	made_process(&m->p[1], 200, 100, m->pages);
	m->pids[0].pid = 100;
	m->pids[1].pid = 200;
	m->dead[0] = (struct dead_record){ .pid = 300, .ppid = 100, .pgid = 100, .sid = 100, .status = 256 };
	/* object 0 of the one is object 0 of the other */
	m->members[0] = (struct member_record){ 0, 0, 0 };
	m->members[1] = (struct member_record){ 0, 1, 1 };
	m->members[2] = (struct member_record){ 1, 0, 0 };
	m->members[3] = (struct member_record){ 1, 1, 2 };
	m->manifest = (struct manifest_record){
		.version = IMAGE_VERSION, .arch = BLOB(ARCH_NAME), .release = BLOB("6.1.0"), .host = BLOB("host"), .boot_id = BLOB("id"),
		.realtime_ns = 1, .monotonic_ns = 2, .boottime_ns = 3, .page_size = ARCH_PAGE, .xsave_size = 2696, .xcr0 = 7,
		.cpu = BLOB("sse sse2"), .root_pid = 100, .command = BLOB("prog\0-x\0"), .processes = { m->pids, 2 },
		.dead = { m->dead, 1 }, .members = { m->members, 4 }, .objects = 3, .files = { m->sums, 6 },
	};
	m->manifest_tag = "manifest";
}

static void made_file(const char *dir, const char *name, const void *p, uint64_t n)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, p, n) != (ssize_t)n || close(fd) < 0)
		abort();
}

static void made_sum(struct made *m, uint32_t slot, const char *name, uint64_t size, uint64_t hash)
{
	snprintf(m->names[slot], IMAGE_NAME_MAX, "%s", name);
	if (!m->keep_sums)
		m->sums[slot] = (struct file_sum_record){ { m->names[slot], strlen(m->names[slot]) }, size, hash };
}

static void made_write_process(struct made *m, uint32_t i, struct arena *arena, const char *dir)
{
	struct made_process *p = &m->p[i];
	char name[IMAGE_NAME_MAX];
	struct encode e;

	encode_begin(&e, arena, "task");
	encode_frame(&e, p->first, fields_process, &p->task);
	for (uint32_t n = 0; n < p->nobjects; n++) {
		char tag[16];

		encode_frame(&e, "object", fields_object, &p->objects[n]);
		text_format(tag, sizeof(tag), "%.*s", (int)p->objects[n].kind.n, (const char *)p->objects[n].kind.p);
		if (n || !p->no_box)
			encode_frame(&e, tag, box_fields, &p->boxes[n]);
		if (n == 1)
			encode_frame(&e, "lineage", fields_lineage, &p->lineage);
	}
	if (p->extra)
		encode_frame(&e, p->extra, fields_lineage, &p->lineage);
	encode_end(&e);
	snprintf(name, sizeof(name), IMAGE_TASK, m->pids[i].pid);
	made_file(dir, name, e.p, e.n);
	made_sum(m, 3 * i, name, e.n, image_hash(e.p, e.n));
	encode_begin(&e, arena, "runs");
	for (uint32_t n = 0; n < p->nruns; n++)
		encode_frame(&e, "run", fields_run, &p->runs[n]);
	encode_end(&e);
	snprintf(name, sizeof(name), IMAGE_RUNS, m->pids[i].pid);
	made_file(dir, name, e.p, e.n);
	made_sum(m, 3 * i + 1, name, e.n, image_hash(e.p, e.n));
	snprintf(name, sizeof(name), IMAGE_PAGES, m->pids[i].pid);
	made_file(dir, name, m->pages, p->pages_bytes);
	made_sum(m, 3 * i + 2, name, p->pages_bytes, m->pages_hash);
}

/* Writes all files; what a test left behind by the same names is replaced. */
static void made_write(struct made *m, const char *dir)
{
	struct arena arena;
	struct encode e;

	if (arena_begin(&arena, 8 << 20) < 0)
		abort();
	for (uint32_t i = 0; i < MADE_PIDS; i++)
		made_write_process(m, i, &arena, dir);
	encode_begin(&e, &arena, "manifest");
	encode_frame(&e, m->manifest_tag, fields_manifest, &m->manifest);
	if (encode_end(&e) < 0)
		abort();
	made_file(dir, IMAGE_MANIFEST, e.p, e.n);
	arena_end(&arena);
}

#endif
