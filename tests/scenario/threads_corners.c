/*
 * Threads in places without room: the least stack, an alternate stack of what
 * the kernel's frame needs, a coroutine; one made by clone() without a thread
 * pointer; and threads that are cancelled in calls that were made again.
 *
 * scenario-checkpoints: 3
 */
#include "scenario.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096
#define COROUTINE (3 * PAGE)

static int quiet[2], stop, cleaned, raw_state, raw_failed;
static ucontext_t caller, coroutine;

static void work(void)
{
	unsigned long sum = 0, again;

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		SAME(poll(NULL, 0, 20), 0);
		sum = again = 0;
		for (unsigned long i = 1; i < 10000; i++)
			sum = sum * 31 + i;
		for (unsigned long i = 1; i < 10000; i++)
			again = again * 31 + i;
		CHECK(sum == again);
	}
}

static void *least(void *arg)
{
	work();
	return arg;
}

/* A page that can't be touched ends it on the side to which it grows. */
static char *stack_of(size_t size)
{
	char *p = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	MUST(mprotect(p, PAGE, PROT_NONE));
	return p + PAGE;
}

static void *alternate(void *arg)
{
	size_t least_size = getauxval(AT_MINSIGSTKSZ);
	stack_t ss = {.ss_sp = stack_of(4 * PAGE), .ss_size = least_size ? least_size : PAGE}, now;

	MUST(sigaltstack(&ss, NULL));
	work();
	MUST(sigaltstack(NULL, &now));
	CHECK(now.ss_sp == ss.ss_sp && now.ss_size == ss.ss_size && now.ss_flags == 0);
	return arg;
}

static void *in_coroutine(void *arg)
{
	MUST(getcontext(&coroutine));
	coroutine.uc_stack.ss_sp = stack_of(COROUTINE);
	coroutine.uc_stack.ss_size = COROUTINE;
	coroutine.uc_link = &caller;
	makecontext(&coroutine, work, 0);
	MUST(swapcontext(&caller, &coroutine));
	return arg;
}

static long raw_call(long nr, long a, long b)
{
	long rc;

	__asm__ volatile("syscall" : "=a"(rc) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
	return rc;
}

/* No libc here: there is no thread pointer. */
static int raw(void *arg)
{
	struct timespec t = {0, 20000000};
	long rc;

	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		__asm__ volatile("mov $35, %%eax\n\tsyscall" : "=a"(rc) : "D"(&t), "S"(0) : "rcx", "r11", "memory");
		if (rc)
			raw_failed = (int)-rc;
	}
	__atomic_store_n(&raw_state, 1, __ATOMIC_SEQ_CST);
	raw_call(SYS_exit, 0, 0);
	return 0;
}

static void cleanup(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&cleaned, 1, __ATOMIC_SEQ_CST);
}

static void *cancelled_poll(void *arg)
{
	pthread_cleanup_push(cleanup, NULL);
	poll(NULL, 0, 1000000);
	pthread_cleanup_pop(0);
	return arg;
}

static void *cancelled_read(void *arg)
{
	char byte;

	pthread_cleanup_push(cleanup, NULL);
	SAME(read(quiet[0], &byte, 1), 1);
	pthread_cleanup_pop(0);
	return arg;
}

static void *cancelled_sleep(void *arg)
{
	pthread_cleanup_push(cleanup, NULL);
	sleep(1000);
	pthread_cleanup_pop(0);
	return arg;
}

int main(void)
{
	static void *(*const workers[])(void *) = {least, alternate, in_coroutine};
	static void *(*const waiters[])(void *) = {cancelled_poll, cancelled_read, cancelled_sleep};
	struct timespec moment = {0, 50000000};
	pthread_t work_threads[3], wait_threads[3];
	pthread_attr_t small;
	void *result;

	MUST(pipe(quiet));
	SAME(pthread_attr_init(&small), 0);
	SAME(pthread_attr_setstacksize(&small, (size_t)PTHREAD_STACK_MIN), 0);
	for (int i = 0; i < 3; i++) {
		SAME(pthread_create(&work_threads[i], i == 0 ? &small : NULL, workers[i], NULL), 0);
		SAME(pthread_create(&wait_threads[i], NULL, waiters[i], NULL), 0);
	}
	MUST(clone(raw, stack_of(16 * PAGE) + 16 * PAGE,
		   CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS, NULL, NULL, NULL));
	nanosleep(&moment, NULL);
	scenario_wait();
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 3; i++) {
		SAME(pthread_join(work_threads[i], NULL), 0);
		SAME(pthread_cancel(wait_threads[i]), 0);
		SAME(pthread_join(wait_threads[i], &result), 0);
		CHECK(result == PTHREAD_CANCELED);
	}
	SAME(cleaned, 3);
	while (!__atomic_load_n(&raw_state, __ATOMIC_SEQ_CST))
		nanosleep(&moment, NULL);
	SAME(raw_failed, 0);
	scenario_ok();
}
