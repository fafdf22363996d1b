/*
 * lock.c - POSIX, OFD and flock locks, leases
 *
 * fdinfo lists a description's locks: OFD and flock locks and leases of the description
 * itself, POSIX locks that this process set through it. They are taken again
 * in the process that held them, since POSIX locks belong to it
 * (tests/kernel/fdinfo_lock.c).
 *
 * A process loses its POSIX locks of a file when it closes any descriptor of
 * it. So they are taken once more behind the memory, for which files are opened
 * and closed again; and a checkpoint opens none that has some (contents.c).
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "file.h"

#include "skshim/frozen.h"

const struct field fields_lock[] = {
	FIELD_U32(struct lock, owner),
	FIELD_U32(struct lock, write),
	FIELD_U64(struct lock, start),
	FIELD_U64(struct lock, end),
	FIELD_END
};

static struct blob word(struct blob *line)
{
	const char *p = line->p, *end = p + line->n;
	struct blob w;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	w.p = p;
	while (p < end && *p != ' ' && *p != '\t')
		p++;
	w.n = (uint64_t)(p - (const char *)w.p);
	line->n = (uint64_t)(end - p);
	line->p = p;
	return w;
}

/* "lock:\t1: POSIX  ADVISORY  WRITE 359 00:13:11691 0 EOF" */
static int lock_parse(struct collection *c, const struct probe *p, struct blob line, struct lock *l)
{
	struct blob type, state, mode, last;
	const char *at;

	word(&line);
	word(&line);
	type = word(&line);
	state = word(&line);
	mode = word(&line);
	word(&line);
	word(&line);
	if (blob_is(type, "POSIX"))
		l->owner = LOCK_POSIX;
	else if (blob_is(type, "OFDLCK"))
		l->owner = LOCK_OFD;
	else if (blob_is(type, "FLOCK"))
		l->owner = LOCK_FLOCK;
	else if (blob_is(type, "LEASE") && blob_is(state, "ACTIVE"))
		l->owner = LOCK_LEASE;
	else if (blob_is(type, "LEASE"))
		return collection_refuse(c, p, -EAGAIN, "%.*s holds a lease that somebody waits for: give it up first",
					 (int)p->path.n, (const char *)p->path.p);
	else
		return collection_refuse(c, p, -EOPNOTSUPP, "%.*s holds a %.*s, which is not supported: give it up first",
					 (int)p->path.n, (const char *)p->path.p, (int)type.n, (const char *)type.p);
	l->write = blob_is(mode, "WRITE");
	last = word(&line);
	at = last.p;
	if (!text_number(&at, at + last.n, 10, &l->start))
		return collection_refuse(c, p, -EINVAL, "a lock in fdinfo");
	last = word(&line);
	at = last.p;
	if (blob_is(last, "EOF"))
		l->end = UINT64_MAX;
	else if (!text_number(&at, at + last.n, 10, &l->end))
		return collection_refuse(c, p, -EINVAL, "a lock in fdinfo");
	return 0;
}

int lock_collect(struct collection *c, const struct probe *p, struct list *locks)
{
	struct blob text = p->fdinfo, line;
	struct lock *items;
	uint32_t n = 0;
	int rc;

	*locks = (struct list){ NULL, 0 };
	while (text_line(&text, &line))
		n += blob_starts(line, "lock:");
	if (n == 0)
		return 0;
	items = arena_alloc(c->arena, n * sizeof(*items));
	if (!items)
		return collection_refuse(c, p, -ENOMEM, "%u locks", n);
	locks->items = items;
	for (text = p->fdinfo; text_line(&text, &line);) {
		if (!blob_starts(line, "lock:"))
			continue;
		rc = lock_parse(c, p, line, &items[locks->n]);
		if (rc < 0)
			return rc;
		locks->n++;
	}
	return 0;
}

static struct flock lock_range(const struct lock *l)
{
	return (struct flock){
		.l_type = l->write ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET, .l_start = (off_t)l->start,
		.l_len = l->end == UINT64_MAX ? 0 : (off_t)(l->end - l->start + 1),
	};
}

/* Whether a lock of this type is among them, of this mode ("" any). */
static bool has_lock(const struct probe *p, const char *type, const char *mode)
{
	struct blob text = p->fdinfo, line;

	while (text_line(&text, &line)) {
		if (!blob_starts(line, "lock:"))
			continue;
		word(&line);
		word(&line);
		if (!blob_is(word(&line), type))
			continue;
		word(&line);
		if (!*mode || blob_is(word(&line), mode))
			return true;
	}
	return false;
}

bool lock_posix(const struct probe *p)
{
	return has_lock(p, "POSIX", "");
}

bool lock_write_lease(const struct probe *p)
{
	return has_lock(p, "LEASE", "WRITE");
}

void collection_relock(struct collection *c)
{
	for (uint32_t i = 0; i < c->nprobes; i++) {
		const struct probe *p = &c->probes[i];
		struct list locks;

		/* where somebody was quicker, it has been told */
		if (lock_posix(p) && lock_collect(c, p, &locks) >= 0)
			lock_link(p->path.p, &locks, p->fd, true);
	}
}

int lock_settle(struct rebuild *r, const struct list *locks, int fd)
{
	const struct lock *l = locks->items;
	int rc = 0;

	for (uint32_t i = 0; rc >= 0 && i < locks->n; i++) {
		struct flock fl = lock_range(&l[i]);

		if (l[i].owner == LOCK_POSIX)
			rc = rebuild_call(r, "a file lock", __NR_fcntl, fd, F_SETLK, (long)rebuild_data(r, &fl, sizeof(fl)), 0);
	}
	return rc;
}

int lock_link(const char *name, const struct list *locks, int fd, bool only_posix)
{
	const struct lock *l = locks->items;
	struct flock fl;
	long rc = 0;

	for (uint32_t i = 0; rc >= 0 && i < locks->n; i++, l++) {
		if (only_posix && l->owner != LOCK_POSIX)
			continue;
		if (l->owner == LOCK_FLOCK) {
			rc = sys_flock(fd, (l->write ? LOCK_EX : LOCK_SH) | LOCK_NB);
		} else if (l->owner == LOCK_LEASE) {
			rc = sys_fcntl(fd, F_SETLEASE, l->write ? F_WRLCK : F_RDLCK);
		} else {
			fl = lock_range(l);
			rc = sys_fcntl(fd, l->owner == LOCK_OFD ? F_OFD_SETLK : F_SETLK, (long)&fl);
		}
	}
	if (rc < 0)
		failed((int)rc, "%s: the program held a lock or a lease, and somebody else has one or has it open now", name);
	return (int)rc;
}
