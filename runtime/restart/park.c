/*
 * park.c - room in the builder's table of descriptors
 *
 * The builder makes the objects of all processes, so a tree whose processes
 * together have more descriptors than one may have (RLIMIT_NOFILE) would not
 * come back. What is finished, and belongs to one process only, is therefore
 * sent ahead to it: it waits as a message in a socket that this process will
 * inherit, and gets a number when the process takes its place (place.c). Only
 * done when numbers may get scarce.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "restart.h"

#define PARK_BATCH 253               /* the kernel's most for one message */
#define PARK_SPARE 256               /* what the restart itself may have open, amply */

/* What waits for one process. */
struct park {
	int to, from;                /* -1 nothing waits */
	uint32_t *objs;              /* in the order of sending */
	uint32_t n, room;
	int batch[PARK_BATCH];       /* not sent yet: the last ones of objs */
	uint32_t nbatch;
};

struct parking {
	struct park *parks;          /* by process */
	bool *held;                  /* by object: the builder needs it until the end */
	uint32_t nbatch;             /* of all parks: each of them keeps a number */
	uint32_t flights;            /* descriptors that are to be put into queues */
	uint32_t parked, most;
};

/* What is in flight in a queue, and what is watched by what is. */
static void hold(const struct field *f, const void *rec, bool flight, struct rebuild *rb)
{
	for (; f->type != FIELD_END_T; f++) {
		const void *p = (const char *)rec + f->offset;
		const struct list *list = p;

		if (f->type == FIELD_OBJ_T && flight && *(const uint32_t *)p < rb->image->nobjects) {
			rb->parking->held[*(const uint32_t *)p] = true;
			rb->parking->flights++;
		}
		if (f->type == FIELD_REC_T && flight)
			hold(f->sub, p, true, rb);
		if (f->type != FIELD_LIST_T || !list->n || (!flight && strcmp(f->name, "queue") != 0))
			continue;
		for (uint32_t i = 0; i < list->n; i++)
			hold(f->sub, (const char *)list->items + (size_t)i * f->size, true, rb);
	}
}

/* What a user has in flight in all queues is counted, but of who is one in this namespace only. */
static bool is_counted(void)
{
	unsigned long inside, outside, n = 0;
	FILE *f = fopen("/proc/self/uid_map", "re");

	if (f && fscanf(f, "%lu %lu %lu", &inside, &outside, &n) != 3)
		n = 0;
	if (f)
		fclose(f);
	return geteuid() != 0 || n != 0xffffffff;
}

int park_begin(struct rebuild *rb)
{
	struct rlimit limit;
	struct parking *p;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || rb->image->nobjects + rb->image->nobjects / 4 + PARK_SPARE < limit.rlim_cur)
		return 0;
	p = calloc(1, sizeof(*p));
	if (p)
		p->parks = calloc(rb->image->nprocesses + 1, sizeof(*p->parks));
	if (p)
		p->held = calloc(rb->image->nobjects + 1, sizeof(*p->held));
	if (!p || !p->parks || !p->held)
		return failed(-ENOMEM, "memory for %u objects", rb->image->nobjects);
	for (uint32_t i = 0; i < rb->image->nprocesses; i++)
		p->parks[i].to = p->parks[i].from = -1;
	rb->parking = p;
	for (uint32_t i = 0; i < rb->image->nobjects; i++)
		hold(rb->image->objects[i].kind->fields, rb->image->objects[i].rec, !rb->in_table[i], rb);
	p->most = UINT32_MAX;
	if (is_counted())
		p->most = p->flights + PARK_BATCH < limit.rlim_cur ? (uint32_t)limit.rlim_cur - p->flights - PARK_BATCH : 0;
	return 0;
}

bool rebuild_parks(const struct rebuild *rb, uint32_t obj)
{
	const struct parking *p = rb->parking;

	return p && obj < rb->image->nobjects && rb->only[obj] >= 0 && !p->held[obj] && p->parked < p->most;
}

