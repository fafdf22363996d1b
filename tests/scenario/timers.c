/* Interval timers, POSIX timers with their ids, timerfd: each fires after its time, none early, intervals go on. */
#include "scenario.h"

#include <signal.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static volatile int alarms, ticks;

static void handler(int sig)
{
	if (sig == SIGALRM)
		alarms++;
	else
		ticks++;
}

int main(void)
{
	struct sigevent se = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2};
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct itimerspec every = {{0, 20000000}, {0, 20000000}}, far = {{0, 0}, {1000, 0}}, left;
	struct itimerval once = {{0, 0}, {500, 0}}, now;
	timer_t first, second, third;
	uint64_t expired;
	int fd, was;

	MUST(sigaction(SIGALRM, &sa, NULL));
	MUST(sigaction(SIGRTMIN + 2, &sa, NULL));
	MUST(timer_create(CLOCK_MONOTONIC, &se, &first));
	MUST(timer_create(CLOCK_MONOTONIC, &se, &second));
	MUST(timer_create(CLOCK_REALTIME, &se, &third));
	MUST(timer_delete(first));
	MUST(timer_settime(second, 0, &every, NULL));
	MUST(timer_settime(third, 0, &far, NULL));
	MUST(setitimer(ITIMER_REAL, &once, NULL));
	fd = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
	MUST(timerfd_settime(fd, 0, &every, NULL));
	scenario_wait();
	was = ticks;
	while (ticks < was + 5)
		pause();
	MUST(timer_gettime(second, &left));
	SAME(left.it_interval.tv_nsec, 20000000);
	MUST(timer_gettime(third, &left));
	CHECK(left.it_value.tv_sec > 900 && left.it_value.tv_sec < 1000);
	MUST(getitimer(ITIMER_REAL, &now));
	CHECK(now.it_value.tv_sec > 400 && now.it_value.tv_sec < 500);
	SAME(alarms, 0);
	SAME(read(fd, &expired, 8), 8);
	CHECK(expired >= 1);
	SAME(read(fd, &expired, 8), 8);
	CHECK(expired >= 1 && expired < 5000);
	MUST(timer_delete(second));
	MUST(timer_delete(third));
	scenario_ok();
}
