/*
 * place.c - descriptors at their numbers
 *
 * The process has inherited every object of the builder's at any number. What
 * it doesn't need is closed; then number after number gets its object, and what
 * stood there and is needed elsewhere moves on. So there are never many more
 * descriptors than the program has, which may be all that the limit allows. What
 * we need ourselves stands above the program's highest number.
 *
 * What was left to the process to make is made last, in the order of the
 * numbers, while no lower one is free: so the kernel gives it the right one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "restart.h"

int place_above(int fd, int above)
{
	int high;

	if (fd < 0 || fd >= above)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, above);
	if (high < 0) {
		high = failed(-errno, "a descriptor above %d (RLIMIT_NOFILE)", above);
		close(fd);
		return high;
	}
	close(fd);
	return high;
}

void place_close(struct closing *c, int fd)
{
	if (fd >= 0 && fd == c->to && c->to > c->from) {
		c->to++;
		return;
	}
	if (c->to > c->from)
		close_range((unsigned)c->from, (unsigned)c->to - 1, 0);
	*c = fd >= 0 ? (struct closing){ fd, fd + 1 } : (struct closing){ 0, 0 };
}

/* Numbers below `above` while objects move to theirs. */
struct places {
	struct rebuild *rb;
	int above;
	int *at;                     /* by object: a number it has now, -1: this process doesn't need it, -2: it is to be made */
	int *holds;                  /* by number: the object that is there, -1 nothing that is needed */
	bool *final;                 /* by number: is as it shall be */
	uint32_t left;               /* descriptors of objects that the process makes itself */
};

static void places_end(struct places *p)
{
	free(p->at);
	free(p->holds);
	free(p->final);
	free(p->rb->cloexec);
	p->rb->cloexec = NULL;
}

static int places_begin(struct places *p, struct rebuild *rb, const struct process_record *task, int above)
{
	const struct fd_record *f = task->fds.items;

	*p = (struct places){ .rb = rb, .above = above };
	p->at = malloc((rb->image->nobjects + 1) * sizeof(*p->at));
	p->holds = malloc(((size_t)above + 1) * sizeof(*p->holds));
	p->final = calloc((size_t)above + 1, sizeof(*p->final));
	rb->numbers = malloc((rb->image->nobjects + 1) * sizeof(*rb->numbers));
	rb->cloexec = calloc(rb->image->nobjects + 1, sizeof(*rb->cloexec));
	if (!p->at || !p->holds || !p->final || !rb->numbers || !rb->cloexec)
		return failed(-ENOMEM, "pid %d: memory for its descriptors", task->pid);
	for (uint32_t i = 0; i < rb->image->nobjects; i++)
		p->at[i] = rb->numbers[i] = -1;
	for (int n = 0; n < above; n++)
		p->holds[n] = -1;
	for (uint32_t i = 0; i < task->fds.n; i++) {
		int fd = rb->fds[f[i].obj];

		if (fd == REBUILD_LEFT) {
			if (p->at[f[i].obj] == -1)
				rb->cloexec[f[i].obj] = f[i].cloexec;
			p->at[f[i].obj] = -2;
			p->left++;
		}
		if (fd == REBUILD_PARKED || fd == REBUILD_LEFT)
			continue;
		if (fd < 0)
			return failed(-EBADF, "pid %d fd %d: was not made", task->pid, f[i].fd);
		p->at[f[i].obj] = fd;
		if (fd < above)
			p->holds[fd] = (int)f[i].obj;
	}
	return 0;
}

/* Closes every number below `above` for which nothing speaks. */
static void close_others(const struct places *p, bool only_final)
{
	int from = 0;

	for (int n = 0; n <= p->above; n++) {
		if (n < p->above && !p->final[n] && (only_final || p->holds[n] < 0))
			continue;
		if (n > from)
			close_range((unsigned)from, (unsigned)n - 1, 0);
		from = n + 1;
	}
}

/* Makes room at number n: what is there and still needed goes to another one. */
static int evict(struct places *p, int n)
{
	int obj = p->holds[n], to;

	if (obj < 0)
		return 0;
	p->holds[n] = -1;
	if (p->at[obj] != n)
		return 0;
	to = fcntl(n, F_DUPFD_CLOEXEC, n + 1);
	if (to < 0)
		to = fcntl(n, F_DUPFD_CLOEXEC, 3);
	if (to < 0)
		return failed(-errno, "a descriptor beside number %d (RLIMIT_NOFILE)", n);
	p->at[obj] = to;
	p->rb->cloexec[obj] = true;
	if (to < p->above)
		p->holds[to] = obj;
	return 0;
}

