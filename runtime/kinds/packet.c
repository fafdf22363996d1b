/*
 * packet.c - a packet socket
 *
 * Bound to a device by number, restored by name: numbers change. What is in
 * the queue is the network's and is lost. Rings are memory shared with the
 * kernel and refused; so are fanout groups with a program.
 */
#include <asm/errno.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "socket.h"

#include "skshim/frozen.h"

#define SOL_PACKET_ 263
#define FANOUT_TYPE 0xff
#define FANOUT_CBPF 6

struct packet {
	uint32_t type;
	uint32_t protocol;           /* Ethernet's, network order, as bound */
	struct blob device;          /* name; "" all */
	uint32_t fanout;             /* as PACKET_FANOUT has it, 0 none */
	uint32_t waiting;            /* packets were in its queue */
	struct list own;             /* struct sockopt: options of the packet level */
	struct list options;         /* struct sockopt */
	struct blob notes;
};

static const struct field packet_fields[] = {
	FIELD_U32(struct packet, type),
	FIELD_U32(struct packet, protocol),
	FIELD_STR(struct packet, device),
	FIELD_U32(struct packet, fanout),
	FIELD_U32(struct packet, waiting),
	FIELD_LIST(struct packet, own, struct sockopt, sockopt_fields),
	FIELD_LIST(struct packet, options, struct sockopt, sockopt_fields),
	FIELD_BIN(struct packet, notes),
	FIELD_END
};

/* To be set before the others: PACKET_VERSION. */
static const int packet_options[] = {
	PACKET_VERSION, PACKET_AUXDATA, PACKET_ORIGDEV, PACKET_VNET_HDR, PACKET_RESERVE, PACKET_LOSS, PACKET_TIMESTAMP,
	PACKET_TX_HAS_OFF, PACKET_QDISC_BYPASS, PACKET_COPY_THRESH, 23 /* PACKET_IGNORE_OUTGOING */, 24 /* PACKET_VNET_HDR_SZ */,
};
#define OPTIONS (sizeof(packet_options) / sizeof(packet_options[0]))

static bool packet_match(const struct probe *p)
{
	return p->family == AF_PACKET;
}

static int device_name(struct collection *c, const struct probe *p, int index, struct blob *out)
{
	struct ifreq q = { 0 };
	int rc;

	if (index <= 0)
		return 0;
	q.ifr_ifindex = index;
	rc = (int)sys_ioctl(p->fd, SIOCGIFNAME, (long)&q);
	if (rc < 0)
		return collection_refuse(c, p, rc, "packet socket: its device %d", index);
	*out = arena_blob(c->arena, q.ifr_name, strlen(q.ifr_name));
	return out->p ? 0 : failed(-ENOMEM, "pid %d fd %d: packet socket", c->pid, p->fd);
}

static int collect_own(struct collection *c, const struct probe *p, struct packet *r)
{
	struct sockopt *list = arena_alloc(c->arena, OPTIONS * sizeof(*list));
	uint32_t n = 0;
	size_t i;
	int v;

	if (!list)
		return failed(-ENOMEM, "pid %d fd %d: packet socket", c->pid, p->fd);
	for (i = 0; i < OPTIONS; i++) {
		v = sockopt_get(p->fd, SOL_PACKET_, packet_options[i]);
		if (v > 0)
			list[n++] = (struct sockopt){ SOL_PACKET_, (uint32_t)packet_options[i], arena_blob(c->arena, &v, sizeof(v)) };
	}
	r->own = (struct list){ list, n };
	return 0;
}

