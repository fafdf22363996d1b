/*
 * udp_forge.c - a datagram from an address that somebody else has
 *
 * The sender of a datagram that waited may be alive, outside the tree, with its
 * port. Then there is no stand-in with its address, but a raw socket may send
 * whatever it likes (CAP_NET_RAW): the whole packet is made here. The loopback
 * doesn't ask where a packet that this machine sends to itself comes from.
 */
#include <asm/errno.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <sys/mman.h>

#include "udp.h"

#include "skshim/frozen.h"

#define ROOM (68ul << 10)

struct sums {
	uint32_t sum;
};

/* One's complement sum of 16-bit words in network order; odd lengths only at the end. */
static void sum_add(struct sums *s, const void *p, size_t n)
{
	const uint8_t *b = p;
	size_t i;

	for (i = 0; i + 1 < n; i += 2)
		s->sum += (uint32_t)b[i] << 8 | b[i + 1];
	if (n & 1)
		s->sum += (uint32_t)b[n - 1] << 8;
	s->sum = (s->sum & 0xffff) + (s->sum >> 16);
}

static uint16_t sum_end(struct sums s)
{
	uint16_t v;

	while (s.sum >> 16)
		s.sum = (s.sum & 0xffff) + (s.sum >> 16);
	v = (uint16_t)~s.sum;
	return htons(v ? v : 0xffff); /* 0 would mean: none */
}

static const void *address(const union inet_addr *a, size_t *n)
{
	*n = a->any.sa_family == AF_INET ? 4 : 16;
	return a->any.sa_family == AF_INET ? (const void *)&a->v4.sin_addr : (const void *)&a->v6.sin6_addr;
}

static uint16_t port(const union inet_addr *a)
{
	return a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port;
}

/* The UDP header and the bytes, at `out`. */
static size_t put_datagram(char *out, const struct udp_datagram *m, uint32_t protocol, const union inet_addr *from,
			   const union inet_addr *to)
{
	size_t n = sizeof(struct udphdr) + m->data.n, len;
	struct udphdr *u = (struct udphdr *)out;
	uint8_t pseudo[4] = { 0, (uint8_t)protocol, (uint8_t)(n >> 8), (uint8_t)n };
	struct sums s = { 0 };
	const void *a;

	memcpy(out + sizeof(*u), m->data.p, m->data.n);
	*u = (struct udphdr){ .source = port(from), .dest = port(to) };
	/* UDP-Lite has there how much of it the checksum covers: 0, all */
	u->len = protocol == IPPROTO_UDPLITE ? 0 : htons((uint16_t)n);
	a = address(from, &len);
	sum_add(&s, a, len);
	a = address(to, &len);
	sum_add(&s, a, len);
	sum_add(&s, pseudo, sizeof(pseudo));
	sum_add(&s, out, n);
	u->check = sum_end(s);
	return n;
}

static size_t put_head(char *out, const struct udp_datagram *m, uint32_t protocol, const union inet_addr *from, const union inet_addr *to)
{
	struct ip6_hdr *ip6 = (struct ip6_hdr *)out;
	struct iphdr *ip = (struct iphdr *)out;
	uint8_t ttl = m->ttl > 0 ? (uint8_t)m->ttl : 64, tos = m->tos > 0 ? (uint8_t)m->tos : 0;

	if (to->any.sa_family == AF_INET) {
		/* length, checksum and id are filled in by the kernel */
		*ip = (struct iphdr){ .version = 4, .ihl = 5, .tos = tos, .ttl = ttl, .protocol = (uint8_t)protocol };
		ip->saddr = from->v4.sin_addr.s_addr;
		ip->daddr = to->v4.sin_addr.s_addr;
		return sizeof(*ip);
	}
	memset(ip6, 0, sizeof(*ip6));
	ip6->ip6_flow = htonl(6u << 28 | (uint32_t)tos << 20);
	ip6->ip6_plen = htons((uint16_t)(sizeof(struct udphdr) + m->data.n));
	ip6->ip6_nxt = (uint8_t)protocol;
	ip6->ip6_hlim = ttl;
	ip6->ip6_src = from->v6.sin6_addr;
	ip6->ip6_dst = to->v6.sin6_addr;
	return sizeof(*ip6);
}

int udp_forge(const struct udp_datagram *m, uint32_t protocol, const union inet_addr *from, const union inet_addr *to)
{
	union inet_addr where = *to;
	size_t n;
	char *p;
	int fd;
	long rc;

	if (from->any.sa_family != to->any.sa_family || m->segment || m->data.n > 65000)
		return -EOPNOTSUPP;
	fd = sys_socket(to->any.sa_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0)
		return fd;
	p = sys_mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_err(p)) {
		sys_close(fd);
		return -ENOMEM;
	}
	n = put_head(p, m, protocol, from, to);
	n += put_datagram(p + n, m, protocol, from, to);
	if (where.any.sa_family == AF_INET)
		where.v4.sin_port = 0;
	else
		where.v6.sin6_port = 0;
	sockopt_grow(fd, SO_SNDBUF, 2 * ROOM);
	rc = sys_sendto(fd, p, n, MSG_NOSIGNAL, &where, where.any.sa_family == AF_INET ? sizeof(where.v4) : sizeof(where.v6));
	sys_munmap(p, ROOM);
	sys_close(fd);
	return rc < 0 ? (int)rc : 0;
}
