/* One-shot watches: armed, spent, and spent with a hang-up afterwards. */
#include "scenario.h"

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static void control(int ep, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	MUST(epoll_ctl(ep, op, fd, &ev));
}

static uint64_t ready(int ep)
{
	struct epoll_event ev[16];
	int n = MUST(epoll_wait(ep, ev, 16, 0));
	uint64_t sum = 0;

	while (n-- > 0)
		sum += ev[n].data.u64;
	return sum;
}

int main(void)
{
	int ep = MUST(epoll_create1(0)), armed = MUST(eventfd(0, 0)), spent = MUST(eventfd(1, 0)), pair[2];
	uint64_t one = 1;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	control(ep, EPOLL_CTL_ADD, armed, EPOLLIN | EPOLLONESHOT, 1);
	control(ep, EPOLL_CTL_ADD, spent, EPOLLIN | EPOLLONESHOT | EPOLLET, 2);
	control(ep, EPOLL_CTL_ADD, pair[0], EPOLLOUT | EPOLLONESHOT, 4);
	SAME(ready(ep), 6);

	scenario_wait();

	SAME(ready(ep), 0);
	SAME(write(armed, &one, 8), 8);
	SAME(ready(ep), 1);
	SAME(write(armed, &one, 8), 8);
	SAME(ready(ep), 0);
	close(pair[1]);
	SAME(ready(ep), 0);
	control(ep, EPOLL_CTL_MOD, pair[0], EPOLLIN | EPOLLONESHOT, 8);
	SAME(ready(ep), 8);
	control(ep, EPOLL_CTL_MOD, spent, EPOLLIN | EPOLLONESHOT, 16);
	SAME(ready(ep), 16);
	SAME(ready(ep), 0);
	scenario_ok();
}
