/* fdinfo of an epoll shows a one-shot watch that has fired with no event bits left but the flags. */
#include "fact.h"
#include <sys/epoll.h>

static unsigned int listed(int ep)
{
	unsigned int events = 0;
	char path[64];
	int tfd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ep);
	FACT(sscanf(proc_line(path, "tfd:"), "tfd: %d events: %x", &tfd, &events) == 2);
	return events;
}

int main(void)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT}, got;
	int ep = epoll_create1(0), p[2];

	FACT(pipe(p) == 0 && write(p[1], "x", 1) == 1);
	FACT(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e) == 0);
	FACT((listed(ep) & EPOLLIN) != 0);
	FACT(epoll_wait(ep, &got, 1, 0) == 1);
	FACT((listed(ep) & EPOLLIN) == 0 && (listed(ep) & EPOLLONESHOT) != 0);
	return 0;
}
