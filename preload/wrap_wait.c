/*
 * wrap_wait.c - calls with a relative timeout: how much of it is left
 *
 * When our signal interrupts one, it is made again with what was left of its
 * timeout (redo.c). Of an ordered thread the leader has read beforehand since
 * when it sleeps; the thread that takes the request itself can't be looked at
 * before. So the wrappers note when such a call began, for as long as it
 * lasts: the vdso's clock, a small part of what the shortest of these calls
 * takes, and not even that where there is no timeout, or one of 0. (The coarse
 * clock may be behind by more than a tick: a timeout would be over too early.)
 * A sleep needs no clock: it is given a place of ours for the rest, which the
 * kernel fills.
 *
 * The same for syscall(). Calls on a socket with a timeout of its own
 * (SO_RCVTIMEO): wrap_timeout.c.
 *
 * The note is read out of the thread's memory by redo_look(): a longjmp out of
 * a handler leaves it behind, so it only holds for a frame right below it.
 */
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <threads.h>
#include <time.h>

#include "stop.h"
#include "wait.h"

#include "skshim/frozen.h"

#define FRAMES 1024               /* bytes: libc's own, between a wrapper and its system call */
#define UNTOLD (-1)               /* in tv_nsec: the kernel has written nothing */

int __poll(struct pollfd *, nfds_t, int);
int __poll_chk(struct pollfd *, nfds_t, int, size_t);
int __nanosleep(const struct timespec *, struct timespec *);

__thread struct wait_note wait_note;
static int64_t note_at;           /* from the thread pointer */

void wait_init(void)
{
	note_at = (char *)&wait_note - (char *)__builtin_thread_pointer();
}

/* CLOCK_MONOTONIC ns; 0 unknown. */
int64_t wait_since(uint64_t thread_pointer, long nr, uint64_t sp)
{
	struct wait_note note;
	struct iovec here = { &note, sizeof(note) }, there = { (void *)(thread_pointer + (uint64_t)note_at), sizeof(note) };

	if (!note_at || !thread_pointer || SYS6(__NR_process_vm_readv, sys_gettid(), &here, 1, &there, 1, 0) != sizeof(note))
		return 0;
	if (note.nr != nr || sp >= note.sp || note.sp - sp > FRAMES)
		return 0;
	return note.since.tv_sec * 1000000000ll + note.since.tv_nsec;
}

SHIM_EXPORT int poll(struct pollfd *fds, nfds_t n, int ms)
{
	struct wait_note outer;
	int rc;

	if (ms <= 0)
		return real.poll(fds, n, ms);
	wait_begin(&outer, __NR_poll);
	rc = real.poll(fds, n, ms);
	wait_end(&outer);
	return rc;
}
SHIM_EXPORT int __poll(struct pollfd *, nfds_t, int) __attribute__((alias("poll"), copy(poll)));

/* What poll is to a program built with _FORTIFY_SOURCE. */
SHIM_EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int ms, size_t room)
{
	struct wait_note outer;
	int rc;

	if (ms <= 0)
		return real.__poll_chk(fds, n, ms, room);
	wait_begin(&outer, __NR_poll);
	rc = real.__poll_chk(fds, n, ms, room);
	wait_end(&outer);
	return rc;
}

SHIM_EXPORT int epoll_wait(int ep, struct epoll_event *ev, int n, int ms)
{
	struct wait_note outer;
	int rc;

	if (ms > 0)
		wait_begin(&outer, __NR_epoll_wait);
	do
		rc = real.epoll_wait(ep, ev, n, ms);
	while (wait_stolen(rc));
	if (ms > 0)
		wait_end(&outer);
	return rc;
}

SHIM_EXPORT int semtimedop(int id, struct sembuf *ops, size_t n, const struct timespec *t)
{
	struct wait_note outer;
	int rc;

	if (t)
		wait_begin(&outer, __NR_semtimedop);
	do
		rc = real.semtimedop(id, ops, n, t);
	while (wait_stolen(rc));
	if (t)
		wait_end(&outer);
	return undo_done(rc, id, ops, n);
}

/* --- sleeps ------------------------------------------------------------------------------------------------- */

SHIM_EXPORT int nanosleep(const struct timespec *t, struct timespec *rest)
{
	struct timespec left = { .tv_nsec = UNTOLD };
	int rc = real.nanosleep(t, &left);

	if (rest && left.tv_nsec != UNTOLD && rc < 0)
		*rest = left;
	return rc;
}
SHIM_EXPORT int __nanosleep(const struct timespec *, struct timespec *) __attribute__((alias("nanosleep"), copy(nanosleep)));

SHIM_EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *t, struct timespec *rest)
{
	struct timespec left = { .tv_nsec = UNTOLD };
	int rc = real.clock_nanosleep(clock, flags, t, &left);

	if (rest && left.tv_nsec != UNTOLD && rc != 0)
		*rest = left;
	return rc;
}

SHIM_EXPORT int thrd_sleep(const struct timespec *t, struct timespec *rest)
{
	struct timespec left = { .tv_nsec = UNTOLD };
	int rc = real.thrd_sleep(t, &left);

	if (rest && left.tv_nsec != UNTOLD && rc != 0)
		*rest = left;
	return rc;
}

/* sleep() has a place for the rest of its own. */
SHIM_EXPORT int usleep(useconds_t us)
{
	struct timespec t = { us / 1000000, (long)(us % 1000000) * 1000 };

	return nanosleep(&t, NULL);
}

/* --- syscall() ---------------------------------------------------------------------------------------------- */

static bool has_timeout(long nr, const long a[6])
{
	switch (nr) {
	case __NR_poll:
		return (int)a[2] > 0;
	case __NR_epoll_wait: case __NR_epoll_pwait:
		return (int)a[3] > 0;
	case __NR_futex:
		return a[3] && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT;
	case __NR_nanosleep:
		return !a[1];
	case __NR_clock_nanosleep:
		return !a[3] && !(a[1] & TIMER_ABSTIME);
	case __NR_semtimedop: case __NR_epoll_pwait2:
		return a[3];
	case __NR_io_getevents:
		return a[4];
	}
	return false;
}

/* syscall() of one of these (context.S). */
long syscall_timed(long nr, long a, long b, long c, long d, long e, long f);
long syscall_timed(long nr, long a, long b, long c, long d, long e, long f)
{
	const long args[6] = { a, b, c, d, e, f };
	struct wait_note outer;
	long rc;

	if (!has_timeout(nr, args))
		return syscall_plain(nr, a, b, c, d, e, f);
	wait_begin(&outer, nr);
	do
		rc = syscall_plain(nr, a, b, c, d, e, f);
	while (wait_stolen(rc));
	wait_end(&outer);
	return rc;
}
