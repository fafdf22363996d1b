/*
 * kinds_event_test.c - event descriptors, looked at, thrown away and made again
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "kinds_cycle.h"
#include "kinds_place.h"

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

START_TEST(eventfds)
{
	int plain = eventfd(7, EFD_NONBLOCK), sem = eventfd(3, EFD_SEMAPHORE | EFD_CLOEXEC), big = eventfd(0, EFD_NONBLOCK);
	uint64_t v = UINT64_MAX - 1;

	ck_assert_int_eq(write(big, &v, 8), 8);
	cycle();
	cycle();
	ck_assert_int_eq(read(plain, &v, 8), 8);
	ck_assert_uint_eq(v, 7);
	ck_assert_int_eq(read(plain, &v, 8), -1);
	ck_assert_int_eq(read(sem, &v, 8), 8);
	ck_assert_uint_eq(v, 1);
	ck_assert_int_eq(read(big, &v, 8), 8);
	ck_assert_uint_eq(v, UINT64_MAX - 1);
	ck_assert_int_eq(fcntl(sem, F_GETFL) & O_NONBLOCK, 0);
}
END_TEST

static void sleep_100ms(void)
{
	usleep(100000);
}

START_TEST(timerfds)
{
	struct itimerspec rel = { .it_value = { .tv_sec = 100 }, .it_interval = { .tv_nsec = 5000 } };
	struct itimerspec ticking = { .it_value = { .tv_nsec = 1000000 }, .it_interval = { .tv_nsec = 10000000 } };
	struct itimerspec once = { .it_value = { .tv_nsec = 1 } }, abs = { { 0 }, { 0 } }, got;
	int fd = timerfd_create(CLOCK_MONOTONIC, 0), t = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK);
	int o = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK), a = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	int idle = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), before, left;
	struct timespec now;
	uint64_t v;

	ck_assert_int_eq(timerfd_settime(fd, 0, &rel, NULL), 0);
	ck_assert_int_eq(timerfd_settime(t, 0, &ticking, NULL), 0);
	ck_assert_int_eq(timerfd_settime(o, 0, &once, NULL), 0);
	clock_gettime(CLOCK_REALTIME, &now);
	abs.it_value.tv_sec = now.tv_sec + 1000;
	ck_assert_int_eq(timerfd_settime(a, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &abs, NULL), 0);
	usleep(55000);
	ck_assert_int_eq(cycle_with(sleep_100ms), 0);
	ck_assert_int_eq(timerfd_gettime(fd, &got), 0);
	before = (int)(got.it_value.tv_sec * 1000 + got.it_value.tv_nsec / 1000000);
	ck_assert_msg(before > 99000 && before <= 99950, "%d", before);
	ck_assert_int_eq(got.it_interval.tv_nsec, 5000);
	ck_assert_int_eq(read(t, &v, 8), 8);
	ck_assert_msg(v >= 5 && v < 60, "%lu ticks", v);
	ck_assert_int_eq(read(o, &v, 8), 8);
	ck_assert_uint_eq(v, 1);
	ck_assert_int_eq(read(o, &v, 8), -1);
	ck_assert_int_eq(timerfd_gettime(a, &got), 0);
	clock_gettime(CLOCK_REALTIME, &now);
	left = (int)(got.it_value.tv_sec + now.tv_sec - abs.it_value.tv_sec);
	ck_assert_msg(left >= -2 && left <= 0, "%d", left);
	ck_assert_int_eq(timerfd_gettime(idle, &got), 0);
	ck_assert_int_eq(got.it_value.tv_sec, 0);
	ck_assert_int_eq(read(idle, &v, 8), -1);
}
END_TEST

START_TEST(signalfds)
{
	uint64_t mask = 1ull << (SIGUSR1 - 1) | 1ull << (40 - 1);
	int fd = (int)syscall(SYS_signalfd4, -1, &mask, 8, 0);
	char info[128];

	ck_assert_int_ge(fd, 0);
	cycle();
	ck_assert_int_eq(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, NULL, 8), 0);
	raise(SIGUSR1);
	ck_assert(readable(fd));
	ck_assert_int_eq(read(fd, info, 128), 128);
	ck_assert_int_eq(*(int *)info, SIGUSR1);
}
END_TEST

static int watched(int in, const char *path, uint32_t mask)
{
	ck_assert_int_eq(stat(path, &noted.st), 0);
	snprintf(noted.path, sizeof(noted.path), "%s/%s", where, path);
	return inotify_add_watch(in, path, mask);
}

START_TEST(inotifies)
{
	int in = inotify_init1(IN_NONBLOCK), moved = inotify_init1(IN_NONBLOCK), far = inotify_init1(IN_NONBLOCK), wd;
	union {
		struct inotify_event ev;
		char room[4096];
	} got;

	enter();
	put("f", "x", 0);
	put("g", "x", 0);
	ck_assert_int_eq(mkdir("d", 0700), 0);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(inotify_rm_watch(in, inotify_add_watch(in, "g", IN_OPEN)), 0);
	wd = watched(in, "f", IN_MODIFY | IN_ONESHOT);
	while (read(in, &got, sizeof(got)) > 0)
		;
	ck_assert_int_eq(wd, 6);
	cycle();
	ck_assert_int_eq(read(in, &got, sizeof(got)), -1);
	put("f", "y", 0);
	ck_assert_int_gt(read(in, &got, sizeof(got)), 0);
	ck_assert_int_eq(got.ev.wd, 6);
	ck_assert_uint_eq(got.ev.mask, IN_MODIFY);

	ck_assert_int_eq(watched(moved, "g", IN_MODIFY), 1);
	ck_assert_int_eq(rename("g", "h"), 0);
	cycle();
	put("h", "y", 0);
	ck_assert_int_gt(read(moved, &got, sizeof(got)), 0);
	ck_assert_int_eq(got.ev.wd, 1);

	ck_assert_int_eq(watched(far, "d", IN_CREATE), 1);
	ck_assert_int_eq(mkdir("other", 0700), 0);
	ck_assert_int_eq(rename("d", "other/d2"), 0);
	close(moved);
	close(in);
	if (geteuid() == 0) {
		cycle();
		put("other/d2/new", "", 0);
		ck_assert_int_gt(read(far, &got, sizeof(got)), 0);
		ck_assert_str_eq(got.ev.name, "new");
	} else {
		ck_assert_int_eq(cycle_with(NULL), -EOPNOTSUPP);
		ck_failed("moved or deleted");
	}
	leave();
}
END_TEST

START_TEST(pidfds)
{
	pid_t live = fork(), dead = 0;
	int fd, gone, copy;
	siginfo_t info;

	if (live == 0)
		pause();
	dead = fork();
	if (dead == 0)
		_exit(3);
	fd = (int)syscall(SYS_pidfd_open, live, O_NONBLOCK);
	copy = fcntl(fd, F_DUPFD, 50);
	gone = (int)syscall(SYS_pidfd_open, dead, 0);
	ck_assert_int_eq(waitpid(dead, NULL, 0), dead);
	cycle();
	ck_assert(!readable(fd));
	ck_assert(readable(gone));
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ck_assert_int_eq(syscall(SYS_pidfd_send_signal, gone, SIGKILL, NULL, 0), -1);
	ck_assert_int_eq(syscall(SYS_pidfd_send_signal, copy, SIGKILL, NULL, 0), 0);
	fcntl(copy, F_SETFL, 0);
	ck_assert_int_eq(syscall(SYS_waitid, 3 /* P_PIDFD */, fd, &info, WEXITED, NULL), 0);
	ck_assert_int_eq(info.si_status, SIGKILL);
}
END_TEST

