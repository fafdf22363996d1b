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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restart.h"

/* Of a record, whichever it is. */
struct person {
	bool dead;
	uint32_t index;              /* in the image's processes, or its dead */
	int32_t pid, ppid, sid, pgid, status, fs_of;
	bool session_gone, group_gone;
	uint32_t parent_tid, exit_signal;
};

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

static uint32_t record_of(const struct image *image, int pid)
{
	for (uint32_t i = 0; i < image->nprocesses; i++)
		if (task(image, i)->pid == pid)
			return i;
	return 0;
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

	*d = (struct planned){ .actor = actor, .pid = pid, .parent = parent, .exit_signal = SIGCHLD, .brother = -1 };
	return d;
}

/* Who has made what stands at `index`, where that one was at the time: early ones, before that one's own session. */
static int made_in(const struct plan *p, int index)
{
	while (p->list[index].early)
		index = p->list[index].parent;
	return p->list[index].parent;
}

/* The session of what stands at `index`, -1 the launcher's; sessions are named by their first process. */
static int session_of(const struct plan *p, int index)
{
	while (index >= 0 && !p->list[index].session)
		index = made_in(p, index);
	return index < 0 ? -1 : p->list[index].pid;
}

/* Whether what stands at `index` is, or descends from, what stands at `above`. */
static bool below(const struct plan *p, int index, int above)
{
	while (index >= 0 && index != above)
		index = p->list[index].parent;
	return index == above;
}

/*
 * Who shall make q, whose parent stands at `parent`; -2: not known yet, -3: nobody can.
 *
 * A parent that is in another session by now may have left q's after q was
 * born, or has adopted q as a subreaper.
 */
static int maker(struct plan *p, const struct image *image, const struct person *q, int parent, bool orphan, bool *early)
{
	int leader = index_of(p, q->sid), by;

	if (leader >= 0 ? session_of(p, parent) == q->sid : !q->session_gone && !in_image(image, q->sid) && session_of(p, parent) == -1)
		return orphan ? (int)(add(p, ACTOR_STANDIN, 0, parent) - p->list) : parent;
	if (leader < 0 && !q->session_gone && in_image(image, q->sid))
		return -2;
	if (parent >= 0 && p->list[parent].session && !orphan &&
	    session_of(p, made_in(p, parent)) == (leader < 0 && !q->session_gone ? -1 : q->sid)) {
		*early = true;
		return parent;
	}
	if (leader < 0 && !q->session_gone)
		return parent;       /* another session outside: ours will do */
	if (leader < 0) {
		add(p, ACTOR_STANDIN, q->sid, parent)->session = true;
		by = (int)p->n - 1;
	} else if (p->list[leader].actor != ACTOR_PROCESS) {
		by = leader;         /* ends, too */
	} else {
		by = (int)(add(p, ACTOR_STANDIN, 0, leader) - p->list);
	}
	if (parent >= 0 && !below(p, by, parent))
		return -3;
	if (parent >= 0)
		p->list[parent].adopts = true;
	return by;
}

/* Does anybody else belong to a group of that number? */
static bool led(const struct image *image, int pid)
{
	const struct dead_record *d = image->manifest->dead.items;

	for (uint32_t i = 0; i < image->nprocesses; i++)
		if (task(image, i)->pgid == pid && task(image, i)->pid != pid)
			return true;
	for (uint32_t i = 0; i < image->manifest->dead.n; i++)
		if (d[i].pgid == pid && d[i].pid != pid)
			return true;
	return false;
}

/*
 * Its group: its own, one of the tree's, a gone one's (a stand-in makes it), or where it was made. Who has left a group
 * of its own to others leads it until they are in it.
 */
