/*
 * signal_deaf.c - a thread of libc's that blocks every signal
 *
 * With SIGEV_THREAD libc has one thread that waits for the timers, all signals
 * blocked by means that nobody sees; each notification runs in a thread of its own.
 */
#include <pthread.h>
#include <signal.h>
#include <time.h>

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

int main(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 4711};
	const struct itimerspec every = {{0, 20000000}, {0, 20000000}};
	timer_t timer;

	event.sigev_notify_function = on_tick;
	MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
	MUST(timer_settime(timer, 0, &every, NULL));
	wait_tick();

	scenario_wait();

	wait_tick();
	wait_tick();
	scenario_ok();
}