static void watch(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
}

/* The sum of the data of all that is ready now. */
static uint64_t ready(int ep)
{
	struct epoll_event ev[16];
	int n = epoll_wait(ep, ev, 16, 0);
	uint64_t sum = 0;

	ck_assert_int_ge(n, 0);
	for (int i = 0; i < n; i++)
		sum += ev[i].data.u64;
	return sum;
}

START_TEST(epolls)
{
	int outer = epoll_create1(0), inner = epoll_create1(EPOLL_CLOEXEC), e = eventfd(0, 0), f = eventfd(1, 0);
	int p[2];
	uint64_t one = 1, v;

	ck_assert_int_eq(pipe(p), 0);
	watch(inner, e, EPOLLIN, 1);
	watch(inner, p[0], EPOLLIN | EPOLLET, 2);
	watch(inner, f, EPOLLIN | EPOLLEXCLUSIVE, 4);
	watch(outer, inner, EPOLLIN, 1ull << 63);
	watch(outer, p[1], EPOLLIN, 8);
	cycle();
	ck_assert_uint_eq(ready(inner), 4);
	ck_assert_uint_eq(ready(outer), 1ull << 63);
	ck_assert_int_eq(read(f, &v, 8), 8);
	ck_assert_uint_eq(ready(outer), 0);
	ck_assert_int_eq(write(p[1], "x", 1), 1);
	ck_assert_uint_eq(ready(inner), 2);
	ck_assert_uint_eq(ready(inner), 0);
	ck_assert_int_eq(write(e, &one, 8), 8);
	ck_assert_uint_eq(ready(inner), 1);
	close(p[0]);
	ck_assert_uint_eq(ready(outer), (1ull << 63) + 8);
}
END_TEST