static void group(struct plan *p, const struct image *image, uint32_t at, int pgid, bool gone)
{
	struct planned *d = &p->list[at];
	int leader;

	d->group = pgid == d->pid || (!d->session && led(image, d->pid));
	d->leaves = d->group && pgid != d->pid;
	p->leaving += d->leaves;
	if (pgid == d->pid || pgid == 0)
		return;
	leader = index_of(p, pgid);
	if (leader >= 0 || in_image(image, pgid)) {
		d->pgid = pgid;
	} else if (gone) {
		add(p, ACTOR_STANDIN, pgid, (int)at)->group = true;
		p->list[at].pgid = pgid;
	}
}

/* The thread of its parent whose child it is; 0: the first. One that ends leaves none: that would send parent-death signals. */
static int32_t maker_thread(const struct image *image, const struct person *q)
{
	const struct process_record *p = task(image, record_of(image, q->ppid));
	const struct thread_record *t = p->threads.items;

	for (uint32_t i = 0; i < p->threads.n; i++)
		if ((uint32_t)t[i].tid == q->parent_tid && t[i].tid != p->pid)
			return t[i].tid;
	return p->first_ended && p->threads.n ? t[0].tid : 0;
}

/* --- one table of descriptors ------------------------------------------------------------------------------- */

/* Named by the process that describes it. */
static int32_t table_of(const struct process_record *t)
{
	return t->files_of ? (int32_t)t->files_of : t->pid;
}

/*
 * A table is had by inheritance: from the parent, or from a brother who makes
 * the process as their parent's child (CLONE_PARENT), in the session that he
 * himself was made in. Index of the brother; -1: the parent makes it, and
 * *shares says if it has the table; -2: nobody can; -3: it is the first.
 */
static int brother(const struct plan *p, const struct image *image, const struct person *q, int parent, bool *shares)
{
	int32_t table = table_of(task(image, q->index));
	int found = -3;

	*shares = false;
	for (uint32_t i = 0; p->tables_shared && i < p->n; i++) {
		const struct planned *d = &p->list[i];
		int32_t ppid;

		if (d->actor != ACTOR_PROCESS || table_of(task(image, d->process)) != table)
			continue;
		if ((int)i == parent) {
			*shares = true;
			return -1;
		}
		ppid = task(image, d->process)->ppid;
		if (ppid == q->ppid || (!in_image(image, ppid) && !in_image(image, q->ppid)))
			found = (int)i;
		else if (found == -3)
			found = -2;
	}
	if (found >= 0 && q->sid != q->pid && q->sid != task(image, p->list[found].process)->sid)
		return -2;
	return found;
}

/* Has it a process of the tree among its parents, and theirs, that is `above`? */
static bool descends(const struct image *image, int pid, int above)
{
	for (uint32_t n = 0; n <= image->nprocesses && pid != above; n++) {
		const struct process_record *t = in_image(image, pid) ? task(image, record_of(image, pid)) : NULL;

		if (!t || t->pid != pid)
			return false;
		pid = t->ppid;
	}
	return pid == above;
}

/*
 * The session in which one that leads a session has to be made, for its children that were born before and are in that
 * still; 0: any. Whose leader is below it is no such one.
 */
static int32_t born_in(const struct image *image, int32_t pid, uint32_t depth)
{
	uint32_t n = image->nprocesses, ndead = image->manifest->dead.n;
	const struct dead_record *d = image->manifest->dead.items;

	for (uint32_t i = 0; depth <= n && i < n + ndead; i++) {
		const struct process_record *t = i < n ? task(image, i) : NULL;
		int32_t child = t ? t->pid : d[i - n].pid, sid = t ? t->sid : d[i - n].sid;

		if ((t ? t->ppid : d[i - n].ppid) != pid || sid == pid)
			continue;
		if (sid == child)
			sid = t ? born_in(image, child, depth + 1) : 0;
		if (sid && sid != pid && in_image(image, sid) && !descends(image, sid, pid))
			return sid;
	}
	return 0;
}