static int put(struct places *p, uint32_t obj, const struct fd_record *f)
{
	int from = p->at[obj], rc = 0;

	if (from == f->fd) {
		if (p->rb->fds[obj] != REBUILD_LEFT || p->rb->cloexec[obj] != !!f->cloexec)
			rc = fcntl(from, F_SETFD, f->cloexec ? FD_CLOEXEC : 0);
		p->final[from] = true;
		return rc < 0 ? -errno : 0;
	}
	rc = evict(p, f->fd);
	if (rc < 0)
		return rc;
	if (dup3(from, f->fd, f->cloexec ? O_CLOEXEC : 0) < 0)
		return -errno;
	p->final[f->fd] = true;
	p->at[obj] = f->fd;
	p->holds[f->fd] = (int)obj;
	if (from >= p->above || !p->final[from]) {
		close(from);
		if (from < p->above)
			p->holds[from] = -1;
	}
	return 0;
}

/* One that was parked: at any number. */
static int unpark(void *arg, uint32_t obj, int fd)
{
	struct places *p = arg;

	p->at[obj] = fd;
	if (fd < p->above)
		p->holds[fd] = (int)obj;
	return 0;
}

int place_none(struct rebuild *rb)
{
	rb->numbers = malloc((rb->image->nobjects + 1) * sizeof(*rb->numbers));
	if (!rb->numbers)
		return failed(-ENOMEM, "memory for descriptors");
	for (uint32_t i = 0; i < rb->image->nobjects; i++)
		rb->numbers[i] = -1;
	return 0;
}

/* Numbers below those of objects that are still to be made, and not theirs, get something for the moment. */
static void fill_gaps(struct places *p, const struct process_record *task)
{
	const struct fd_record *f = task->fds.items;
	uint32_t left = p->left, gaps = 0;
	int n = 0;

	for (uint32_t i = 0; i < task->fds.n && left && gaps <= p->left; i++) {
		for (; n < f[i].fd && gaps <= p->left; n++) {
			if (p->final[n] || p->holds[n] >= 0)
				continue;
			(void)dup3(p->rb->image->dirfd, n, O_CLOEXEC);
			gaps++;
		}
		n = f[i].fd + 1;
		left -= p->rb->fds[f[i].obj] == REBUILD_LEFT;
	}
}

static int make_own(struct places *p, const struct fd_record *f)
{
	struct own own = { .n = 0 };
	int rc = rebuild_own(p->rb, f->obj, &own);

	for (int i = 0; i < own.n && rc >= 0; i++) {
		p->at[own.obj[i]] = own.fd[i];
		if (own.fd[i] < p->above)
			p->holds[own.fd[i]] = (int)own.obj[i];
	}
	return rc;
}

static int put_all(struct places *p, const struct process_record *task, const int standard[3], bool left)
{
	const struct fd_record *f = task->fds.items;
	struct rebuild *rb = p->rb;
	int rc = 0;

	for (uint32_t i = 0; i < task->fds.n && rc >= 0; i++) {
		bool own = f[i].fd <= 2 && rb->stand_in[f[i].obj] && standard[f[i].fd] >= 0;

		if ((rb->fds[f[i].obj] == REBUILD_LEFT) != left)
			continue;
		if (own) {
			rc = evict(p, f[i].fd);
			if (rc >= 0 && dup3(standard[f[i].fd], f[i].fd, f[i].cloexec ? O_CLOEXEC : 0) < 0)
				rc = -errno;
			p->final[f[i].fd] = true;
		} else {
			if (p->at[f[i].obj] < 0)
				rc = make_own(p, &f[i]);
			rc = rc < 0 ? rc : put(p, f[i].obj, &f[i]);
		}
		if (rc < 0)
			failed(rc, "pid %d fd %d", task->pid, f[i].fd);
		if (rb->numbers[f[i].obj] < 0)
			rb->numbers[f[i].obj] = f[i].fd;
	}
	return rc;
}

int place_descriptors(struct rebuild *rb, uint32_t process, int above)
{
	const struct process_record *task = rb->image->processes[process].task;
	struct closing rest = { 0, 0 };
	int standard[3], rc;
	struct places p;

	rc = park_keep(rb, process, above);
	if (rc < 0)
		return rc;
	rc = places_begin(&p, rb, task, above);
	/* A program's terminal that is the launcher's business: each standard number has the launcher's own. */
	for (int i = 0; i < 3; i++)
		standard[i] = rb->launcher_std[i] < 0 ? -1 : fcntl(rb->launcher_std[i], F_DUPFD_CLOEXEC, above);
	if (rc >= 0)
		close_others(&p, false);
	if (rc >= 0)
		rc = park_take(rb, process, unpark, &p);
	if (rc >= 0)
		rc = put_all(&p, task, standard, false);
	if (rc >= 0 && p.left) {
		fill_gaps(&p, task);
		rc = put_all(&p, task, standard, true);
	}
	if (rc >= 0)
		close_others(&p, true);
	for (uint32_t i = 0; p.at && i < rb->image->nobjects; i++) {
		if (p.at[i] >= above)
			place_close(&rest, p.at[i]);
		else if (p.at[i] < 0 && rb->fds[i] >= above)
			place_close(&rest, rb->fds[i]);
	}
	place_close(&rest, -1);
	for (int i = 0; i < 3; i++)
		if (standard[i] >= 0)
			close(standard[i]);
	if (rc >= 0)
		rebuild_kept_drop(rb);
	places_end(&p);
	return rc < 0 ? rc : 0;
}
