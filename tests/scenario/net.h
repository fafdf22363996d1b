/*
 * net.h - short words for scenarios about internet sockets
 */
#ifndef SCENARIO_NET_H
#define SCENARIO_NET_H

#include "scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct name {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};

static inline struct name net_name(const char *ip, int port)
{
	struct name n = { .len = 0 };

	if (inet_pton(AF_INET, ip, &n.v4.sin_addr) == 1) {
		n.v4.sin_family = AF_INET;
		n.v4.sin_port = htons((unsigned short)port);
		n.len = sizeof(n.v4);
	} else {
		memset(&n, 0, sizeof(n));
		CHECK(inet_pton(AF_INET6, ip, &n.v6.sin6_addr) == 1);
		n.v6.sin6_family = AF_INET6;
		n.v6.sin6_port = htons((unsigned short)port);
		n.len = sizeof(n.v6);
	}
	return n;
}

static inline struct name net_own(int fd)
{
	struct name n = { .len = sizeof(n.v6) };

	MUST(getsockname(fd, &n.any, &n.len));
	return n;
}

/* len 0: not connected. */
static inline struct name net_peer(int fd)
{
	struct name n = { .len = sizeof(n.v6) };

	if (getpeername(fd, &n.any, &n.len) < 0)
		n.len = 0;
	return n;
}

static inline int net_port(int fd)
{
	return ntohs(net_own(fd).v4.sin_port);
}

static inline void net_same(struct name a, struct name b)
{
	SAME(a.len, b.len);
	CHECK(memcmp(&a.any, &b.any, a.len) == 0);
}

static inline int net_bound(const char *ip, int port)
{
	struct name n = net_name(ip, port);
	int fd = MUST(socket(n.any.sa_family, SOCK_STREAM, 0));

	MUST(bind(fd, &n.any, n.len));
	return fd;
}

static inline int net_listener(const char *ip, int backlog)
{
	int fd = net_bound(ip, 0);

	MUST(listen(fd, backlog));
	return fd;
}

static inline int net_connect(const char *ip, int port)
{
	struct name n = net_name(ip, port);
	int fd = MUST(socket(n.any.sa_family, SOCK_STREAM, 0));

	MUST(connect(fd, &n.any, n.len));
	return fd;
}

/* A connection: end[0] connected, end[1] accepted. */
static inline void net_pair(int listener, int end[2])
{
	struct name n = net_own(listener);
	static const unsigned char zero[16];

	if (n.any.sa_family == AF_INET && !n.v4.sin_addr.s_addr)
		n.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (n.any.sa_family == AF_INET6 && !memcmp(&n.v6.sin6_addr, zero, 16))
		n.v6.sin6_addr = in6addr_loopback;
	end[0] = MUST(socket(n.any.sa_family, SOCK_STREAM, 0));
	MUST(connect(end[0], &n.any, n.len));
	end[1] = MUST(accept(listener, NULL, NULL));
}

/* Waits up to a second for any of `events`; gives what poll says. */
static inline short net_poll(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	MUST(poll(&p, 1, ms));
	return p.revents;
}

/* The next bytes are `text`, which may come in pieces. */
static inline void net_expect(int fd, const char *text)
{
	char got[4096];
	size_t n = 0, want = strlen(text);

	while (n < want) {
		ssize_t rc;

		CHECK(net_poll(fd, POLLIN, 2000) & POLLIN);
		rc = recv(fd, got + n, want - n, MSG_DONTWAIT);
		if (rc <= 0)
			FAIL("'%s' expected, %zd after '%.*s'", text, rc, (int)n, got);
		n += (size_t)rc;
	}
	if (memcmp(got, text, want))
		FAIL("'%s' expected, not '%.*s'", text, (int)n, got);
}

/* Nothing to read, but still connected. */
static inline void net_empty(int fd)
{
	char c;

	SAME(recv(fd, &c, 1, MSG_DONTWAIT), -1);
	SAME(errno, EAGAIN);
}

static inline void net_eof(int fd)
{
	char c;

	CHECK(net_poll(fd, POLLIN, 2000) & POLLIN);
	SAME(recv(fd, &c, 1, MSG_DONTWAIT), 0);
}

static inline void net_send(int fd, const char *text)
{
	SAME(send(fd, text, strlen(text), MSG_NOSIGNAL), (long)strlen(text));
}

static inline int net_get(int fd, int level, int name)
{
	int v = 0;
	socklen_t len = sizeof(v);

	MUST(getsockopt(fd, level, name, &v, &len));
	return v;
}

static inline void net_set(int fd, int level, int name, int v)
{
	MUST(setsockopt(fd, level, name, &v, sizeof(v)));
}

static inline int net_state(int fd)
{
	struct tcp_info i;
	socklen_t len = sizeof(i);

	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len));
	return i.tcpi_state;
}

/* Waits for a state of the kernel's. */
static inline void net_await(int fd, int state)
{
	for (int i = 0; i < 2000 && net_state(fd) != state; i++)
		usleep(1000);
	SAME(net_state(fd), state);
}

#endif