/* Who makes one that leads a session: -2 not known yet. */
static int maker_of_leader(struct plan *p, const struct image *image, const struct person *q, int parent, bool orphan, bool *early)
{
	int32_t need = q->dead || q->sid != q->pid || p->any_session ? 0 : born_in(image, q->pid, 0);

	if (orphan) {
		if (need && index_of(p, need) < 0)
			return -2;
		return (int)(add(p, ACTOR_STANDIN, 0, need ? index_of(p, need) : -1) - p->list);
	}
	*early = need && parent >= 0 && p->list[parent].session && p->list[parent].pid != need &&
		 session_of(p, made_in(p, parent)) == need;
	return parent;
}

/* 1, or 0: later. */
static int place(struct plan *p, struct image *image, const struct person *q)
{
	bool inside = in_image(image, q->ppid), root = !q->dead && q->index == 0, early = false, shares = false;
	int parent = inside ? index_of(p, q->ppid) : -1, made_by = parent, by = q->dead ? -3 : -1;
	struct planned *d;

	if (inside && parent < 0)
		return 0;
	if (!q->dead)
		by = brother(p, image, q, parent, &shares);
	if (by == -2)
		return failed(ERR_PLAIN, "pid %d shares its table of descriptors with a process that is neither its parent nor its brother",
			      q->pid);
	if (by >= 0)
		made_by = p->list[by].parent;
	else if (q->sid != q->pid && q->sid != 0)
		made_by = maker(p, image, q, parent, !inside && !root, &early);
	else
		made_by = maker_of_leader(p, image, q, parent, !inside && !root, &early);
	if (made_by == -2)
		return 0;
	if (made_by == -3)
		return failed(ERR_PLAIN, "pid %d is a child of %d, which is in another session: it can't be made there", q->pid, q->ppid);
	d = add(p, q->dead ? ACTOR_DEAD : ACTOR_PROCESS, q->pid, made_by);
	d->process = q->dead ? record_of(image, q->ppid) : q->index;
	d->status = q->status;
	d->early = early;
	d->brother = by >= 0 ? by : -1;
	d->shares_files = by >= 0 || (shares && made_by == parent);
	if (shares && !d->shares_files)
		return failed(ERR_PLAIN, "pid %d shares its table of descriptors with %d, which is in another session", q->pid, q->ppid);
	d->follows = !q->dead && task(image, q->index)->files_of;
	if (inside && made_by == parent && by < 0) {
		d->thread = maker_thread(image, q);
		d->exit_signal = q->exit_signal ? (int)q->exit_signal - 1 : SIGCHLD;
	}
	d->shares_fs = !q->dead && q->fs_of && parent == made_by && q->fs_of == q->ppid;
	d->session = q->sid == q->pid;
	group(p, image, p->n - 1, q->pgid, q->group_gone);
	return 1;
}

/* A dead one's record doesn't say what has become of its session and group. */
static struct person dead_person(const struct plan *p, const struct image *image, uint32_t i)
{
	const struct dead_record *d = (const struct dead_record *)image->manifest->dead.items + i;
	const struct process_record *first = task(image, 0);
	struct person q = { .dead = true, .index = i, .pid = d->pid, .ppid = d->ppid, .sid = d->sid, .pgid = d->pgid, .status = d->status,
			    .parent_tid = d->parent_tid, .exit_signal = d->exit_signal };

	q.session_gone = d->sid > 1 && !in_image(image, d->sid) && (p->alone || d->sid != first->sid);
	q.group_gone = d->pgid > 1 && !in_image(image, d->pgid) && (p->alone || d->pgid != first->pgid);
	return q;
}

static struct person live_person(const struct plan *p, const struct image *image, uint32_t i)
{
	const struct process_record *t = task(image, i), *first = task(image, 0);
	const struct pid_record *r = image->manifest->processes.items;
	struct person q = { .index = i, .pid = t->pid, .ppid = t->ppid, .sid = t->sid, .pgid = t->pgid,
			    .fs_of = (int32_t)t->fs_of };

	while (r->pid != t->pid)
		r++;
	q.parent_tid = r->parent_tid;
	q.exit_signal = r->exit_signal;

