/* An epoll shared by fork, with watches of what only the parent, only the child, and both have open. */
#include "scenario.h"

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
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
	int ep = MUST(epoll_create1(0)), both = MUST(eventfd(0, 0)), parents, status, ask[2], answer[2];
	uint64_t one = 1;
	pid_t child;
	char c;

	MUST(pipe(ask));
	MUST(pipe(answer));
	watch(ep, both, 1);
	child = MUST(fork());
	if (child == 0) {
		int own = MUST(eventfd(0, 0));

		watch(ep, own, 4);
		SAME(write(answer[1], "r", 1), 1);
		SAME(read(ask[0], &c, 1), 1);
		SAME(write(own, &one, 8), 8);
		SAME(write(answer[1], "w", 1), 1);
		SAME(read(ask[0], &c, 1), 1);
		_exit(0);
	}
	SAME(read(answer[0], &c, 1), 1);
	parents = MUST(eventfd(0, 0));
	MUST(dup2(parents, 50));
	watch(ep, 50, 2);

	scenario_wait();

	SAME(ready(ep), 0);
	SAME(write(both, &one, 8), 8);
	SAME(ready(ep), 1);
	SAME(write(parents, &one, 8), 8);
	SAME(ready(ep), 3);
	SAME(write(ask[1], "x", 1), 1);
	SAME(read(answer[0], &c, 1), 1);
	SAME(ready(ep), 7);
	SAME(write(ask[1], "x", 1), 1);
	SAME(waitpid(child, &status, 0), child);
	SAME(status, 0);
	SAME(ready(ep), 3);
	scenario_ok();
}
