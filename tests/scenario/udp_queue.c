/* scenario-steps: ggk */
/* Datagrams waiting: their order, senders (living, gone, the receiver itself), lengths, where they were sent to. */
#include "scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int make(const char *ip, int port, struct sockaddr_in *name)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
	socklen_t len = sizeof(a);
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));

	a.sin_addr.s_addr = inet_addr(ip);
	MUST(bind(fd, (void *)&a, sizeof(a)));
	MUST(getsockname(fd, (void *)&a, &len));
	*name = a;
	return fd;
}

static void expect(int fd, const char *text, const struct sockaddr_in *from, const char *to)
{
	char got[65536], control[256];
	struct sockaddr_in a;
	struct iovec iov = { got, sizeof(got) };
	struct msghdr h = { .msg_name = &a, .msg_namelen = sizeof(a), .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *cm;

	SAME(recvmsg(fd, &h, MSG_DONTWAIT), (long)strlen(text));
	CHECK(memcmp(got, text, strlen(text)) == 0);
	SAME(ntohs(a.sin_port), ntohs(from->sin_port));
	SAME(a.sin_addr.s_addr, from->sin_addr.s_addr);
	if (!to)
		return;
	cm = CMSG_FIRSTHDR(&h);
	CHECK(cm && cm->cmsg_type == IP_PKTINFO);
	SAME(((struct in_pktinfo *)CMSG_DATA(cm))->ipi_addr.s_addr, inet_addr(to));
}

int main(void)
{
	struct sockaddr_in any, one, own, left, right, gone, big;
	static char large[60001];
	int everywhere = make("0.0.0.0", 0, &any), narrow = make("127.0.0.1", 0, &own), big_one = make("127.0.0.1", 0, &big);
	int a = make("127.0.0.1", 0, &left), b = make("127.0.0.3", 0, &right), c = make("127.0.0.1", 0, &gone), on = 1, off;

	memset(large, 'x', sizeof(large) - 1);
	MUST(setsockopt(everywhere, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)));
	one = any;
	one.sin_addr.s_addr = inet_addr("127.0.0.1");
	MUST(sendto(a, "first", 5, 0, (void *)&one, sizeof(one)));
	MUST(sendto(b, "second", 6, 0, (void *)&one, sizeof(one)));
	MUST(sendto(a, "", 0, 0, (void *)&one, sizeof(one)));
	one.sin_addr.s_addr = inet_addr("127.0.0.9");
	MUST(sendto(c, "third", 5, 0, (void *)&one, sizeof(one)));
	MUST(sendto(c, "to its name", 11, 0, (void *)&own, sizeof(own)));
	MUST(sendto(narrow, "to itself", 9, 0, (void *)&own, sizeof(own)));
	MUST(connect(narrow, (void *)&left, sizeof(left)));
	MUST(sendto(b, large, sizeof(large) - 1, 0, (void *)&big, sizeof(big)));
	MUST(sendto(b, large, sizeof(large) - 1, 0, (void *)&big, sizeof(big)));
	close(c);

	scenario_wait();

	expect(everywhere, "first", &left, "127.0.0.1");
	expect(everywhere, "second", &right, "127.0.0.1");
	expect(everywhere, "", &left, "127.0.0.1");
	expect(everywhere, "third", &gone, "127.0.0.9");
	SAME(recv(everywhere, large, 1, MSG_DONTWAIT), -1);
	SAME(errno, EAGAIN);
	expect(narrow, "to its name", &gone, NULL);
	expect(narrow, "to itself", &own, NULL);
	SAME(recv(narrow, large, 1, MSG_DONTWAIT), -1);
	expect(big_one, large, &right, NULL);
	expect(big_one, large, &right, NULL);
	MUST(send(narrow, "back", 4, 0));
	expect(a, "back", &own, NULL);
	MUST(sendto(a, "still here", 10, 0, (void *)&one, sizeof(one)));
	expect(everywhere, "still here", &left, "127.0.0.9");
	off = -2;
	socklen_t len = sizeof(off);
	MUST(getsockopt(everywhere, SOL_SOCKET, SO_PEEK_OFF, &off, &len));
	SAME(off, -1);
	SAME(close(b), 0);
	scenario_ok();
}
