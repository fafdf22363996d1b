/*
 * inspect_tree.c - an image as a tree of processes, for people
 */
#include <string.h>

#include "inspect.h"

#define TREE_DEEP 64
#define TREE_PIDS 8

static const char *base_name(struct blob path, char *out, size_t size)
{
	const char *slash = memrchr(path.p, '/', path.n);
	struct blob b = path;

	if (path.n > 0 && slash != NULL) {
		b.p = slash + 1;
		b.n = path.n - (uint64_t)(slash + 1 - (const char *)path.p);
	}
	return print_text(b, out, size);
}

static void tree_frame(const char *prefix, const struct stack_frame *f)
{
	char name[256], where[300];

	base_name(f->module, name, sizeof(name));
	if (f->function != NULL)
		snprintf(where, sizeof(where), "%.*s+%#lx", symbols_plain(f->function), f->function, f->into);
	else
		snprintf(where, sizeof(where), "%#lx", f->offset ? f->offset : f->address);
	printf("%s│    %-40s %s\n", prefix, where, name);
}

static void tree_thread(struct inspect *in, uint32_t process, const struct thread_record *t, const char *prefix)
{
	static struct stack_frame frames[STACK_FRAMES];
	size_t n = stack_unwind(&in->memories[process], &in->symbols, t, frames, STACK_FRAMES);
	const char *call = describe_call(t->syscall);
	char comm[128];

	printf("%s├ thread %d %s: ", prefix, t->tid, print_text(t->comm, comm, sizeof(comm)));
	if (t->syscall < 0)
		puts(t->tid == in->image.processes[process].task->leader_tid ? "took the checkpoint signal"
									     : "running");
	else if (call != NULL)
		printf("in %s()\n", call);
	else
		printf("in system call %d\n", t->syscall);
	for (size_t i = 0; i < n; i++)
		tree_frame(prefix, &frames[i]);
}

/* Which processes have it by the same way. */
static void tree_came(const struct inspect *in, const struct image_object *o, enum came how, const char *words)
{
	int32_t pids[TREE_PIDS];
	size_t n = came_pids(in, (uint32_t)(o - in->image.objects), how, pids, TREE_PIDS);

	for (size_t i = 0; i < n && i < TREE_PIDS; i++)
		printf("%s%s %d", i ? "" : ", ", i ? "," : words, pids[i]);
	if (n > TREE_PIDS)
		printf(" and %lu more", n - TREE_PIDS);
}

static void tree_lineage(struct inspect *in, const struct image_object *o, const char *prefix)
{
	const struct lineage_record *l = o->lineage;
	const struct frame_record *frames = l->frames.items;
	char when[64], program[128], address[600], place[64];
	uint32_t other;

	print_time(l->when, when, sizeof(when));
	printf("%s│  %s by %s (pid %d", prefix, describe_origin(l->origin),
	       print_text(l->program, program, sizeof(program)), l->pid);
	if (l->tid != l->pid)
		printf(" thread %d", l->tid);
	printf(") at %s", when);
	if (l->bound.n > 0 && print_address(l->bound.p, l->bound.n, address, sizeof(address)))
		printf(", bound to %s", address);
	if (l->peer.n > 0 && print_address(l->peer.p, l->peer.n, address, sizeof(address)))
		printf(", connected to %s", address);
	other = inspect_cookie(in, l->mate);
	if (other != OBJ_NONE) {
		inspect_place(in, other, place, sizeof(place));
		printf(", mate of #%u (%s)", other, place);
	}
	other = inspect_cookie(in, l->listener);
	if (other != OBJ_NONE) {
		inspect_place(in, other, place, sizeof(place));
		printf(", from listener #%u (%s)", other, place);
	}
	tree_came(in, o, CAME_INHERITED, "inherited by");
	tree_came(in, o, CAME_PASSED, "passed to");
	putchar('\n');
	if (l->file_path.n > 0)
		printf("%s│  its file is %s\n", prefix, print_text(l->file_path, address, sizeof(address)));
	for (uint32_t i = 0; i < l->frames.n; i++) {
		struct stack_frame f;

		inspect_frame(in, o->process, &frames[i], &f);
		tree_frame(prefix, &f);
	}
}

/* The other numbers under which a process's object is held: its own and those of others. */
static void tree_sharing(const struct inspect *in, uint32_t obj, uint32_t process, int32_t fd)
{
	const char *lead = "  also ";
	int shown = 0;

	for (uint32_t i = in->first[obj]; i < in->first[obj + 1]; i++) {
		const struct holder *h = &in->holders[i];

		if (h->process == process && h->fd == fd)
			continue;
		if (shown++ == 8) {
			printf(" and %u more", in->first[obj + 1] - i);
			return;
		}
		if (h->process == process)
			printf("%sfd %d", lead, h->fd);
		else
			printf("%spid %d fd %d", lead, in->image.processes[h->process].task->pid, h->fd);
		lead = ", ";
	}
}

static bool tree_told_before(const struct inspect *in, uint32_t obj, uint32_t process, int32_t fd)
{
	const struct holder *h = &in->holders[in->first[obj]];

	return h->process != process || h->fd != fd;
}

