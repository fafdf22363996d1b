/*
 * raw.c - raw sockets, and those of ping (ICMP datagrams)
 *
 * Both have an address and no port; ping's port is the id of its echo
 * requests. Their queues can't be walked: only the first packet can be seen, and
 * the memory that they take tells whether there are more, which are announced as
 * lost. What comes in is the network's and goes on coming.
 *
 * At restart the first packet comes in again: for ping by asking once more, if it
 * was this machine that answered; for a raw socket by sending the same packet to
 * this machine, if nobody but raw sockets cares for its protocol. A packet comes to
 * every raw socket, so the image's others are deaf until all have theirs.
 */
#include <asm/errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>

#include "inet.h"
#include "skshim/diag.h"

#include "skshim/frozen.h"

#define PACKET_ROOM 65536
/* Memory of a packet beside its bytes, and of the smallest one. */
#define PACKET_OVERHEAD 1100
#define ARRIVAL 200          /* ms for a packet to pass the loopback */
#define MRT_INIT 200         /* the same number for IPv6 */

extern const struct kind kind_raw;

struct raw {
	uint32_t family, type, protocol;
	struct blob name, peer;      /* struct sockaddr_in or _in6, "" none */
	uint32_t shut;               /* as the kernel has it: 1 receiving, 2 sending */
	uint32_t waiting;            /* packets were in its queue */
	struct list options;         /* struct sockopt */
	struct blob notes;
	struct list groups;          /* struct membership */
	struct blob packet, sender;  /* the first in its queue, as recvfrom shows it; "" none or not to be sent again */
	uint32_t more;               /* there were others behind it */
};

static const struct field raw_fields[] = {
	FIELD_U32(struct raw, family),
	FIELD_U32(struct raw, type),
	FIELD_U32(struct raw, protocol),
	FIELD_BIN(struct raw, name),
	FIELD_BIN(struct raw, peer),
	FIELD_U32(struct raw, shut),
	FIELD_U32(struct raw, waiting),
	FIELD_LIST(struct raw, options, struct sockopt, sockopt_fields),
	FIELD_BIN(struct raw, notes),
	FIELD_LIST_ADDED(struct raw, groups, struct membership, membership_fields),
	FIELD_BIN_ADDED(struct raw, packet),
	FIELD_BIN_ADDED(struct raw, sender),
	FIELD_U32_ADDED(struct raw, more),
	FIELD_END
};

static bool raw_match(const struct probe *p)
{
	if (p->family != AF_INET && p->family != AF_INET6)
		return false;
	return p->type == SOCK_RAW ||
	       (p->type == SOCK_DGRAM && (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6));
}

static bool is_ping(const struct raw *r)
{
	return r->type != SOCK_RAW;
}

/* ICMP's type of an echo reply, and of the request. */
static uint8_t echo_reply(const struct raw *r)
{
	return r->family == AF_INET ? 0 : 129;
}

static uint8_t echo_request(const struct raw *r)
{
	return r->family == AF_INET ? 8 : 128;
}

/* Whether a packet can come in once more without anybody else taking notice. */
static bool can_come_again(const struct raw *r)
{
	const struct iphdr *ip = r->packet.p;
	size_t head = r->family == AF_INET && !is_ping(r) && r->packet.n >= sizeof(*ip) ? ip->ihl * 4u : 0;
	uint32_t protocol = head ? ip->protocol : r->protocol;

	if (r->packet.n <= head || (!is_ping(r) && r->family == AF_INET && !head))
		return false;
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return ((const uint8_t *)r->packet.p)[head] == echo_reply(r);
	return protocol > IPPROTO_UDP && protocol != IPPROTO_UDPLITE && protocol != IPPROTO_IPV6 && protocol != IPPROTO_GRE &&
	       protocol != IPPROTO_ESP && protocol != IPPROTO_AH && protocol != IPPROTO_SCTP && protocol != IPPROTO_PIM;
}

/* Looks at the first packet. */
static int collect_packet(struct collection *c, const struct probe *p, struct raw *r)
{
	uint32_t memory[SK_MEMINFO_VARS] = { 0 };
	union inet_addr sender;
	unsigned len = sizeof(sender), memory_len = sizeof(memory);
	char *room = arena_alloc(c->arena, PACKET_ROOM);
	long n;

	if (!room)
		return failed(-ENOMEM, "pid %d fd %d: queue", c->pid, p->fd);
	n = sys_recvfrom(p->fd, room, PACKET_ROOM, MSG_PEEK | MSG_DONTWAIT, &sender, &len);
	if (n < 0)
		return n == -EAGAIN ? 0 : failed((int)n, "pid %d fd %d: queue", c->pid, p->fd);
	r->packet = (struct blob){ room, (size_t)n };
	r->sender = arena_blob(c->arena, &sender, len < sizeof(sender) ? len : sizeof(sender));
	if (!r->sender.p)
		return failed(-ENOMEM, "pid %d fd %d: queue", c->pid, p->fd);
	if (!can_come_again(r))
		r->packet = r->sender = (struct blob){ 0 };
	if (sys_getsockopt(p->fd, SOL_SOCKET, SO_MEMINFO, memory, &memory_len) >= 0)
		r->more = memory[SK_MEMINFO_RMEM_ALLOC] > 2 * (uint32_t)n + PACKET_OVERHEAD;
	return 0;
}

