/*
 * se.exec_start in /proc/self/task/TID/sched tells (in ms of its processor's
 * scheduler clock) when a blocked thread last ran: how long it has been asleep,
 * hence how much of a relative timeout is gone.
 *
 * Time stolen from a virtual processor is missing from that processor's clock:
 * the clocks of two processors can be seconds apart, and each may lag behind
 * CLOCK_MONOTONIC, but doesn't run ahead of it.
 */
#include "fact.h"
#include <pthread.h>

static volatile int tid;
static int wakeup[2];

static void *sleeper(void *arg)
{
	char c;

	tid = (int)syscall(SYS_gettid);
	FACT(read(wakeup[0], &c, 1) == 1);
	return arg;
}

static double exec_start(int of)
{
	char path[64], *p;

	snprintf(path, sizeof(path), "/proc/self/task/%d/sched", of);
	p = strchr(proc_line(path, "se.exec_start"), ':');
	if (p == NULL)
		SKIP("no /proc/TID/sched here (CONFIG_SCHED_DEBUG)");
	return atof(p + 1);
}

static double monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Both threads on the one processor we run on: one clock. */
static void one_processor(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	FACT(sched_setaffinity(0, sizeof(one), &one) == 0);
}

int main(void)
{
	double before, first, mine;
	pthread_t t;

	one_processor();
	FACT(pipe(wakeup) == 0);
	before = monotonic();
	FACT(pthread_create(&t, NULL, sleeper, NULL) == 0);
	while (tid == 0)
		sched_yield();
	wait_blocked_in(getpid(), tid, SYS_read);
	first = exec_start(tid);
	for (int i = 0; i < 1000; i++) {
		poll(NULL, 0, 10);
		sched_yield();
		mine = exec_start(getpid());
		FACT(mine - first <= monotonic() - before + 1);
		if (mine - first > 100)
			break;
	}
	FACT(mine - first > 100);
	FACT(exec_start(tid) == first);
	FACT(write(wakeup[1], "", 1) == 1 && pthread_join(t, NULL) == 0);
	return 0;
}