static void tree_descriptor(struct inspect *in, uint32_t process, const struct fd_record *f, const char *prefix)
{
	const struct image_object *o;
	char words[2048], loss[600];

	if (f->obj >= in->image.nobjects)
		return;
	o = &in->image.objects[f->obj];
	describe_object(in, f->obj, words, sizeof(words));
	printf("%s├ fd %d%s  #%u %s", prefix, f->fd, f->cloexec ? " (cloexec)" : "", f->obj, words);
	tree_sharing(in, f->obj, process, f->fd);
	putchar('\n');
	if (tree_told_before(in, f->obj, process, f->fd))
		return;
	if (o->common->loss.n > 0)
		printf("%s│  LOSS: %s\n", prefix, print_text(o->common->loss, loss, sizeof(loss)));
	if (o->lineage != NULL)
		tree_lineage(in, o, prefix);
}

static void tree_process(struct inspect *in, uint32_t process, const char *prefix, unsigned depth)
{
	const struct process_record *t = in->image.processes[process].task;
	const struct thread_record *threads = t->threads.items;
	const struct fd_record *fds = t->fds.items;
	char command[1024], exe[600], cwd[600], deeper[TREE_DEEP * 8];

	inspect_command(t, command, sizeof(command));
	printf("%s%d %s\n", prefix, t->pid, command);
	snprintf(deeper, sizeof(deeper), "%.*s  ", TREE_DEEP * 4, prefix);
	printf("%s├ %s  cwd %s  uid %u gid %u  group %d session %d\n", deeper, print_text(t->exe, exe, sizeof(exe)),
	       print_text(t->cwd, cwd, sizeof(cwd)), t->euid, t->egid, t->pgid, t->sid);
	for (uint32_t i = 0; i < t->threads.n; i++)
		tree_thread(in, process, &threads[i], deeper);
	if (t->first_ended)
		printf("%s├ thread %d has ended\n", deeper, t->pid);
	if (t->files_of)
		printf("%s├ its table of descriptors is that of %u\n", deeper, t->files_of);
	for (uint32_t i = 0; i < t->fds.n; i++)
		tree_descriptor(in, process, &fds[i], deeper);
	for (uint32_t p = 0; p < in->image.nprocesses; p++) {
		if (p == process || in->image.processes[p].task->ppid != t->pid)
			continue;
		if (depth < TREE_DEEP)
			tree_process(in, p, deeper, depth + 1);
		else
			printf("%s%d and what is below it: --json shows it\n", deeper,
			       in->image.processes[p].task->pid);
	}
}

static bool tree_is_top(const struct image *image, uint32_t process)
{
	for (uint32_t p = 0; p < image->nprocesses; p++)
		if (p != process && image->processes[p].task->pid == image->processes[process].task->ppid)
			return false;
	return true;
}

static void tree_head(const struct inspect *in)
{
	const struct manifest_record *m = in->image.manifest;
	uint64_t threads = 0, sockets = 0, pages = 0;
	char when[64], host[128], release[128], memory[32], dir[4096];

	for (uint32_t p = 0; p < in->image.nprocesses; p++) {
		const struct run_record *runs = in->image.processes[p].runs.items;

		threads += in->image.processes[p].task->threads.n;
		for (uint32_t i = 0; i < in->image.processes[p].runs.n; i++)
			pages += runs[i].pages;
	}
	for (uint32_t i = 0; i < in->image.nobjects; i++)
		sockets += in->image.objects[i].common->cookie != 0;
	print_time(m->realtime_ns, when, sizeof(when));
	print_size(pages * m->page_size, memory, sizeof(memory));
	printf("%s\n", print_text(text(in->image.dir), dir, sizeof(dir)));
	printf("  made %s on %s, Linux %s; the tree %s; generation %u\n", when,
	       print_text(m->host, host, sizeof(host)), print_text(m->release, release, sizeof(release)),
	       m->stopped ? "was stopped" : "went on", m->generation);
	printf("  processes %u, threads %lu, open file descriptions %u, sockets %lu, memory %s\n",
	       in->image.nprocesses, threads, in->image.nobjects, sockets, memory);
}

int inspect_tree(struct inspect *in)
{
	const struct dead_record *dead = in->image.manifest->dead.items;
	char words[2048], place[64];

	tree_head(in);
	for (uint32_t p = 0; p < in->image.nprocesses; p++)
		if (tree_is_top(&in->image, p))
			tree_process(in, p, "", 0);
	for (uint32_t i = 0; i < in->image.manifest->dead.n; i++)
		printf("%d has ended with status %#x, its parent %d has not waited for it\n", dead[i].pid,
		       dead[i].status, dead[i].ppid);
	for (uint32_t i = 0; i < in->image.nobjects; i++) {
		if (in->first[i] != in->first[i + 1])
			continue;
		describe_object(in, i, words, sizeof(words));
		if (in->carrier[i] == OBJ_NONE) {
			printf("in flight  #%u %s\n", i, words);
		} else {
			inspect_place(in, in->carrier[i], place, sizeof(place));
			printf("%s of #%u (%s)  #%u %s\n", in->backlog[i] ? "in the backlog" : "in the queue", in->carrier[i], place, i, words);
		}
		if (in->image.objects[i].lineage != NULL)
			tree_lineage(in, &in->image.objects[i], "");
	}
	return CLI_OK;
}
