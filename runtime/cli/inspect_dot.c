/*
 * inspect_dot.c - an image as a picture (Graphviz)
 *
 * A process is a table: its command, and a row for each descriptor; sockets and
 * pipes are coloured and say where they come from. Lines lead from row to row:
 * bold between the two ends of a connection or a pipe, dotted to the listener
 * that has not accepted one, dashed to what waits in a queue. What several
 * processes have stands once, beside them. Files stand in the rows only.
 */
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "inspect.h"

#define DOT_ROWS 64                  /* of a process; others are counted */

#define DOT_SOCKET "#d7e8fb"
#define DOT_PIPE "#e4f2d8"
#define DOT_PLAIN "#ffffff"
#define DOT_FLYING "#fbeed7"

static void dot_html(const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&': fputs("&amp;", stdout); break;
		case '<': fputs("&lt;", stdout); break;
		case '>': fputs("&gt;", stdout); break;
		case '"': fputs("&quot;", stdout); break;
		case '\n': fputs(" ", stdout); break;
		default: putchar(*s);
		}
	}
}

static void dot_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

static bool is_socket(const struct inspect *in, uint32_t obj)
{
	return in->image.objects[obj].common->cookie != 0;
}

static bool is_kind(const struct inspect *in, uint32_t obj, const char *tag)
{
	return strcmp(in->image.objects[obj].kind->tag, tag) == 0;
}

/* Joined to others by lines. */
static bool is_joint(const struct inspect *in, uint32_t obj)
{
	return is_socket(in, obj) || (is_kind(in, obj, "pipe") && in->joined[obj] != OBJ_NONE);
}

/* The only process that holds the object, -1 none, -2 several. */
static int64_t dot_only_holder(const struct inspect *in, uint32_t obj)
{
	uint32_t from = in->first[obj], to = in->first[obj + 1];

	if (from == to)
		return -1;
	for (uint32_t i = from + 1; i < to; i++)
		if (in->holders[i].process != in->holders[from].process)
			return -2;
	return in->holders[from].process;
}

/* Stands by itself: what is joined to others and is several processes' or nobody's, and whatever is in flight. */
static bool dot_apart(const struct inspect *in, uint32_t obj)
{
	int64_t holder = dot_only_holder(in, obj);

	return holder == -1 || (holder == -2 && is_joint(in, obj));
}

static const char *dot_colour(const struct inspect *in, uint32_t obj)
{
	return is_socket(in, obj) ? DOT_SOCKET : is_joint(in, obj) ? DOT_PIPE : DOT_PLAIN;
}

/* --- words -------------------------------------------------------------------------------------------------- */

/* Where another object is, seen from `process`: "fd 4", or "pid 812 fd 4". */
static void dot_where(const struct inspect *in, uint32_t obj, int64_t process, char *out, size_t size)
{
	if (process >= 0 && dot_only_holder(in, obj) == process)
		snprintf(out, size, "fd %d", in->holders[in->first[obj]].fd);
	else if (dot_only_holder(in, obj) == -1)
		snprintf(out, size, "one in flight");
	else
		inspect_place(in, obj, out, size);
}

/* Where a socket comes from, in a few words; "" for what its holder made itself. */
static void dot_origin(const struct inspect *in, uint32_t obj, char *out, size_t size)
{
	const struct lineage_record *l = in->image.objects[obj].lineage;
	int64_t holder = dot_only_holder(in, obj);
	uint32_t other = OBJ_NONE;
	char place[64], program[64], by[100] = "";
	bool own;

	out[0] = '\0';
	if (l == NULL)
		return;
	own = holder >= 0 && in->image.processes[holder].task->pid == l->pid;
	if (!own)
		snprintf(by, sizeof(by), " by %d %s", l->pid, print_text(l->program, program, sizeof(program)));
	switch (l->origin) {
	case LINEAGE_ACCEPT:
		other = inspect_cookie(in, l->listener);
		snprintf(out, size, "accepted%s%s", by, other == OBJ_NONE ? ", its listener is gone" : " from ");
		break;
	case LINEAGE_PAIR:
		other = inspect_cookie(in, l->mate);
		snprintf(out, size, "pair%s%s%s", *by ? " made" : "", by,
			 other == OBJ_NONE ? ", its mate is gone" : *by ? ", of " : " of ");
		break;
	case LINEAGE_SOCKET:
		snprintf(out, size, "%s%s", own ? "" : "made", by);
		break;
	default:
		snprintf(out, size, "not seen being made");
	}
	if (other == OBJ_NONE)
		return;
	dot_where(in, other, holder, place, sizeof(place));
	snprintf(out + strlen(out), size - strlen(out), "%s", place);
}

