/*
 * Datagrams that were sent to a multicast group or to everybody, and wait: each receiver has its own once, with its
 * sender, and the group where it asks for it. A port left over after a disconnect.
 */
#include "net.h"

#define GROUP "239.3.3.3"

static int receiver(const char *ip, int port)
{
	struct name n = net_name(ip, port);
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));

	net_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	MUST(bind(fd, &n.any, n.len));
	return fd;
}

static void join(int fd)
{
	struct ip_mreqn r = { .imr_ifindex = 1 };

	r.imr_multiaddr.s_addr = inet_addr(GROUP);
	if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof(r)) < 0)
		scenario_skip("no multicast on the loopback here");
}

static struct name send_from(const char *ip, const char *to, int port, const char *text)
{
	struct name n = net_name(ip, 0), group = net_name(to, port), own;
	struct ip_mreqn out = { .imr_ifindex = 1 };
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));

	MUST(bind(fd, &n.any, n.len));
	own = net_own(fd);
	net_set(fd, SOL_SOCKET, SO_BROADCAST, 1);
	MUST(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof(out)));
	MUST(sendto(fd, text, strlen(text), 0, &group.any, group.len));
	close(fd);
	return own;
}

static void got(int fd, const char *text, struct name from, const char *to)
{
	char data[64], control[128];
	struct iovec iov = { data, sizeof(data) };
	struct name n = { .len = 0 };
	struct msghdr h = { .msg_name = &n.any, .msg_namelen = sizeof(n.v6), .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof(control) };

	CHECK(net_poll(fd, POLLIN, 2000) & POLLIN);
	SAME(recvmsg(fd, &h, MSG_DONTWAIT), (long)strlen(text));
	CHECK(!memcmp(data, text, strlen(text)));
	n.len = h.msg_namelen;
	net_same(n, from);
	if (to)
		SAME(((struct in_pktinfo *)CMSG_DATA(CMSG_FIRSTHDR(&h)))->ipi_addr.s_addr, inet_addr(to));
}

int main(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int told = receiver("0.0.0.0", 0), port = net_port(told), one, two, all = receiver("0.0.0.0", 0), left, bound;
	struct name from[3], any = net_own(told), left_name, bound_name;

	net_set(told, IPPROTO_IP, IP_PKTINFO, 1);
	one = receiver(GROUP, 0);
	two = receiver(GROUP, net_port(one));
	join(told);
	join(one);
	join(two);
	from[0] = send_from("127.0.0.5", GROUP, port, "told");
	from[1] = send_from("127.0.0.6", GROUP, net_port(one), "both");
	from[2] = send_from("127.0.0.7", "127.255.255.255", net_port(all), "everybody");
	any.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	left = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(connect(left, &any.any, any.len));
	MUST(connect(left, &none, sizeof(none)));
	left_name = net_own(left);
	bound = receiver("127.0.0.8", 0);
	MUST(connect(bound, &any.any, any.len));
	MUST(connect(bound, &none, sizeof(none)));
	bound_name = net_own(bound);

	scenario_wait();

	got(told, "told", from[0], GROUP);
	got(one, "both", from[1], NULL);
	got(two, "both", from[1], NULL);
	got(all, "everybody", from[2], NULL);
	net_empty(told);
	net_empty(one);
	net_empty(two);
	net_empty(all);
	net_same(net_own(left), left_name);
	net_same(net_own(bound), bound_name);
	from[0] = send_from("127.0.0.5", GROUP, net_port(one), "again");
	got(one, "again", from[0], NULL);
	got(two, "again", from[0], NULL);
	scenario_ok();
}
