/*
 * se.exec_start in /proc/self/task/TID/sched tells (in ms of the scheduler's
 * clock) when a blocked thread last ran: how long it has been asleep, hence
 * how much of a relative timeout is gone.
 */
#include "fact.h"
#include <pthread.h>

static volatile int tid;

static void *sleeper(void *arg)
{
	tid = (int)syscall(SYS_gettid);
	poll(NULL, 0, 1000);
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

int main(void)
{
	double first, mine;
	pthread_t t;

	FACT(pthread_create(&t, NULL, sleeper, NULL) == 0);
	while (tid == 0)
		sched_yield();
	wait_blocked_in(getpid(), tid, SYS_poll);
	first = exec_start(tid);
	poll(NULL, 0, 200);
	sched_yield();
	FACT(exec_start(tid) == first);
	mine = exec_start(getpid());
	FACT(mine - first > 50 && mine - first < 900);
	FACT(pthread_join(t, NULL) == 0);
	return 0;
}
