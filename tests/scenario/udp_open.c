/*
 * UDP sockets whose port the kernel chose, in bind, connect or send: they give
 * it up when they are disconnected, and may be bound then; those that asked for
 * their port keep it. One without a port that was shut down; one that still has
 * what had come before it was disconnected; one whose own address its peer's
 * refusal must not change.
 */
#include "scenario.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BOUND, CONNECTED, SENT, ASKED, N };

static struct sockaddr_in6 name_of(int fd)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	MUST(getsockname(fd, (struct sockaddr *)&a, &len));
	return a;
}

static void both_families(int family, int *fds)
{
	struct sockaddr_in6 home = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in home4 = {.sin_family = AF_INET, .sin_addr = {.s_addr = 0x0100007f}};
	struct sockaddr *a = family == AF_INET ? (struct sockaddr *)&home4 : (struct sockaddr *)&home;
	socklen_t len = family == AF_INET ? sizeof(home4) : sizeof(home);
	int fd;

	for (int i = 0; i < N; i++)
		fds[i] = MUST(socket(family, SOCK_DGRAM, 0));
	MUST(bind(fds[BOUND], a, len));
	fd = MUST(socket(family, SOCK_DGRAM, 0));
	MUST(bind(fd, a, len));
	home.sin6_port = home4.sin_port = name_of(fd).sin6_port;
	MUST(close(fd));
	MUST(bind(fds[ASKED], a, len));
	home.sin6_port = home4.sin_port = name_of(fds[BOUND]).sin6_port;
	MUST(connect(fds[CONNECTED], a, len));
	SAME(sendto(fds[SENT], "x", 1, 0, a, len), 1);
}

static void verify(int family, const int *fds, const in_port_t *ports)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family};
	char c;

	SAME(recv(fds[BOUND], &c, 1, MSG_DONTWAIT), 1);
	for (int i = 0; i < N; i++) {
		SAME(name_of(fds[i]).sin6_port, ports[i]);
		MUST(connect(fds[i], &none, sizeof(none)));
		SAME(name_of(fds[i]).sin6_port, i == ASKED ? ports[i] : 0);
		SAME(bind(fds[i], (struct sockaddr *)&any, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(any)), i == ASKED ? -1 : 0);
	}
}

int main(void)
{
	int v4[N], v6[N], shut = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	struct pollfd p = {.fd = shut, .events = POLLIN | POLLRDHUP}, refusal;
	int left = MUST(socket(AF_INET, SOCK_DGRAM, 0)), mapped = MUST(socket(AF_INET6, SOCK_DGRAM, 0)), gone;
	struct sockaddr_in6 peer = {.sin6_family = AF_INET6};
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in6 name;
	char got[8];
	in_port_t ports4[N], ports6[N];

	both_families(AF_INET, v4);
	both_families(AF_INET6, v6);
	for (int i = 0; i < N; i++) {
		ports4[i] = name_of(v4[i]).sin6_port;
		ports6[i] = name_of(v6[i]).sin6_port;
	}
	SAME(shutdown(shut, SHUT_RDWR), -1);

	name = name_of(v4[ASKED]);
	MUST(connect(left, (struct sockaddr *)&name, sizeof(struct sockaddr_in)));
	name = name_of(left);
	SAME(sendto(v4[ASKED], "before", 6, 0, (struct sockaddr *)&name, sizeof(struct sockaddr_in)), 6);
	MUST(connect(left, &none, sizeof(none)));

	gone = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(bind(gone, (struct sockaddr *)&peer, sizeof(peer)));
	peer.sin6_port = name_of(gone).sin6_port;
	MUST(close(gone));
	peer.sin6_addr.s6_addr[10] = peer.sin6_addr.s6_addr[11] = 0xff;
	peer.sin6_addr.s6_addr[12] = 127;
	peer.sin6_addr.s6_addr[15] = 9;
	MUST(connect(mapped, (struct sockaddr *)&peer, sizeof(peer)));
	SAME(send(mapped, "x", 1, 0), 1);
	name = name_of(mapped);
	refusal = (struct pollfd){.fd = mapped};
	SAME(poll(&refusal, 1, 10000), 1);

	scenario_wait();

	verify(AF_INET, v4, ports4);
	verify(AF_INET6, v6, ports6);
	MUST(poll(&p, 1, 0));
	SAME(p.revents, POLLIN | POLLHUP | POLLRDHUP);
	SAME(name_of(shut).sin6_port, 0);
	SAME(recv(left, got, sizeof(got), MSG_DONTWAIT), 6);
	SAME(memcmp(got, "before", 6), 0);
	SAME(name_of(left).sin6_port, 0);
	peer = name_of(mapped);
	SAME(memcmp(&peer, &name, sizeof(name)), 0);
	SAME(send(mapped, "x", 1, 0), -1);
	SAME(errno, ECONNREFUSED);
	scenario_ok();
}
