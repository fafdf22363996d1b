/*
 * pidfd.c - a process behind a descriptor
 *
 * The builder makes one of a process that is gone: what it refers to exists
 * only later. Where the process lives, the one who holds the descriptor opens
 * it anew when the whole tree is born, at all its numbers. Processes that
 * inherited it without a use of their own keep what the builder made.
 */
#include <asm/errno.h>
#include <fcntl.h>

#include "file.h"

#include "skshim/frozen.h"

#define PIDFD_O_THREAD O_EXCL

struct pidfd {
	int32_t pid;             /* -1: gone */
	uint32_t flags;
};

static const struct field pidfd_fields[] = {
	FIELD_I32(struct pidfd, pid),
	FIELD_U32(struct pidfd, flags),
	FIELD_END
};

static bool pidfd_match(const struct probe *p)
{
	return blob_is(p->path, "anon_inode:[pidfd]") || blob_starts(p->path, "pidfd:[");
}

static int pidfd_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct pidfd *f = rec;
	uint64_t pid = 0;

	f->pid = -1;
	f->flags = p->flags;
	if (text_field(p->fdinfo, "Pid:", 10, &pid))
		f->pid = (int32_t)pid;
	if (f->pid == 0)
		return collection_refuse(c, p, -EOPNOTSUPP, "a pidfd of a process in another pid namespace is not supported: close it");
	if (f->pid > 0 && (f->flags & PIDFD_O_THREAD) && f->pid != c->pid)
		return collection_refuse(c, p, -EOPNOTSUPP, "a pidfd of thread %d is not supported: close it", f->pid);
	return 0;
}

static int pidfd_create(struct rebuild *r, uint32_t obj, void *rec)
{
	int fd = -1, pid, status;
	struct clone_args args = { .flags = CLONE_PIDFD, .pidfd = (uint64_t)&fd };

	(void)r;
	(void)obj;
	(void)rec;
	pid = (int)SYS2(__NR_clone3, &args, sizeof(args));
	if (pid == 0)
		sys_exit_group(0);
	if (pid < 0)
		return failed(pid, "pidfd");
	/* It has no exit signal. */
	while (sys_wait4(pid, &status, (int)0x80000000 /* __WCLONE */) == -EINTR)
		;
	return fd;
}

/* The builder's own, for those who have it in flight. */
static int pidfd_late(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct pidfd *f = rec;
	int own = f->pid < 0 ? -1 : (int)SYS2(__NR_pidfd_open, f->pid, f->flags & (O_NONBLOCK | PIDFD_O_THREAD));

	(void)fd;
	if (own >= 0)
		rebuild_give(r, obj, own);
	return 0;
}

static int pidfd_link(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct pidfd *f = rec;
	int own, rc;

	(void)obj;
	if (f->pid < 0)
		return 0;
	own = (int)SYS2(__NR_pidfd_open, f->pid, f->flags & (O_NONBLOCK | PIDFD_O_THREAD));
	/* A process outside that has ended meanwhile. */
	if (own == -ESRCH)
		return 0;
	if (own < 0)
		return failed(own, "pidfd of %d", f->pid);
	rc = file_give_way(r, own, fd);
	return rc < 0 ? failed(rc, "pidfd of %d", f->pid) : 0;
}

const struct kind kind_pidfd = {
	.tag = "pidfd", .size = sizeof(struct pidfd), .fields = pidfd_fields,
	.match = pidfd_match, .collect = pidfd_collect, .create = pidfd_create, .late = pidfd_late, .link = pidfd_link,
};
