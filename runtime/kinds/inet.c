/*
 * inet.c - internet addresses
 */
#include <asm/errno.h>
#include <linux/rtnetlink.h>

#include "inet.h"
#include "skshim/diag.h"

#include "skshim/frozen.h"

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#define CHECK_TRIES 10

int inet_name_read(struct arena *arena, int fd, bool peer, struct blob *out)
{
	union inet_addr a;
	unsigned len = sizeof(a);
	int rc = peer ? sys_getpeername(fd, &a, &len) : sys_getsockname(fd, &a, &len);

	*out = (struct blob){ 0 };
	if (rc == -ENOTCONN)
		return 0;
	if (rc < 0)
		return rc;
	*out = arena_blob(arena, &a, len < sizeof(a) ? len : sizeof(a));
	return out->p ? 0 : -ENOMEM;
}

bool inet_addr_of(struct blob name, union inet_addr *out, unsigned *len)
{
	memset(out, 0, sizeof(*out));
	if (name.n < sizeof(out->v4) || name.n > sizeof(*out))
		return false;
	memcpy(out, name.p, name.n);
	*len = (unsigned)name.n;
	return out->any.sa_family == AF_INET || (out->any.sa_family == AF_INET6 && name.n == sizeof(out->v6));
}

bool inet_key(struct blob name, struct inet_key *out)
{
	union inet_addr a;
	unsigned len;

	memset(out, 0, sizeof(*out));
	if (!inet_addr_of(name, &a, &len))
		return false;
	if (a.any.sa_family == AF_INET)
		diag_map4((const uint8_t *)&a.v4.sin_addr, out->ip);
	else
		memcpy(out->ip, &a.v6.sin6_addr, 16);
	out->port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
	return true;
}

bool inet_key_eq(const struct inet_key *a, const struct inet_key *b)
{
	return a->port == b->port && !memcmp(a->ip, b->ip, 16);
}

uint32_t inet_hash(const struct inet_key *a, const struct inet_key *b)
{
	const struct inet_key *both[2] = { a, b };
	uint32_t h = 2166136261u;
	unsigned i, k;

	for (k = 0; k < 2 && both[k]; k++) {
		for (i = 0; i < 16; i++)
			h = (h ^ both[k]->ip[i]) * 16777619u;
		h = (h ^ both[k]->port) * 16777619u;
	}
	return h ^ h >> 15;
}

unsigned inet_unmap(union inet_addr *a, unsigned len)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };

	if (a->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
		return len;
	v4.sin_port = a->v6.sin6_port;
	memcpy(&v4.sin_addr, &a->v6.sin6_addr.s6_addr[12], 4);
	a->v4 = v4;
	return sizeof(v4);
}

bool inet_is_any(const struct inet_key *k)
{
	static const uint8_t any6[16], any4[16] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(k->ip, any6, 16) || !memcmp(k->ip, any4, 16);
}

/* The longest row of zeros in an IPv6 address, which "::" stands for: where it begins (8: there is none) and ends. */
static unsigned zeros_of(const uint16_t part[8], unsigned *end)
{
	unsigned i, k, at = 8;

	*end = 8;
	for (i = 0; i < 8; i = k + 1) {
		for (k = i; k < 8 && !part[k]; k++)
			;
		if (k - i > 1 && (at == 8 || k - i > *end - at)) {
			at = i;
			*end = k;
		}
	}
	return at;
}

/* The address alone; where it ends. */
static char *address_text(const union inet_addr *a, char out[48])
{
	const uint8_t *b = a->any.sa_family == AF_INET ? (const uint8_t *)&a->v4.sin_addr : (const uint8_t *)&a->v6.sin6_addr;
	unsigned i, zeros, end;
	uint16_t part[8];

	if (a->any.sa_family == AF_INET)
		return out + text_format(out, 16, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
	if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
		return out + text_format(out, 32, "::ffff:%u.%u.%u.%u", b[12], b[13], b[14], b[15]);
	for (i = 0; i < 8; i++)
		part[i] = (uint16_t)(b[2 * i] << 8 | b[2 * i + 1]);
	zeros = zeros_of(part, &end);
	if (!zeros)
		out += text_format(out, 2, ":");
	for (i = 0; i < 8; i++) {
		if (i == zeros) {
			out += text_format(out, 2, ":");
			i = end - 1;
			continue;
		}
		out += text_format(out, 8, i < 7 ? "%x:" : "%x", part[i]);
	}
	return out;
}

void inet_text(struct blob name, char out[64])
{
	union inet_addr a;
	unsigned len;
	char *p = out;
	bool v6;

	if (!inet_addr_of(name, &a, &len)) {
		text_format(out, 64, "-");
		return;
	}
	v6 = a.any.sa_family == AF_INET6;
	if (v6)
		*p++ = '[';
	p = address_text(&a, p);
	text_format(p, 10, "%s:%u", v6 ? "]" : "", ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port));
}