static int packet_collect(struct collection *c, const struct probe *p, void *record)
{
	struct pollfd poll = { .fd = p->fd, .events = POLLIN };
	struct sockaddr_ll a = { 0 };
	struct packet *r = record;
	unsigned len = sizeof(a);
	int rc = sys_getsockname(p->fd, &a, &len);

	if (rc < 0)
		return failed(rc, "pid %d fd %d: getsockname", c->pid, p->fd);
	r->type = (uint32_t)p->type;
	r->protocol = a.sll_protocol;
	r->notes = socket_notes(c, p);
	/* a ring is told by nothing but its note */
	if (socket_noted(r->notes, SOL_PACKET_, PACKET_RX_RING) || socket_noted(r->notes, SOL_PACKET_, PACKET_TX_RING))
		return collection_refuse(c, p, -EOPNOTSUPP, "packet socket with a ring is not supported: close it");
	rc = sockopt_get(p->fd, SOL_PACKET_, PACKET_FANOUT);
	r->fanout = rc > 0 ? (uint32_t)rc : 0;
	if ((r->fanout >> 16 & FANOUT_TYPE) >= FANOUT_CBPF)
		return collection_refuse(c, p, -EOPNOTSUPP, "packet socket in a fanout group with a program is not supported: close it");
	rc = device_name(c, p, a.sll_ifindex, &r->device);
	if (rc >= 0)
		rc = collect_own(c, p, r);
	if (rc >= 0)
		rc = sockopt_collect(c, p, false, &r->options);
	if (rc < 0)
		return rc;
	rc = sys_poll(&poll, 1, 0);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: poll", c->pid, p->fd);
	r->waiting = (poll.revents & POLLIN) != 0;
	if (r->waiting)
		collection_loss(c, p, "packet socket: packets waiting in its queue will be lost at restart");
	return 0;
}

static int packet_socket(const struct packet *r)
{
	/* protocol 0: nothing is received before it is bound, with its filter */
	int fd = sys_socket(AF_PACKET, (int)r->type | SOCK_CLOEXEC, 0);

	if (fd == -EPERM)
		return failed(ERR_PLAIN, "packet socket: needs a privilege (CAP_NET_RAW)");
	return fd < 0 ? failed(fd, "packet socket") : fd;
}

static int device_index(int fd, struct blob name)
{
	struct ifreq q = { 0 };
	int rc;

	if (!name.n || name.n >= sizeof(q.ifr_name))
		return 0;
	memcpy(q.ifr_name, name.p, name.n);
	rc = (int)sys_ioctl(fd, SIOCGIFINDEX, (long)&q);
	return rc < 0 ? failed(rc, "packet socket: device %.*s", (int)name.n, (const char *)name.p) : q.ifr_ifindex;
}

static int packet_check(struct rebuild *rb, uint32_t obj, void *record)
{
	const struct packet *r = record;
	int fd = packet_socket(r), rc;

	(void)rb;
	(void)obj;
	if (fd < 0)
		return fd;
	rc = device_index(fd, r->device);
	sys_close(fd);
	return rc < 0 ? rc : 0;
}

static int packet_create(struct rebuild *rb, uint32_t obj, void *record)
{
	const struct packet *r = record;
	const struct sockopt *o = r->own.items;
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = (uint16_t)r->protocol };
	int fd = packet_socket(r), rc;
	uint32_t i;

	if (fd < 0)
		return fd;
	rc = sockopt_apply(rb, obj, fd, &r->options, SOCKOPT_BEFORE);
	for (i = 0; i < r->own.n && rc >= 0; i++)
		if (sys_setsockopt(fd, (int)o[i].level, (int)o[i].name, o[i].value.p, (unsigned)o[i].value.n) < 0)
			rebuild_loss(rb, obj, "packet socket: option %u", o[i].name);
	if (rc >= 0)
		rc = sockopt_apply(rb, obj, fd, &r->options, SOCKOPT_LATE);
	if (rc >= 0)
		rc = a.sll_ifindex = device_index(fd, r->device);
	if (rc >= 0 && (a.sll_protocol || a.sll_ifindex)) {
		rc = sys_bind(fd, &a, sizeof(a));
		if (rc < 0)
			failed(rc, "packet socket: bind to %.*s", (int)r->device.n, (const char *)r->device.p);
	}
	if (rc >= 0)
		rc = sockopt_replay(rb, obj, fd, r->notes);
	if (rc >= 0 && r->fanout && sockopt_set(fd, SOL_PACKET_, PACKET_FANOUT, (int)r->fanout) < 0)
		rebuild_loss(rb, obj, "packet socket: its fanout group %u", r->fanout & 0xffff);
	if (r->waiting)
		rebuild_loss(rb, obj, "packet socket: packets that were waiting in its queue");
	if (rc >= 0)
		return fd;
	sys_close(fd);
	return rc;
}

const struct kind kind_packet = {
	.tag = "packet",
	.size = sizeof(struct packet),
	.fields = packet_fields,
	.match = packet_match,
	.collect = packet_collect,
	.check = packet_check,
	.create = packet_create,
};
