/*
 * Datagrams that wait behind an error nobody has been told: the error, then all of them; over both families, of a socket
 * that several processes have, and of one that holds back what it sends.
 *
 * scenario-checkpoints: 2
 */
#include "net.h"

#include <netinet/udp.h>
#include <signal.h>

enum { V4, V6, SHARED, CORK, SOCKETS };
#define OTHERS 3

static struct name own[SOCKETS], gone[SOCKETS];

static int make(const char *ip, int which)
{
	struct name n = net_name(ip, 0);
	int u = MUST(socket(n.any.sa_family, SOCK_DGRAM, 0)), peer = MUST(socket(n.any.sa_family, SOCK_DGRAM, 0));

	MUST(bind(peer, &n.any, n.len));
	gone[which] = net_own(peer);
	MUST(connect(u, &gone[which].any, gone[which].len));
	own[which] = net_own(u);
	SAME(sendto(peer, "one", 3, 0, &own[which].any, own[which].len), 3);
	SAME(sendto(peer, "", 0, 0, &own[which].any, own[which].len), 0);
	SAME(sendto(peer, "three", 5, 0, &own[which].any, own[which].len), 5);
	close(peer);
	net_send(u, "to nobody");
	CHECK(net_poll(u, 0, 2000) & POLLERR);
	return u;
}

static void verify(int u, int which)
{
	char b[16];

	SAME(net_poll(u, POLLIN, 0), POLLIN | POLLERR);
	SAME(recv(u, b, sizeof(b), MSG_DONTWAIT), -1);
	SAME(errno, ECONNREFUSED);
	SAME(net_poll(u, POLLIN, 0), POLLIN);
	SAME(recv(u, b, sizeof(b), MSG_DONTWAIT), 3);
	CHECK(memcmp(b, "one", 3) == 0);
	SAME(recv(u, b, sizeof(b), MSG_DONTWAIT), 0);
	SAME(recv(u, b, sizeof(b), MSG_DONTWAIT), 5);
	CHECK(memcmp(b, "three", 5) == 0);
	net_empty(u);
	SAME(net_get(u, SOL_SOCKET, SO_ERROR), 0);
	SAME(net_get(u, IPPROTO_UDP, UDP_CORK), which == CORK);
	net_same(net_own(u), own[which]);
	net_same(net_peer(u), gone[which]);
}

int main(void)
{
	int fd[SOCKETS];
	pid_t other[OTHERS];

	for (int i = 0; i < SOCKETS; i++)
		fd[i] = make(i == V6 ? "::1" : "127.0.0.1", i);
	net_set(fd[CORK], IPPROTO_UDP, UDP_CORK, 1);
	for (int i = 0; i < OTHERS; i++) {
		other[i] = MUST(fork());
		for (int k = 0; other[i] == 0 && k < SOCKETS; k++)
			if (k != SHARED)
				close(fd[k]);
		while (other[i] == 0)
			pause();
	}
	scenario_wait();

	for (int i = 0; i < SOCKETS; i++)
		verify(fd[i], i);
	for (int i = 0; i < OTHERS; i++) {
		kill(other[i], SIGKILL);
		SAME(waitpid(other[i], NULL, 0), other[i]);
	}
	scenario_ok();
}
