/*
 * away.c - descriptors of the shim's own that outlive a checkpoint
 *
 * They lie where a program looks last: from AWAY_FLOOR on, where its limit
 * leaves room behind that (a table of descriptors costs memory up to the
 * highest); else above the limit that it believes in; else, where the hard limit
 * allows no more, at the limit's upper end.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "skshim/away.h"
#include "skshim/sys.h"

#include "skshim/frozen.h"

#define TRIES 1000

static int32_t raising;              /* pid: a thread has raised the limit, and not yet put it back */

/* What a fork has found held is held by nobody there. A signal handler may have interrupted the holder: not for ever. */
static bool hold(void)
{
	int32_t me = sys_getpid();

	for (int i = 0; i < TRIES; i++) {
		int32_t holder = __atomic_load_n(&raising, __ATOMIC_ACQUIRE);

		if (holder != me && __atomic_compare_exchange_n(&raising, &holder, me, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		sys_sched_yield();
	}
	return false;
}

/* Allows AWAY_ROOM numbers more, if the hard limit does; then away_lower() is due. */
static bool away_raise(struct rlimit64 *limit)
{
	struct rlimit64 raised;

	if (!hold())
		return false;
	if (sys_prlimit(0, RLIMIT_NOFILE, NULL, limit) == 0) {
		raised = *limit;
		raised.rlim_cur = limit->rlim_cur + AWAY_ROOM < limit->rlim_max ? limit->rlim_cur + AWAY_ROOM : limit->rlim_max;
		if (raised.rlim_cur > limit->rlim_cur && sys_prlimit(0, RLIMIT_NOFILE, &raised, NULL) == 0)
			return true;
	}
	__atomic_store_n(&raising, 0, __ATOMIC_RELEASE);
	return false;
}

static void away_lower(const struct rlimit64 *limit)
{
	sys_prlimit(0, RLIMIT_NOFILE, limit, NULL);
	__atomic_store_n(&raising, 0, __ATOMIC_RELEASE);
}

int away_open(const char *path, int flags)
{
	int fd = sys_openat(AT_FDCWD, path, flags, 0);
	struct rlimit64 limit;

	if (fd == -EMFILE && away_raise(&limit)) {
		fd = sys_openat(AT_FDCWD, path, flags, 0);
		away_lower(&limit);
	}
	return fd;
}

int away_move(int fd)
{
	struct rlimit64 limit;
	int to;

	if (sys_prlimit(0, RLIMIT_NOFILE, NULL, &limit) < 0)
		return -EINVAL;
	if (limit.rlim_cur >= AWAY_FLOOR + AWAY_ROOM)
		return (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, AWAY_FLOOR);
	if (away_raise(&limit)) {
		to = (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, (long)limit.rlim_cur);
		away_lower(&limit);
		return to;
	}
	return limit.rlim_cur > 2 * AWAY_ROOM ? (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, (long)(limit.rlim_cur - AWAY_ROOM)) : -EMFILE;
}
