/*
 * kinds_cycle.h - a checkpoint and restart of this process's descriptors, without leaving it
 *
 * cycle() looks at every descriptor opened since the test began (and at 0..2 when asked), encodes
 * what the kinds collect, closes everything, decodes it, and goes through the
 * phases of kind.h. The rebuild_* functions stand in for the restart's.
 */
#ifndef KINDS_CYCLE_H
#define KINDS_CYCLE_H

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "skshim/image.h"
#include "skshim/probe.h"

#include "unit.h"

#define CYCLE_OBJECTS 4096

struct rebuild {
	struct arena arena;
	uint32_t n;
	const struct kind *kind[CYCLE_OBJECTS];
	void *rec[CYCLE_OBJECTS];
	uint32_t flags[CYCLE_OBJECTS];
	int fd[CYCLE_OBJECTS];           /* the builder's */
	int number[CYCLE_OBJECTS];
	int launcher[3];
	struct collection c;
	int losses;
	char loss[512];
};

static bool cycle_standard;              /* also 0..2 */
static bool cycle_stop;                  /* as with --stop */
static struct rebuild cycle_rebuild;
static int cycle_launcher[3] = { -1, -1, -1 };

/* What is open when a test begins (Check's own) stays out of it. */
static bool cycle_before[1024];

static void cycle_begin(void)
{
	for (int fd = 0; fd < 1024; fd++)
		cycle_before[fd] = fcntl(fd, F_GETFD) >= 0;
}

/* Check forks for each test. */
__attribute__((constructor)) static void cycle_setup(void)
{
	pthread_atfork(NULL, NULL, cycle_begin);
}

bool checkpoint_owns_fd(int fd)
{
	if (fd < 1024 && cycle_before[fd] && (fd > 2 || !cycle_standard))
		return true;
	return fd == cycle_launcher[0] || fd == cycle_launcher[1] || fd == cycle_launcher[2];
}

int rebuild_fd(const struct rebuild *r, uint32_t obj)
{
	return r->fd[obj];
}

void rebuild_give(struct rebuild *r, uint32_t obj, int fd)
{
	ck_assert_int_eq(r->fd[obj], -1);
	r->fd[obj] = fd;
}

const struct kind *rebuild_kind(const struct rebuild *r, uint32_t obj)
{
	return r->kind[obj];
}

void *rebuild_record(const struct rebuild *r, uint32_t obj)
{
	return r->rec[obj];
}

uint32_t rebuild_objects(const struct rebuild *r)
{
	return r->n;
}

uint32_t rebuild_flags(const struct rebuild *r, uint32_t obj)
{
	return r->flags[obj];
}

int rebuild_number(const struct rebuild *r, uint32_t obj)
{
	return r->number[obj];
}

struct arena *rebuild_arena(struct rebuild *r)
{
	return &r->arena;
}

int rebuild_launcher_fd(const struct rebuild *r, int fd)
{
	return r->launcher[fd];
}

int rebuild_call(struct rebuild *r, const char *what, long nr, long a, long b, long c, long d)
{
	(void)r;
	return (int)failed(SYS4(nr, a, b, c, d), "%s", what);
}

unsigned long rebuild_data(struct rebuild *r, const void *p, size_t n)
{
	return (unsigned long)arena_copy(&r->arena, p, n);
}

void rebuild_loss(struct rebuild *r, uint32_t obj, const char *fmt, ...)
{
	va_list ap;

	(void)obj;
	va_start(ap, fmt);
	vsnprintf(r->loss, sizeof(r->loss), fmt, ap);
	va_end(ap);
	r->losses++;
}

/* No test here has a peer outside. */
enum rebuild_policy rebuild_unix_policy(const struct rebuild *r)
{
	(void)r;
	return POLICY_FAIL;
}

enum rebuild_policy rebuild_tcp_policy(const struct rebuild *r)
{
	(void)r;
	return POLICY_FAIL;
}

/* Only files decide whether they are in the way in these tests. */
int rebuild_undo_file(struct rebuild *r, const char *path)
{
	(void)r;
	(void)path;
	return 0;
}

static const struct kind *cycle_kind(const struct probe *p)
{
	for (uint32_t i = 0; kinds[i]; i++)
		if (kinds[i]->match(p))
			return kinds[i];
	return NULL;
}

