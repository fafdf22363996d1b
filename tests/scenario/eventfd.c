/* eventfds: counters, semaphores, one that is full, a thread asleep in one. */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int quiet;

static void *sleeper(void *arg)
{
	uint64_t v = 0;

	(void)arg;
	SAME(read(quiet, &v, 8), 8);
	return (void *)(uintptr_t)v;
}

int main(void)
{
	int plain = MUST(eventfd(41, EFD_NONBLOCK)), sem = MUST(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
	int full = MUST(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), twice = MUST(dup(plain));
	uint64_t v = UINT64_MAX - 1;
	pthread_t t;
	void *got;

	SAME(write(full, &v, 8), 8);
	quiet = MUST(eventfd(0, 0));
	SAME(pthread_create(&t, NULL, sleeper, NULL), 0);

	scenario_wait();

	SAME(read(twice, &v, 8), 8);
	SAME(v, 41);
	SAME(read(plain, &v, 8), -1);
	SAME(errno, EAGAIN);
	for (int i = 0; i < 2; i++) {
		SAME(read(sem, &v, 8), 8);
		SAME(v, 1);
	}
	SAME(read(sem, &v, 8), -1);
	v = 1;
	SAME(write(full, &v, 8), -1);
	SAME(errno, EAGAIN);
	SAME(read(full, &v, 8), 8);
	SAME(v, UINT64_MAX - 1);
	v = 7;
	SAME(write(quiet, &v, 8), 8);
	SAME(pthread_join(t, &got), 0);
	SAME((uintptr_t)got, 7);
	scenario_ok();
}
