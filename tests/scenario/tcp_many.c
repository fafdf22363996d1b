/*
 * More TCP connections in a tree than one process may have descriptors: with bytes waiting, ended, with options, between two
 * processes, watched by an epoll, in flight in a queue.
 *
 * scenario-files: 600
 * scenario-checkpoints: 2
 */
#include "un.h"

#include "net.h"

#include <sys/epoll.h>

#define PROCESSES 4
#define PAIRS 100

static int pair[PAIRS][2], watch, carrier[2];
static struct name names[PAIRS][2];

static void make(void)
{
	int l = net_listener("127.0.0.1", 16);

	watch = MUST(epoll_create1(0));
	for (int i = 0; i < PAIRS; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)i };

		net_pair(l, pair[i]);
		names[i][0] = net_own(pair[i][0]);
		names[i][1] = net_own(pair[i][1]);
		MUST(epoll_ctl(watch, EPOLL_CTL_ADD, pair[i][1], &e));
		if (i % 4 == 0)
			net_send(pair[i][0], "there");
		if (i % 4 == 1)
			net_send(pair[i][1], "back");
		if (i % 10 == 2)
			MUST(shutdown(pair[i][1], SHUT_WR));
		if (i % 10 == 3)
			net_set(pair[i][0], IPPROTO_TCP, TCP_NODELAY, 1);
	}
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, carrier));
	un_send_fds(carrier[0], "c", &pair[7][0], 1);
	un_send_fds(carrier[0], "c", &pair[PAIRS - 1][1], 1);
	MUST(epoll_ctl(watch, EPOLL_CTL_DEL, pair[PAIRS - 1][1], NULL));
	close(pair[PAIRS - 1][1]);
}

static void verify_pair(int i)
{
	const int *p = pair[i];

	net_same(net_own(p[0]), names[i][0]);
	net_same(net_own(p[1]), names[i][1]);
	net_same(net_peer(p[0]), names[i][1]);
	net_same(net_peer(p[1]), names[i][0]);
	SAME(net_get(p[0], SOL_SOCKET, SO_REUSEADDR), 0);
	SAME(!!net_get(p[0], IPPROTO_TCP, TCP_NODELAY), i % 10 == 3);
	if (i % 4 == 0)
		net_expect(p[1], "there");
	if (i % 4 == 1)
		net_expect(p[0], "back");
	if (i % 10 == 2)
		net_eof(p[0]);
	else
		net_empty(p[0]);
	net_empty(p[1]);
	net_send(p[0], "on");
	net_expect(p[1], "on");
}

static int receive(void)
{
	char text[8];
	int fd = -1;

	SAME(un_recv_fds(carrier[1], text, sizeof(text), &fd), 1);
	return fd;
}

static void verify(void)
{
	struct epoll_event e[PAIRS];
	int seven;

	SAME(epoll_wait(watch, e, PAIRS, 0), PAIRS / 4);
	for (int i = 0; i < PAIRS / 4; i++)
		SAME(e[i].data.u32 % 4, 0);
	seven = receive();
	net_same(net_own(seven), names[7][0]);
	net_send(seven, "by the other number");
	net_expect(pair[7][1], "by the other number");
	close(seven);
	pair[PAIRS - 1][1] = receive();
	for (int i = 0; i < PAIRS; i++)
		verify_pair(i);
}

/* From a listener that the parent has, so one end of it is there. */
static void child(int l, int fd)
{
	int across = net_connect("127.0.0.1", net_port(l));
	char c;

	make();
	SAME(write(fd, "m", 1), 1);
	SAME(read(fd, &c, 1), 1);
	verify();
	net_expect(across, "across");
	_exit(0);
}

int main(void)
{
	int l = net_listener("127.0.0.1", 8), way[PROCESSES][2], across[PROCESSES], status;
	char c;

	for (int p = 1; p < PROCESSES; p++) {
		MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, way[p]));
		if (MUST(fork()) == 0)
			child(l, way[p][1]);
		across[p] = MUST(accept(l, NULL, NULL));
		SAME(read(way[p][0], &c, 1), 1);
	}
	make();

	scenario_wait();

	verify();
	for (int p = 1; p < PROCESSES; p++) {
		net_send(across[p], "across");
		SAME(write(way[p][0], "g", 1), 1);
	}
	while (wait(&status) > 0)
		SAME(status, 0);
	scenario_ok();
}
