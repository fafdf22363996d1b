/*
 * plan.c - records in, decisions out
 *
 * Pure: nothing is asked of the system, so tests are tables.
 *
 * A session can only be inherited, so whoever is in one must be made by
 * somebody who is in it. Mostly that is the parent. An orphan's parent is
 * outside, or a reaper that is in another session: it is made by a stand-in
 * that was made inside the session and ends. In a pid namespace of its own the
 * session that the root was started in is such a one too: getsid() and
 * getpgrp() say the old numbers there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restart.h"

static int index_of(const struct plan *p, int pid)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (p->list[i].pid == pid)
			return (int)i;
	return -1;
}

static const struct process_record *task(const struct image *image, uint32_t i)
{
	return image->processes[i].task;
}

static bool in_image(const struct image *image, int pid)
{
	const struct dead_record *d = image->manifest->dead.items;

	for (uint32_t i = 0; i < image->nprocesses; i++)
		if (task(image, i)->pid == pid)
			return true;
	for (uint32_t i = 0; i < image->manifest->dead.n; i++)
		if (d[i].pid == pid)
			return true;
	return false;
}

static struct planned *add(struct plan *p, enum actor actor, int pid, int parent)
{
	struct planned *d = &p->list[p->n++];

	*d = (struct planned){ .actor = actor, .pid = pid, .parent = parent };
	return d;
}

/* The session of what stands at `index`, -1 the launcher's; sessions are named by their first process. */
static int session_of(const struct plan *p, int index)
{
	while (index >= 0 && !p->list[index].session)
		index = p->list[index].parent;
	return index < 0 ? -1 : p->list[index].pid;
}

/* Who shall make a process of session `sid` whose parent stands at `parent`; -2: not known yet. */
static int maker(struct plan *p, const struct image *image, int sid, bool gone, int parent, bool orphan)
{
	int leader = index_of(p, sid);

	if (leader >= 0 ? session_of(p, parent) == sid : !gone && session_of(p, parent) == -1)
		return orphan ? (int)(add(p, ACTOR_STANDIN, 0, parent) - p->list) : parent;
	if (leader < 0 && !gone && in_image(image, sid))
		return -2;
	if (leader < 0 && !gone)
		return parent;       /* another session outside: ours will do */
	if (leader < 0) {
		add(p, ACTOR_STANDIN, sid, parent)->session = true;
		return (int)p->n - 1;
	}
	if (p->list[leader].actor == ACTOR_STANDIN)
		return leader;
	return (int)(add(p, ACTOR_STANDIN, 0, leader) - p->list);
}

/* Its group: its own, one of the tree's, a gone one's (a stand-in makes it), or where it was made. */
static void group(struct plan *p, const struct image *image, uint32_t at, int pgid, bool gone)
{
	struct planned *d = &p->list[at];
	int leader;

	d->group = pgid == d->pid;
	if (d->group || pgid == 0)
		return;
	leader = index_of(p, pgid);
	if (leader >= 0 || in_image(image, pgid)) {
		d->pgid = pgid;
	} else if (gone) {
		add(p, ACTOR_STANDIN, pgid, (int)at)->group = true;
		p->list[at].pgid = pgid;
	}
}

static int place(struct plan *p, struct image *image, uint32_t i, bool root)
{
	const struct process_record *t = task(image, i);
	const struct process_record *first = task(image, 0);
	/* what the root was started in belongs to the launcher's world, gone or not */
	bool session_gone = t->session_gone && (first->sid == first->pid || t->sid != first->sid);
	bool group_gone = t->group_gone && (first->pgid == first->pid || t->pgid != first->pgid);
	bool inside = in_image(image, t->ppid);
	int parent, made_by;

	if (p->alone) {
		session_gone = t->sid > 1 && !in_image(image, t->sid);
		group_gone = t->pgid > 1 && !in_image(image, t->pgid);
	}
	made_by = parent = inside ? index_of(p, t->ppid) : -1;
	if (inside && parent < 0)
		return 0;
	if (t->sid != t->pid && t->sid != 0)
		made_by = maker(p, image, t->sid, session_gone, parent, !inside && !root);
	else if (!inside && !root)
		made_by = (int)(add(p, ACTOR_STANDIN, 0, -1) - p->list);
	if (made_by == -2)
		return 0;
	add(p, ACTOR_PROCESS, t->pid, made_by)->process = i;
	p->list[p->n - 1].session = t->sid == t->pid;
	group(p, image, p->n - 1, t->pgid, group_gone);
	return 1;
}

