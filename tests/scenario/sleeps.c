/*
 * Timeouts: none is over before its time, none starts anew, and a sleep that
 * goes its whole length leaves the place for the rest alone.
 *
 * scenario-checkpoints: 3
 */
#include "scenario.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 4
#define NS 1000000000ll

static int pair[2], ended;

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static void in_nanosleep(void)
{
	struct timespec t = {SECONDS, 0}, rest = {77, 88};

	SAME(nanosleep(&t, &rest), 0);
	SAME(rest.tv_sec, 77);
	SAME(rest.tv_nsec, 88);
}

static void in_same_place(void)
{
	struct timespec t = {SECONDS, 0};

	SAME(nanosleep(&t, &t), 0);
	SAME(t.tv_sec, SECONDS);
	SAME(t.tv_nsec, 0);
}

static void in_raw_nanosleep(void)
{
	struct timespec t = {SECONDS, 0};

	SAME(syscall(SYS_nanosleep, &t, &t), 0);
	SAME(t.tv_sec, SECONDS);
}

static void in_sleep(void)
{
	SAME(sleep(SECONDS), 0);
}

static void in_clock_nanosleep(void)
{
	struct timespec t = {SECONDS, 0};

	SAME(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL), 0);
}

static void until_absolute(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += SECONDS;
	SAME(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL), 0);
}

static void in_poll(void)
{
	SAME(poll(NULL, 0, SECONDS * 1000), 0);
}

static void in_ppoll(void)
{
	struct timespec t = {SECONDS, 0};

	SAME(ppoll(NULL, 0, &t, NULL), 0);
	SAME(t.tv_sec, SECONDS);
}

static void in_select(void)
{
	struct timeval t = {SECONDS, 0};

	SAME(select(0, NULL, NULL, NULL, &t), 0);
	SAME(t.tv_sec, 0);
	SAME(t.tv_usec, 0);
}

static void in_pselect(void)
{
	struct timespec t = {SECONDS, 0};

	SAME(pselect(0, NULL, NULL, NULL, &t, NULL), 0);
}

static void in_epoll(void)
{
	struct epoll_event e;

	SAME(epoll_wait(MUST(epoll_create1(0)), &e, 1, SECONDS * 1000), 0);
}

static void in_epoll_pwait2(void)
{
	struct timespec t = {SECONDS, 0};
	struct epoll_event e;

	SAME(syscall(SYS_epoll_pwait2, MUST(epoll_create1(0)), &e, 1, &t, NULL, 0), 0);
}

static void in_sigtimedwait(void)
{
	struct timespec t = {SECONDS, 0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	SAME(sigtimedwait(&set, NULL, &t), -1);
	SAME(errno, EAGAIN);
}

static void in_recv(void)
{
	char byte;

	SAME(recv(pair[0], &byte, 1, 0), -1);
	SAME(errno, EAGAIN);
}

static void in_read(void)
{
	char byte;

	SAME(read(pair[0], &byte, 1), -1);
	SAME(errno, EAGAIN);
}

static void in_semtimedop(void)
{
	struct timespec t = {SECONDS, 0};
	struct sembuf down = {0, -1, 0};
	int id = MUST(semget(IPC_PRIVATE, 1, 0600)), rc = semtimedop(id, &down, 1, &t), err = errno;

	MUST(semctl(id, 0, IPC_RMID));
	SAME(rc, -1);
	SAME(err, EAGAIN);
}

static void in_futex(void)
{
	struct timespec t = {SECONDS, 0};
	uint32_t word = 0;

	SAME(syscall(SYS_futex, &word, 0, 0, &t, NULL, 0), -1);
	SAME(errno, ETIMEDOUT);
}

static void in_cond(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += SECONDS;
	pthread_mutex_lock(&lock);
	SAME(pthread_cond_timedwait(&cond, &lock, &t), ETIMEDOUT);
	pthread_mutex_unlock(&lock);
}

static void *one(void *arg)
{
	void (*wait)(void) = *(void (**)(void))arg;
	int64_t begin = now(), took;

	wait();
	took = now() - begin;
	if (took < SECONDS * NS || (took > (SECONDS + 2) * NS && !scenario_killed()))
		FAIL("%d s took %lld ms", SECONDS, (long long)took / 1000000);
	__atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

int main(void)
{
	static void (*waits[])(void) = {
		in_nanosleep, in_same_place, in_raw_nanosleep, in_sleep, in_clock_nanosleep, until_absolute, in_poll, in_ppoll,
		in_select, in_pselect, in_epoll, in_epoll_pwait2, in_sigtimedwait, in_recv, in_read, in_semtimedop, in_futex, in_cond,
	};
	enum { N = sizeof(waits) / sizeof(*waits) };
	struct timespec moment = {0, 300000000};
	struct timeval limit = {SECONDS, 0};
	pthread_t threads[N];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	MUST(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	for (int i = 0; i < N; i++)
		SAME(pthread_create(&threads[i], NULL, one, &waits[i]), 0);
	nanosleep(&moment, NULL);
	scenario_wait();
	for (int i = 0; i < N; i++)
		SAME(pthread_join(threads[i], NULL), 0);
	SAME(ended, N);
	scenario_ok();
}
