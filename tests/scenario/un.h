/*
 * un.h - short words for scenarios about unix sockets
 *
 * Names are written as people do: "@name" is abstract, "-" is none.
 */
#ifndef SCENARIO_UN_H
#define SCENARIO_UN_H

#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static inline socklen_t un_addr(const char *name, struct sockaddr_un *a)
{
	size_t n = strlen(name);

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, name, n);
	if (name[0] == '@')
		a->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] != '@'));
}

static inline int un_socket(int type)
{
	return MUST(socket(AF_UNIX, type, 0));
}

static inline int un_bound(int type, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = un_addr(name, &a);
	int fd = un_socket(type);

	MUST(bind(fd, (struct sockaddr *)&a, len));
	return fd;
}

static inline int un_listener(int type, const char *name, int backlog)
{
	int fd = un_bound(type, name);

	MUST(listen(fd, backlog));
	return fd;
}

static inline int un_connect(int fd, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = un_addr(name, &a);

	return connect(fd, (struct sockaddr *)&a, len);
}

static inline int un_connected(int type, const char *name)
{
	int fd = un_socket(type);

	MUST(un_connect(fd, name));
	return fd;
}

static inline const char *un_text(const struct sockaddr_un *a, socklen_t len)
{
	static char text[8][140];
	static int turn;
	char *t = text[turn++ % 8];

	if (len <= sizeof(a->sun_family))
		return "-";
	len -= (socklen_t)sizeof(a->sun_family);
	snprintf(t, 140, "%.*s", (int)len, a->sun_path[0] ? a->sun_path : "@");
	if (!a->sun_path[0])
		snprintf(t, 140, "@%.*s", (int)len - 1, a->sun_path + 1);
	return t;
}

/* getsockname and getpeername; "ENOTCONN" for one that isn't connected. */
static inline const char *un_name(int fd)
{
	struct sockaddr_un a = { 0 };
	socklen_t len = sizeof(a);

	MUST(getsockname(fd, (struct sockaddr *)&a, &len));
	return un_text(&a, len);
}

static inline const char *un_peer(int fd)
{
	struct sockaddr_un a = { 0 };
	socklen_t len = sizeof(a);

	if (getpeername(fd, (struct sockaddr *)&a, &len) < 0)
		return errno == ENOTCONN ? "ENOTCONN" : "?";
	return un_text(&a, len);
}

/* What one recv gives without waiting: the bytes as text, or the name of the error. */
static inline const char *un_recv(int fd)
{
	static char text[4][70000];
	static int turn;
	char *t = text[turn++ % 4];
	ssize_t n = recv(fd, t, sizeof(text[0]) - 1, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN ? "EAGAIN" : errno == ECONNRESET ? "ECONNRESET" : "error";
	t[n] = '\0';
	return t;
}

static inline void un_send(int fd, const char *text)
{
	SAME(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static inline void un_send_to(int fd, const char *text, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = un_addr(name, &a);

	SAME(sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a, len), strlen(text));
}

/* One datagram: its text and its sender must be these. */
static inline void un_datagram(int fd, const char *text, const char *sender)
{
	struct sockaddr_un a = { 0 };
	socklen_t len = sizeof(a);
	char got[300] = "";
	ssize_t n = recvfrom(fd, got, sizeof(got) - 1, MSG_DONTWAIT, (struct sockaddr *)&a, &len);

	if (n < 0 || strcmp(got, text) != 0 || strcmp(un_text(&a, len), sender) != 0)
		FAIL("datagram \"%s\" from %s instead of \"%s\" from %s", got, un_text(&a, len), text, sender);
}

static inline short un_poll(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };

	MUST(poll(&p, 1, 0));
	return p.revents;
}

/* A client and the socket that was accepted for it. */
static inline void un_meet(int listener, int type, const char *name, int *client, int *server)
{
	*client = un_connected(type, name);
	*server = MUST(accept(listener, NULL, NULL));
}

static inline struct ucred un_cred(int fd)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	MUST(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	return cred;
}

static inline void un_send_fds(int fd, const char *text, const int *fds, int n)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(253 * sizeof(int))];
	} c;
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c,
			    .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int)) };

	memset(&c, 0, sizeof(c));
	c.h.cmsg_level = SOL_SOCKET;
	c.h.cmsg_type = SCM_RIGHTS;
	c.h.cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	memcpy(CMSG_DATA(&c.h), fds, (size_t)n * sizeof(int));
	SAME(sendmsg(fd, &m, MSG_NOSIGNAL), strlen(text));
}

/* Receives up to `room` bytes; returns how many descriptors came. */
static inline int un_recv_fds(int fd, char *text, size_t room, int *fds)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(253 * sizeof(int))];
	} c;
	struct iovec iov = { text, room };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c) };
	struct cmsghdr *h;
	int n = 0;

	text[MUST(recvmsg(fd, &m, MSG_DONTWAIT))] = '\0';
	CHECK(!(m.msg_flags & MSG_CTRUNC));
	for (h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
			n = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fds, CMSG_DATA(h), (size_t)n * sizeof(int));
		}
	return n;
}

/* Two texts that must be the same; both are shown. */
#define TEXT(a, b) \
	do { \
		const char *a_ = (a), *b_ = (b); \
		if (strcmp(a_, b_) != 0) \
			FAIL("%s is \"%s\", not \"%s\"", #a, a_, b_); \
	} while (0)

#endif
