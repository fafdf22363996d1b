/*
 * held_tcp.c - TCP connections that a checkpoint accepted before the program did
 *
 * As held.c, but a TCP stand-in can't carry a descriptor. The accepted socket
 * waits as a descriptor in flight in a socket pair, of which one end is kept
 * here: so a process that forks doesn't hold the connection twice. Who accepts
 * the stand-in knows it by its address and takes the socket out.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "skshim/away.h"
#include "skshim/held.h"
#include "skshim/str.h"
#include "skshim/sys.h"

#include "skshim/frozen.h"

#define KNOCK_WAIT 1000      /* ms for a connection to ourselves */
#define COOKIE 57            /* SO_COOKIE */

static struct held {
	int32_t fd;                  /* our end of the pair, 0: free */
	uint64_t cookie;             /* its own: the program may have closed it */
	struct sockaddr_in6 stand_in;
	unsigned stand_in_len;
} held[HELD_TCP_MAX];
static uint32_t nheld;               /* high-water mark */

union control {
	struct cmsghdr h;
	char room[CMSG_SPACE(sizeof(int)) + 64];
};

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	unsigned len = sizeof(cookie);

	return sys_getsockopt(fd, SOL_SOCKET, COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

static bool valid(const struct held *h)
{
	return h->fd && cookie_of(h->fd) == h->cookie;
}

bool held_tcp_owns(int fd)
{
	uint32_t i;

	for (i = 0; i < nheld; i++)
		if (held[i].fd == fd && fd)
			return valid(&held[i]);
	return false;
}

void held_tcp_forget(void)
{
	memset(held, 0, sizeof(held));
	nheld = 0;
}

static void end(struct held *h)
{
	if (valid(h))
		sys_close(h->fd);
	h->fd = 0;
}

uint32_t held_tcp_room(void)
{
	struct pollfd p = { .events = POLLIN };
	uint32_t i, n = HELD_TCP_MAX;

	for (i = 0; i < nheld; i++) {
		p.fd = held[i].fd;
		/* empty: another process, forked from this one, has taken it */
		if (held[i].fd && (!valid(&held[i]) || sys_poll(&p, 1, 0) != 1 || !(p.revents & POLLIN)))
			end(&held[i]);
		n -= held[i].fd != 0;
	}
	return n;
}

int held_tcp_knock(const void *addr, unsigned len)
{
	int fd = sys_socket(((const struct sockaddr *)addr)->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int error = 0;
	unsigned n = sizeof(error);
	long rc;

	if (fd < 0)
		return fd;
	rc = sys_connect(fd, addr, len);
	if (rc == -EINPROGRESS) {
		rc = sys_poll(&p, 1, KNOCK_WAIT) == 1 ? sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) : -ETIMEDOUT;
		rc = rc < 0 ? rc : -error;
	}
	/* a listener with TCP_DEFER_ACCEPT wants to see something */
	if (rc >= 0)
		rc = sys_sendto(fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
	if (rc >= 0)
		return fd;
	sys_close(fd);
	return (int)rc;
}

/* Into a pair; its other end. */
static int put_in_flight(int accepted, const void *peer, unsigned peer_len)
{
	union control c = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { (void *)peer, peer_len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = CMSG_SPACE(sizeof(int)) };
	int pair[2], away;
	long rc = sys_socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair);

	if (rc < 0)
		return (int)rc;
	memcpy(CMSG_DATA(&c.h), &accepted, sizeof(accepted));
	rc = sys_sendmsg(pair[0], &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	away = rc < 0 ? (int)rc : away_move(pair[1]);
	sys_close(pair[0]);
	sys_close(pair[1]);
	return away;
}

int held_tcp_put(int stand_in, int accepted, const void *peer, unsigned peer_len)
{
	struct held *h = held;
	int rc;

	while (h < held + HELD_TCP_MAX && h->fd)
		h++;
	if (h == held + HELD_TCP_MAX)
		return -ENFILE;
	h->stand_in_len = sizeof(h->stand_in);
	rc = sys_getsockname(stand_in, &h->stand_in, &h->stand_in_len);
	if (rc >= 0)
		rc = put_in_flight(accepted, peer, peer_len);
	if (rc < 0)
		return rc;
	h->fd = rc;
	h->cookie = cookie_of(rc);
	if (h - held >= (long)nheld)
		nheld = (uint32_t)(h - held) + 1;
	return 0;
}

/* By port and address, whatever the family: a client's 127.0.0.1 is ::ffff:127.0.0.1 at a listener on ::. */
static bool same_address(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
	uint8_t ip[2][16] = { { [10] = 0xff, [11] = 0xff }, { [10] = 0xff, [11] = 0xff } };
	const struct sockaddr_in6 *both[2] = { a, b };
	int i;

	for (i = 0; i < 2; i++) {
		if (both[i]->sin6_family == AF_INET)
			memcpy(ip[i] + 12, &((const struct sockaddr_in *)both[i])->sin_addr, 4);
		else
			memcpy(ip[i], &both[i]->sin6_addr, 16);
	}
	return a->sin6_port == b->sin6_port && !memcmp(ip[0], ip[1], 16);
}

int held_tcp_inside(int fd, void *peer, unsigned *peer_len)
{
	union control c;
	struct iovec iov = { peer, *peer_len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c) };
	struct sockaddr_in6 a = { 0 };
	unsigned len = sizeof(a);
	struct cmsghdr *h;
	int inside = -1;
	uint32_t i;
	long n;

	if (!nheld || sys_getpeername(fd, &a, &len) < 0 || (a.sin6_family != AF_INET && a.sin6_family != AF_INET6))
		return -1;
	for (i = 0; i < nheld; i++)
		if (held[i].fd && same_address(&a, &held[i].stand_in))
			break;
	if (i == nheld)
		return -1;
	n = valid(&held[i]) ? sys_recvmsg(held[i].fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) : -EBADF;
	end(&held[i]);
	if (n < 0)
		return -1;
	*peer_len = (unsigned)n;
	for (h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
			memcpy(&inside, CMSG_DATA(h), sizeof(inside));
	return inside;
}
