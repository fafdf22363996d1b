/*
 * plan.c - records in, decisions out
 *
 * Pure: nothing is asked of the system, so tests are tables.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restart.h"

static int index_of(const struct plan *p, const struct image *image, int pid)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (image->processes[p->list[i].process].task->pid == pid)
			return (int)i;
	return -1;
}

static bool in_image(const struct image *image, int pid)
{
	for (uint32_t i = 0; i < image->nprocesses; i++)
		if (image->processes[i].task->pid == pid)
			return true;
	return false;
}

/* Parents before children: repeatedly takes those whose parent is placed or outside. */
static int order(struct plan *p, struct image *image)
{
	bool *placed = calloc(image->nprocesses, sizeof(*placed)), moved = true;

	if (!placed)
		return failed(-ENOMEM, "memory for the plan");
	while (moved && p->n < image->nprocesses) {
		moved = false;
		for (uint32_t i = 0; i < image->nprocesses; i++) {
			const struct process_record *t = image->processes[i].task;
			struct planned *d = &p->list[p->n];
			int parent;

			if (placed[i] || (in_image(image, t->ppid) && index_of(p, image, t->ppid) < 0))
				continue;
			parent = index_of(p, image, t->ppid);
			d->process = i;
			d->parent = parent;
			d->session = t->sid == t->pid;
			d->group = t->pgid == t->pid;
			d->pgid = in_image(image, t->pgid) && !d->group ? t->pgid : 0;
			placed[i] = moved = true;
			p->n++;
		}
	}
	free(placed);
	return p->n == image->nprocesses ? 0 : failed(-EINVAL, "the processes' parents make no tree");
}

int plan_make(struct plan *p, struct image *image)
{
	int rc;

	memset(p, 0, sizeof(*p));
	p->list = calloc(image->nprocesses, sizeof(*p->list));
	p->owner = malloc((image->nobjects + 1) * sizeof(*p->owner));
	if (!p->list || !p->owner)
		return failed(-ENOMEM, "memory for the plan");
	rc = order(p, image);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < image->nobjects; i++)
		p->owner[i] = OBJ_NONE;
	for (uint32_t i = 0; i < p->n; i++) {
		const struct process_record *t = image->processes[p->list[i].process].task;
		const struct fd_record *f = t->fds.items;

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

void plan_print(const struct plan *p, const struct image *image, const struct options *o)
{
	char buf[256];

	(void)o;
	printf("%s: %u processes, %u open files and sockets\n", image->dir, p->n, image->nobjects);
	for (uint32_t i = 0; i < p->n; i++) {
		const struct image_process *ip = &image->processes[p->list[i].process];
		const struct process_record *t = ip->task;
		uint64_t pages = 0;

		for (uint32_t k = 0; k < ip->runs.n; k++)
			pages += ((struct run_record *)ip->runs.items)[k].pages;
		printf("process %d %s: parent %d%s%s, %u threads, %u descriptors, %u regions, %lu MiB\n", t->pid,
		       text(t->comm, buf, sizeof(buf)),
		       p->list[i].parent < 0 ? 0 : image->processes[p->list[p->list[i].parent].process].task->pid,
		       p->list[i].session ? ", new session" : "", p->list[i].group ? ", new process group" : "", t->threads.n,
		       t->fds.n, t->vmas.n, pages * ARCH_PAGE >> 20);
	}
	for (uint32_t i = 0; i < image->nobjects; i++) {
		const struct image_object *ob = &image->objects[i];

		printf("object %u %s: made for pid %d fd %d%s%s\n", i, ob->kind->tag, image->processes[ob->process].task->pid,
		       ob->common->fd, ob->common->loss.n ? ": " : "", text(ob->common->loss, buf, sizeof(buf)));
	}
}
