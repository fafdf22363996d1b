/*
 * signal_deaf.c - threads that block every signal
 *
 * With SIGEV_THREAD libc has one thread that waits for the timers, all signals
 * blocked by means that nobody sees; each notification runs in a thread of its own.
 * The first thread blocks all by an instruction of its own; another one hears.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "scenario.h"

static volatile int ticks;

static void on_tick(union sigval value)
{
	if (value.sival_int == 4711)
		__atomic_add_fetch(&ticks, 1, __ATOMIC_SEQ_CST);
}

static void wait_tick(void)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	int before = ticks;

	while (ticks == before)
		nanosleep(&moment, NULL);
}

static void *hear(void *arg)
{
	while (!*(volatile int *)arg)
		usleep(1000);
	return NULL;
}

static void block_all(void)
{
	uint64_t all = ~(3ull << 31);   /* but libc's own two */
	register long size __asm__("r10") = sizeof(all);
	long rc;

	__asm__ volatile("syscall"
			 : "=a"(rc)
			 : "a"((long)SYS_rt_sigprocmask), "D"((long)SIG_SETMASK), "S"(&all), "d"(NULL), "r"(size)
			 : "rcx", "r11", "memory");
	SAME(rc, 0);
}

int main(void)
{
	int heard = 0;
	pthread_t thread;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 4711};
	const struct itimerspec every = {{0, 20000000}, {0, 20000000}};
	timer_t timer;

	event.sigev_notify_function = on_tick;
	MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
	MUST(timer_settime(timer, 0, &every, NULL));
	wait_tick();
	SAME(pthread_create(&thread, NULL, hear, &heard), 0);
	block_all();

	scenario_wait();

	wait_tick();
	wait_tick();
	heard = 1;
	SAME(pthread_join(thread, NULL), 0);
	scenario_ok();
}