static int raw_collect(struct collection *c, const struct probe *p, void *record)
{
	struct pollfd poll = { .fd = p->fd, .events = POLLIN };
	const struct diag_inet *d;
	struct raw *r = record;
	int rc;

	r->family = (uint32_t)p->family;
	r->type = (uint32_t)p->type;
	r->protocol = (uint32_t)p->protocol;
	rc = inet_name_read(c->arena, p->fd, false, &r->name);
	if (rc >= 0)
		rc = inet_name_read(c->arena, p->fd, true, &r->peer);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: its names", c->pid, p->fd);
	d = p->type == SOCK_RAW ? diag_inet(c, IPPROTO_RAW, (uint32_t)p->st.st_ino) : NULL;
	r->shut = d ? d->shutdown & 3 : 0;
	rc = sockopt_collect(c, p, false, &r->options);
	if (rc >= 0)
		rc = multicast_collect(c, p, &r->groups);
	if (rc < 0)
		return rc;
	r->notes = socket_notes(c, p);
	if (socket_noted(r->notes, p->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, MRT_INIT))
		return collection_refuse(c, p, -EOPNOTSUPP, "a multicast router's socket is not supported: close it");
	rc = sys_poll(&poll, 1, 0);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: poll", c->pid, p->fd);
	r->waiting = (poll.revents & POLLIN) != 0;
	if (r->waiting && !(poll.revents & POLLERR)) /* a look would take the error away */
		rc = collect_packet(c, p, r);
	if (r->waiting && (!r->packet.n || r->more))
		collection_loss(c, p, "%s socket: packets waiting in its queue will be lost at restart%s", is_ping(r) ? "ping" : "raw",
				r->packet.n ? ", but the first" : "");
	return rc < 0 ? rc : 0;
}

static int raw_readdress(struct rebuild *rb, uint32_t obj, void *record, struct lineage_record *l)
{
	struct raw *r = record;
	int rc = inet_readdress(rb, obj, &r->name);

	if (rc >= 0)
		rc = inet_readdress(rb, obj, &r->peer);
	if (rc >= 0)
		rc = inet_readdress(rb, obj, &r->sender);
	if (rc >= 0)
		rc = inet_readdress_options(rb, obj, &r->options, &r->notes);
	if (rc >= 0)
		rc = inet_readdress_groups(rb, obj, &r->groups);
	return rc < 0 ? rc : inet_readdress_lineage(rb, obj, l);
}

static int raw_socket(const struct raw *r)
{
	int fd = sys_socket((int)r->family, (int)r->type | SOCK_CLOEXEC, (int)r->protocol);

	if (fd == -EPERM)
		return failed(ERR_PLAIN, "raw socket: needs a privilege (CAP_NET_RAW)");
	if (fd == -EACCES)
		return failed(ERR_PLAIN, "ping socket: its group must be in net.ipv4.ping_group_range");
	return fd < 0 ? failed(fd, "socket of type %u, protocol %u", r->type, r->protocol) : fd;
}

static int raw_check(struct rebuild *rb, uint32_t obj, void *record)
{
	const struct raw *r = record;
	int fd = raw_socket(r);

	(void)rb;
	(void)obj;
	if (fd < 0)
		return fd;
	sys_close(fd);
	return inet_check_address(is_ping(r) ? "ping" : "raw", (int)r->family, SOCK_DGRAM, r->name, &r->options);
}

