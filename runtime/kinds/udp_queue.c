/*
 * udp_queue.c - datagrams that wait in a receive queue
 *
 * They are peeked at one by one with SO_PEEK_OFF; the end is told by EAGAIN,
 * not by length, since a datagram may be empty. The options that make the
 * kernel tell address, traffic class and hop limit are borrowed meanwhile.
 * An empty datagram that a first walk has seen is passed over by a second one, but for
 * the first in the queue (empties.c).
 *
 * At restart each is sent again by a stand-in with the sender's address. All
 * sockets of the tree have SO_REUSEADDR then, so the stand-in gets it, unless
 * somebody outside has it (udp_forge.c). Other machines' addresses need IP_TRANSPARENT. A
 * receiver whose port others share is connected to the stand-in meanwhile, so
 * that it is the one that gets the datagram. What was sent to a group or to
 * everybody is sent to the receiver alone, but where it would notice.
 */
#include <asm/errno.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <sys/mman.h>

#include "skshim/diag.h"
#include "skshim/peeked.h"
#include "udp.h"

#include "skshim/frozen.h"

#define PIECE (256ul << 10)  /* more than any datagram */
#define CONTROL_ROOM 512
#define ARRIVAL 200          /* ms for a datagram to pass the loopback */
#define SO_BUF_LOCK_ 72

const struct field udp_datagram_fields[] = {
	FIELD_BIN(struct udp_datagram, data),
	FIELD_BIN(struct udp_datagram, sender),
	FIELD_BIN(struct udp_datagram, to),
	FIELD_I32(struct udp_datagram, tos),
	FIELD_I32(struct udp_datagram, ttl),
	FIELD_U32(struct udp_datagram, segment),
	FIELD_END
};

/* --- looking ------------------------------------------------------------------------------------------------ */

/* Options that are different while the walk goes on; those of IPv6 are absent on IPv4 sockets. */
static const struct {
	int level, name, during;
} borrowed[] = {
	{ IPPROTO_IP, IP_PKTINFO, 1 }, { IPPROTO_IP, IP_RECVTOS, 1 }, { IPPROTO_IP, IP_RECVTTL, 1 },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO, 1 }, { IPPROTO_IPV6, IPV6_RECVTCLASS, 1 }, { IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1 },
	{ SOL_SOCKET, SO_PEEK_OFF, -1 },
};
#define BORROWED (sizeof(borrowed) / sizeof(borrowed[0]))

static void borrow(const struct probe *p, int was[BORROWED])
{
	size_t i;

	for (i = 0; i < BORROWED; i++) {
		was[i] = -1000;
		if (borrowed[i].level == IPPROTO_IPV6 && p->family != AF_INET6)
			continue;
		was[i] = sockopt_get(p->fd, borrowed[i].level, borrowed[i].name);
		if (was[i] != borrowed[i].during)
			(void)sockopt_set(p->fd, borrowed[i].level, borrowed[i].name, borrowed[i].during);
	}
}

static void give_back(const struct probe *p, const int was[BORROWED])
{
	size_t i;

	for (i = 0; i < BORROWED; i++)
		if (was[i] >= -1)
			(void)sockopt_set(p->fd, borrowed[i].level, borrowed[i].name, was[i]);
}

static int32_t int_of(const struct cmsghdr *cm)
{
	int32_t v;

	if (cm->cmsg_len < CMSG_LEN(sizeof(v)))
		return *(const uint8_t *)CMSG_DATA(cm);
	memcpy(&v, CMSG_DATA(cm), sizeof(v));
	return v;
}

