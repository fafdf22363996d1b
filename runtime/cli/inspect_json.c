/*
 * inspect_json.c - an image as one JSON document
 *
 * Everything the image holds, under the names its field tables give (see
 * docs/IMAGE.md), and beside that what can only be known by looking around:
 * holders of an object, stacks, names of functions. Keys are only ever added.
 */
#include <stdlib.h>
#include <string.h>

#include "inspect.h"
#include "skshim/show.h"

static void json_frame(struct show *s, const struct stack_frame *f)
{
	show_open(s, NULL, '{');
	show_unsigned(s, "address", f->address);
	show_string(s, "module", f->module);
	show_unsigned(s, "offset", f->offset);
	if (f->function != NULL) {
		show_string(s, "function", (struct blob){ f->function, (uint64_t)symbols_plain(f->function) });
		show_unsigned(s, "into", f->into);
	} else {
		show_null(s, "function");
	}
	show_close(s, '}');
}

static void json_stack(struct inspect *in, uint32_t process, const struct thread_record *t, struct show *s)
{
	static struct stack_frame frames[STACK_FRAMES];
	size_t n = stack_unwind(&in->memories[process], &in->symbols, t, frames, STACK_FRAMES);

	show_open(s, NULL, '{');
	show_signed(s, "tid", t->tid);
	show_open(s, "frames", '[');
	for (size_t i = 0; i < n; i++)
		json_frame(s, &frames[i]);
	show_close(s, ']');
	show_close(s, '}');
}

static void json_process(struct inspect *in, uint32_t process, struct show *s)
{
	const struct image_process *p = &in->image.processes[process];
	const struct thread_record *threads = p->task->threads.items;
	const struct run_record *runs = p->runs.items;
	uint64_t pages = 0;

	for (uint32_t i = 0; i < p->runs.n; i++)
		pages += runs[i].pages;
	show_open(s, NULL, '{');
	show_record(s, "task", fields_process, p->task);
	show_unsigned(s, "pages", pages);
	show_open(s, "stacks", '[');
	for (uint32_t i = 0; i < p->task->threads.n; i++)
		json_stack(in, process, &threads[i], s);
	show_close(s, ']');
	show_close(s, '}');
}

/* An address in an option or a lineage, readable: `key`_text beside the bytes. */
static void json_address(struct show *s, const char *key, struct blob b)
{
	char shown[600];

	if (b.n > 0 && print_address(b.p, b.n, shown, sizeof(shown)))
		show_string(s, key, text(shown));
}

/* The processes that have it by the same way. */
static void json_came(const struct inspect *in, const struct image_object *o, struct show *s, enum came how, const char *key)
{
	uint32_t obj = (uint32_t)(o - in->image.objects);
	size_t n = came_pids(in, obj, how, NULL, 0);
	int32_t *pids = calloc(n + 1, sizeof(*pids));

	show_open(s, key, '[');
	if (pids != NULL)
		came_pids(in, obj, how, pids, n);
	for (size_t i = 0; pids != NULL && i < n; i++)
		show_signed(s, NULL, pids[i]);
	show_close(s, ']');
	free(pids);
}

static void json_lineage(struct inspect *in, const struct image_object *o, struct show *s)
{
	const struct lineage_record *l = o->lineage;
	const struct frame_record *frames;
	uint32_t other;

	if (l == NULL) {
		show_null(s, "lineage");
		return;
	}
	frames = l->frames.items;
	show_open(s, "lineage", '{');
	show_fields(s, fields_lineage, l);
	show_string(s, "origin_text", text(describe_origin(l->origin)));
	json_address(s, "bound_text", l->bound);
	json_address(s, "peer_text", l->peer);
	other = inspect_cookie(in, l->mate);
	if (other != OBJ_NONE)
		show_unsigned(s, "mate_object", other);
	other = inspect_cookie(in, l->listener);
	if (other != OBJ_NONE)
		show_unsigned(s, "listener_object", other);
	json_came(in, o, s, CAME_INHERITED, "inherited_by");
	json_came(in, o, s, CAME_PASSED, "passed_to");
	show_open(s, "where", '[');
	for (uint32_t i = 0; i < l->frames.n; i++) {
		struct stack_frame f;

		inspect_frame(in, o->process, &frames[i], &f);
		json_frame(s, &f);
	}
	show_close(s, ']');
	show_close(s, '}');
}

static void json_object(struct inspect *in, uint32_t obj, struct show *s)
{
	const struct image_object *o = &in->image.objects[obj];
	char words[2048];

	show_open(s, NULL, '{');
	show_unsigned(s, "object", obj);
	show_string(s, "kind", text(o->kind->tag));
	describe_object(in, obj, words, sizeof(words));
	show_string(s, "text", text(words));
	show_record(s, "common", fields_object, o->common);
	show_record(s, "record", o->kind->fields, o->rec);
	json_lineage(in, o, s);
	if (in->joined[obj] == OBJ_NONE)
		show_null(s, "joined");
	else
		show_unsigned(s, "joined", in->joined[obj]);
	if (in->waits[obj] != OBJ_NONE)
		show_unsigned(s, "not_accepted_by", in->waits[obj]);
	if (in->carrier[obj] != OBJ_NONE)
		show_unsigned(s, in->backlog[obj] ? "in_backlog_of" : "in_queue_of", in->carrier[obj]);
	show_open(s, "holders", '[');
	for (uint32_t i = in->first[obj]; i < in->first[obj + 1]; i++) {
		show_open(s, NULL, '{');
		show_signed(s, "pid", in->image.processes[in->holders[i].process].task->pid);
		show_signed(s, "fd", in->holders[i].fd);
		show_bool(s, "cloexec", in->holders[i].cloexec != 0);
		show_close(s, '}');
	}
	show_close(s, ']');
	show_close(s, '}');
}

int inspect_json(struct inspect *in)
{
	struct show s;

	show_begin(&s, stdout);
	show_open(&s, NULL, '{');
	show_string(&s, "directory", text(in->image.dir));
	show_record(&s, "manifest", fields_manifest, in->image.manifest);
	show_open(&s, "processes", '[');
	for (uint32_t p = 0; p < in->image.nprocesses; p++)
		json_process(in, p, &s);
	show_close(&s, ']');
	show_open(&s, "objects", '[');
	for (uint32_t i = 0; i < in->image.nobjects; i++)
		json_object(in, i, &s);
	show_close(&s, ']');
	show_close(&s, '}');
	return print_show_end(&s);
}
