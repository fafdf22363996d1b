/*
 * An epoll watch belongs to (description, number): it stays alive, and is
 * listed, after its number was closed while a duplicate is open.
 */
#include "fact.h"
#include <sys/epoll.h>

int main(void)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0x1122334455667788ull}, got;
	int ep = epoll_create1(0), p[2], copy, tfd = -1;
	unsigned int events;
	unsigned long data;
	char path[64];

	FACT(pipe(p) == 0 && epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e) == 0);
	copy = dup(p[0]);
	close(p[0]);
	FACT(write(p[1], "x", 1) == 1);
	FACT(epoll_wait(ep, &got, 1, 0) == 1 && got.data.u64 == e.data.u64);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ep);
	FACT(sscanf(proc_line(path, "tfd:"), "tfd: %d events: %x data: %lx", &tfd, &events, &data) == 3);
	FACT(tfd == p[0] && data == e.data.u64);
	FACT(epoll_ctl(ep, EPOLL_CTL_DEL, copy, NULL) == -1 && errno == ENOENT);
	return 0;
}
