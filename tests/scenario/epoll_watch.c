/* epoll: level, edge, exclusive, nested, hang-ups; a thread asleep in epoll_wait. */
#include "scenario.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int slow;

static void watch(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
}

/* The sum of the data of all that is ready. */
static uint64_t ready(int ep, int ms)
{
	struct epoll_event ev[16];
	int n = MUST(epoll_wait(ep, ev, 16, ms));
	uint64_t sum = 0;

	while (n-- > 0)
		sum += ev[n].data.u64;
	return sum;
}

static void *waiter(void *arg)
{
	(void)arg;
	return (void *)(uintptr_t)ready(slow, -1);
}

int main(void)
{
	int outer = MUST(epoll_create1(EPOLL_CLOEXEC)), middle = MUST(epoll_create1(0)), inner = MUST(epoll_create1(0));
	int level = MUST(eventfd(1, 0)), edge = MUST(eventfd(0, 0)), exclusive = MUST(eventfd(1, 0)), wake = MUST(eventfd(0, 0));
	uint64_t one = 1, v;
	pthread_t t;
	void *got;
	int p[2];

	MUST(pipe(p));
	watch(inner, level, EPOLLIN, 1);
	watch(inner, edge, EPOLLIN | EPOLLET, 2);
	watch(inner, exclusive, EPOLLIN | EPOLLEXCLUSIVE, 4);
	watch(middle, inner, EPOLLIN, 8);
	watch(outer, middle, EPOLLIN | EPOLLET, 0xfedcba9876543210);
	watch(outer, p[0], EPOLLIN | EPOLLRDHUP, 16);
	slow = MUST(epoll_create1(0));
	watch(slow, wake, EPOLLIN, 99);
	SAME(pthread_create(&t, NULL, waiter, NULL), 0);

	scenario_wait();

	SAME(ready(inner, 0), 5);
	SAME(ready(middle, 0), 8);
	CHECK(ready(outer, 0) == 0xfedcba9876543210);
	SAME(ready(outer, 0), 0);
	SAME(read(level, &v, 8), 8);
	SAME(read(exclusive, &v, 8), 8);
	SAME(ready(inner, 0), 0);
	SAME(write(edge, &one, 8), 8);
	SAME(ready(inner, 0), 2);
	SAME(ready(inner, 0), 0);
	SAME(write(edge, &one, 8), 8);
	SAME(ready(inner, 0), 2);
	SAME(write(exclusive, &one, 8), 8);
	SAME(ready(middle, 0), 8);
	CHECK(ready(outer, 0) == 0xfedcba9876543210);
	close(p[1]);
	SAME(ready(outer, 0), 16);
	SAME(write(wake, &one, 8), 8);
	SAME(pthread_join(t, &got), 0);
	SAME((uintptr_t)got, 99);
	scenario_ok();
}
