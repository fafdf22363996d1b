/* MPTCP: a listener that accepts from plain TCP, one that is only made. */
#include "net.h"

int main(void)
{
	int l = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP), fresh = socket(AF_INET6, SOCK_STREAM, IPPROTO_MPTCP), p[2];
	struct name n = net_name("127.0.0.1", 0);

	if (l < 0)
		scenario_skip("no MPTCP here");
	MUST(bind(l, &n.any, n.len));
	MUST(listen(l, 9));
	n = net_own(l);

	scenario_wait();

	net_same(n, net_own(l));
	SAME(net_get(l, SOL_SOCKET, SO_PROTOCOL), IPPROTO_MPTCP);
	SAME(net_get(fresh, SOL_SOCKET, SO_PROTOCOL), IPPROTO_MPTCP);
	p[0] = net_connect("127.0.0.1", net_port(l));
	p[1] = MUST(accept(l, NULL, NULL));
	net_send(p[0], "plain");
	net_expect(p[1], "plain");
	scenario_ok();
}
