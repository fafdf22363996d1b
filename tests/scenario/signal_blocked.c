/*
 * signal_blocked.c - SIGUSR2 blocked and waiting, in the process and in a thread
 *
 * What waits goes on waiting, with what was sent along, once; masks read as
 * they were set, of a thread that blocks everything too.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "scenario.h"

static volatile int taken;
static pthread_barrier_t made, go;

static void on_usr2(int sig)
{
	taken += sig == SIGUSR2;
}

/* Blocks all there is; a signal of its own waits. */
static void *everything(void *arg)
{
	sigset_t set;
	siginfo_t info;

	sigfillset(&set);
	SAME(pthread_sigmask(SIG_SETMASK, &set, NULL), 0);
	SAME(pthread_sigqueue(pthread_self(), SIGUSR2, (union sigval){.sival_int = 8}), 0);
	pthread_barrier_wait(&made);
	pthread_barrier_wait(&go);
	SAME(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
	CHECK(sigismember(&set, SIGUSR2) == 1 && sigismember(&set, SIGTERM) == 1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	SAME(sigwaitinfo(&set, &info), SIGUSR2);
	SAME(info.si_signo, SIGUSR2);
	return arg;
}

int main(void)
{
	const struct timespec none = {0, 0};
	sigset_t set, got;
	pthread_t thread;
	siginfo_t info;

	pthread_barrier_init(&made, NULL, 2);
	pthread_barrier_init(&go, NULL, 2);
	CHECK(signal(SIGUSR2, on_usr2) == SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	SAME(pthread_create(&thread, NULL, everything, NULL), 0);
	pthread_barrier_wait(&made);
	MUST(sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 7}));
	MUST(sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 9})); /* dropped: one waits */

	scenario_wait();

	MUST(sigprocmask(SIG_BLOCK, NULL, &got));
	CHECK(sigismember(&got, SIGUSR2) == 1 && sigismember(&got, SIGUSR1) == 0);
	MUST(sigpending(&got));
	SAME(sigismember(&got, SIGUSR2), 1);
	SAME(taken, 0);
	SAME(sigtimedwait(&set, &info, &none), SIGUSR2);
	SAME(info.si_value.sival_int, 7);
	SAME(info.si_pid, getpid());
	CHECK(sigtimedwait(&set, &info, &none) == -1 && errno == EAGAIN);
	pthread_barrier_wait(&go);
	pthread_join(thread, NULL);
	MUST(raise(SIGUSR2));
	MUST(raise(SIGUSR2));
	SAME(taken, 0);
	MUST(sigprocmask(SIG_UNBLOCK, &set, NULL));
	SAME(taken, 1);
	scenario_ok();
}