static void take_control(struct arena *arena, struct udp_datagram *m, struct msghdr *h)
{
	struct cmsghdr *cm;

	for (cm = CMSG_FIRSTHDR(h); cm; cm = CMSG_NXTHDR(h, cm)) {
		if (cm->cmsg_level == IPPROTO_IP && cm->cmsg_type == IP_PKTINFO && !m->to.n) {
			struct sockaddr_in a = { .sin_family = AF_INET };

			a.sin_addr = ((const struct in_pktinfo *)CMSG_DATA(cm))->ipi_addr;
			m->to = arena_blob(arena, &a, sizeof(a));
		} else if (cm->cmsg_level == IPPROTO_IPV6 && cm->cmsg_type == IPV6_PKTINFO) {
			const struct in6_pktinfo *info = (const struct in6_pktinfo *)CMSG_DATA(cm);
			struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = info->ipi6_addr };

			if (IN6_IS_ADDR_LINKLOCAL(&a.sin6_addr) || IN6_IS_ADDR_MULTICAST(&a.sin6_addr))
				a.sin6_scope_id = info->ipi6_ifindex;
			m->to = arena_blob(arena, &a, sizeof(a));
		} else if ((cm->cmsg_level == IPPROTO_IP && cm->cmsg_type == IP_TOS) ||
			   (cm->cmsg_level == IPPROTO_IPV6 && cm->cmsg_type == IPV6_TCLASS)) {
			m->tos = int_of(cm);
		} else if ((cm->cmsg_level == IPPROTO_IP && cm->cmsg_type == IP_TTL) ||
			   (cm->cmsg_level == IPPROTO_IPV6 && cm->cmsg_type == IPV6_HOPLIMIT)) {
			m->ttl = int_of(cm);
		} else if (cm->cmsg_level == IPPROTO_UDP && cm->cmsg_type == UDP_GRO) {
			m->segment = (uint32_t)int_of(cm);
		}
	}
}