/* As --map-address wants it: one that is hidden in an IPv6 address is an IPv4 one. */
static void inet_address_text(struct blob name, char out[64])
{
	union inet_addr a;
	unsigned len;
	const uint8_t *b;

	if (!inet_addr_of(name, &a, &len))
		text_format(out, 64, "-");
	else if (a.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr))
		b = &a.v6.sin6_addr.s6_addr[12], text_format(out, 64, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
	else
		(void)address_text(&a, out);
}

/* The options that decide where a socket may be bound, straight from the list: nothing is announced here. -ENODEV: a device is not here. */
static int set_where(int fd, const struct list *options)
{
	static const struct {
		int level, name;
	} where[] = {
		{ IPPROTO_IPV6, IPV6_V6ONLY }, { SOL_SOCKET, SO_REUSEPORT }, { IPPROTO_IP, IP_FREEBIND },
		{ IPPROTO_IP, IP_TRANSPARENT }, { IPPROTO_IPV6, IPV6_FREEBIND }, { IPPROTO_IPV6, IPV6_TRANSPARENT },
	};
	const struct sockopt *o = options->items;
	uint32_t i;
	size_t k;
	int rc = 0;

	for (i = 0; i < options->n; i++)
		for (k = 0; k < sizeof(where) / sizeof(where[0]); k++)
			if (o[i].level == (uint32_t)where[k].level && o[i].name == (uint32_t)where[k].name)
				(void)sys_setsockopt(fd, where[k].level, where[k].name, o[i].value.p, (unsigned)o[i].value.n);
	for (i = 0; i < options->n; i++)
		if (o[i].level == SOL_SOCKET && o[i].name == SO_BINDTODEVICE)
			rc = sys_setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o[i].value.p, (unsigned)o[i].value.n);
	return rc == -ENODEV ? rc : 0;
}

int inet_probe(int family, int type, int protocol, struct blob name, const struct list *options, bool reuse, bool listening)
{
	union inet_addr a;
	unsigned len;
	int fd, rc;

	if (!inet_addr_of(name, &a, &len))
		return -EINVAL;
	fd = sys_socket(family, type | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return fd;
	rc = set_where(fd, options);
	if (reuse)
		(void)sockopt_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc >= 0)
		rc = sys_bind(fd, &a, len);
	if (rc == 0 && listening)
		rc = sys_listen(fd, 1);
	sys_close(fd);
	return rc;
}

/* Without taking a port. */
static int bind_address(int fd, const union inet_addr *own, unsigned len)
{
	union inet_addr a = *own;
	int rc = sockopt_set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);

	a.v4.sin_port = 0; /* where IPv6 has it, too */
	if (rc >= 0)
		rc = sys_bind(fd, &a, len);
	(void)sockopt_set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0);
	return rc;
}

/* From which ports the kernel may choose for a fresh socket. 0: any again. */
static int choose_from(int fd, uint16_t first, uint16_t last)
{
	uint32_t range = (uint32_t)last << 16 | first;

	return sys_setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range));
}

int inet_bind_open(int fd, const union inet_addr *own, unsigned len)
{
	union inet_addr a = *own;
	unsigned n = sizeof(a);
	uint16_t port = ntohs(own->v4.sin_port);
	int rc = choose_from(fd, port, port);

	if (rc < 0)
		return rc;
	a.v4.sin_port = 0; /* where IPv6 has it, too */
	rc = sys_bind(fd, &a, len);
	(void)choose_from(fd, 0, 0);
	if (rc >= 0)
		rc = sys_getsockname(fd, &a, &n);
	/* beyond net.ipv4.ip_local_port_range it takes any */
	return rc < 0 ? rc : a.v4.sin_port == own->v4.sin_port ? 0 : -ERANGE;
}

