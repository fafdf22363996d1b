/* Whether a TCP peer's end has come is told beside a waiting error, which stays: by TCP_INQ behind bytes, else by TCP_ZEROCOPY_RECEIVE. */
#include "fact.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>

/* Bytes to be read, and one more for the end, as a peek is told; there must be some. */
static int told_inq(int fd)
{
	char byte, control[64];
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int on = 1, inq;

	FACT(setsockopt(fd, IPPROTO_TCP, TCP_INQ, &on, sizeof(on)) == 0);
	FACT(recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT) == 1);
	FACT(CMSG_FIRSTHDR(&m) != NULL && CMSG_FIRSTHDR(&m)->cmsg_type == TCP_CM_INQ);
	memcpy(&inq, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(inq));
	return inq;
}

static bool ended(int fd)
{
	struct tcp_zerocopy_receive z = { 0 };
	socklen_t len = offsetof(struct tcp_zerocopy_receive, recv_skip_hint) + sizeof(z.recv_skip_hint);

	return getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &z, &len) < 0 && errno == EIO;
}

/* A connection whose peer has sent `bytes`, perhaps its end, and then a reset. */
static int reset(int listener, int bytes, bool end)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	struct linger now = { 1, 0 };
	int c = socket(AF_INET, SOCK_STREAM, 0), s;
	struct pollfd p = { .fd = c };

	FACT(getsockname(listener, (void *)&a, &len) == 0 && connect(c, (void *)&a, sizeof(a)) == 0);
	s = accept(listener, NULL, NULL);
	FACT(s >= 0 && send(s, "abcdefgh", (size_t)bytes, 0) == bytes);
	if (end)
		FACT(shutdown(s, SHUT_WR) == 0);
	FACT(setsockopt(s, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0);
	close(s);
	FACT(poll(&p, 1, 1000) == 1 && (p.revents & POLLERR));
	return c;
}

int main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	FACT(bind(listener, (void *)&a, sizeof(a)) == 0 && listen(listener, 1) == 0);
	for (int way = 0; way < 4; way++) {
		bool end = way & 1;
		int bytes = way & 2 ? 5 : 0, fd = reset(listener, bytes, end), inq = -1, error = 0;
		socklen_t len = sizeof(error);

		FACT(ioctl(fd, SIOCINQ, &inq) == 0 && inq == bytes);
		if (bytes)
			FACT(told_inq(fd) == bytes + end);
		else
			FACT(ended(fd) == end);
		FACT(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == (end ? EPIPE : ECONNRESET));
		close(fd);
	}
	return 0;
}
