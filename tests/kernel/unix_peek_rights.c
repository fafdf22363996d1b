/* A peek at a unix stream joins what was sent before descriptors with what they came with; the sender's charge tells that it was more than one. */
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "fact.h"

static int charge(int fd)
{
	int n = 0;

	FACT(ioctl(fd, SIOCOUTQ, &n) == 0);
	return n;
}

int main(void)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} c = { .h = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { "R", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c) };
	int pair[2], whole[2], fd = 0;
	char buf[10];

	FACT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, whole) == 0);
	memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
	FACT(send(pair[0], "pre", 3, 0) == 3 && sendmsg(pair[0], &m, 0) == 1);
	iov = (struct iovec){ buf, 2 };
	FACT(recvmsg(pair[1], &m, MSG_PEEK) == 2 && m.msg_controllen > 0);
	iov.iov_len = sizeof(buf);
	m.msg_controllen = sizeof(c);
	FACT(recvmsg(pair[1], &m, MSG_PEEK) == 4 && memcmp(buf, "preR", 4) == 0 && m.msg_controllen > 0);
	FACT(send(whole[0], "preR", 4, 0) == 4 && charge(whole[0]) < charge(pair[0]));
	/* a read gives them with the byte they came with */
	iov.iov_len = 3;
	m.msg_controllen = sizeof(c);
	FACT(recvmsg(pair[1], &m, 0) == 3 && m.msg_controllen == 0);
	m.msg_controllen = sizeof(c);
	FACT(recvmsg(pair[1], &m, 0) == 1 && m.msg_controllen > 0);
	return 0;
}
