/* UDP sockets: unbound, bound, connected with and without bind, disconnected, IPv6 with and without IPv4, shared ports. */
#include "scenario.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define SOCKETS 9

struct names {
	struct sockaddr_in6 own, peer;
	socklen_t own_len, peer_len;
};

static int fds[SOCKETS];

static void look(struct names *n)
{
	memset(n, 0, sizeof(*n) * SOCKETS);
	for (int i = 0; i < SOCKETS; i++) {
		n[i].own_len = n[i].peer_len = sizeof(n[i].own);
		MUST(getsockname(fds[i], (void *)&n[i].own, &n[i].own_len));
		if (getpeername(fds[i], (void *)&n[i].peer, &n[i].peer_len) < 0)
			n[i].peer_len = 0;
	}
}

static struct sockaddr_in v4(const char *ip, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };

	a.sin_addr.s_addr = inet_addr(ip);
	return a;
}

static int make(int family, int port, int share)
{
	struct sockaddr_in6 a = { .sin6_family = (unsigned short)family, .sin6_port = htons((unsigned short)port) };
	int fd = MUST(socket(family, SOCK_DGRAM, 0));

	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &share, sizeof(share)));
	if (port >= 0)
		MUST(bind(fd, (void *)&a, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(a)));
	return fd;
}

int main(void)
{
	static struct names before[SOCKETS], after[SOCKETS];
	struct sockaddr_in to = v4("127.0.0.1", 9), none = { .sin_family = AF_UNSPEC };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct timeval second = { 1, 0 };
	int on = 1, off = 0, port, v = 0;
	socklen_t len = sizeof(v);
	char got[8];

	fds[0] = make(AF_INET, -1, 0);
	fds[1] = make(AF_INET, 0, 0);
	fds[2] = make(AF_INET, -1, 0);
	MUST(connect(fds[2], (void *)&to, sizeof(to)));
	fds[3] = make(AF_INET, 0, 0);
	MUST(connect(fds[3], (void *)&to, sizeof(to)));
	fds[4] = make(AF_INET, 0, 0);
	MUST(connect(fds[4], (void *)&to, sizeof(to)));
	MUST(connect(fds[4], (void *)&none, sizeof(none)));
	fds[5] = make(AF_INET6, 0, 0);
	fds[6] = make(AF_INET6, -1, 0);
	MUST(setsockopt(fds[6], IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)));
	MUST(connect(fds[6], (void *)&to6, sizeof(to6)));
	fds[7] = make(AF_INET, 0, 1);
	MUST(getsockname(fds[7], (void *)&to, &(socklen_t){ sizeof(to) }));
	port = ntohs(to.sin_port);
	fds[8] = make(AF_INET, port, 1);
	MUST(setsockopt(fds[8], SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)));
	MUST(setsockopt(fds[7], SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)));
	look(before);

	scenario_wait();

	look(after);
	for (int i = 0; i < SOCKETS; i++)
		if (memcmp(&before[i], &after[i], sizeof(before[i])))
			FAIL("socket %d has other names", i);
	MUST(getsockopt(fds[6], IPPROTO_IPV6, IPV6_V6ONLY, &v, &len));
	SAME(v, 1);
	MUST(getsockopt(fds[7], SOL_SOCKET, SO_REUSEADDR, &v, &len));
	SAME(v, 1);
	MUST(getsockopt(fds[1], SOL_SOCKET, SO_REUSEADDR, &v, &len));
	SAME(v, 0);
	MUST(getsockopt(fds[7], SOL_SOCKET, SO_BROADCAST, &v, &len));
	SAME(v, 1);
	/* the last one bound is preferred */
	to = v4("127.0.0.1", port);
	MUST(sendto(fds[0], "last", 4, 0, (void *)&to, sizeof(to)));
	SAME(recv(fds[8], got, sizeof(got), 0), 4);
	/* what was connected without being bound lets go of its address */
	MUST(connect(fds[3], (void *)&none, sizeof(none)));
	MUST(getsockname(fds[3], (void *)&to, &(socklen_t){ sizeof(to) }));
	SAME(to.sin_addr.s_addr, 0);
	SAME(off, 0);
	scenario_ok();
}
