/* Connections nobody has accepted yet: in order, by name; one whose client has ended; going on, accept returns them all. */
#include "net.h"

int main(void)
{
	int l = net_listener("127.0.0.1", 20), wide = net_listener("::", 20), fds[6];
	struct name n = net_own(l), own[6], from;
	int got;

	for (int i = 0; i < 4; i++) {
		fds[i] = MUST(socket(AF_INET, SOCK_STREAM, 0));
		if (i == 2) {
			struct name b = net_name("127.0.0.7", 0);

			MUST(bind(fds[i], &b.any, b.len));
		}
		MUST(connect(fds[i], &n.any, n.len));
	}
	MUST(shutdown(fds[3], SHUT_WR));
	fds[4] = net_connect("127.0.0.1", net_port(wide));
	fds[5] = net_connect("::1", net_port(wide));
	for (int i = 0; i < 6; i++)
		own[i] = net_own(fds[i]);

	scenario_wait();

	CHECK(net_poll(l, POLLIN, 0) & POLLIN);
	for (int i = 0; i < 4; i++) {
		from.len = sizeof(from.v6);
		got = MUST(accept(l, &from.any, &from.len));
		net_same(from, own[i]);
		if (i == 3) {
			net_eof(got);
		} else {
			net_send(fds[i], "hello");
			net_expect(got, "hello");
		}
		net_send(got, "back");
		net_expect(fds[i], "back");
		close(got);
	}
	SAME(net_poll(l, POLLIN, 0), 0);
	for (int i = 4; i < 6; i++) {
		got = MUST(accept(wide, NULL, NULL));
		net_send(got, "wide");
		net_expect(fds[i], "wide");
	}
	SAME(net_poll(wide, POLLIN, 0), 0);
	scenario_ok();
}
