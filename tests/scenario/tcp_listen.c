/* Listening sockets of every kind, bound ones that don't listen, a fresh one; backlog and who shares a port with whom. */
#include "net.h"

#define SOCKETS 11

static int backlog_of(int fd)
{
	struct tcp_info i;
	socklen_t len = sizeof(i);

	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len));
	return (int)i.tcpi_sacked;
}

int main(void)
{
	struct name before[SOCKETS], n;
	int s[SOCKETS], port, fd;

	s[0] = net_listener("0.0.0.0", 7);
	s[1] = net_listener("127.0.0.1", 128);
	s[2] = net_listener("::1", 50);
	s[3] = net_listener("::", 33);                  /* both families */
	s[4] = net_listener("::ffff:127.0.0.1", 12);
	port = net_port(s[0]);
	s[5] = MUST(socket(AF_INET6, SOCK_STREAM, 0));  /* IPv6 beside IPv4 on one port */
	net_set(s[5], IPPROTO_IPV6, IPV6_V6ONLY, 1);
	n = net_name("::", port);
	MUST(bind(s[5], &n.any, n.len));
	MUST(listen(s[5], 9));
	s[6] = net_bound("127.0.0.3", net_port(s[1]));  /* one port, another address */
	MUST(listen(s[6], 3));
	s[7] = net_bound("127.0.0.1", 0);
	s[8] = MUST(socket(AF_INET, SOCK_STREAM, 0));
	for (int i = 9; i < 11; i++) {
		s[i] = MUST(socket(AF_INET, SOCK_STREAM, 0));
		net_set(s[i], SOL_SOCKET, SO_REUSEPORT, 1);
		n = i == 9 ? net_name("127.0.0.1", 0) : net_own(s[9]);
		MUST(bind(s[i], &n.any, n.len));
		MUST(listen(s[i], 5));
	}
	net_set(s[1], SOL_SOCKET, SO_REUSEADDR, 1);
	for (int i = 0; i < SOCKETS; i++)
		before[i] = net_own(s[i]);

	scenario_wait();

	for (int i = 0; i < SOCKETS; i++)
		net_same(before[i], net_own(s[i]));
	SAME(backlog_of(s[0]), 7);
	SAME(backlog_of(s[1]), 128);
	SAME(backlog_of(s[5]), 9);
	SAME(net_get(s[5], IPPROTO_IPV6, IPV6_V6ONLY), 1);
	SAME(net_get(s[3], IPPROTO_IPV6, IPV6_V6ONLY), 0);
	SAME(net_get(s[0], SOL_SOCKET, SO_REUSEADDR), 0);
	SAME(net_get(s[1], SOL_SOCKET, SO_REUSEADDR), 1);
	SAME(net_get(s[10], SOL_SOCKET, SO_REUSEPORT), 1);
	fd = net_connect("127.0.0.1", port);
	close(MUST(accept(s[0], NULL, NULL)));
	close(fd);
	fd = net_connect("::1", port);
	close(MUST(accept(s[5], NULL, NULL)));
	close(fd);
	fd = net_connect("127.0.0.1", net_port(s[3]));
	close(MUST(accept(s[3], NULL, NULL)));
	close(fd);
	MUST(listen(s[7], 2));
	fd = net_connect("127.0.0.1", net_port(s[7]));
	close(fd);
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	SAME(bind(fd, &before[0].any, before[0].len), -1);
	SAME(errno, EADDRINUSE);
	SAME(net_poll(s[8], POLLIN, 0), POLLHUP);
	n = net_name("127.0.0.1", port);
	MUST(connect(s[8], &n.any, n.len));
	scenario_ok();
}
