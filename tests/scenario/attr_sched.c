/*
 * How threads are scheduled: policy, nice value, affinity, io priority,
 * reset-on-fork, slack; each thread has its own.
 */
#include "scenario.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IOPRIO_WHO_PROCESS 1
#define IOPRIO(class, data) ((class) << 13 | (data))

static struct {
	int policy, nice, priority, cpu, io;
	long slack;
	int ready;
} want[] = {
	{SCHED_BATCH, 3, 0, 0, IOPRIO(2, 6), 1000000, 0},
	{SCHED_IDLE, 0, 0, 1, IOPRIO(3, 0), 70000, 0},
	{SCHED_OTHER | SCHED_RESET_ON_FORK, 7, 0, 0, 0, 50000, 0},
	{SCHED_FIFO, 0, 2, 0, IOPRIO(1, 4), 50000, 0}, /* where allowed */
};
#define N (sizeof(want) / sizeof(*want))
static int go;

static void *body(void *arg)
{
	unsigned i = (unsigned)(long)arg;
	struct sched_param p = {.sched_priority = want[i].priority};
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && !CPU_ISSET(want[i].cpu, &set))
		for (want[i].cpu = 0; !CPU_ISSET(want[i].cpu, &set);)
			want[i].cpu++;
	CPU_ZERO(&set);
	CPU_SET(want[i].cpu, &set);
	MUST(sched_setaffinity(0, sizeof(set), &set));
	/* started with a nice value, it may not go back */
	if (want[i].nice < getpriority(PRIO_PROCESS, 0))
		want[i].nice = getpriority(PRIO_PROCESS, 0);
	MUST(setpriority(PRIO_PROCESS, 0, want[i].nice));
	if (sched_setscheduler(0, want[i].policy, &p) < 0) {
		want[i].policy = SCHED_OTHER;
		want[i].priority = 0;
	}
	if (want[i].io && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, want[i].io) < 0)
		want[i].io = 0;
	want[i].io = (int)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	MUST(prctl(PR_SET_TIMERSLACK, want[i].slack));
	want[i].slack = prctl(PR_GET_TIMERSLACK);
	__atomic_store_n(&want[i].ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST))
		usleep(1000);
	SAME(sched_getscheduler(0), want[i].policy);
	MUST(sched_getparam(0, &p));
	SAME(p.sched_priority, want[i].priority);
	SAME(getpriority(PRIO_PROCESS, 0), want[i].nice);
	SAME(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0), want[i].io);
	SAME(prctl(PR_GET_TIMERSLACK), want[i].slack);
	MUST(sched_getaffinity(0, sizeof(set), &set));
	SAME(CPU_COUNT(&set), 1);
	CHECK(CPU_ISSET(want[i].cpu, &set));
	return NULL;
}

int main(void)
{
	pthread_t t[N];

	for (unsigned i = 0; i < N; i++) {
		SAME(pthread_create(&t[i], NULL, body, (void *)(long)i), 0);
		while (!__atomic_load_n(&want[i].ready, __ATOMIC_SEQ_CST))
			usleep(1000);
	}
	scenario_wait();
	__atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < N; i++)
		SAME(pthread_join(t[i], NULL), 0);
	SAME(sched_getscheduler(0), SCHED_OTHER);
	SAME(getpriority(PRIO_PROCESS, 0), 0);
	scenario_ok();
}