/* Looks, and encodes. 0 or the refusal. */
static int cycle_collect(struct rebuild *r, struct encode *e)
{
	struct collection *c = &r->c;
	int rc;

	err_reset();
	*c = (struct collection){ .arena = &r->arena, .pid = getpid(), .going_on = !cycle_stop };
	rc = probe_all(c, NULL);
	if (rc < 0)
		return rc;
	ck_assert_uint_le(c->nprobes, CYCLE_OBJECTS);
	ck_assert_int_eq(encode_begin(e, &r->arena, "task"), 0);
	for (r->n = 0; r->n < c->nprobes; r->n++) {
		const struct probe *p = &c->probes[r->n];
		const struct kind *k = cycle_kind(p);
		void *rec = arena_alloc(&r->arena, k->size);

		r->kind[r->n] = k;
		r->flags[r->n] = p->flags;
		r->fd[r->n] = -1;
		r->number[r->n] = p->fd;
		rc = k->collect(c, p, rec);
		if (rc < 0)
			return rc;
		ck_assert_int_eq(encode_frame(e, k->tag, k->fields, rec), 0);
	}
	return encode_end(e);
}

static void cycle_decode(struct rebuild *r, const struct encode *e)
{
	struct blob tag, body;
	struct decode d;

	ck_assert_int_eq(decode_begin(&d, &r->arena, "cycle", e->p, e->n, "task"), 0);
	for (uint32_t i = 0; i < r->n; i++) {
		ck_assert_int_eq(decode_frame(&d, &tag, &body), 1);
		ck_assert_ptr_eq(kind_by_tag(tag), r->kind[i]);
		r->rec[i] = arena_alloc(&r->arena, r->kind[i]->size);
		ck_assert_msg(decode_record(&r->arena, "cycle", body, r->kind[i]->fields, r->rec[i], r->kind[i]->size) == 0,
			      "%s", err_text());
	}
	ck_assert_int_eq(decode_frame(&d, &tag, &body), 0);
}

/* Descriptors to their numbers; what the builder had is out of the way first. */
static void cycle_place(struct rebuild *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		int high = fcntl(r->fd[i], F_DUPFD, 5000);

		ck_assert_int_ge(high, 0);
		close(r->fd[i]);
		r->fd[i] = high;
	}
	for (uint32_t i = 0; i < r->c.nfds; i++)
		ck_assert_int_eq(dup3(r->fd[r->c.fds[i].obj], r->c.fds[i].fd, r->c.fds[i].cloexec ? O_CLOEXEC : 0),
				 r->c.fds[i].fd);
	for (uint32_t i = 0; i < r->n; i++)
		close(r->fd[i]);
}

static int cycle_phase(struct rebuild *r, int phase)
{
	int rc = 0;

	for (uint32_t i = 0; i < r->n && rc >= 0; i++) {
		const struct kind *k = r->kind[i];

		if (phase == 0 && k->check)
			rc = k->check(r, i, r->rec[i]);
		if (phase == 1 && r->fd[i] < 0)
			rc = r->fd[i] = k->create(r, i, r->rec[i]);
		if (phase == 2 && k->connect)
			rc = k->connect(r, i, r->rec[i], r->fd[i]);
		if (phase == 3 && k->fill)
			rc = k->fill(r, i, r->rec[i], r->fd[i]);
		if (phase == 4 && !(r->flags[i] & O_PATH))
			rc = fcntl(r->number[i], F_SETFL, r->flags[i]);
		if (phase == 5 && k->link)
			rc = k->link(r, i, r->rec[i], r->number[i]);
		if (phase == 5 && rc >= 0 && k->each)
			rc = k->each(r, i, r->rec[i], r->number[i]);
		if (phase == 6 && k->arm)
			rc = k->arm(r, i, r->rec[i], r->number[i]);
		if (phase == 6 && rc >= 0 && k->settle)
			rc = k->settle(r, i, r->rec[i], r->number[i]);
	}
	return rc < 0 ? rc : 0;
}

/* Everything once; `meanwhile` (may be NULL) runs when all is closed. 0, or what a phase said. */
static int cycle_with(void (*meanwhile)(void))
{
	struct rebuild *r = &cycle_rebuild;
	struct encode e;
	int rc;

	memset(r, 0, sizeof(*r));
	memcpy(r->launcher, cycle_launcher, sizeof(r->launcher));
	ck_assert_int_eq(arena_begin(&r->arena, 1ul << 30), 0);
	rc = cycle_collect(r, &e);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < r->c.nfds; i++)
		close(r->c.fds[i].fd);
	if (meanwhile)
		meanwhile();
	cycle_decode(r, &e);
	for (int phase = 0; phase <= 6 && rc >= 0; phase++) {
		if (phase == 4)
			cycle_place(r);
		rc = cycle_phase(r, phase);
	}
	return rc;
}

/* That goes well. */
static void cycle(void)
{
	int rc = cycle_with(NULL);

	ck_assert_msg(rc == 0, "%d: %s", rc, err_text());
}

#endif
