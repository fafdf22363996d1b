/*
 * epoll.c - interest in other descriptors
 *
 * The kernel's key of a watch is (description, number it was added by). The
 * number may be closed or stand for something else by now; the watch lives
 * as long as the description does. So each watch is matched to one of this
 * process's descriptions, and added again with that description standing at
 * that number, if only for the moment (tests/kernel/epoll_key.c).
 *
 * Which description: a socket's inode has only one; for others the kernel is
 * asked, by kcmp when in doubt, and otherwise by adding the pair once more,
 * which is answered EEXIST in no time where kcmp would walk the whole list.
 *
 * A one-shot watch that has fired is disarmed. Adding always arms at least
 * for errors and hang-ups, so it is added for everything and made to fire
 * while the epoll has no other watch.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/sysmacros.h>

#include "skshim/kind.h"

#include "skshim/frozen.h"

#define EPOLL_LINK "anon_inode:[eventpoll]"
#define EPOLL_PRIVATE (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define EPOLL_FIRE (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLONESHOT)

struct watch {
	int32_t number;          /* it was added by */
	uint32_t obj;            /* the description; OBJ_NONE: only another process has it */
	uint32_t events;
	uint64_t data;
};

struct epoll {
	struct list watches;
};

static const struct field watch_fields[] = {
	FIELD_I32(struct watch, number),
	FIELD_OBJ(struct watch, obj),
	FIELD_U32(struct watch, events),
	FIELD_U64(struct watch, data),
	FIELD_END
};

static const struct field epoll_fields[] = {
	FIELD_LIST(struct epoll, watches, struct watch, watch_fields),
	FIELD_END
};

/* A line of fdinfo: "tfd: 5 events: 19 data: 5  pos:0 ino:3b2 sdev:d". */
struct epoll_line {
	uint64_t number, events, data, ino, dev;
};

static bool epoll_match(const struct probe *p)
{
	return blob_is(p->path, EPOLL_LINK);
}

static bool epoll_value(struct blob line, const char *key, int base, uint64_t *value)
{
	const char *p = line.p, *end = p + line.n;
	size_t n = strlen(key);

	for (; p + n <= end; p++) {
		if (memcmp(p, key, n) != 0)
			continue;
		for (p += n; p < end && (*p == ' ' || *p == '\t'); p++)
			;
		return text_number(&p, end, base, value);
	}
	return false;
}

static int epoll_parse(struct collection *c, const struct probe *p, struct blob line, struct epoll_line *l)
{
	if (epoll_value(line, "tfd:", 10, &l->number) && epoll_value(line, "events:", 16, &l->events) &&
	    epoll_value(line, "data:", 16, &l->data) && epoll_value(line, "ino:", 16, &l->ino) &&
	    epoll_value(line, "sdev:", 16, &l->dev)) {
		/* The kernel's own packing of major and minor. */
		l->dev = makedev((unsigned)(l->dev >> 20), (unsigned)(l->dev & 0xfffff));
		return 0;
	}
	return collection_refuse(c, p, -EINVAL, "epoll: fdinfo says \"%.*s\"", (int)line.n, (const char *)line.p);
}

static bool epoll_inode_is(const struct probe *t, const struct epoll_line *l)
{
	return t->st.st_ino == l->ino && t->st.st_dev == l->dev && !(t->flags & O_PATH);
}

/* The nth watch of the epoll that has this number: is it of this description? */
static bool epoll_kcmp(int epfd, int number, uint32_t nth, int fd)
{
	struct kcmp_epoll_slot slot = { .efd = (uint32_t)epfd, .tfd = (uint32_t)number, .toff = nth };

	return sys_kcmp(sys_gettid(), sys_gettid(), KCMP_EPOLL_TFD, (unsigned long)fd, (unsigned long)&slot) == 0;
}

static bool epoll_has(int epfd, int fd)
{
	struct epoll_event none = { .events = EPOLLONESHOT };
	int rc = sys_epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &none);

	if (rc == 0)
		sys_epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL);
	return rc == -EEXIST;
}

/* Which description a watch is for; `twice`: the number occurs more than once, this being the nth. */
static uint32_t epoll_target(const struct collection *c, const struct probe *p, const struct epoll_line *l, bool twice,
			     uint32_t nth)
{
	int number = (int)l->number;
	uint32_t obj = collection_object(c, number);

	if (obj != OBJ_NONE && epoll_inode_is(&c->probes[obj], l)) {
		if (c->probes[obj].cookie)
			return obj;
		if (twice ? epoll_kcmp(p->fd, number, nth, number) : epoll_has(p->fd, number))
			return obj;
	}
	for (obj = 0; obj < c->nprobes; obj++)
		if (epoll_inode_is(&c->probes[obj], l) &&
		    (c->probes[obj].cookie || epoll_kcmp(p->fd, number, nth, c->probes[obj].fd)))
			return obj;
	return OBJ_NONE;
}

