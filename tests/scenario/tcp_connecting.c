/* connect that is still trying, since the listener's backlog is full; one that was refused and not told yet. */
#include "net.h"

int main(void)
{
	int l = net_listener("127.0.0.1", 0), dead = net_bound("127.0.0.1", 0), fill[2], trying, refused, got;
	struct name n = net_own(l), d = net_own(dead);
	char x;

	fill[0] = net_connect("127.0.0.1", net_port(l));
	fill[1] = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	trying = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	SAME(connect(trying, &n.any, n.len), -1);
	SAME(errno, EINPROGRESS);
	if (net_poll(trying, POLLOUT, 200) & POLLOUT) {
		int more = trying; /* there was room for one more */

		trying = fill[1];
		fill[1] = more;
		SAME(connect(trying, &n.any, n.len), -1);
		SAME(errno, EINPROGRESS);
	}
	SAME(net_state(trying), TCP_SYN_SENT);
	refused = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	SAME(connect(refused, &d.any, d.len), -1);
	SAME(errno, EINPROGRESS);
	CHECK(net_poll(refused, POLLOUT, 1000) & POLLERR);

	scenario_wait();

	CHECK(net_poll(refused, POLLOUT, 0) & POLLERR);
	SAME(net_get(refused, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
	SAME(connect(refused, &d.any, d.len), -1);
	CHECK(errno == EINPROGRESS || errno == ECONNREFUSED || errno == ECONNABORTED);
	for (int i = 0; i < 3; i++) {
		if (!(net_poll(l, POLLIN, 8000) & POLLIN))
			break;
		got = MUST(accept(l, NULL, NULL));
		close(got);
		if (net_poll(trying, POLLOUT, 0) & POLLOUT)
			break;
	}
	CHECK(net_poll(trying, POLLOUT, 8000) & POLLOUT);
	SAME(net_get(trying, SOL_SOCKET, SO_ERROR), 0);
	CHECK(net_peer(trying).len != 0 || recv(trying, &x, 1, 0) == 0);
	scenario_ok();
}