int inet_connect(int fd, const union inet_addr *peer, unsigned len)
{
	struct sockaddr_in6 plain;
	int rc = sys_connect(fd, peer, len);

	if (rc != -EINVAL || peer->any.sa_family != AF_INET6 || !peer->v6.sin6_flowinfo)
		return rc;
	plain = peer->v6;
	plain.sin6_flowinfo = 0;
	rc = sys_connect(fd, &plain, sizeof(plain));
	if (rc >= 0)
		log_line(LOG_WARN, "a flow label (%x) of a connected socket is lost: somebody has leased it, or others", ntohl(peer->v6.sin6_flowinfo));
	return rc;
}

int inet_connect_from(int fd, const union inet_addr *own, bool pin, const union inet_addr *peer, unsigned len)
{
	uint16_t port = ntohs(own->v4.sin_port);
	int rc = choose_from(fd, port, port);

	if (rc < 0)
		return rc;
	rc = pin ? bind_address(fd, own, len) : 0;
	if (rc >= 0)
		rc = inet_connect(fd, peer, len);
	(void)choose_from(fd, 0, 0);
	return rc;
}

/* failed(), with what would help. */
static int bound_not(const char *what, struct blob name, const struct list *options, int rc)
{
	const struct sockopt *o = options->items;
	char text[64], address[64];
	struct blob device = BLOB("");
	uint32_t i;

	inet_text(name, text);
	inet_address_text(name, address);
	for (i = 0; i < options->n; i++)
		if (o[i].level == SOL_SOCKET && o[i].name == SO_BINDTODEVICE)
			device = o[i].value;
	if (rc == -EADDRINUSE)
		return failed(ERR_PLAIN, "%s %s: the port is in use by another process", what, text);
	if (rc == -EADDRNOTAVAIL)
		return failed(ERR_PLAIN, "%s %s: this machine doesn't have the address: add it, or say which one takes its place "
			      "(--map-address %s=NEW)", what, text, address);
	if (rc == -ENODEV)
		return failed(ERR_PLAIN, "%s %s: this machine doesn't have the network device %.*s to which it is bound", what, text,
			      (int)device.n, (const char *)device.p);
	if (rc == -EACCES)
		return failed(ERR_PLAIN, "%s %s: the port needs a privilege (CAP_NET_BIND_SERVICE)", what, text);
	return failed(rc, "%s %s", what, text);
}

int inet_check(const char *what, int family, int type, int protocol, struct blob name, const struct list *options,
	       bool reuse, bool listening)
{
	int rc, tries;

	/* What was killed a moment ago may still be on its way out. */
	for (tries = 0; tries < CHECK_TRIES; tries++) {
		rc = inet_probe(family, type, protocol, name, options, reuse, listening);
		if (rc != -EADDRINUSE)
			break;
		(void)sys_poll(NULL, 0, 10);
	}
	return rc < 0 ? bound_not(what, name, options, rc) : 0;
}

int inet_check_address(const char *what, int family, int type, struct blob name, const struct list *options)
{
	static union inet_addr last; /* that was there without options: thousands of connections have one address */
	struct blob portless;
	union inet_addr a;
	unsigned len;
	int rc;

	if (!inet_addr_of(name, &a, &len))
		return 0;
	a.v4.sin_port = 0; /* where IPv6 has it, too */
	if (!options->n && !memcmp(&a, &last, sizeof(a)))
		return 0;
	portless = (struct blob){ &a, len };
	rc = inet_probe(family, type, 0, portless, options, false, false);
	if (rc == -EADDRNOTAVAIL || rc == -ENODEV)
		return bound_not(what, name, options, rc);
	if (rc >= 0 && !options->n)
		last = a;
	return 0;
}