/* The next datagram: 1, 0 at the end, or a negative errno. */
static int look(struct collection *c, const struct probe *p, char *piece, struct udp_datagram *m)
{
	union inet_addr sender;
	_Alignas(16) char control[CONTROL_ROOM];
	struct iovec iov = { piece, PIECE };
	struct msghdr h = {
		.msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof(control),
	};
	long n = sys_recvmsg(p->fd, &h, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	*m = (struct udp_datagram){ .tos = -1, .ttl = -1 };
	m->data = arena_blob(c->arena, piece, (size_t)n);
	m->sender = arena_blob(c->arena, &sender, h.msg_namelen < sizeof(sender) ? h.msg_namelen : sizeof(sender));
	take_control(c->arena, m, &h);
	return m->data.p && m->sender.p ? 1 : -ENOMEM;
}

static int walk(struct collection *c, const struct probe *p, struct udp_record *r, char *piece)
{
	struct udp_datagram *list = NULL, *more;
	uint32_t n = 0, room = 0;
	int rc;

	for (;;) {
		if (n == room) {
			room = room * 2 + 8;
			more = arena_alloc(c->arena, room * sizeof(*more));
			if (!more)
				return -ENOMEM;
			if (n)
				memcpy(more, list, n * sizeof(*more));
			list = more;
		}
		if (n == 1) /* from here on; the first is shown without, even when it is empty */
			(void)sockopt_set(p->fd, SOL_SOCKET, SO_PEEK_OFF, (int)list[0].data.n);
		rc = look(c, p, piece, &list[n]);
		if (rc <= 0)
			break;
		n++;
	}
	r->queue = (struct list){ list, n };
	return rc;
}

static int64_t memory_of(int fd)
{
	uint32_t m[SK_MEMINFO_VARS] = { 0 };
	unsigned len = sizeof(m);
	int rc = sys_getsockopt(fd, SOL_SOCKET, SO_MEMINFO, m, &len);

	return rc < 0 ? rc : (int64_t)m[SK_MEMINFO_RMEM_ALLOC];
}

/* What the kernel counts for a datagram, seen on a socket of our own; 0 unknown. */
static uint64_t datagram_cost(const struct probe *p, uint32_t len)
{
	union inet_addr a = { .v4 = { .sin_family = AF_INET } };
	unsigned n = p->family == AF_INET ? sizeof(a.v4) : sizeof(a.v6);
	int fd = sys_socket(p->family, SOCK_DGRAM | SOCK_CLOEXEC, p->protocol);
	char *bytes = sys_mmap(NULL, len + 1ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int64_t cost = 0;

	if (p->family == AF_INET6)
		a.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	else
		a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && !sys_is_err(bytes) && sys_bind(fd, &a, n) >= 0 && sys_getsockname(fd, &a, &n) >= 0 &&
	    sys_sendto(fd, bytes, len, MSG_DONTWAIT, &a, n) == (long)len)
		cost = memory_of(fd);
	if (!sys_is_err(bytes))
		sys_munmap(bytes, len + 1ul);
	if (fd >= 0)
		sys_close(fd);
	return cost > 0 ? (uint64_t)cost : 0;
}

/* Of an empty datagram that doesn't show any more; its sender's address and the one it was sent to follow. */
struct hidden {
	int32_t tos, ttl;
	uint32_t sender, to;
};

static int describe(struct arena *arena, const struct udp_datagram *m, struct peeked *out)
{
	struct hidden h = { m->tos, m->ttl, (uint32_t)m->sender.n, (uint32_t)m->to.n };
	char *detail;

	*out = (struct peeked){ .len = (uint32_t)m->data.n, .hash = peeked_hash(0, m->data.p, m->data.n) };
	out->hash = peeked_hash(out->hash, m->sender.p, m->sender.n);
	if (m->data.n)
		return 0;
	detail = arena_alloc(arena, sizeof(h) + h.sender + h.to);
	if (!detail)
		return -ENOMEM;
	memcpy(detail, &h, sizeof(h));
	if (h.sender)
		memcpy(detail + sizeof(h), m->sender.p, h.sender);
	if (h.to)
		memcpy(detail + sizeof(h) + h.sender, m->to.p, h.to);
	out->detail = (struct blob){ detail, sizeof(h) + h.sender + h.to };
	return 0;
}

static void take_hidden(struct blob detail, struct udp_datagram *m)
{
	const char *names = (const char *)detail.p + sizeof(struct hidden);
	struct hidden h = { -1, -1, 0, 0 };

	if (detail.n >= sizeof(h))
		memcpy(&h, detail.p, sizeof(h));
	if (h.sender > detail.n || h.to > detail.n || sizeof(h) + h.sender + h.to > detail.n)
		h.sender = h.to = 0;
	*m = (struct udp_datagram){ .data = BLOB(""), .tos = h.tos, .ttl = h.ttl,
				    .sender = { names, h.sender }, .to = { names + h.sender, h.to } };
}

/*
 * For the whole queue, where empty ones may be hidden; 0 not known. SO_MEMINFO would also count what was received
 * and is given back later (tests/kernel/udp_charge.c).
 */
static uint64_t charge_of(struct collection *c, const struct probe *p, const struct udp_record *r, bool doubtful)
{
	struct peeked *before;
	struct inet_key name;

	if (!inet_key(r->name, &name) || (!doubtful && peeked_load(c->tree, p->cookie, c->arena, &before) <= 0))
		return 0;
	return diag_inet_charge(c, p, name.port);
}

/* Puts in the empty ones that an earlier look has hidden. */
static int join_empties(struct collection *c, const struct probe *p, struct udp_record *r, bool doubtful)
{
	const struct udp_datagram *shown = r->queue.items;
	struct peeked *now = arena_alloc(c->arena, (r->queue.n + 1) * sizeof(*now));
	struct empties e = { .c = c, .p = p, .now = now, .n = r->queue.n, .doubtful = doubtful, .cost = datagram_cost,
			     .charge = charge_of(c, p, r, doubtful) };
	struct udp_datagram *all;
	struct empties_packet *list;
	int n = now ? 0 : -ENOMEM;
	uint32_t i;

	for (i = 0; i < r->queue.n && n >= 0; i++)
		n = describe(c->arena, &shown[i], &now[i]);
	if (n >= 0)
		n = empties_join(&e, &list);
	if (n < 0 || (uint32_t)n == r->queue.n)
		return n;
	all = arena_alloc(c->arena, (uint32_t)n * sizeof(*all));
	for (i = 0; all && i < (uint32_t)n; i++) {
		if (list[i].shown == EMPTIES_HIDDEN)
			take_hidden(list[i].detail, &all[i]);
		else
			all[i] = shown[list[i].shown];
	}
	r->queue = (struct list){ all, (uint32_t)n };
	return all ? 0 : -ENOMEM;
}

int udp_queue_collect(struct collection *c, const struct probe *p, struct udp_record *r)
{
	char *piece = sys_mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int was[BORROWED], rc;

	if (sys_is_err(piece))
		return failed(-ENOMEM, "pid %d fd %d: queue", c->pid, p->fd);
	borrow(p, was);
	rc = walk(c, p, r, piece);
	give_back(p, was);
	if (rc >= 0)
		rc = join_empties(c, p, r, was[BORROWED - 1] >= 0);
	sys_munmap(piece, PIECE);
	return rc < 0 ? failed(rc, "pid %d fd %d: queue", c->pid, p->fd) : 0;
}

/* --- sending again ------------------------------------------------------------------------------------------ */

struct filling {
	struct rebuild *rb;
	uint32_t obj;
	const struct udp_record *rec;
	int fd;
	bool shared;
	int stand_in;                /* has the address of `sender`; -1 none */
	struct blob sender;
	uint32_t device;             /* where the next one is sent to a group; 0 it isn't */
};

/* A socket with the sender's address; -1 when there is none to be had. */
static int stand_in_for(const struct filling *f, struct blob sender)
{
	union inet_addr a;
	unsigned len;
	int fd, rc;

	if (!inet_addr_of(sender, &a, &len))
		return -1;
	len = inet_unmap(&a, len);
	fd = sys_socket(a.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, (int)f->rec->protocol);
	if (fd < 0)
		return -1;
	(void)sockopt_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (a.any.sa_family == AF_INET6)
		(void)sockopt_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	rc = sys_bind(fd, &a, len);
	if (rc == -EADDRNOTAVAIL) {
		if (a.any.sa_family == AF_INET)
			rc = sockopt_set(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
		else
			rc = sockopt_set(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
		if (rc >= 0)
			rc = sys_bind(fd, &a, len);
	}
	if (rc >= 0)
		return fd;
	sys_close(fd);
	return -1;
}

static struct cmsghdr *put(struct msghdr *h, struct cmsghdr *cm, int level, int type, const void *v, size_t n)
{
	cm->cmsg_level = level;
	cm->cmsg_type = type;
	cm->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(cm), v, n);
	h->msg_controllen += CMSG_SPACE(n);
	return (struct cmsghdr *)((char *)cm + CMSG_SPACE(n));
}

static int send_from(int fd, const struct udp_datagram *m, const union inet_addr *to, unsigned len)
{
	_Alignas(16) char control[CONTROL_ROOM] = { 0 };
	struct iovec iov = { (void *)m->data.p, m->data.n };
	struct msghdr h = { .msg_name = (void *)to, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct cmsghdr *cm = (struct cmsghdr *)control;
	uint16_t segment = (uint16_t)m->segment;
	bool v6 = to->any.sa_family == AF_INET6;
	long rc;

	if (m->tos > 0)
		cm = put(&h, cm, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &m->tos, sizeof(m->tos));
	if (m->ttl > 0)
		cm = put(&h, cm, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_HOPLIMIT : IP_TTL, &m->ttl, sizeof(m->ttl));
	if (segment)
		cm = put(&h, cm, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
	if (!h.msg_controllen)
		h.msg_control = NULL;
	rc = sys_sendmsg(fd, &h, MSG_NOSIGNAL);
	return rc < 0 ? (int)rc : 0;
}

static bool is_group(const union inet_addr *a)
{
	return a->any.sa_family == AF_INET ?
	       IN_MULTICAST(ntohl(a->v4.sin_addr.s_addr)) || a->v4.sin_addr.s_addr == INADDR_BROADCAST :
	       IN6_IS_ADDR_MULTICAST(&a->v6.sin6_addr);
}

/* Sent to a group, and the receiver would notice if it came otherwise: the interface, or 0. */
static uint32_t noticed_group(const struct filling *f, const struct udp_datagram *m, const struct inet_key *name, union inet_addr *to,
			      unsigned *len)
{
	static const int telling[][2] = {
		{ IPPROTO_IP, IP_PKTINFO }, { IPPROTO_IP, IP_RECVORIGDSTADDR }, { IPPROTO_IPV6, IPV6_RECVPKTINFO },
		{ IPPROTO_IPV6, IPV6_ORIGDSTADDR },
	};
	bool told = !inet_is_any(name);
	size_t i;

	if (!inet_addr_of(m->to, to, len))
		return 0;
	*len = inet_unmap(to, *len);
	if (!is_group(to))
		return 0;
	for (i = 0; i < sizeof(telling) / sizeof(telling[0]); i++)
		told |= sockopt_int(&f->rec->options, telling[i][0], telling[i][1], 0) == 1;
	if (!told)
		return 0;
	if (to->any.sa_family == AF_INET)
		return multicast_device(f->fd, &f->rec->groups, &to->v4.sin_addr, 4);
	return multicast_device(f->fd, &f->rec->groups, &to->v6.sin6_addr, 16);
}

/* Where to send it: the address it was sent to, if the receiver still gets that, else the receiver's name. */
static int destination(struct filling *f, const struct udp_datagram *m, bool own_only, union inet_addr *to, unsigned *len)
{
	struct inet_key key;
	union inet_addr own;
	unsigned own_len = sizeof(own);
	int rc = sys_getsockname(f->fd, &own, &own_len);
	struct blob name = { &own, own_len };

	if (rc < 0 || !inet_key(name, &key))
		return rc < 0 ? rc : -EINVAL;
	f->device = own_only ? 0 : noticed_group(f, m, &key, to, len);
	if (f->device) {
		if (to->any.sa_family == AF_INET6)
			to->v6.sin6_scope_id = f->device;
	} else if (!own_only && inet_is_any(&key) && inet_addr_of(m->to, to, len) && !is_group(to)) {
		*len = inet_unmap(to, *len);
	} else {
		*to = own;
		*len = inet_unmap(to, own_len);
		if (inet_is_any(&key) && to->any.sa_family == AF_INET)
			to->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		else if (inet_is_any(&key))
			to->v6.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
	}
	if (to->any.sa_family == AF_INET)
		to->v4.sin_port = htons(key.port);
	else
		to->v6.sin6_port = htons(key.port);
	return 0;
}

/* The sender of a datagram, which may be the receiver itself. */
static int sender_of(struct filling *f, const struct udp_datagram *m)
{
	struct inet_key own, sender;

	if (!f->device && inet_key(f->rec->name, &own) && inet_key(m->sender, &sender) && own.port == sender.port &&
	    (inet_key_eq(&own, &sender) || inet_is_any(&own)))
		return f->fd;
	if (f->stand_in >= 0 && blob_eq(f->sender, m->sender))
		return f->stand_in;
	if (f->stand_in >= 0)
		sys_close(f->stand_in);
	f->sender = m->sender;
	f->stand_in = stand_in_for(f, m->sender);
	return f->stand_in;
}

static void disconnect(int fd)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	(void)sys_connect(fd, &none, sizeof(none));
}

/* To a group: on its interface, but not onto the network, and to this socket alone. */
static int send_to_group(const struct filling *f, int from, const struct udp_datagram *datagram, const union inet_addr *to, unsigned len)
{
	struct ip_mreqn out = { .imr_ifindex = (int)f->device };
	struct udp_datagram m = *datagram;
	bool v6 = to->any.sa_family == AF_INET6;
	int rc;

	if (v6)
		rc = sockopt_set(from, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)f->device);
	else
		rc = sys_setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof(out));
	if (rc >= 0 && f->device != 1 /* the loopback */) {
		m.ttl = -1;
		rc = sockopt_set(from, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL, 0);
	}
	if (rc < 0)
		return rc;
	return send_from(from, &m, to, len);
}

/* Whether somebody else's address can be had nevertheless; to groups not. */
static bool forging(const struct filling *f, const struct udp_datagram *m, const union inet_addr *to)
{
	int fd = f->device || m->segment ? -1 : sys_socket(to->any.sa_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	if (fd >= 0)
		sys_close(fd);
	return fd >= 0;
}

static int send_or_forge(const struct filling *f, int from, const struct udp_datagram *m, const union inet_addr *to, unsigned len)
{
	union inet_addr sender;
	unsigned sender_len;

	if (from >= 0)
		return send_from(from, m, to, len);
	if (!inet_addr_of(m->sender, &sender, &sender_len))
		return -EINVAL;
	(void)inet_unmap(&sender, sender_len);
	return udp_forge(m, f->rec->protocol, &sender, to);
}

static int send_one(struct filling *f, const struct udp_datagram *m)
{
	int64_t before = memory_of(f->fd);
	int from, rc, waited;
	union inet_addr to, s;
	unsigned len, slen;
	char text[64];
	bool joined = false;

	rc = destination(f, m, false, &to, &len);
	from = sender_of(f, m);
	inet_text(m->sender, text);
	if (from < 0 && !forging(f, m, &to)) {
		rebuild_loss(f->rb, f->obj, "UDP socket: datagrams from %s, whose address can't be had, are lost", text);
		return 0;
	}
	if (f->shared && !f->device && from != f->fd && inet_addr_of(m->sender, &s, &slen)) {
		joined = sys_connect(f->fd, &s, slen) >= 0;
		rc = destination(f, m, false, &to, &len);
	}
	if (f->device)
		udp_others_deaf(f->obj, true);
	if (rc >= 0)
		rc = f->device ? send_to_group(f, from, m, &to, len) : send_or_forge(f, from, m, &to, len);
	if (rc == -EACCES) { /* it was sent to everybody */
		rc = destination(f, m, true, &to, &len);
		if (rc >= 0)
			rc = send_from(from, m, &to, len);
	}
	for (waited = 0; rc >= 0 && waited < ARRIVAL && memory_of(f->fd) <= before; waited++)
		(void)sys_poll(NULL, 0, 1);
	if (f->device)
		udp_others_deaf(f->obj, false);
	if (joined)
		disconnect(f->fd);
	if (rc < 0 || waited == ARRIVAL)
		rebuild_loss(f->rb, f->obj, "UDP socket: a datagram from %s is lost: %s", text,
			     rc < 0 ? text_error(rc) : "it did not arrive");
	return 0;
}

int udp_queue_fill(struct rebuild *rb, uint32_t obj, const struct udp_record *r, int fd, bool port_shared)
{
	struct filling f = { .rb = rb, .obj = obj, .rec = r, .fd = fd, .shared = port_shared, .stand_in = -1 };
	int size = sockopt_get(fd, SOL_SOCKET, SO_RCVBUF), lock = sockopt_get(fd, SOL_SOCKET, SO_BUF_LOCK_), rc = 0;
	const struct udp_datagram *m = r->queue.items;
	bool gro = false;
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < r->queue.n; i++) {
		bytes += m[i].data.n * 2 + 2048;
		gro |= m[i].segment != 0;
	}
	if (gro)
		(void)sockopt_set(fd, IPPROTO_UDP, UDP_GRO, 1);
	if (bytes > (uint64_t)size / 2)
		sockopt_grow(fd, SO_RCVBUF, bytes);
	for (i = 0; i < r->queue.n && rc >= 0; i++)
		rc = send_one(&f, &m[i]);
	if (f.stand_in >= 0)
		sys_close(f.stand_in);
	if (sockopt_get(fd, SOL_SOCKET, SO_RCVBUF) != size) {
		(void)sockopt_set(fd, SOL_SOCKET, SO_RCVBUF, size / 2);
		if (lock >= 0)
			(void)sockopt_set(fd, SOL_SOCKET, SO_BUF_LOCK_, lock);
	}
	return rc;
}