/* How often each number occurs: an array of counts up to the highest. */
static int epoll_count(struct collection *c, const struct probe *p, uint32_t *n, uint8_t **seen, uint64_t *highest)
{
	struct blob text = p->fdinfo, line;
	struct epoll_line l;
	int rc;

	*n = 0;
	*highest = 0;
	while (text_line(&text, &line)) {
		if (!blob_starts(line, "tfd:"))
			continue;
		rc = epoll_parse(c, p, line, &l);
		if (rc < 0)
			return rc;
		++*n;
		*highest = l.number > *highest ? l.number : *highest;
	}
	*seen = arena_alloc(c->arena, 2 * (*highest + 1));
	if (!*seen)
		return collection_refuse(c, p, -ENOMEM, "epoll: %u watches", *n);
	for (text = p->fdinfo; text_line(&text, &line);)
		if (blob_starts(line, "tfd:") && epoll_parse(c, p, line, &l) == 0 && (*seen)[l.number] < UINT8_MAX)
			(*seen)[l.number]++;
	return 0;
}

/* What this process doesn't have another must, which has the epoll too: it adds the watch. */
static int epoll_complete(struct collection *c, const struct probe *p, const struct epoll *ep)
{
	const struct watch *w = ep->watches.items;
	uint32_t i;

	for (i = 0; i < ep->watches.n; i++)
		if (w[i].obj == OBJ_NONE)
			break;
	if (i == ep->watches.n || !c->elsewhere || c->elsewhere(c->pid, p->fd, EPOLL_LINK))
		return 0;
	return collection_refuse(c, p, -EOPNOTSUPP, "epoll watches number %d, which this process has closed, for a descriptor "
				 "that only another process has", w[i].number);
}

static int epoll_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct epoll *ep = rec;
	struct blob text, line;
	struct watch *watches;
	struct epoll_line l;
	uint64_t highest;
	uint8_t *seen;
	uint32_t n;
	int rc = epoll_count(c, p, &n, &seen, &highest);

	if (rc < 0)
		return rc;
	watches = arena_alloc(c->arena, n * sizeof(*watches));
	if (!watches)
		return collection_refuse(c, p, -ENOMEM, "epoll: %u watches", n);
	ep->watches.items = watches;
	for (text = p->fdinfo; text_line(&text, &line);) {
		struct watch *w = &watches[ep->watches.n];
		uint8_t *nth;

		if (!blob_starts(line, "tfd:"))
			continue;
		rc = epoll_parse(c, p, line, &l);
		if (rc < 0)
			return rc;
		nth = &seen[highest + 1 + l.number];
		w->number = (int32_t)l.number;
		w->events = (uint32_t)l.events;
		w->data = l.data;
		w->obj = epoll_target(c, p, &l, seen[l.number] > 1, *nth);
		if (*nth < UINT8_MAX)
			++*nth;
		ep->watches.n++;
	}
	return epoll_complete(c, p, ep);
}

static int epoll_make(struct rebuild *r, uint32_t obj, void *rec)
{
	int fd = sys_epoll_create1(EPOLL_CLOEXEC);

	(void)r;
	(void)obj;
	(void)rec;
	return fd < 0 ? failed(fd, "epoll") : fd;
}

static bool epoll_spent(const struct watch *w)
{
	return (w->events & EPOLLONESHOT) && !(w->events & ~(uint32_t)EPOLL_PRIVATE);
}

/* With the target standing at its number: adds the watch, and lets a spent one fire. */
static int epoll_add(int epfd, const struct watch *w)
{
	bool spent = epoll_spent(w);
	struct epoll_event ev = { .events = w->events | (spent ? EPOLL_FIRE : 0), .data.u64 = w->data }, got;
	int rc = sys_epoll_ctl(epfd, EPOLL_CTL_ADD, w->number, &ev);

	if (rc < 0 || !spent || SYS6(__NR_epoll_pwait, epfd, &got, 1, 0, NULL, 8) == 1)
		return rc;
	/* It isn't ready for anything now: left armed for errors and hang-ups, which can't be masked. */
	ev.events = w->events;
	return sys_epoll_ctl(epfd, EPOLL_CTL_MOD, w->number, &ev);
}

/*
 * Adds a watch by the number it was added by. Whatever stands there now is
 * put aside; closing a number takes away no watch of a description that lives on.
 */
