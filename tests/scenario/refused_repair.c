/*
 * A program that repairs connections itself: refused by name while it does.
 *
 * scenario-only: root
 * scenario-refused: fd 20: tcp in repair mode (TCP_REPAIR) is not supported: end it
 */
#include "net.h"

int main(void)
{
	int end[2], one = 1;

	net_pair(net_listener("127.0.0.1", 1), end);
	if (setsockopt(end[0], IPPROTO_TCP, TCP_REPAIR, &one, sizeof(one)) < 0)
		scenario_skip("no TCP_REPAIR here");
	MUST(dup2(end[0], 20));
	close(end[0]);
	scenario_wait();
	SAME(net_get(20, IPPROTO_TCP, TCP_REPAIR), 1);
	net_set(20, IPPROTO_TCP, TCP_REPAIR, 0);
	net_send(20, "on");
	net_expect(end[1], "on");
	scenario_ok();
}
