/*
 * Signals of interval timers that wait while the timer has run out again: they say how often, as timer_getoverrun() does,
 * and the timer goes on in its old rhythm. For the process, for a thread that isn't the first, and one that is as old as
 * signals are.
 */
#include "scenario.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000l
#define OVERRUNS 2

static timer_t of_thread;
static sigset_t all;
static volatile int made, looks;

static timer_t start(clockid_t clock, int notify, int signo, int value)
{
	struct sigevent ev = { .sigev_notify = notify, .sigev_signo = signo, .sigev_value.sival_int = value };
	struct itimerspec its = { { 1, 0 }, { 0, SECOND / 100 } };
	timer_t t;

	ev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	MUST(timer_create(clock, &ev, &t));
	MUST(timer_settime(t, 0, &its, NULL));
	return t;
}

/* The signal that waits, then the one after. */
static void late(timer_t t, int signo, int value)
{
	struct timespec limit = { 30, 0 };
	struct itimerspec its;
	sigset_t one;
	siginfo_t info;

	sigemptyset(&one);
	sigaddset(&one, signo);
	for (int i = 0; i < 2; i++) {
		SAME(sigtimedwait(&one, &info, &limit), signo);
		SAME(info.si_code, SI_TIMER);
		SAME(info.si_value.sival_int, value);
		SAME(timer_getoverrun(t), info.si_overrun);
		if (i == 0)
			CHECK(info.si_overrun >= OVERRUNS);
		MUST(timer_gettime(t, &its));
		SAME(its.it_interval.tv_sec, 1);
		CHECK(its.it_value.tv_sec == 0 || (its.it_value.tv_sec == 1 && its.it_value.tv_nsec == 0));
		CHECK(its.it_value.tv_sec > 0 || its.it_value.tv_nsec > 0);
	}
}

static void *thread(void *arg)
{
	of_thread = start(CLOCK_BOOTTIME, SIGEV_THREAD_ID, SIGRTMIN + 3, 3);
	made = 1;
	while (!looks)
		usleep(1000);
	late(of_thread, SIGRTMIN + 3, 3);
	return arg;
}

int main(void)
{
	struct timespec until, now;
	timer_t first, second;
	pthread_t t;

	sigemptyset(&all);
	sigaddset(&all, SIGRTMIN + 2);
	sigaddset(&all, SIGRTMIN + 3);
	sigaddset(&all, SIGALRM);
	MUST(sigprocmask(SIG_BLOCK, &all, NULL));
	SAME(pthread_create(&t, NULL, thread, NULL), 0);
	while (!made)
		usleep(1000);
	first = start(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 2, 1);
	second = start(CLOCK_REALTIME, SIGEV_SIGNAL, SIGALRM, 2);
	MUST(clock_gettime(CLOCK_MONOTONIC, &until));
	until.tv_sec += OVERRUNS;
	until.tv_nsec += SECOND / 10;
	do {
		usleep(1000);
		MUST(clock_gettime(CLOCK_MONOTONIC, &now));
	} while ((now.tv_sec - until.tv_sec) * SECOND + now.tv_nsec - until.tv_nsec < 0);

	scenario_wait();

	looks = 1;
	late(first, SIGRTMIN + 2, 1);
	late(second, SIGALRM, 2);
	SAME(pthread_join(t, NULL), 0);
	scenario_ok();
}
