/*
 * tcp_forge.c - the end that a peer has sent, once more
 *
 * A connection whose peer has ended goes on where it was, but for the end
 * itself: TCP_REPAIR has no way to put one into a queue, and the peer, which
 * knows that it arrived, doesn't send it again. So a packet is made that looks
 * as if the peer had sent it, and is routed to ourselves. It needs CAP_NET_RAW.
 */
#include <asm/errno.h>
#include <netinet/in.h>      /* before the kernel's, which then leave it alone */

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include "tcp.h"

#include "skshim/frozen.h"

#define IPV6_HDRINCL_ 36

static uint32_t sum(uint32_t s, const void *p, size_t n)
{
	const uint8_t *b = p;
	size_t i;

	for (i = 0; i + 1 < n; i += 2)
		s += (uint32_t)b[i] << 8 | b[i + 1];
	return s;
}

static uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return htons((uint16_t)~s);
}

static int send_raw(int family, const void *p, size_t n, const void *to, unsigned to_len)
{
	int fd = sys_socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	long rc;

	if (fd < 0)
		return fd;
	if (family == AF_INET6)
		(void)sockopt_set(fd, IPPROTO_IPV6, IPV6_HDRINCL_, 1);
	rc = sys_sendto(fd, p, n, MSG_NOSIGNAL, to, to_len);
	sys_close(fd);
	return rc < 0 ? (int)rc : 0;
}

int tcp_forge_end(const struct inet_key *own, const struct inet_key *peer, uint32_t scope, uint32_t seq, uint32_t ack)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct tcphdr t = { .source = htons(peer->port), .dest = htons(own->port), .seq = htonl(seq), .ack_seq = htonl(ack),
			    .doff = sizeof(t) / 4, .fin = 1, .ack = 1, .window = htons(1024) };
	bool v4 = !memcmp(own->ip, mapped, sizeof(mapped));
	size_t skip = v4 ? 12 : 0, n = 16 - skip;
	uint32_t s = IPPROTO_TCP + sizeof(t);
	struct sockaddr_in to4 = { .sin_family = AF_INET };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_scope_id = scope };
	char packet[sizeof(struct ipv6hdr) + sizeof(t)];

	s = sum(sum(s, own->ip + skip, n), peer->ip + skip, n);
	t.check = fold(sum(s, &t, sizeof(t)));
	if (v4) {
		struct iphdr h = { .version = 4, .ihl = sizeof(h) / 4, .tot_len = htons(sizeof(h) + sizeof(t)), .ttl = 64,
				   .protocol = IPPROTO_TCP };

		memcpy(&h.saddr, peer->ip + skip, n);
		memcpy(&h.daddr, own->ip + skip, n);
		memcpy(&to4.sin_addr, own->ip + skip, n);
		memcpy(packet, &h, sizeof(h));
		memcpy(packet + sizeof(h), &t, sizeof(t));
		return send_raw(AF_INET, packet, sizeof(h) + sizeof(t), &to4, sizeof(to4));
	}
	struct ipv6hdr h = { .version = 6, .payload_len = htons(sizeof(t)), .nexthdr = IPPROTO_TCP, .hop_limit = 64 };

	memcpy(&h.saddr, peer->ip, n);
	memcpy(&h.daddr, own->ip, n);
	memcpy(&to6.sin6_addr, own->ip, n);
	memcpy(packet, &h, sizeof(h));
	memcpy(packet + sizeof(h), &t, sizeof(t));
	return send_raw(AF_INET6, packet, sizeof(h) + sizeof(t), &to6, sizeof(to6));
}
