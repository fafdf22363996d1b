/*
 * Raw, ping and packet sockets: names, filters, options; they still send and receive.
 *
 * scenario-only: root
 */
#include "net.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>

#define ICMP_FILTER 1

int main(void)
{
	struct name at = net_name("127.0.0.1", 0), to = net_name("127.0.0.9", 0);
	int raw = MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), out = MUST(socket(AF_INET, SOCK_RAW, IPPROTO_RAW));
	int raw6 = MUST(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)), packet = MUST(socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP)));
	int filter = ~(1 << ICMP_ECHOREPLY), v;
	struct sockaddr_ll l = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) }, m = { 0 };
	struct icmphdr echo = { .type = ICMP_ECHO, .un.echo.id = htons(77) };
	char got[2048];
	socklen_t len;

	MUST(bind(raw, &at.any, at.len));
	MUST(setsockopt(raw, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter)));
	net_set(raw, IPPROTO_IP, IP_TTL, 33);
	l.sll_ifindex = (int)if_nametoindex("lo");
	MUST(bind(packet, (void *)&l, sizeof(l)));
	net_set(packet, SOL_PACKET, PACKET_AUXDATA, 1);
	struct packet_mreq all = { .mr_ifindex = l.sll_ifindex, .mr_type = PACKET_MR_ALLMULTI };
	MUST(setsockopt(packet, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)));

	scenario_wait();

	SAME(net_own(raw).v4.sin_addr.s_addr, at.v4.sin_addr.s_addr);
	SAME(net_get(raw, SOL_RAW, ICMP_FILTER), filter);
	SAME(net_get(raw, IPPROTO_IP, IP_TTL), 33);
	SAME(net_get(out, IPPROTO_IP, IP_HDRINCL), 1);
	SAME(net_get(raw6, SOL_SOCKET, SO_PROTOCOL), IPPROTO_ICMPV6);
	SAME(net_get(packet, SOL_PACKET, PACKET_AUXDATA), 1);
	len = sizeof(m);
	MUST(getsockname(packet, (void *)&m, &len));
	SAME(m.sll_ifindex, l.sll_ifindex);
	SAME(m.sll_protocol, l.sll_protocol);
	v = ~((echo.type << 8) + ntohs(echo.un.echo.id)) & 0xffff;
	echo.checksum = htons((unsigned short)v);
	MUST(sendto(raw, &echo, sizeof(echo), 0, &to.any, to.len));
	CHECK(net_poll(raw, POLLIN, 1000) & POLLIN);
	MUST(recv(raw, got, sizeof(got), 0));
	SAME(((struct icmphdr *)(got + 20))->type, ICMP_ECHOREPLY);
	CHECK(net_poll(packet, POLLIN, 1000) & POLLIN);
	scenario_ok();
}
