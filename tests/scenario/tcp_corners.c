/* Fewer bytes than SO_RCVLOWAT, which poll doesn't show; a name without a port; a listener that was shut down; a connection that was dissolved. */
#include "net.h"

int main(void)
{
	int l = net_listener("127.0.0.1", 5), a[2], e[2], c = MUST(socket(AF_INET, SOCK_STREAM, 0)), d = net_listener("127.0.0.1", 3);
	struct name n = net_name("127.0.0.5", 0), dn;
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	char b[4];

	net_pair(l, a);
	net_send(a[0], "0123456789");
	SAME(recv(a[1], b, 4, 0), 4);
	net_set(a[1], SOL_SOCKET, SO_RCVLOWAT, 100);
	net_set(c, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	MUST(bind(c, &n.any, n.len));
	MUST(shutdown(d, SHUT_RD));
	dn = net_own(d);
	net_pair(l, e);
	MUST(connect(e[0], &nobody, sizeof(nobody)));

	scenario_wait();

	SAME(net_poll(a[1], POLLIN, 0), 0);
	SAME(net_get(a[1], SOL_SOCKET, SO_RCVLOWAT), 100);
	net_set(a[1], SOL_SOCKET, SO_RCVLOWAT, 1);
	net_expect(a[1], "456789");
	net_same(dn, net_own(d));
	MUST(listen(d, 3));
	SAME(net_own(c).v4.sin_addr.s_addr, n.v4.sin_addr.s_addr);
	SAME(net_port(c), 0);
	n = net_own(l);
	MUST(connect(c, &n.any, n.len));
	SAME(net_own(c).v4.sin_addr.s_addr, net_name("127.0.0.5", 0).v4.sin_addr.s_addr);
	close(MUST(accept(l, NULL, NULL)));
	MUST(connect(e[0], &n.any, n.len));
	net_send(e[0], "again");
	net_expect(MUST(accept(l, NULL, NULL)), "again");
	scenario_ok();
}
