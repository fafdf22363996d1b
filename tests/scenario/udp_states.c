/* UDP: an error that waits to be told, shutdown, a connected pair, packets queued on sockets that share a port, GRO. */
#include "scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int make(int port, int share, struct sockaddr_in *name)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
	socklen_t len = sizeof(a);
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &share, sizeof(share)));
	MUST(bind(fd, (void *)&a, sizeof(a)));
	MUST(getsockname(fd, (void *)&a, &len));
	*name = a;
	return fd;
}

static short state(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

	MUST(poll(&p, 1, 0));
	return p.revents;
}

int main(void)
{
	struct sockaddr_in n, a_name, b_name, dead;
	int refused = make(0, 0, &n), gone = make(0, 0, &dead), a = make(0, 0, &a_name), b = make(0, 0, &b_name);
	int quiet = make(0, 0, &n), first = make(0, 1, &n), second, gro, one = 1, got[2] = { 0, 0 };
	char text[70000], control[64];
	struct iovec iov = { text, sizeof(text) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	short size = 1000;

	second = make(ntohs(n.sin_port), 1, &n);
	for (int i = 0; i < 8; i++) {
		int s = MUST(socket(AF_INET, SOCK_DGRAM, 0));

		MUST(sendto(s, "shared", 6, 0, (void *)&n, sizeof(n)));
		close(s);
	}
	close(gone);
	MUST(connect(refused, (void *)&dead, sizeof(dead)));
	MUST(send(refused, "x", 1, 0));
	CHECK(state(refused) & POLLERR);
	MUST(connect(a, (void *)&b_name, sizeof(b_name)));
	MUST(connect(b, (void *)&a_name, sizeof(a_name)));
	MUST(send(a, "to b", 4, 0));
	MUST(send(b, "to a", 4, 0));
	MUST(connect(quiet, (void *)&a_name, sizeof(a_name)));
	MUST(shutdown(quiet, SHUT_RDWR));
	gro = make(0, 0, &n);
	MUST(setsockopt(gro, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)));
	struct msghdr out = { .msg_name = &n, .msg_namelen = sizeof(n), .msg_iov = &(struct iovec){ text, 3000 }, .msg_iovlen = 1,
			      .msg_control = control, .msg_controllen = CMSG_SPACE(2) };
	memset(text, 'g', sizeof(text));
	memset(control, 0, sizeof(control));
	CMSG_FIRSTHDR(&out)->cmsg_level = IPPROTO_UDP;
	CMSG_FIRSTHDR(&out)->cmsg_type = UDP_SEGMENT;
	CMSG_FIRSTHDR(&out)->cmsg_len = CMSG_LEN(2);
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&out)), &size, 2);
	MUST(sendmsg(a, &(struct msghdr){ .msg_iov = out.msg_iov, .msg_iovlen = 1 }, 0)); /* a is connected: to b */
	int s = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(sendmsg(s, &out, 0));
	close(s);

	scenario_wait();

	while (recv(first, text, sizeof(text), MSG_DONTWAIT) == 6)
		got[0]++;
	while (recv(second, text, sizeof(text), MSG_DONTWAIT) == 6)
		got[1]++;
	SAME(got[0] + got[1], 8);
	CHECK(state(refused) & POLLERR);
	SAME(recv(refused, text, sizeof(text), MSG_DONTWAIT), -1);
	SAME(errno, ECONNREFUSED);
	SAME(recv(refused, text, sizeof(text), MSG_DONTWAIT), -1);
	SAME(errno, EAGAIN);
	SAME(recv(a, text, sizeof(text), MSG_DONTWAIT), 4);
	CHECK(!memcmp(text, "to a", 4));
	SAME(recv(b, text, sizeof(text), MSG_DONTWAIT), 4);
	CHECK(!memcmp(text, "to b", 4));
	SAME(recv(b, text, sizeof(text), MSG_DONTWAIT), 3000);
	MUST(send(a, "again", 5, 0));
	SAME(recv(b, text, sizeof(text), 0), 5);
	CHECK(state(quiet) & POLLRDHUP);
	SAME(send(quiet, "x", 1, MSG_NOSIGNAL), -1);
	SAME(errno, EPIPE);
	h.msg_controllen = sizeof(control);
	SAME(recvmsg(gro, &h, MSG_DONTWAIT), 3000);
	CHECK(CMSG_FIRSTHDR(&h) && CMSG_FIRSTHDR(&h)->cmsg_type == UDP_GRO);
	SAME(*(int *)CMSG_DATA(CMSG_FIRSTHDR(&h)), 1000);
	scenario_ok();
}
