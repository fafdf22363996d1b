/*
 * An epoll of a child's that watches what it has closed and its parent hasn't:
 * nobody could add that watch again.
 *
 * scenario-refused: epoll watches number
 */
#include "scenario.h"

#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = 7}, got;
	int data[2], ready[2], go[2], status, ep;
	char c;

	MUST(pipe(data));
	MUST(pipe(ready));
	MUST(pipe(go));
	if (MUST(fork()) == 0) {
		ep = MUST(epoll_create1(0));
		MUST(epoll_ctl(ep, EPOLL_CTL_ADD, data[0], &e));
		MUST(close(data[0]));
		SAME(write(ready[1], "", 1), 1);
		SAME(read(go[0], &c, 1), 1);
		SAME(epoll_wait(ep, &got, 1, 0), 1);
		SAME(got.data.u32, 7);
		_exit(0);
	}
	SAME(read(ready[0], &c, 1), 1);
	scenario_wait();
	SAME(write(data[1], "x", 1), 1);
	SAME(write(go[1], "", 1), 1);
	MUST(wait(&status));
	SAME(status, 0);
	scenario_ok();
}
