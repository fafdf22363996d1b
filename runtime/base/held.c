/*
 * held.c - connections that a checkpoint accepted before the program did
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "skshim/held.h"
#include "skshim/str.h"
#include "skshim/sys.h"

#include "skshim/frozen.h"

#define MARK "skshim/held/"
#define MARK_LEN (sizeof(MARK) - 1)

union control {
	struct cmsghdr h;
	char room[CMSG_SPACE(sizeof(int)) + 64];
};

static bool is_stand_in(int fd)
{
	struct sockaddr_un a;
	unsigned len = sizeof(a);

	return sys_getpeername(fd, &a, &len) == 0 && a.sun_family == AF_UNIX && len > 3 + MARK_LEN && len <= sizeof(a) &&
	       !a.sun_path[0] && !memcmp(a.sun_path + 1, MARK, MARK_LEN);
}

int held_inside(int fd)
{
	union control c;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c) };
	struct cmsghdr *h;
	int inside = -1;

	if (!is_stand_in(fd) || sys_recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
		return -1;
	for (h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
			memcpy(&inside, CMSG_DATA(h), sizeof(inside));
	return inside;
}

/* `inside` takes the number fd. */
static void exchange(int fd, int inside, int flags)
{
	sys_dup3(inside, fd, flags & SOCK_CLOEXEC ? O_CLOEXEC : 0);
	if (flags & SOCK_NONBLOCK)
		sys_fcntl(fd, F_SETFL, sys_fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
	sys_close(inside);
}

bool held_exchange(int fd, int flags, void *peer, unsigned *peer_len)
{
	unsigned len = *peer_len;
	int inside = held_tcp_inside(fd, peer, peer_len);

	if (inside >= 0) {
		exchange(fd, inside, flags);
		return true;
	}
	*peer_len = len;
	inside = held_inside(fd);
	if (inside < 0)
		return false;
	exchange(fd, inside, flags);
	return sys_getpeername(fd, peer, peer_len) >= 0 || !(*peer_len = 0);
}

int held_put(int accepted, int type, uint64_t cookie, const void *addr, unsigned len)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	union control c = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { "", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c,
			    .msg_controllen = CMSG_SPACE(sizeof(int)) };
	int fd = sys_socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unsigned n;
	long rc;

	if (fd < 0)
		return fd;
	n = (unsigned)text_format(a.sun_path + 1, sizeof(a.sun_path) - 1, MARK "%lx", (unsigned long)cookie);
	rc = sys_bind(fd, &a, 3 + n);
	if (rc >= 0)
		rc = sys_connect(fd, addr, len);
	memcpy(CMSG_DATA(&c.h), &accepted, sizeof(accepted));
	if (rc >= 0)
		rc = sys_sendmsg(fd, &m, MSG_NOSIGNAL);
	sys_close(fd);
	return rc < 0 ? (int)rc : 0;
}
