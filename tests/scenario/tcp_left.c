/*
 * Connections whose other end has closed, and has been read to its end, with and without the listener: what the killed
 * program leaves of them is TIME_WAIT at addresses that no socket of the image has. Restarted at once.
 *
 * scenario-checkpoints: 3
 * scenario-limit: 30
 */
#include "net.h"

#define PAIRS 40

static int ends[4][PAIRS];

/* `closes`: 0 the connecting end, 1 the accepted one. */
static void make(int which, const char *ip, int closes)
{
	int l = net_listener(ip, PAIRS), e[2];

	for (int i = 0; i < PAIRS; i++) {
		net_pair(l, e);
		net_send(e[closes], "last");
		close(e[closes]);
		net_await(e[!closes], TCP_CLOSE_WAIT);
		net_expect(e[!closes], "last");
		ends[which][i] = e[!closes];
	}
	if (closes)
		close(l);
}

int main(void)
{
	for (int i = 0; i < 4; i++)
		make(i, i & 1 ? "::1" : "127.0.0.1", i >> 1);
	scenario_wait();
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < PAIRS; k++) {
			net_eof(ends[i][k]);
			SAME(net_state(ends[i][k]), TCP_CLOSE_WAIT);
		}
	scenario_ok();
}
