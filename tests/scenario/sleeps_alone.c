/*
 * Timeouts of a process with a single thread, which takes the request for a
 * checkpoint, or a leader's order, itself: most of each is over by then, and
 * it doesn't start anew.
 *
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ll
#define WHOLE 2200                /* ms */
#define BEGUN 1700                /* ms of them over when a checkpoint may come */

static const struct timespec whole = {WHOLE / 1000, WHOLE % 1000 * MS};

/* Time in which nothing ran, as a process sees it that never sleeps for long. */
static struct missing {
	int64_t ns;
	int rounds, ended;
} *missing;

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static void in_poll(void)
{
	SAME(poll(NULL, 0, WHOLE), 0);
}

static void in_epoll(void)
{
	struct epoll_event e;

	SAME(epoll_wait(MUST(epoll_create1(0)), &e, 1, WHOLE), 0);
}

static void in_epoll_pwait(void)
{
	struct epoll_event e;
	sigset_t set;

	sigemptyset(&set);
	SAME(epoll_pwait(MUST(epoll_create1(0)), &e, 1, WHOLE, &set), 0);
}

static void in_epoll_pwait2(void)
{
	struct epoll_event e;

	SAME(epoll_pwait2(MUST(epoll_create1(0)), &e, 1, &whole, NULL), 0);
}

static void in_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	SAME(sigtimedwait(&set, NULL, &whole), -1);
	SAME(errno, EAGAIN);
}

static void in_semtimedop(void)
{
	struct sembuf down = {0, -1, 0};
	int id = MUST(semget(IPC_PRIVATE, 1, 0600)), rc = semtimedop(id, &down, 1, &whole), err = errno;

	MUST(semctl(id, 0, IPC_RMID));
	SAME(rc, -1);
	SAME(err, EAGAIN);
}

static void in_nanosleep(void)
{
	struct timespec t = whole;

	SAME(nanosleep(&t, NULL), 0);
}

static void with_rest(void)
{
	struct timespec rest = {77, 88};

	SAME(nanosleep(&whole, &rest), 0);
	SAME(rest.tv_sec, 77);
	SAME(rest.tv_nsec, 88);
}

static void in_clock_nanosleep(void)
{
	SAME(clock_nanosleep(CLOCK_MONOTONIC, 0, &whole, NULL), 0);
}

static void in_usleep(void)
{
	MUST(usleep(WHOLE * 1000));
}

static void in_thrd_sleep(void)
{
	SAME(thrd_sleep(&whole, NULL), 0);
}

static void in_futex(void)
{
	uint32_t word = 0;

	SAME(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &whole, NULL, 0), -1);
	SAME(errno, ETIMEDOUT);
}

static int with_timeout(int fd)
{
	struct timeval limit = {WHOLE / 1000, WHOLE % 1000 * 1000};

	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	return fd;
}

static void in_recv(void)
{
	int pair[2];
	char byte;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	SAME(recv(with_timeout(pair[0]), &byte, 1, 0), -1);
	SAME(errno, EAGAIN);
}

static void in_read(void)
{
	int pair[2];
	char byte;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	SAME(read(with_timeout(pair[0]), &byte, 1), -1);
	SAME(errno, EAGAIN);
}

static void in_accept(void)
{
	int fd = MUST(socket(AF_INET, SOCK_STREAM, 0));

	MUST(listen(fd, 1));
	SAME(accept(with_timeout(fd), NULL, NULL), -1);
	SAME(errno, EAGAIN);
}

static void (*const waits[])(void) = {
	in_poll, in_epoll, in_epoll_pwait, in_epoll_pwait2, in_sigtimedwait, in_semtimedop, in_nanosleep, with_rest,
	in_clock_nanosleep, in_usleep, in_thrd_sleep, in_futex, in_recv, in_read, in_accept,
};
enum { N = sizeof(waits) / sizeof(*waits) };

static void one(int i)
{
	int64_t begin = now(), took;

	waits[i]();
	took = now() - begin;
	if (took < WHOLE * MS)
		FAIL("call %d: %d ms were over after %lld us", i, WHOLE, (long long)took / 1000);
	/* until the watch has looked at the clock again */
	for (int round = __atomic_load_n(&missing->rounds, __ATOMIC_SEQ_CST);
	     __atomic_load_n(&missing->rounds, __ATOMIC_SEQ_CST) < round + 2 && !__atomic_load_n(&missing->ended, __ATOMIC_SEQ_CST);)
		usleep(1000);
	took -= __atomic_load_n(&missing->ns, __ATOMIC_SEQ_CST);
	if (took > (WHOLE + BEGUN * 5 / 6) * MS)
		FAIL("call %d: %d ms took %lld ms", i, WHOLE, (long long)took / MS);
}

static void watch(void)
{
	const struct timespec moment = {0, 5 * MS}, begun = {BEGUN / 1000, BEGUN % 1000 * MS};
	int64_t last;

	nanosleep(&begun, NULL);
	scenario_ready();
	last = now();
	for (;;) {
		int64_t gap;
		bool go = scenario_go();

		nanosleep(&moment, NULL);
		gap = now() - last;
		last += gap;
		if (gap > 15 * MS)
			__atomic_add_fetch(&missing->ns, gap, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&missing->rounds, 1, __ATOMIC_SEQ_CST);
		if (go)
			break;
	}
	__atomic_store_n(&missing->ended, 1, __ATOMIC_SEQ_CST);
	_exit(0);
}

int main(void)
{
	int status;

	missing = mmap(NULL, sizeof(*missing), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = -1; i < N; i++) {
		if (MUST(fork()) != 0)
			continue;
		if (i < 0)
			watch();
		one(i);
		_exit(0);
	}
	/* the first that is asked */
	one(1);
	for (int i = -1; i < N; i++) {
		MUST(wait(&status));
		SAME(status, 0);
	}
	scenario_ok();
}
