/* A tree with more sockets than one process may have descriptors: pairs with bytes in them, datagram sockets with names, and an epoll in flight. */
#include "un.h"

#include <sys/epoll.h>
#include <sys/resource.h>

#define PROCESSES 3
#define NAMED 50
#define WATCHED 5              /* the pair whose first end the epoll watches */

static int pairs; /* in each process */

static void number(int fd, int i)
{
	SAME(send(fd, &i, sizeof(i), MSG_NOSIGNAL), sizeof(i));
}

static void is_number(int fd, int i)
{
	int got = -1;

	SAME(recv(fd, &got, sizeof(got), MSG_DONTWAIT), sizeof(got));
	SAME(got, i);
}

static void name_of(char *name, int process, int i)
{
	snprintf(name, 40, "@many %d %d", process, i);
}

static void make(int process, int (*pair)[2], int *named)
{
	char name[40];

	for (int i = 0; i < pairs; i++) {
		MUST(socketpair(AF_UNIX, i % 2 ? SOCK_STREAM : SOCK_SEQPACKET, 0, pair[i]));
		number(pair[i][0], i);
		if (i % 3 == 0) {
			MUST(fcntl(pair[i][1], F_SETFL, O_NONBLOCK));
			MUST(close(pair[i][0]));
		}
	}
	for (int i = 0; i < NAMED; i++) {
		name_of(name, process, i);
		named[i] = un_bound(SOCK_DGRAM, name);
	}
}

static void verify(int process, int (*pair)[2], const int *named)
{
	char name[40], next[40];

	for (int i = 0; i < pairs; i++) {
		is_number(pair[i][1], i);
		if (i % 3 == 0) {
			SAME(recv(pair[i][1], name, 1, 0), 0);
			SAME(fcntl(pair[i][1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
			continue;
		}
		number(pair[i][1], -i);
		is_number(pair[i][0], -i);
		SAME(un_cred(pair[i][0]).pid, getpid());
	}
	for (int i = 0; i < NAMED; i++) {
		name_of(name, process, i);
		name_of(next, process, (i + 1) % NAMED);
		TEXT(un_name(named[i]), name);
		un_send_to(named[i], "on", next);
		un_datagram(named[(i + 1) % NAMED], "on", name);
	}
}

static void child(int process, int first)
{
	int (*pair)[2] = malloc(sizeof(*pair) * (size_t)pairs), named[NAMED], go;

	make(process, pair, named);
	number(first, process);
	SAME(recv(first, &go, sizeof(go), 0), sizeof(go));
	verify(process, pair, named);
	number(first, process);
	_exit(0);
}

/* Nobody but the queue has the epoll. */
static void fly(int to, int watched)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = WATCHED };
	int ep = MUST(epoll_create1(0));

	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, watched, &ev));
	un_send_fds(to, "epoll", &ep, 1);
	close(ep);
}

static void land(int from, int (*pair)[2])
{
	struct epoll_event ev;
	char text[8];
	int ep;

	SAME(un_recv_fds(from, text, sizeof(text), &ep), 1);
	SAME(epoll_wait(ep, &ev, 1, 0), 0);
	number(pair[WATCHED][1], 1);
	SAME(epoll_wait(ep, &ev, 1, 0), 1);
	SAME(ev.data.u32, WATCHED);
	is_number(pair[WATCHED][0], 1);
}

int main(void)
{
	int (*pair)[2], named[NAMED], way[PROCESSES][2], status, air[2];
	struct rlimit limit;

	MUST(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = limit.rlim_max;
	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	pairs = limit.rlim_max < 30000 ? (int)limit.rlim_max / 5 : 1000;
	for (int p = 1; p < PROCESSES; p++) {
		MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, way[p]));
		if (MUST(fork()) == 0)
			child(p, way[p][1]);
	}
	pair = malloc(sizeof(*pair) * (size_t)pairs);
	make(0, pair, named);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, air));
	fly(air[0], pair[WATCHED][0]);
	for (int p = 1; p < PROCESSES; p++) {
		SAME(recv(way[p][0], &status, sizeof(status), 0), sizeof(status));
		SAME(status, p);
	}

	scenario_wait();
	for (int p = 1; p < PROCESSES; p++)
		number(way[p][0], p);
	verify(0, pair, named);
	land(air[1], pair);
	for (int p = 1; p < PROCESSES; p++) {
		SAME(recv(way[p][0], &status, sizeof(status), 0), sizeof(status));
		SAME(status, p);
	}
	while (wait(&status) > 0)
		SAME(status, 0);
	scenario_ok();
}