/* Takes again and again those whose maker is there; the root comes first. */
static int order(struct plan *p, struct image *image)
{
	bool *placed = calloc(image->nprocesses, sizeof(*placed)), moved = true;
	uint32_t n = 0;

	if (!placed)
		return failed(-ENOMEM, "memory for the plan");
	while (moved && n < image->nprocesses) {
		moved = false;
		for (uint32_t i = 0; i < image->nprocesses; i++)
			if (!placed[i] && place(p, image, i, i == 0)) {
				placed[i] = moved = true;
				n++;
			}
	}
	free(placed);
	p->nprocesses = n;
	return n == image->nprocesses ? 0 : failed(-EINVAL, "the processes' parents and sessions make no tree");
}

static void bury(struct plan *p, const struct image *image)
{
	const struct dead_record *d = image->manifest->dead.items;

	for (uint32_t i = 0; i < image->manifest->dead.n; i++) {
		struct planned *a = add(p, ACTOR_DEAD, d[i].pid, index_of(p, d[i].ppid));

		a->status = d[i].status;
		a->session = d[i].sid == d[i].pid;
		group(p, image, p->n - 1, d[i].pgid, false);
	}
}

static int make(struct plan *p, struct image *image, bool alone)
{
	int rc;

	memset(p, 0, sizeof(*p));
	p->alone = alone;
	/* a process needs two stand-ins at most: one to be made by, one for its group */
	p->list = calloc(3ul * image->nprocesses + 2ul * image->manifest->dead.n + 1, sizeof(*p->list));
	p->owner = malloc((image->nobjects + 1) * sizeof(*p->owner));
	if (!p->list || !p->owner)
		return failed(-ENOMEM, "memory for the plan");
	rc = order(p, image);
	if (rc < 0)
		return rc;
	bury(p, image);
	for (uint32_t i = 0; i < image->nobjects; i++)
		p->owner[i] = OBJ_NONE;
	for (uint32_t i = 0; i < p->n; i++) {
		const struct process_record *t;
		const struct fd_record *f;

		if (p->list[i].actor != ACTOR_PROCESS)
			continue;
		t = task(image, p->list[i].process);
		f = t->fds.items;
		for (uint32_t k = 0; k < t->fds.n; k++) {
			if (p->owner[f[k].obj] == OBJ_NONE)
				p->owner[f[k].obj] = i;
			if (f[k].fd > p->highest_fd)
				p->highest_fd = f[k].fd;
		}
	}
	return 0;
}

static const char *text(struct blob b, char *buf, size_t n)
{
	snprintf(buf, n, "%.*s", (int)b.n, (const char *)b.p);
	for (char *c = buf; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return buf;
}

static void print_actor(const struct plan *p, const struct image *image, const struct planned *d)
{
	const char *parent = d->parent < 0 ? "the launcher's" : "child of";
	int ppid = d->parent < 0 ? 0 : p->list[d->parent].pid;
	const struct image_process *ip;
	uint64_t pages = 0;
	char buf[256];

	if (d->actor == ACTOR_PROCESS)
		printf("process %d %s:", d->pid, text(task(image, d->process)->comm, buf, sizeof(buf)));
	else
		printf("%s %d:", d->actor == ACTOR_DEAD ? "ended process" : "stand-in", d->pid);
	printf(" %s", parent);
	if (d->parent >= 0)
		printf(" %d", ppid);
	if (d->session)
		printf(", new session");
	else if (d->group)
		printf(", new process group");
	else if (d->pgid)
		printf(", process group %d", d->pgid);
	if (d->actor == ACTOR_DEAD)
		printf(", status %#x", (unsigned)d->status);
	if (d->actor == ACTOR_PROCESS) {
		ip = &image->processes[d->process];
		for (uint32_t k = 0; k < ip->runs.n; k++)
			pages += ((struct run_record *)ip->runs.items)[k].pages;
		printf(", %u threads, %u descriptors, %u regions, %lu MiB", ip->task->threads.n, ip->task->fds.n, ip->task->vmas.n,
		       pages * ARCH_PAGE >> 20);
	}
	printf("\n");
}

int plan_make(struct plan *p, struct image *image)
{
	return make(p, image, false);
}

int plan_make_alone(struct plan *p, struct image *image)
{
	return make(p, image, true);
}

const struct planned *plan_root(const struct plan *p)
{
	uint32_t i = 0;

	while (p->list[i].actor != ACTOR_PROCESS || p->list[i].process != 0)
		i++;
	return &p->list[i];
}

void plan_print(const struct plan *p, const struct image *image, const struct options *o)
{
	char buf[256];

	(void)o;
	printf("%s: %u processes, %u open files and sockets\n", image->dir, p->nprocesses, image->nobjects);
	for (uint32_t i = 0; i < p->n; i++)
		print_actor(p, image, &p->list[i]);
	for (uint32_t i = 0; i < image->nobjects; i++) {
		const struct image_object *ob = &image->objects[i];

		printf("object %u %s: made for pid %d fd %d%s%s\n", i, ob->kind->tag, task(image, ob->process)->pid, ob->common->fd,
		       ob->common->loss.n ? ": " : "", text(ob->common->loss, buf, sizeof(buf)));
	}
}
