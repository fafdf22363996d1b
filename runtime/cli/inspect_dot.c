/*
 * inspect_dot.c - an image as a picture (Graphviz)
 *
 * Processes are boxes with what only they hold; what several hold stands
 * between them. Arrows say which descriptors lead where, bold lines what
 * is joined to what, dashed ones what else a record mentions, dotted ones
 * which listener a socket came from.
 */
#include <string.h>

#include "inspect.h"

static void dot_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		if (*s == '\n')
			fputs("\\n", stdout);
		else
			putchar(*s);
	}
	putchar('"');
}

/* Words two blanks apart go on lines of their own. */
static void dot_lines(char *s)
{
	char *at = s;

	while ((at = strstr(at, "  ")) != NULL) {
		at[0] = '\n';
		memmove(at + 1, at + 2, strlen(at + 2) + 1);
	}
}

/* The only process that holds the object, or -1. */
static int64_t dot_only_holder(const struct inspect *in, uint32_t obj)
{
	uint32_t from = in->first[obj], to = in->first[obj + 1];

	if (from == to)
		return -1;
	for (uint32_t i = from + 1; i < to; i++)
		if (in->holders[i].process != in->holders[from].process)
			return -1;
	return in->holders[from].process;
}

static void dot_object(const struct inspect *in, uint32_t obj, const char *indent)
{
	const struct image_object *o = &in->image.objects[obj];
	bool flying = in->first[obj] == in->first[obj + 1];
	char label[1024], whole[1200];

	describe_label(in, obj, label, sizeof(label));
	dot_lines(label);
	snprintf(whole, sizeof(whole), "%s%s", label, flying ? "\n(in flight)" : "");
	printf("%so%u [label=", indent, obj);
	dot_string(whole);
	printf(", shape=%s, style=\"filled%s\", fillcolor=\"%s\"];\n", o->common->cookie ? "box" : "ellipse",
	       flying ? ",dashed" : o->common->cookie ? ",rounded" : "", o->common->cookie ? "#d7e8fb" : "#f3f0e7");
}

static void dot_process(const struct inspect *in, uint32_t process)
{
	const struct process_record *t = in->image.processes[process].task;
	char command[200], label[300];

	inspect_command(t, command, 60);
	snprintf(label, sizeof(label), "%d %s\nthreads: %u", t->pid, command, t->threads.n);
	printf("  subgraph cluster_p%u {\n    style=rounded; color=\"#8899aa\"; label=\"\";\n", process);
	printf("    p%u [shape=box, style=bold, label=", process);
	dot_string(label);
	puts("];");
	for (uint32_t i = 0; i < in->image.nobjects; i++)
		if (dot_only_holder(in, i) == process)
			dot_object(in, i, "    ");
	puts("  }");
}

/* One arrow from a process to an object for all numbers it has there. */
static void dot_descriptors(const struct inspect *in, uint32_t obj)
{
	uint32_t from = in->first[obj], to = in->first[obj + 1];

	while (from < to) {
		uint32_t process = in->holders[from].process;

		printf("  p%u -> o%u [label=\"%d", process, obj, in->holders[from].fd);
		while (++from < to && in->holders[from].process == process)
			printf(",%d", in->holders[from].fd);
		puts("\"];");
	}
}

struct dot_edges {
	uint32_t from;
};

static void dot_edge(const char *name, uint32_t obj, void *arg)
{
	const struct dot_edges *e = arg;

	printf("  o%u -> o%u [label=\"%s\", style=dashed, color=\"#888a85\", constraint=false];\n", e->from, obj, name);
}

/* A pair that is joined is one line. */
static void dot_joined(const struct inspect *in, uint32_t obj)
{
	uint32_t peer = in->joined[obj];

	if (peer == OBJ_NONE || (peer < obj && in->joined[peer] == obj))
		return;
	printf("  o%u -> o%u [style=bold, color=\"#3465a4\", constraint=false%s];\n", obj, peer,
	       in->joined[peer] == obj ? ", dir=both" : "");
}

static void dot_family(const struct inspect *in, uint32_t obj)
{
	const struct lineage_record *l = in->image.objects[obj].lineage;
	uint32_t listener = l ? inspect_cookie(in, l->listener) : OBJ_NONE;

	if (in->waits[obj] != OBJ_NONE)
		printf("  o%u -> o%u [label=\"not yet accepted\", style=bold, color=\"#3465a4\", "
		       "constraint=false];\n",
		       obj, in->waits[obj]);
	if (listener != OBJ_NONE)
		printf("  o%u -> o%u [label=\"accepted\", style=dotted, color=\"#75507b\"];\n", listener, obj);
}

int inspect_dot(struct inspect *in)
{
	const struct image *image = &in->image;

	puts("digraph checkpoint {\n  rankdir=LR; fontname=\"sans\"; node [fontname=\"sans\", fontsize=10];\n"
	     "  edge [fontname=\"sans\", fontsize=9, color=\"#555753\"];");
	fputs("  labelloc=t; label=", stdout);
	dot_string(image->dir);
	puts(";");
	for (uint32_t p = 0; p < image->nprocesses; p++)
		dot_process(in, p);
	for (uint32_t i = 0; i < image->nobjects; i++) {
		struct dot_edges e = { i };

		if (dot_only_holder(in, i) < 0)
			dot_object(in, i, "  ");
		dot_descriptors(in, i);
		describe_edges(image->objects[i].kind->fields, image->objects[i].rec, dot_edge, &e);
		dot_joined(in, i);
		dot_family(in, i);
	}
	for (uint32_t p = 0; p < image->nprocesses; p++)
		for (uint32_t q = 0; q < image->nprocesses; q++)
			if (p != q && image->processes[q].task->ppid == image->processes[p].task->pid)
				printf("  p%u -> p%u [style=bold, arrowhead=none, label=\"parent of\"];\n", p, q);
	puts("}");
	return CLI_OK;
}