/* What the kernel's routes make of a destination (RTN_LOCAL, RTN_UNICAST, ...), or a negative errno. */
static int route_type(const union inet_addr *to)
{
	bool v4 = to->any.sa_family == AF_INET;
	size_t n = v4 ? sizeof(to->v4.sin_addr) : sizeof(to->v6.sin6_addr);
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct {
		struct nlmsghdr h;
		struct rtmsg r;
		struct rtattr device;
		uint32_t ifindex;
		struct rtattr dst;
		uint8_t ip[16];
	} q = {
		.h = { .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST },
		.r = { .rtm_family = (uint8_t)to->any.sa_family, .rtm_dst_len = (uint8_t)(n * 8) },
		.device = { .rta_len = RTA_LENGTH(sizeof(q.ifindex)), .rta_type = RTA_OIF },
		.ifindex = v4 ? 0 : to->v6.sin6_scope_id,
		.dst = { .rta_len = (uint16_t)RTA_LENGTH(n), .rta_type = RTA_DST },
	};
	_Alignas(8) char reply[1024];
	const struct nlmsghdr *h = (const struct nlmsghdr *)reply;
	int fd = sys_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	long rc = fd;

	memcpy(q.ip, v4 ? (const void *)&to->v4.sin_addr : &to->v6.sin6_addr, n);
	q.h.nlmsg_len = (uint32_t)(sizeof(q) - sizeof(q.ip) + n);
	if (rc >= 0)
		rc = sys_sendto(fd, &q, q.h.nlmsg_len, 0, &kernel, sizeof(kernel));
	if (rc >= 0)
		rc = sys_recvfrom(fd, reply, sizeof(reply), 0, NULL, NULL);
	if (fd >= 0)
		sys_close(fd);
	if (rc < 0)
		return (int)rc;
	if (!NLMSG_OK(h, rc) || h->nlmsg_type != RTM_NEWROUTE)
		return -ENETUNREACH;
	return ((const struct rtmsg *)NLMSG_DATA(h))->rtm_type;
}

/* A socket may be bound to much else: groups, and with ip_nonlocal_bind to any address. So the route is asked. */
bool inet_is_here(struct blob name)
{
	union inet_addr a;
	unsigned len;

	if (!inet_addr_of(name, &a, &len))
		return false;
	(void)inet_unmap(&a, len);
	return route_type(&a) == RTN_LOCAL;
}

/* Both on this machine, as far as the addresses tell. */
static bool same_machine(const struct inet_key *a, const struct inet_key *b)
{
	static const uint8_t loop4[13] = { [10] = 0xff, [11] = 0xff, [12] = 127 };

	return !memcmp(a->ip, b->ip, 16) || (!memcmp(a->ip, loop4, 13) && !memcmp(b->ip, loop4, 13));
}

/* Whether a connection's own end came out of a listener of the tree's, as far as its name tells. */
static bool listened(struct collection *c, int protocol, const struct diag_inet *d)
{
	static const uint8_t any[16];
	const struct diag_inet *l;

	for (l = diag_inet_listener(c, protocol, d->sport, NULL); l; l = diag_inet_listener(c, protocol, d->sport, l))
		if ((!memcmp(l->src, any, 16) || l->family != d->family || !memcmp(l->src, d->src, 16)) &&
		    c->lineage_of(l->cookie, NULL) == 1)
			return true;
	return false;
}

/* A connection without a descriptor: closed, or in the backlog of a listener. */
static enum inet_peer of_nobody(struct collection *c, int protocol, const struct diag_inet *d)
{
	if (d->state != 1 /* ESTABLISHED */ && d->state != 8 /* CLOSE_WAIT */)
		return INET_PEER_GONE;
	return listened(c, protocol, d) ? INET_PEER_INSIDE : INET_PEER_OUTSIDE;
}

enum inet_peer inet_peer_inside(struct collection *c, int protocol, struct blob name, struct blob peer)
{
	const struct diag_inet *d;
	struct inet_key own, other;

	if (!c->lineage_of || !inet_key(name, &own) || !inet_key(peer, &other))
		return INET_PEER_UNKNOWN;
	d = diag_inet_pair(c, protocol, other.ip, other.port, own.ip, own.port);
	if (!d)
		return same_machine(&own, &other) ? INET_PEER_GONE : INET_PEER_OUTSIDE;
	if (!d->ino)
		return of_nobody(c, protocol, d);
	if (c->lineage_of(d->cookie, NULL) == 1)
		return INET_PEER_INSIDE;
	/* accepted by a process of the tree whose checkpoint looks into its backlog, or by a raw system call */
	return listened(c, protocol, d) ? INET_PEER_INSIDE : INET_PEER_OUTSIDE;
}