START_TEST(epoll_one_shot)
{
	int ep = epoll_create1(0), armed = eventfd(0, 0), spent = eventfd(1, 0), p[2];
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = 2 };
	uint64_t one = 1;

	ck_assert_int_eq(pipe(p), 0);
	watch(ep, armed, EPOLLIN | EPOLLONESHOT, 1);
	watch(ep, spent, EPOLLIN | EPOLLONESHOT, 2);
	watch(ep, p[1], EPOLLOUT | EPOLLONESHOT, 4);
	ck_assert_uint_eq(ready(ep), 6);
	cycle();
	ck_assert_uint_eq(ready(ep), 0);
	ck_assert_int_eq(write(armed, &one, 8), 8);
	ck_assert_uint_eq(ready(ep), 1);
	/* A hang-up must not wake what is disarmed. */
	close(p[0]);
	ck_assert_uint_eq(ready(ep), 0);
	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_MOD, spent, &ev), 0);
	ck_assert_uint_eq(ready(ep), 2);
	ck_assert_uint_eq(ready(ep), 0);
}
END_TEST

START_TEST(epoll_odd_numbers)
{
	int ep = epoll_create1(0), a = eventfd(0, 0), copy = dup(a), b, c = eventfd(0, 0), copy_c = fcntl(c, F_DUPFD, 700);
	uint64_t one = 1;

	/* a's number stands for b now, both watched under it; c's is closed. */
	watch(ep, a, EPOLLIN, 1);
	watch(ep, copy, EPOLLIN, 2);
	watch(ep, c, EPOLLIN, 4);
	close(a);
	b = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_eq(a, b);
	watch(ep, b, EPOLLIN, 8);
	close(c);
	cycle();
	cycle();
	ck_assert_int_eq(fcntl(b, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(c, F_GETFD), -1);
	ck_assert_uint_eq(ready(ep), 0);
	ck_assert_int_eq(write(copy, &one, 8), 8);
	ck_assert_uint_eq(ready(ep), 3);
	ck_assert_int_eq(write(copy_c, &one, 8), 8);
	ck_assert_uint_eq(ready(ep), 7);
	ck_assert_int_eq(write(b, &one, 8), 8);
	ck_assert_uint_eq(ready(ep), 15);
	close(copy);
	ck_assert_uint_eq(ready(ep), 12);
}
END_TEST

UNIT_MAIN("event descriptors", eventfds, timerfds, signalfds, inotifies, pidfds, epolls, epoll_one_shot, epoll_odd_numbers)

/* Last: its poisoned names are used above. */
#include "preload/probe.c"
