/*
 * What belongs to a thread: tid, name, thread-local storage, robust mutexes,
 * mask, alternate stack, a small stack of its own; pthread_join and exit clean up.
 */
#include "scenario.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define N 20

static struct {
	pthread_t thread;
	pid_t tid;
	int ready;
	pthread_mutex_t robust;
	pthread_key_t key;
} all[N];
static __thread int local = 5;
static int go, destroyed;

static void destroy(void *p)
{
	(void)p;
	__atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}

static void *body(void *arg)
{
	int i = (int)(long)arg;
	char name[16], now[16];
	stack_t alternate = {.ss_sp = malloc(16384), .ss_size = 16384}, seen;
	sigset_t set, mask;

	snprintf(name, sizeof(name), "number-%d", i);
	pthread_setname_np(pthread_self(), name);
	local = i * 3;
	pthread_setspecific(all[i].key, name);
	SAME(pthread_mutex_lock(&all[i].robust), 0);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1 + i % 5);
	SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	MUST(sigaltstack(&alternate, NULL));
	all[i].tid = (pid_t)syscall(SYS_gettid);
	__atomic_store_n(&all[i].ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST))
		usleep(1000);
	SAME(syscall(SYS_gettid), all[i].tid);
	SAME(local, i * 3);
	CHECK(pthread_getspecific(all[i].key) == name);
	pthread_getname_np(pthread_self(), now, sizeof(now));
	CHECK(strcmp(name, now) == 0);
	SAME(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
	for (int s = 1; s < 64; s++)
		if (s != 32 && s != 33)
			SAME(sigismember(&mask, s), s == SIGRTMIN + 1 + i % 5);
	MUST(sigaltstack(NULL, &seen));
	CHECK(seen.ss_sp == alternate.ss_sp && seen.ss_size == alternate.ss_size && seen.ss_flags == 0);
	return arg; /* with the mutex held: robust */
}

int main(void)
{
	pthread_mutexattr_t robust;
	pthread_attr_t small;

	pthread_mutexattr_init(&robust);
	pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
	pthread_attr_init(&small);
	SAME(pthread_attr_setstacksize(&small, 32768), 0);
	for (int i = 0; i < N; i++) {
		pthread_mutex_init(&all[i].robust, &robust);
		SAME(pthread_key_create(&all[i].key, destroy), 0);
		SAME(pthread_create(&all[i].thread, i % 2 ? &small : NULL, body, (void *)(long)i), 0);
	}
	for (int i = 0; i < N; i++)
		while (!__atomic_load_n(&all[i].ready, __ATOMIC_SEQ_CST))
			sched_yield();
	scenario_wait();
	__atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < N; i++) {
		void *result;

		SAME(pthread_join(all[i].thread, &result), 0);
		SAME((long)result, i);
		SAME(pthread_mutex_lock(&all[i].robust), EOWNERDEAD);
		SAME(pthread_mutex_consistent(&all[i].robust), 0);
		SAME(pthread_mutex_unlock(&all[i].robust), 0);
	}
	SAME(destroyed, N);
	/* New threads and their storage work as before. */
	SAME(pthread_create(&all[0].thread, NULL, body, (void *)0l), 0);
	SAME(pthread_join(all[0].thread, NULL), 0);
	scenario_ok();
}
