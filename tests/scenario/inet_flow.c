/* The flow label in the name of an IPv6 socket's peer, over UDP and TCP. */
/* scenario-checkpoints: 2 */
#include "net.h"

#define IPV6_FLOWINFO_SEND 33

enum { DATAGRAM, STREAM, KINDS };

static struct {
	int to, from;                /* who is sent to, who sends */
	struct name peer, own;
} end[KINDS];

static int labelled(int type, struct name to, unsigned label)
{
	int fd = MUST(socket(AF_INET6, type, 0));

	net_set(fd, IPPROTO_IPV6, IPV6_FLOWINFO_SEND, 1);
	to.v6.sin6_flowinfo = htonl(label);
	MUST(connect(fd, &to.any, to.len));
	return fd;
}

int main(void)
{
	struct name any = net_name("::1", 0);
	int listener = net_listener("::1", 4);

	end[DATAGRAM].to = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(bind(end[DATAGRAM].to, &any.any, any.len));
	end[DATAGRAM].from = labelled(SOCK_DGRAM, net_own(end[DATAGRAM].to), 0x12345);
	end[STREAM].from = labelled(SOCK_STREAM, net_own(listener), 0xa4321);
	end[STREAM].to = MUST(accept(listener, NULL, NULL));
	for (int i = 0; i < KINDS; i++) {
		net_send(end[i].from, "waits");
		end[i].peer = net_peer(end[i].from);
		end[i].own = net_own(end[i].from);
	}
	SAME(ntohl(end[DATAGRAM].peer.v6.sin6_flowinfo), 0x12345);

	scenario_wait();

	for (int i = 0; i < KINDS; i++) {
		net_same(net_peer(end[i].from), end[i].peer);
		net_same(net_own(end[i].from), end[i].own);
		net_expect(end[i].to, "waits");
		net_send(end[i].from, "again");
		net_expect(end[i].to, "again");
	}
	scenario_ok();
}
