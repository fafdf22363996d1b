/* timerfds: relative and absolute, intervals, expired ticks that nobody has read, disarmed ones. */
#include "scenario.h"

#include <errno.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static long left_ms(int fd)
{
	struct itimerspec t;

	MUST(timerfd_gettime(fd, &t));
	return t.it_value.tv_sec * 1000 + t.it_value.tv_nsec / 1000000;
}

int main(void)
{
	struct itimerspec hour = { .it_value = { .tv_sec = 3600 }, .it_interval = { .tv_sec = 60 } };
	struct itimerspec ticking = { .it_value = { .tv_nsec = 1000000 }, .it_interval = { .tv_nsec = 20000000 } };
	struct itimerspec once = { .it_value = { .tv_nsec = 1 } }, date = { 0 }, soon = { .it_value = { .tv_nsec = 300000000 } };
	int relative = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)), tick = MUST(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK));
	int spent = MUST(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK)), wall = MUST(timerfd_create(CLOCK_REALTIME, 0));
	int idle = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)), fires = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
	struct timespec now, pause_ = { .tv_nsec = 50000000 };
	uint64_t v;

	MUST(timerfd_settime(relative, 0, &hour, NULL));
	MUST(timerfd_settime(tick, 0, &ticking, NULL));
	MUST(timerfd_settime(spent, 0, &once, NULL));
	MUST(clock_gettime(CLOCK_REALTIME, &now));
	date.it_value.tv_sec = now.tv_sec + 1000;
	MUST(timerfd_settime(wall, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &date, NULL));
	MUST(timerfd_settime(fires, 0, &soon, NULL));
	nanosleep(&pause_, NULL);

	scenario_wait();

	CHECK(left_ms(relative) > 3540000 && left_ms(relative) <= 3599950);
	SAME(read(tick, &v, 8), 8);
	CHECK(v >= 3);
	SAME(read(spent, &v, 8), 8);
	SAME(v, 1);
	SAME(left_ms(spent), 0);
	SAME(read(spent, &v, 8), -1);
	SAME(errno, EAGAIN);
	MUST(clock_gettime(CLOCK_REALTIME, &now));
	CHECK(now.tv_sec + left_ms(wall) / 1000 - date.it_value.tv_sec <= 1);
	CHECK(date.it_value.tv_sec - now.tv_sec - left_ms(wall) / 1000 <= 1);
	SAME(left_ms(idle), 0);
	SAME(read(idle, &v, 8), -1);
	SAME(read(fires, &v, 8), 8);
	SAME(v, 1);
	nanosleep(&pause_, NULL);
	SAME(read(tick, &v, 8), 8);
	scenario_ok();
}