	/* what the root was started in belongs to the launcher's world, gone or not */
	q.session_gone = t->session_gone && (first->sid == first->pid || t->sid != first->sid);
	q.group_gone = t->group_gone && (first->pgid == first->pid || t->pgid != first->pgid);
	if (p->alone) {
		q.session_gone = t->sid > 1 && !in_image(image, t->sid);
		q.group_gone = t->pgid > 1 && !in_image(image, t->pgid);
	}
	return q;
}

/* Takes again and again those whose maker is there; the root comes first. */
static int order(struct plan *p, struct image *image)
{
	uint32_t ndead = image->manifest->dead.n, all = image->nprocesses + ndead, n = 0;
	bool *placed = calloc(all, sizeof(*placed)), moved = true;
	int rc = 0;

	if (!placed)
		return failed(-ENOMEM, "memory for the plan");
	while ((moved || !p->any_session) && rc >= 0 && n < all) {
		p->any_session = !moved;
		moved = false;
		for (uint32_t i = 0; i < all && rc >= 0; i++) {
			struct person q;

			if (placed[i])
				continue;
			q = i < image->nprocesses ? live_person(p, image, i) : dead_person(p, image, i - image->nprocesses);
			rc = place(p, image, &q);
			if (rc == 1) {
				placed[i] = moved = true;
				n++;
			}
		}
	}
	free(placed);
	p->nprocesses = image->nprocesses;
	return rc < 0 ? rc : n == all ? 0 : failed(-EINVAL, "the processes' parents and sessions make no tree");
}

/* Whoever has the descriptors of one that follows leads. */
static void lead(struct plan *p, const struct process_record *t)
{
	int by = t->files_of ? index_of(p, (int)t->files_of) : -1;

	if (by < 0 || p->list[by].leads)
		return;
	p->list[by].leads = true;
	p->tables++;
}

static int make(struct plan *p, struct image *image, bool alone)
{
	int rc;

	memset(p, 0, sizeof(*p));
	p->alone = alone;
	for (uint32_t i = 0; i < image->nprocesses; i++)
		p->tables_shared |= task(image, i)->files_of != 0;
	/* a process needs two stand-ins at most: one to be made by, one for its group */
	p->list = calloc(3ul * (image->nprocesses + image->manifest->dead.n) + 1, sizeof(*p->list));
	p->owner = malloc((image->nobjects + 1) * sizeof(*p->owner));
	if (!p->list || !p->owner)
		return failed(-ENOMEM, "memory for the plan");
	rc = order(p, image);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < image->nobjects; i++)
		p->owner[i] = OBJ_NONE;
	for (uint32_t i = 0; i < p->n; i++) {
		const struct process_record *t;
		const struct fd_record *f;

		if (p->list[i].actor != ACTOR_PROCESS)
			continue;
		t = task(image, p->list[i].process);
		lead(p, t);
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
	if (d->early)
		printf(", before that one's session");
	if (d->session)
		printf(", new session");
	else if (d->group)
		printf(", new process group%s", d->leaves ? " for others" : "");
	if (d->pgid)
		printf(", %sprocess group %d", d->leaves ? "then " : "", d->pgid);
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

void plan_print(const struct plan *p, const struct rebuild *rb)
{
	const struct image *image = rb->image;
	char buf[256];

	printf("%s: %u processes, %u open files and sockets\n", image->dir, p->nprocesses, image->nobjects);
	for (uint32_t i = 0; i < p->n; i++)
		print_actor(p, image, &p->list[i]);
	for (uint32_t i = 0; i < image->nobjects; i++) {
		const struct image_object *ob = &image->objects[i];

		printf("object %u %s: made for pid %d fd %d", i, ob->kind->tag, task(image, ob->process)->pid, ob->common->fd);
		address_print(rb, i);
		printf("%s%s\n", ob->common->loss.n ? ": " : "", text(ob->common->loss, buf, sizeof(buf)));
	}
}
