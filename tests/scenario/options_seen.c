/*
 * Options that are set behind the shim's back, by syscall(), and those whose setting it doesn't note because some
 * programs set them with each answer; those that an accepted socket has from its listener.
 */
#include "net.h"

#include <netinet/udp.h>
#include <sys/syscall.h>

int main(void)
{
	int plain = net_listener("127.0.0.1", 8), kept = net_listener("127.0.0.1", 8), one[2], two[2], ttl = 33;
	int udp = MUST(socket(AF_INET, SOCK_DGRAM, 0)), corked = MUST(socket(AF_INET, SOCK_DGRAM, 0));

	net_pair(plain, one);
	net_set(one[1], IPPROTO_TCP, TCP_NODELAY, 1);
	net_set(one[0], IPPROTO_TCP, TCP_CORK, 1);
	net_set(kept, SOL_SOCKET, SO_KEEPALIVE, 1);
	net_set(kept, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	net_pair(kept, two);
	MUST(syscall(SYS_setsockopt, udp, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
	net_set(corked, IPPROTO_UDP, UDP_CORK, 1);

	scenario_wait();

	SAME(net_get(one[1], IPPROTO_TCP, TCP_NODELAY), 1);
	SAME(net_get(one[1], IPPROTO_TCP, TCP_CORK), 0);
	SAME(net_get(one[0], IPPROTO_TCP, TCP_CORK), 1);
	SAME(net_get(one[0], IPPROTO_TCP, TCP_NODELAY), 0);
	SAME(net_get(kept, IPPROTO_TCP, TCP_KEEPIDLE), 77);
	SAME(net_get(two[1], SOL_SOCKET, SO_KEEPALIVE), 1);
	SAME(net_get(two[1], IPPROTO_TCP, TCP_KEEPIDLE), 77);
	SAME(net_get(two[0], SOL_SOCKET, SO_KEEPALIVE), 0);
	SAME(net_get(udp, IPPROTO_IP, IP_TTL), 33);
	SAME(net_get(corked, IPPROTO_UDP, UDP_CORK), 1);
	scenario_ok();
}
