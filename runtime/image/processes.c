/*
 * processes.c - each process of a checkpoint: what it had, and which pages
 *
 * They don't know of each other yet, so where there are many, or large ones,
 * several threads take them in turn, each with an arena of its own.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "skshim/err.h"

#include "load.h"

#define HELPED (2ul << 20)       /* bytes of metadata, for which a thread is worth while */

/* Items of a list whose length only the file's end tells. */
struct grow {
	char *items;
	size_t size, n, room;
};

static void *grow_item(struct grow *g)
{
	char *p;

	if (g->n == g->room) {
		size_t room = g->room ? 2 * g->room : 64;

		p = reallocarray(g->items, room, g->size);
		if (!p)
			return NULL;
		g->items = p;
		g->room = room;
	}
	p = g->items + g->n++ * g->size;
	memset(p, 0, g->size);
	return p;
}

/* Moves the items into the arena. */
static void *grow_done(struct grow *g, struct arena *arena)
{
	void *p = arena_copy(arena, g->items, g->n * g->size);

	free(g->items);
	g->items = NULL;
	return p;
}

/* Decodes a record into new memory. */
static int load_record(struct decode *d, struct blob body, const char *what, const struct field *fields, uint32_t size, void *out)
{
	void *rec = arena_alloc(d->arena, size);

	if (!rec)
		return failed(-ENOMEM, "image: %s: %s", d->name, what);
	memcpy(out, &rec, sizeof(rec));
	return decode_body(d->arena, d->name, what, body, fields, rec, size);
}

/* An "object" frame was read: its body, and the kind's own record behind it. */
static int load_object(const struct image *image, struct decode *d, struct blob body, struct image_object *o)
{
	struct blob tag, kind;
	int rc;

	rc = load_record(d, body, "object", fields_object, sizeof(*o->common), &o->common);
	if (rc < 0)
		return rc;
	kind = o->common->kind;
	if (kind.n >= IMAGE_NAME_MAX || memchr(kind.p, 0, kind.n))
		return image_damaged(image, "%s: object %u: has no possible kind", d->name, o->common->obj);
	o->kind = kind_by_tag(kind);
	if (!o->kind) {
		failed(ERR_PLAIN, "image %s: %s: object %u is a %.*s, which this skshim does not know", image->dir, d->name,
		       o->common->obj, (int)kind.n, (const char *)kind.p);
		return -EPROTONOSUPPORT;
	}
	rc = decode_frame(d, &tag, &body);
	if (rc < 0)
		return rc;
	if (rc == 0 || !blob_eq(tag, kind))
		return image_damaged(image, "%s: object %u: a %s without its record", d->name, o->common->obj, o->kind->tag);
	return load_record(d, body, o->kind->tag, o->kind->fields, o->kind->size, &o->rec);
}

static int load_objects(const struct image *image, struct decode *d, struct grow *g)
{
	struct image_object *o = NULL;
	struct blob tag, body;
	int rc;

	while ((rc = decode_frame(d, &tag, &body)) > 0) {
		if (blob_is(tag, "object")) {
			o = grow_item(g);
			if (!o)
				return failed(-ENOMEM, "image: %s", d->name);
			rc = load_object(image, d, body, o);
		} else if (blob_is(tag, "lineage") && o && !o->lineage) {
			rc = load_record(d, body, "lineage", fields_lineage, sizeof(*o->lineage), &o->lineage);
		} else {
			rc = image_damaged(image, "%s: frame %u: is not expected there", d->name, d->frames - 1);
		}
		if (rc < 0)
			break;
	}
	return rc;
}

/* A process's file of that kind, its first frame still to be read. */
static int begin_part(const struct image *image, struct arena *arena, const char *format, int32_t pid, const char *what,
		      char name[IMAGE_NAME_MAX], struct decode *d)
{
	struct blob bytes;
	int rc;

	text_format(name, IMAGE_NAME_MAX, format, pid);
	rc = image_read_summed(image, arena, name, &bytes);
	return rc == 0 ? decode_begin(d, arena, name, bytes.p, bytes.n, what) : rc;
}

static int load_task(const struct image *image, struct arena *arena, struct image_process *p, int32_t pid)
{
	struct grow objects = { .size = sizeof(struct image_object) };
	struct blob tag, body;
	char name[IMAGE_NAME_MAX];
	struct decode d;
	int rc;

	rc = begin_part(image, arena, IMAGE_TASK, pid, "task", name, &d);
	if (rc == 0)
		rc = decode_frame(&d, &tag, &body);
	if (rc < 0)
		return rc;
	if (rc == 0 || !blob_is(tag, "process"))
		return image_damaged(image, "%s: begins with no process", name);
	rc = load_record(&d, body, "process", fields_process, sizeof(*p->task), &p->task);
	if (rc == 0)
		rc = load_objects(image, &d, &objects);
	p->nobjects = (uint32_t)objects.n;
	p->objects = grow_done(&objects, arena);
	if (rc == 0 && p->task->pid != pid)
		rc = image_damaged(image, "%s: is of process %d", name, p->task->pid);
	if (rc == 0 && !p->objects)
		rc = failed(-ENOMEM, "image: %s", name);
	return rc;
}