static int epoll_add_at(int epfd, int own, const struct watch *w)
{
	int aside, rc;
	long cloexec;

	if (own == w->number)
		return epoll_add(epfd, w);
	cloexec = sys_fcntl(w->number, F_GETFD, 0);
	aside = cloexec < 0 ? -1 : (int)sys_fcntl(w->number, F_DUPFD_CLOEXEC, 0);
	if (cloexec >= 0 && aside < 0)
		return aside;
	/* The epoll itself may stand at that number. */
	if (epfd == w->number)
		epfd = aside;
	rc = sys_dup3(own, w->number, O_CLOEXEC);
	if (rc >= 0)
		rc = epoll_add(epfd, w);
	if (aside >= 0) {
		sys_dup3(aside, w->number, cloexec & FD_CLOEXEC ? O_CLOEXEC : 0);
		sys_close(aside);
	} else {
		sys_close(w->number);
	}
	return rc;
}

static int epoll_add_all(struct rebuild *r, const struct epoll *ep, int fd, int (*of)(const struct rebuild *, uint32_t obj))
{
	const struct watch *w = ep->watches.items;
	uint32_t i, pass;
	int rc = 0, own;

	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < ep->watches.n; i++) {
			if (epoll_spent(&w[i]) != (pass == 0) || w[i].obj == OBJ_NONE)
				continue;
			own = of(r, w[i].obj);
			/* another process has it, and adds the watch */
			rc = own < 0 ? 0 : epoll_add_at(fd, own, &w[i]);
			if (rc < 0 && rc != -EEXIST && !(rc == -EPERM && rebuild_stands_in(r, w[i].obj)))
				return failed(rc, "epoll %d: watch of number %d", fd, w[i].number);
		}
	}
	return 0;
}

/*
 * In every process that has the epoll, each adding what it has itself: an epoll
 * that was inherited may watch what was opened on either side of the fork.
 */
static int epoll_each(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	(void)obj;
	return epoll_add_all(r, rec, fd, rebuild_number);
}

/* All have added theirs: is any missing, but of what a launcher put in its place that can't be watched? */
static int epoll_arm(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct epoll *ep = rec;
	const struct watch *w = ep->watches.items;
	struct blob text, line;
	uint32_t n = 0, lent = 0, i;
	char path[40];
	int rc;

	(void)obj;
	text_format(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
	rc = arena_read_file(rebuild_arena(r), AT_FDCWD, path, &text);
	if (rc < 0)
		return failed(rc, "epoll %d", fd);
	while (text_line(&text, &line))
		n += blob_starts(line, "tfd:");
	for (i = 0; i < ep->watches.n; i++)
		lent += rebuild_stands_in(r, w[i].obj);
	if (n > ep->watches.n || n + lent < ep->watches.n)
		return failed(ERR_PLAIN, "epoll %d: %u of its %u watches are for descriptors that no process of the tree had open", fd,
			      ep->watches.n - n, ep->watches.n);
	return 0;
}

/* What a launcher has put in the place of a pipe or socket may be a file, which can't be watched. */
static void epoll_lent(struct rebuild *r, uint32_t obj, const struct epoll *ep, int fd)
{
	const struct watch *w = ep->watches.items;
	struct epoll_event none = { .events = EPOLLONESHOT };
	uint32_t i;
	int own, rc;

	for (i = 0; i < ep->watches.n; i++) {
		if (!rebuild_stands_in(r, w[i].obj))
			continue;
		own = w[i].number <= 2 ? rebuild_launcher_fd(r, w[i].number) : rebuild_fd(r, w[i].obj);
		rc = sys_epoll_ctl(fd, EPOLL_CTL_ADD, own, &none);
		if (rc == 0)
			sys_epoll_ctl(fd, EPOLL_CTL_DEL, own, NULL);
		else if (rc == -EPERM)
			rebuild_loss(r, obj, "epoll: the watch of number %d, which is a file now", w[i].number);
	}
}

/* One that is in flight only belongs to no process: the builder has all that it watches. */
static int epoll_fill(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	int rc;

	epoll_lent(r, obj, rec, fd);
	rc = rebuild_in_table(r, obj) ? 0 : epoll_add_all(r, rec, fd, rebuild_fd);
	return rc < 0 || rebuild_in_table(r, obj) ? rc : epoll_arm(r, obj, rec, fd);
}

const struct kind kind_epoll = {
	.tag = "epoll", .size = sizeof(struct epoll), .fields = epoll_fields,
	.match = epoll_match, .collect = epoll_collect, .create = epoll_make, .fill = epoll_fill,
	.link = epoll_each, .each = epoll_each, .arm = epoll_arm,
};
