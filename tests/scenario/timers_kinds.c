/*
 * POSIX timers of every way to tell: none, signal with a value, one thread,
 * SIGEV_THREAD; of four clocks; with holes in their ids; and the interval
 * timers of the processor's time.
 */
#include "scenario.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int by_signal, by_thread, by_call, wrong, profiled;
static pid_t worker_tid;
static int cookie;

static void told(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (sig == SIGPROF) {
		profiled++;
	} else if (sig == SIGRTMIN + 1) {
		wrong += info->si_code != SI_TIMER || info->si_value.sival_ptr != &cookie;
		by_signal++;
	} else {
		wrong += info->si_code != SI_TIMER || info->si_value.sival_int != 99 || syscall(SYS_gettid) != worker_tid;
		by_thread++;
	}
}

static void called(union sigval v)
{
	wrong += v.sival_int != 55;
	__atomic_add_fetch(&by_call, 1, __ATOMIC_SEQ_CST);
}

static void *worker(void *arg)
{
	worker_tid = (pid_t)syscall(SYS_gettid);
	*(volatile int *)arg = 1;
	for (;;)
		pause();
	return NULL;
}

static timer_t make(clockid_t clock, struct sigevent *se, long first_ms, long every_ms)
{
	struct itimerspec its = { { every_ms / 1000, every_ms % 1000 * 1000000 }, { first_ms / 1000, first_ms % 1000 * 1000000 } };
	timer_t t;

	MUST(timer_create(clock, se, &t));
	MUST(timer_settime(t, 0, &its, NULL));
	return t;
}

static long left_ms(timer_t t, long *every)
{
	struct itimerspec its;

	MUST(timer_gettime(t, &its));
	if (every != NULL)
		*every = its.it_interval.tv_sec * 1000 + its.it_interval.tv_nsec / 1000000;
	return its.it_value.tv_sec * 1000 + its.it_value.tv_nsec / 1000000;
}

#define AWAIT(cond) \
	do { \
		for (int k_ = 0; k_ < 20000 && !(cond); k_++) \
			usleep(500); \
		CHECK(cond); \
	} while (0)

int main(void)
{
	struct sigevent sig = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_ptr = &cookie };
	struct sigevent one = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 99 };
	struct sigevent fn = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = called, .sigev_value.sival_int = 55 };
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	struct sigaction sa = { .sa_sigaction = told, .sa_flags = SA_RESTART | SA_SIGINFO };
	struct itimerval prof = { { 3000, 0 }, { 2000, 0 } }, now;
	timer_t hole, a, b, c, d, cpu, real, boot, idle, later;
	volatile int ready = 0;
	int before[3];
	long every, left;
	pthread_t t;

	MUST(sigaction(SIGRTMIN + 1, &sa, NULL));
	MUST(sigaction(SIGRTMIN + 2, &sa, NULL));
	MUST(sigaction(SIGPROF, &sa, NULL));
	SAME(pthread_create(&t, NULL, worker, (void *)&ready), 0);
	AWAIT(ready);
	one._sigev_un._tid = worker_tid;
	hole = make(CLOCK_MONOTONIC, &none, 0, 0);
	a = make(CLOCK_MONOTONIC, &sig, 5, 5);
	MUST(timer_delete(make(CLOCK_MONOTONIC, &none, 0, 0)));
	b = make(CLOCK_REALTIME, &one, 5, 5);
	c = make(CLOCK_MONOTONIC, &fn, 5, 5);
	d = make(CLOCK_MONOTONIC, &none, 100000, 70000);
	cpu = make(CLOCK_PROCESS_CPUTIME_ID, &sig, 50000, 60000);
	real = make(CLOCK_REALTIME, &sig, 500000, 0);
	boot = make(CLOCK_BOOTTIME, &sig, 600000, 0);
	idle = make(CLOCK_MONOTONIC, &sig, 0, 0);
	MUST(timer_delete(hole));
	MUST(setitimer(ITIMER_PROF, &prof, NULL));

	scenario_wait();

	before[0] = by_signal;
	before[1] = by_thread;
	before[2] = by_call;
	AWAIT(by_signal > before[0] + 5 && by_thread > before[1] + 5 && by_call > before[2] + 5);
	SAME(wrong, 0);
	left = left_ms(d, &every);
	CHECK(left > 30000 && left <= 100000);
	SAME(every, 70000);
	left = left_ms(cpu, &every);
	CHECK(left > 30000 && left <= 50000);
	SAME(every, 60000);
	left = left_ms(real, NULL);
	CHECK(left > 300000 && left <= 500000);
	left = left_ms(boot, NULL);
	CHECK(left > 300000 && left <= 600000);
	SAME(left_ms(idle, NULL), 0);
	MUST(getitimer(ITIMER_PROF, &now));
	CHECK(now.it_value.tv_sec > 1900 && now.it_value.tv_sec <= 2000);
	SAME(now.it_interval.tv_sec, 3000);
	MUST(timer_delete(a));
	MUST(timer_delete(b));
	MUST(timer_delete(c));
	later = make(CLOCK_MONOTONIC, &sig, 1, 0);
	before[0] = by_signal;
	AWAIT(by_signal > before[0]);
	MUST(timer_delete(later));
	scenario_ok();
}