static int load_runs(const struct image *image, struct arena *arena, struct image_process *p, int32_t pid)
{
	struct grow runs = { .size = sizeof(struct run_record) };
	struct blob tag, body;
	char name[IMAGE_NAME_MAX];
	struct decode d;
	void *run;
	int rc;

	rc = begin_part(image, arena, IMAGE_RUNS, pid, "runs", name, &d);
	if (rc < 0)
		return rc;
	while ((rc = decode_frame(&d, &tag, &body)) > 0) {
		run = grow_item(&runs);
		if (!run)
			rc = failed(-ENOMEM, "image: %s", name);
		else if (!blob_is(tag, "run"))
			rc = image_damaged(image, "%s: frame %u: is not expected there", name, d.frames - 1);
		else
			rc = decode_record(arena, name, body, fields_run, run, sizeof(struct run_record));
		if (rc < 0)
			break;
	}
	p->runs.n = (uint32_t)runs.n;
	p->runs.items = grow_done(&runs, arena);
	if (rc == 0 && !p->runs.items)
		rc = failed(-ENOMEM, "image: %s", name);
	return rc;
}

/* The pages file is as long as the manifest says, and as its index says. */
static int load_pages(const struct image *image, struct arena *arena, struct image_process *p, int32_t pid)
{
	const struct file_sum_record *sum;
	char name[IMAGE_NAME_MAX];
	uint64_t size;
	int fd;

	text_format(name, sizeof(name), IMAGE_PAGES, pid);
	p->pages_name = arena_blob(arena, name, strlen(name));
	sum = image_file_sum(image, name);
	if (!p->pages_name.p)
		return failed(-ENOMEM, "image: %s", name);
	if (!sum || sum->hash)
		return image_damaged(image, "manifest: %s is missing or has a hash", name);
	fd = image_open(image, name, &size);
	if (fd < 0)
		return fd;
	close(fd);
	if (size != sum->size)
		return image_damaged(image, "%s: has %lu bytes instead of %lu", name, size, sum->size);
	return check_runs(image, p, size);
}

static int load_process(const struct image *image, struct arena *arena, uint32_t i)
{
	const struct pid_record *pids = image->manifest->processes.items;
	struct image_process *p = &image->processes[i];
	int rc = load_task(image, arena, p, pids[i].pid);

	if (rc == 0)
		rc = check_process(image, p);
	if (rc == 0)
		rc = load_runs(image, arena, p, pids[i].pid);
	return rc < 0 ? rc : load_pages(image, arena, p, pids[i].pid);
}

/* --- all of them --------------------------------------------------------------------------------------------- */

struct work {
	const struct image *image;
	uint32_t next;           /* atomic */
	int rc;                  /* atomic; the first failure stops all */
};

struct worker {
	struct work *work;
	struct arena *arena;     /* its own */
	pthread_t thread;
};

static void *take_processes(void *arg)
{
	struct worker *w = arg;
	struct work *work = w->work;
	int rc = 0;

	while (rc == 0 && __atomic_load_n(&work->rc, __ATOMIC_RELAXED) == 0) {
		uint32_t i = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);

		if (i >= work->image->nprocesses)
			break;
		rc = load_process(work->image, w->arena, i);
	}
	if (rc < 0)
		__atomic_store_n(&work->rc, rc, __ATOMIC_RELAXED);
	return NULL;
}

/* How many may help, worth while only where there is much to be read. */
static int helpers(const struct image *image)
{
	cpu_set_t cpus;
	int n = image->metadata < HELPED || sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 0 : CPU_COUNT(&cpus) - 1;

	n = n > IMAGE_HELPERS ? IMAGE_HELPERS : n;
	return n >= (int)image->nprocesses ? (int)image->nprocesses - 1 : n;
}

int processes_load(struct image *image)
{
	struct work work = { .image = image };
	struct worker me = { .work = &work, .arena = &image->arena }, others[IMAGE_HELPERS];
	int n = 0, wanted;

	image->nprocesses = image->manifest->processes.n;
	image->processes = arena_alloc(&image->arena, image->nprocesses * sizeof(*image->processes));
	if (!image->processes)
		return failed(-ENOMEM, "image %s", image->dir);
	wanted = helpers(image);
	while (n < wanted) {
		struct worker *w = &others[n];

		*w = (struct worker){ .work = &work, .arena = &image->helpers[n] };
		/* without them it takes longer */
		if (arena_begin(w->arena, image_room(image)) < 0 || pthread_create(&w->thread, NULL, take_processes, w) != 0)
			break;
		n++;
	}
	take_processes(&me);
	while (n > 0) {
		pthread_join(others[--n].thread, NULL);
		arena_trim(others[n].arena);
	}
	if (work.rc == 0)
		work.rc = check_tables(image);
	return work.rc < 0 ? work.rc : check_parents(image);
}
