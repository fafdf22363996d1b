/*
 * One alternate stack that all threads have registered, as varnish does for the
 * case of a crash: at a checkpoint they all take a signal at once. Each waits
 * or works, and meets its own registers again; the stack stays registered, and
 * a handler that asks for it runs there.
 *
 * scenario-checkpoints: 3
 */
#include "scenario.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 24
#define SIZE 65536

static stack_t shared;
static int stop;
static uintptr_t ran_at;

static void handler(int sig)
{
	char here;

	(void)sig;
	ran_at = (uintptr_t)&here;
}

static void registered(void)
{
	stack_t now;

	MUST(sigaltstack(NULL, &now));
	CHECK(now.ss_sp == shared.ss_sp && now.ss_size == shared.ss_size && now.ss_flags == 0);
}

static void *thread(void *arg)
{
	long n = (long)arg, turns = 0;
	int quiet[2];

	MUST(sigaltstack(&shared, NULL));
	MUST(pipe(quiet));
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		unsigned long sum = 0, again = 0;

		for (long i = 1; i < 3000; i++)
			sum = sum * 31 + (unsigned long)(i ^ n);
		for (long i = 1; i < 3000; i++)
			again = again * 31 + (unsigned long)(i ^ n);
		CHECK(sum == again);
		SAME(poll(&(struct pollfd){ .fd = quiet[0], .events = POLLIN }, 1, (int)(n % 3) * 10), 0);
		turns++;
	}
	registered();
	CHECK(turns > 0);
	return arg;
}

int main(void)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	pthread_t threads[THREADS];
	void *result;

	shared.ss_sp = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared.ss_size = SIZE;
	CHECK(shared.ss_sp != MAP_FAILED);
	MUST(sigaltstack(&shared, NULL));
	for (long i = 0; i < THREADS; i++)
		SAME(pthread_create(&threads[i], NULL, thread, (void *)(i + 1)), 0);
	scenario_wait();
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (long i = 0; i < THREADS; i++) {
		SAME(pthread_join(threads[i], &result), 0);
		SAME((long)result, i + 1);
	}
	registered();
	MUST(sigaction(SIGUSR1, &act, NULL));
	MUST(raise(SIGUSR1));
	CHECK(ran_at > (uintptr_t)shared.ss_sp && ran_at < (uintptr_t)shared.ss_sp + SIZE);
	scenario_ok();
}