/* A socket takes nothing until all have what was in their queues; its own filter comes after that. */
static void hear(int fd, bool on)
{
	struct sock_filter nothing = { .code = BPF_RET | BPF_K, .k = 0 };
	struct sock_fprog prog = { .len = 1, .filter = &nothing };

	if (on)
		(void)sockopt_set(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	else
		(void)sys_setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

static int name_it(const struct raw *r, int fd)
{
	union inet_addr a;
	struct inet_key key;
	char text[64];
	unsigned len;
	int rc = 0;

	inet_text(r->name, text);
	/* a raw socket's port is its protocol, and not to be given */
	if (inet_key(r->name, &key) && (!inet_is_any(&key) || (r->type != SOCK_RAW && key.port)) && inet_addr_of(r->name, &a, &len))
		rc = sys_bind(fd, &a, len);
	if (rc < 0)
		return failed(rc, "%s socket %s", r->type == SOCK_RAW ? "raw" : "ping", text);
	if (!inet_addr_of(r->peer, &a, &len))
		return 0;
	inet_text(r->peer, text);
	rc = inet_connect(fd, &a, len);
	return rc < 0 ? failed(rc, "%s socket: connect to %s", r->type == SOCK_RAW ? "raw" : "ping", text) : 0;
}

static int raw_create(struct rebuild *rb, uint32_t obj, void *record)
{
	const struct raw *r = record;
	int fd = raw_socket(r), rc;

	if (fd < 0)
		return fd;
	hear(fd, false);
	rc = sockopt_apply(rb, obj, fd, &r->options, SOCKOPT_BEFORE);
	if (rc >= 0)
		rc = name_it(r, fd);
	if (rc >= 0)
		return fd;
	sys_close(fd);
	return rc;
}

/* --- the first packet comes in again ------------------------------------------------------------------------- */

/* Asks once more; the answer bears the id of the socket. */
static int ask_again(struct rebuild *rb, const struct raw *r, int fd)
{
	uint8_t *request = arena_copy(rebuild_arena(rb), r->packet.p, r->packet.n);
	long rc;

	if (!request)
		return -ENOMEM;
	request[0] = echo_request(r);
	rc = sys_sendto(fd, request, r->packet.n, MSG_DONTWAIT, r->sender.p, (unsigned)r->sender.n);
	return rc < 0 ? (int)rc : 0;
}

static int send_again4(const struct raw *r)
{
	const struct iphdr *ip = r->packet.p;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = ip->daddr };
	int fd;
	long rc;

	if (!inet_is_here((struct blob){ &to, sizeof(to) }))
		return -EADDRNOTAVAIL;
	fd = sys_socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	rc = fd < 0 ? fd : sys_sendto(fd, r->packet.p, r->packet.n, MSG_DONTWAIT, &to, sizeof(to));
	if (fd >= 0)
		sys_close(fd);
	return rc < 0 ? (int)rc : 0;
}

static int send_again6(const struct raw *r, int own)
{
	union inet_addr to, from;
	unsigned len = sizeof(to), from_len;
	int fd = sys_socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, (int)r->protocol);
	long rc = fd;

	if (fd >= 0)
		hear(fd, false);
	if (rc >= 0)
		rc = inet_addr_of(r->sender, &from, &from_len) ? 0 : -EINVAL;
	if (rc >= 0) {
		from.v6.sin6_port = 0;
		rc = sys_bind(fd, &from, from_len);
	}
	if (rc >= 0)
		rc = sys_getsockname(own, &to, &len);
	if (rc >= 0) {
		to.v6.sin6_port = 0;
		if (IN6_IS_ADDR_UNSPECIFIED(&to.v6.sin6_addr))
			to.v6.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
		rc = sys_sendto(fd, r->packet.p, r->packet.n, MSG_DONTWAIT, &to, sizeof(to.v6));
	}
	if (fd >= 0)
		sys_close(fd);
	return rc < 0 ? (int)rc : 0;
}

static void come_again(struct rebuild *rb, uint32_t obj, const struct raw *r, int fd)
{
	struct pollfd poll = { .fd = fd, .events = POLLIN };
	char text[64];
	int rc;

	hear(fd, true);
	if (is_ping(r))
		rc = inet_is_here(r->sender) ? ask_again(rb, r, fd) : -EADDRNOTAVAIL;
	else
		rc = r->family == AF_INET ? send_again4(r) : send_again6(r, fd);
	if (rc >= 0)
		rc = sys_poll(&poll, 1, ARRIVAL) == 1 ? 0 : -ETIMEDOUT;
	hear(fd, false);
	inet_text(r->sender, text);
	if (rc < 0)
		rebuild_loss(rb, obj, "a packet from %s that was waiting in its queue: %s", text, text_error(rc));
}

static int finish(struct rebuild *rb, uint32_t obj, const struct raw *r, int fd)
{
	static const int how[4] = { 0, SHUT_RD, SHUT_WR, SHUT_RDWR };
	int rc;

	hear(fd, true);
	rc = sockopt_apply(rb, obj, fd, &r->options, SOCKOPT_LATE);
	if (rc >= 0)
		rc = sockopt_replay(rb, obj, fd, r->notes);
	if (rc >= 0)
		multicast_apply(rb, obj, fd, &r->groups);
	if (r->shut & 3)
		(void)sys_shutdown(fd, how[r->shut & 3]);
	if (r->waiting && (!r->packet.n || r->more))
		rebuild_loss(rb, obj, "packets that were waiting in its queue");
	return rc;
}

/* The first one asked fills them all. */
static int raw_fill(struct rebuild *rb, uint32_t obj, void *record, int fd)
{
	static struct rebuild *filled;
	uint32_t i, n = rebuild_objects(rb);
	int rc = 0;

	(void)obj;
	(void)record;
	(void)fd;
	if (filled == rb)
		return 0;
	filled = rb;
	for (i = 0; i < n; i++) {
		const struct raw *r = rebuild_kind(rb, i) == &kind_raw ? rebuild_record(rb, i) : NULL;

		if (r && r->packet.n)
			come_again(rb, i, r, rebuild_fd(rb, i));
	}
	for (i = 0; i < n && rc >= 0; i++)
		if (rebuild_kind(rb, i) == &kind_raw)
			rc = finish(rb, i, rebuild_record(rb, i), rebuild_fd(rb, i));
	return rc;
}

const struct kind kind_raw = {
	.tag = "raw",
	.size = sizeof(struct raw),
	.fields = raw_fields,
	.match = raw_match,
	.collect = raw_collect,
	.readdress = raw_readdress,
	.check = raw_check,
	.create = raw_create,
	.fill = raw_fill,
};