/* Sends what is collected; what can't go keeps its number. */
static int send_batch(struct rebuild *rb, struct park *k)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(PARK_BATCH * sizeof(int))];
	} c;
	struct iovec iov = { "", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = CMSG_SPACE(k->nbatch * sizeof(int)) };
	int pair[2];

	if (!k->nbatch)
		return 0;
	rb->parking->nbatch -= k->nbatch;
	if (k->to < 0) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return failed(-errno, "a socket to park others in");
		k->to = pair[0];
		k->from = pair[1];
	}
	memset(&c, 0, sizeof(c));
	c.h.cmsg_level = SOL_SOCKET;
	c.h.cmsg_type = SCM_RIGHTS;
	c.h.cmsg_len = CMSG_LEN(k->nbatch * sizeof(int));
	memcpy(CMSG_DATA(&c.h), k->batch, k->nbatch * sizeof(int));
	if (sendmsg(k->to, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
		for (uint32_t i = 0; i < k->nbatch; i++)
			close(k->batch[i]);
	} else {
		for (uint32_t i = 0; i < k->nbatch; i++)
			rb->fds[k->objs[--k->n]] = k->batch[k->nbatch - 1 - i];
	}
	k->nbatch = 0;
	return 0;
}

static int send_all(struct rebuild *rb)
{
	int rc = 0;

	for (uint32_t i = 0; i < rb->image->nprocesses && rc >= 0; i++)
		rc = send_batch(rb, &rb->parking->parks[i]);
	return rc;
}

int rebuild_park(struct rebuild *rb, uint32_t obj)
{
	struct park *k = &rb->parking->parks[rb->only[obj]];
	int rc = rebuild_set_flags(rb, obj);

	if (rc < 0)
		return rc;
	if (k->n == k->room) {
		uint32_t room = k->room * 2 + PARK_BATCH, *more = realloc(k->objs, room * sizeof(*more));

		if (!more)
			return failed(-ENOMEM, "memory for %u objects", room);
		k->objs = more;
		k->room = room;
	}
	rebuild_keep_cookie(rb, obj, rb->fds[obj]);
	k->objs[k->n++] = obj;
	k->batch[k->nbatch++] = rb->fds[obj];
	rb->fds[obj] = REBUILD_PARKED;
	rb->parking->parked++;
	return ++rb->parking->nbatch == PARK_BATCH ? send_all(rb) : 0;
}

int park_end(struct rebuild *rb)
{
	int rc = 0;

	if (rb->parking)
		rc = send_all(rb);
	for (uint32_t i = 0; rb->parking && i < rb->image->nprocesses; i++) {
		struct park *k = &rb->parking->parks[i];

		if (k->to >= 0)
			close(k->to);
		k->to = -1;
	}
	return rc;
}

int park_keep(struct rebuild *rb, uint32_t process, int above)
{
	for (uint32_t i = 0; rb->parking && i < rb->image->nprocesses; i++) {
		struct park *k = &rb->parking->parks[i];

		if (k->from >= 0 && i != process) {
			close(k->from);
			k->from = -1;
		} else if (k->from >= 0) {
			k->from = place_above(k->from, above);
			if (k->from < 0)
				return k->from;
		}
	}
	return 0;
}

int park_take(struct rebuild *rb, uint32_t process, int (*take)(void *arg, uint32_t obj, int fd), void *arg)
{
	struct park *k = rb->parking ? &rb->parking->parks[process] : NULL;
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(PARK_BATCH * sizeof(int))];
	} c;
	uint32_t at = 0;
	int rc = 0;

	while (k && at < k->n && rc >= 0) {
		char byte;
		struct iovec iov = { &byte, 1 };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c) };
		uint32_t n;

		if (recvmsg(k->from, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&m) || (m.msg_flags & MSG_CTRUNC))
			return failed(-EMFILE, "taking %u descriptors that were parked (RLIMIT_NOFILE)", k->n);
		n = (uint32_t)((c.h.cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (uint32_t i = 0; i < n && at < k->n && rc >= 0; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(&c.h) + i * sizeof(int), sizeof(fd));
			rc = take(arg, k->objs[at++], fd);
		}
	}
	if (k && k->from >= 0)
		close(k->from);
	return rc;
}