/* What an epoll watches, by the numbers that its holder has. */
static void dot_watches(const struct inspect *in, uint32_t obj, char *out, size_t size)
{
	const struct image_object *o = &in->image.objects[obj];
	const struct field *f = record_field(o->kind->fields, "watches", FIELD_LIST_T);
	const struct list *l = f ? (const void *)((const char *)o->rec + f->offset) : NULL;
	size_t n = (size_t)snprintf(out, size, "epoll");
	uint32_t i;

	for (i = 0; l != NULL && i < l->n && i < 12; i++) {
		int64_t number = -1;

		record_number(f->sub, (const char *)l->items + (size_t)i * f->size, "number", &number);
		n += (size_t)snprintf(out + n, size - n, "%s%ld", i ? "," : " of ", (long)number);
	}
	if (l != NULL && l->n > i)
		snprintf(out + n, size - n, " and %u more", l->n - i);
}

/* Kind and name; without the words that a line in the picture says. */
static void dot_words(const struct inspect *in, uint32_t obj, char *out, size_t size)
{
	char label[1024], *at, *word;
	size_t n = 0;

	if (is_kind(in, obj, "epoll")) {
		dot_watches(in, obj, out, size);
		return;
	}
	describe_label(in, obj, label, sizeof(label));
	out[0] = '\0';
	for (word = label; word != NULL; word = at) {
		at = strstr(word, "  ");
		if (at != NULL) {
			*at = '\0';
			at += 2;
		}
		/* a file is told by its name alone; of a socket's file only that it is elsewhere */
		if (strcmp(word, "regfile") == 0 || strcmp(word, "devnode") == 0 || strcmp(word, "connected") == 0 ||
		    (strncmp(word, "file ", 5) == 0 && strstr(out, word + 5) != NULL))
			continue;
		if (n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s", n ? " " : "", word);
	}
}

static void dot_describe(const struct inspect *in, uint32_t obj)
{
	char words[1100], origin[300];
	int64_t ino = 0;

	dot_words(in, obj, words, sizeof(words));
	print_cut(words, sizeof(words));
	dot_html(words);
	record_number(in->image.objects[obj].kind->fields, in->image.objects[obj].rec, "peer", &ino);
	if (ino != 0 && in->joined[obj] == OBJ_NONE && is_kind(in, obj, "unix"))
		fputs(" <i>to outside the tree</i>", stdout);
	dot_origin(in, obj, origin, sizeof(origin));
	if (*origin) {
		fputs("<br align=\"left\"/><font point-size=\"8\" color=\"#666666\">", stdout);
		dot_html(origin);
		fputs("</font>", stdout);
	}
	fputs("<br align=\"left\"/>", stdout);
}

/* --- boxes -------------------------------------------------------------------------------------------------- */

static bool dot_first_of(const struct fd_record *fds, uint32_t i)
{
	for (uint32_t k = 0; k < i; k++)
		if (fds[k].obj == fds[i].obj)
			return false;
	return true;
}

/* All numbers of one object stand in one row. */
static void dot_row(const struct inspect *in, uint32_t process, const struct fd_record *fds, uint32_t n, uint32_t i)
{
	uint32_t obj = fds[i].obj, others = 0;

	printf("<tr><td align=\"right\" valign=\"top\" port=\"n%u\"><font color=\"#555555\">%d", obj, fds[i].fd);
	for (uint32_t k = i + 1; k < n; k++)
		if (fds[k].obj == obj)
			printf(",%d", fds[k].fd);
	printf("</font></td><td align=\"left\" balign=\"left\" port=\"o%u\" bgcolor=\"%s\">", obj, dot_colour(in, obj));
	if (dot_apart(in, obj)) {
		fputs(is_socket(in, obj) ? "<i>shared socket</i>" : "<i>shared pipe</i>", stdout);
	} else {
		dot_describe(in, obj);
		for (uint32_t k = in->first[obj]; k < in->first[obj + 1]; k++)
			others += in->holders[k].process != process;
		if (others)
			printf("<font point-size=\"8\" color=\"#888888\">(shared)</font>");
	}
	puts("</td></tr>");
}

static void dot_process(const struct inspect *in, uint32_t process)
{
	const struct process_record *t = in->image.processes[process].task;
	const struct fd_record *fds = t->fds.items;
	char command[200], comm[64];
	uint32_t shown = 0, left = 0;

	inspect_command(t, command, sizeof(command));
	if (strlen(command) > 70) {
		print_cut(command, 67);
		strcat(command, "...");
	}
	printf("  p%u [shape=plain, label=<<table border=\"1\" color=\"#8899aa\" cellborder=\"0\" cellspacing=\"1\" cellpadding=\"2\">\n"
	       "<tr><td colspan=\"2\" align=\"left\" balign=\"left\" port=\"top\" bgcolor=\"#e6ebf1\"><b>%d ", process, t->pid);
	dot_html(print_text(t->comm, comm, sizeof(comm)));
	printf("</b><br align=\"left\"/><font point-size=\"8\">");
	if (t->threads.n > 1)
		printf("%u threads: ", t->threads.n);
	dot_html(command);
	puts("</font><br align=\"left\"/></td></tr>");
	for (uint32_t i = 0; i < t->fds.n; i++) {
		if (fds[i].obj >= in->image.nobjects || !dot_first_of(fds, i))
			continue;
		if (shown++ < DOT_ROWS)
			dot_row(in, process, fds, t->fds.n, i);
		else
			left++;
	}
	if (left)
		printf("<tr><td></td><td align=\"left\"><i>and %u more</i></td></tr>\n", left);
	puts("</table>>];");
}

/* Whether a process's table has a row for it. */
static bool dot_has_row(const struct inspect *in, uint32_t obj, uint32_t process)
{
	const struct process_record *t = in->image.processes[process].task;
	const struct fd_record *fds = t->fds.items;
	uint32_t shown = 0;

	for (uint32_t i = 0; i < t->fds.n && shown < DOT_ROWS; i++) {
		if (fds[i].obj >= in->image.nobjects || !dot_first_of(fds, i))
			continue;
		if (fds[i].obj == obj)
			return true;
		shown++;
	}
	return false;
}

/* Something that stands by itself, with lines to the rows of those who have it. */
static void dot_alone(const struct inspect *in, uint32_t obj)
{
	bool flying = in->first[obj] == in->first[obj + 1];

	printf("  o%u [shape=plain, label=<<table border=\"1\" color=\"#8899aa\" cellborder=\"0\" cellpadding=\"3\" style=\"rounded\" "
	       "bgcolor=\"%s\"><tr><td align=\"left\" balign=\"left\">", obj, flying ? DOT_FLYING : dot_colour(in, obj));
	dot_describe(in, obj);
	if (flying)
		fputs(in->backlog[obj] ? "<i>not accepted yet</i>" : "<i>in flight</i>", stdout);
	puts("</td></tr></table>>];");
	for (uint32_t i = in->first[obj]; i < in->first[obj + 1]; i++) {
		uint32_t process = in->holders[i].process;

		if ((i == in->first[obj] || in->holders[i - 1].process != process) && dot_has_row(in, obj, process))
			printf("  p%u:o%u:e -> o%u [arrowhead=none, color=\"#888a85\"%s];\n", process, obj, obj,
			       came_how(in, obj, process) == CAME_PASSED ? ", label=\"passed to it\"" : "");
	}
}

/* --- lines -------------------------------------------------------------------------------------------------- */

/* The name of the place where an object stands, for a line that leaves to the right or comes from the left; false when it has none. */
static bool dot_place(const struct inspect *in, uint32_t obj, bool leaves, char *out, size_t size)
{
	int64_t holder = dot_only_holder(in, obj);

	if (dot_apart(in, obj)) {
		snprintf(out, size, "o%u", obj);
		return true;
	}
	if (holder == -2)
		holder = in->holders[in->first[obj]].process;
	snprintf(out, size, leaves ? "p%u:o%u:e" : "p%u:n%u:w", (unsigned)holder, obj);
	return dot_has_row(in, obj, (uint32_t)holder);
}

static void dot_line(const struct inspect *in, uint32_t from, uint32_t to, const char *how)
{
	char a[40], b[40];

	if (dot_place(in, from, true, a, sizeof(a)) && dot_place(in, to, false, b, sizeof(b)))
		printf("  %s -> %s [%s];\n", a, b, how);
}

/* Whether the one stands left of the other: who accepts, or writes. */
static bool dot_leads(const struct inspect *in, uint32_t obj)
{
	const struct image_object *o = &in->image.objects[obj];

	if (o->lineage != NULL)
		return o->lineage->origin == LINEAGE_ACCEPT;
	return (o->common->flags & 3) == 1;
}

/* A pair that is joined is one line; both ends in one process say so themselves. */
static void dot_joined(const struct inspect *in, uint32_t obj)
{
	uint32_t peer = in->joined[obj], left = obj;
	bool mutual = peer != OBJ_NONE && in->joined[peer] == obj;

	if (peer == OBJ_NONE || (mutual && peer < obj))
		return;
	if (dot_only_holder(in, obj) >= 0 && dot_only_holder(in, obj) == dot_only_holder(in, peer))
		return;
	if (dot_apart(in, obj) != dot_apart(in, peer))
		left = dot_apart(in, obj) ? peer : obj;
	else if (mutual && !dot_leads(in, obj) && dot_leads(in, peer))
		left = peer;
	if (is_socket(in, obj))
		dot_line(in, left, left == obj ? peer : obj,
			 mutual ? "style=bold, color=\"#3465a4\", dir=both, arrowsize=0.6" : "style=bold, color=\"#3465a4\", arrowsize=0.6");
	else
		dot_line(in, left, left == obj ? peer : obj, "style=bold, color=\"#4e9a06\", arrowsize=0.6");
}

static void dot_lines(const struct inspect *in, uint32_t obj)
{
	dot_joined(in, obj);
	if (in->waits[obj] != OBJ_NONE && in->joined[obj] == OBJ_NONE)
		dot_line(in, in->waits[obj], obj, "style=dotted, color=\"#3465a4\", label=\"not accepted\", dir=back, arrowsize=0.6");
	if (in->carrier[obj] != OBJ_NONE && dot_apart(in, obj))
		dot_line(in, in->carrier[obj], obj, in->backlog[obj] ? "style=dotted, color=\"#3465a4\", label=\"not accepted\", arrowsize=0.6" :
			 "style=dashed, color=\"#c17d11\", label=\"in its queue\", arrowsize=0.6");
}

int inspect_dot(struct inspect *in)
{
	const struct image *image = &in->image;
	char dir[4 * PATH_MAX];

	puts("digraph checkpoint {\n  rankdir=LR; ranksep=1; nodesep=0.3; fontname=\"sans\";\n"
	     "  node [fontname=\"sans\", fontsize=10];\n  edge [fontname=\"sans\", fontsize=8, color=\"#555753\"];");
	fputs("  labelloc=t; label=", stdout);
	dot_string(print_text(text(image->dir), dir, sizeof(dir)));
	puts(";\n  legend [shape=plain, fontcolor=\"#666666\", fontsize=8, label=\"grey: parent of   blue: connected   green: pipe   "
	     "dotted: not accepted yet   dashed: in a queue\"];");
	for (uint32_t p = 0; p < image->nprocesses; p++)
		dot_process(in, p);
	for (uint32_t i = 0; i < image->nobjects; i++)
		if (dot_apart(in, i))
			dot_alone(in, i);
	for (uint32_t i = 0; i < image->nobjects; i++)
		dot_lines(in, i);
	for (uint32_t p = 0; p < image->nprocesses; p++)
		for (uint32_t q = 0; q < image->nprocesses; q++)
			if (p != q && image->processes[q].task->ppid == image->processes[p].task->pid)
				printf("  p%u:top:e -> p%u:top:w [color=\"#aaaaaa\", penwidth=2, arrowhead=none];\n", p, q);
	puts("}");
	return CLI_OK;
}
