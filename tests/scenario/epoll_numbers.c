/* Watches whose number was closed, or stands for something else, while a duplicate lives. */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static void watch(int ep, int fd, uint64_t data)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = data };

	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
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
	int ep = MUST(epoll_create1(0)), a = MUST(eventfd(0, 0)), copy = MUST(dup(a)), b, s[2], s_copy;
	int closed = MUST(eventfd(0, 0)), closed_copy = MUST(fcntl(closed, F_DUPFD, 500));
	struct epoll_event ev;
	uint64_t one = 1;

	watch(ep, a, 1);
	watch(ep, copy, 2);
	close(a);
	b = MUST(eventfd(0, EFD_CLOEXEC));
	SAME(b, a);
	watch(ep, b, 4);
	watch(ep, closed, 8);
	close(closed);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	watch(ep, s[0], 16);
	s_copy = MUST(dup(s[0]));
	close(s[0]);
	SAME(open("/dev/null", O_RDONLY), closed);

	scenario_wait();

	SAME(fcntl(b, F_GETFD), FD_CLOEXEC);
	SAME(ready(ep), 0);
	SAME(write(copy, &one, 8), 8);
	SAME(ready(ep), 3);
	SAME(write(b, &one, 8), 8);
	SAME(ready(ep), 7);
	SAME(write(closed_copy, &one, 8), 8);
	SAME(ready(ep), 15);
	SAME(write(s[1], "x", 1), 1);
	SAME(ready(ep), 31);
	SAME(epoll_ctl(ep, EPOLL_CTL_DEL, s_copy, &ev), -1);
	SAME(errno, ENOENT);
	close(s_copy);
	SAME(ready(ep), 15);
	close(copy);
	SAME(ready(ep), 12);
	scenario_ok();
}
