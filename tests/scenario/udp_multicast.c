/* Multicast: memberships, sources and filters, which the kernel never tells. Needs a loopback that carries multicast. */
#include "scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int make(int family, int *port)
{
	struct sockaddr_in6 a = { .sin6_family = (unsigned short)family };
	socklen_t len = sizeof(a);
	int fd = MUST(socket(family, SOCK_DGRAM, 0)), off = 0;

	MUST(bind(fd, (void *)&a, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(a)));
	MUST(getsockname(fd, (void *)&a, &len));
	*port = ntohs(a.sin6_port);
	if (family == AF_INET)
		MUST(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off)));
	return fd;
}

static void send_to(const char *source, const char *group, int port)
{
	struct sockaddr_in from = { .sin_family = AF_INET }, to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
	struct in_addr out = { htonl(INADDR_LOOPBACK) };
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));

	from.sin_addr.s_addr = inet_addr(source);
	to.sin_addr.s_addr = inet_addr(group);
	MUST(bind(fd, (void *)&from, sizeof(from)));
	MUST(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof(out)));
	MUST(sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)));
	close(fd);
}

static int arrives(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	return MUST(poll(&p, 1, 100)) == 1 && recv(fd, &c, 1, MSG_DONTWAIT) == 1;
}

int main(void)
{
	struct ip_mreq any = { .imr_interface = { htonl(INADDR_LOOPBACK) } }, left = any;
	struct ip_mreq_source one = { .imr_interface = { htonl(INADDR_LOOPBACK) } };
	struct ip_mreqn row = { .imr_ifindex = 1 };
	struct ipv6_mreq six = { .ipv6mr_interface = 1 };
	int port, port6, fd = make(AF_INET, &port), fd6 = make(AF_INET6, &port6), v;
	socklen_t len = sizeof(row);

	any.imr_multiaddr.s_addr = inet_addr("239.1.1.1");
	left.imr_multiaddr.s_addr = inet_addr("239.1.1.2");
	one.imr_multiaddr.s_addr = inet_addr("239.1.1.3");
	one.imr_sourceaddr.s_addr = inet_addr("127.0.0.5");
	MUST(inet_pton(AF_INET6, "ff05::1234", &six.ipv6mr_multiaddr));
	if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &any, sizeof(any)) < 0)
		scenario_skip("no multicast on the loopback here");
	MUST(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &left, sizeof(left)));
	MUST(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &left, sizeof(left)));
	MUST(setsockopt(fd, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &one, sizeof(one)));
	one.imr_multiaddr = any.imr_multiaddr;
	MUST(setsockopt(fd, IPPROTO_IP, IP_BLOCK_SOURCE, &one, sizeof(one)));
	MUST(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &row, sizeof(row)));
	v = 7;
	MUST(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &v, sizeof(v)));
	MUST(setsockopt(fd6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &six, sizeof(six)));

	scenario_wait();

	send_to("127.0.0.4", "239.1.1.1", port);
	CHECK(arrives(fd));
	send_to("127.0.0.5", "239.1.1.1", port);
	CHECK(!arrives(fd));
	send_to("127.0.0.4", "239.1.1.2", port);
	CHECK(!arrives(fd));
	send_to("127.0.0.4", "239.1.1.3", port);
	CHECK(!arrives(fd));
	send_to("127.0.0.5", "239.1.1.3", port);
	CHECK(arrives(fd));
	SAME(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &any, sizeof(any)), -1);
	SAME(errno, EADDRINUSE);
	MUST(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &any, sizeof(any)));
	len = sizeof(v);
	MUST(getsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &v, &len));
	SAME(v, 7);
	SAME(setsockopt(fd6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &six, sizeof(six)), -1);
	SAME(errno, EADDRINUSE);
	scenario_ok();
}
