/*
 * netlink.c - a netlink socket
 *
 * Port id, groups and options are kept. Of the messages waiting only the first can
 * be looked at. News for a group are lost: there is always more of them. An answer to
 * a request, which the program will wait for, is a reason to refuse.
 */
#include <asm/errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include "skshim/diag.h"
#include "socket.h"

#include "skshim/frozen.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif
#define GROUPS_MAX 4096

struct netlink {
	uint32_t type, protocol;
	uint32_t port;               /* nl_pid; 0 not bound */
	uint32_t peer_port, peer_groups; /* where it is connected to */
	uint32_t waiting;            /* there were messages in its queue */
	struct blob groups;          /* bits, as NETLINK_LIST_MEMBERSHIPS gives them */
	struct list options;         /* struct sockopt */
	uint32_t switches;           /* bits: see netlink_switches */
	struct blob notes;
};

static const struct field netlink_fields[] = {
	FIELD_U32(struct netlink, type),
	FIELD_U32(struct netlink, protocol),
	FIELD_U32(struct netlink, port),
	FIELD_U32(struct netlink, peer_port),
	FIELD_U32(struct netlink, peer_groups),
	FIELD_U32(struct netlink, waiting),
	FIELD_BIN(struct netlink, groups),
	FIELD_LIST(struct netlink, options, struct sockopt, sockopt_fields),
	FIELD_U32(struct netlink, switches),
	FIELD_BIN(struct netlink, notes),
	FIELD_END
};

/* Options of netlink's own that are on or off; the order is the image's. */
static const int netlink_switches[] = {
	NETLINK_PKTINFO, NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS, NETLINK_LISTEN_ALL_NSID, NETLINK_CAP_ACK, NETLINK_EXT_ACK,
	NETLINK_GET_STRICT_CHK,
};
#define SWITCHES (sizeof(netlink_switches) / sizeof(netlink_switches[0]))

static bool netlink_match(const struct probe *p)
{
	return p->family == AF_NETLINK;
}

static int collect_groups(struct collection *c, const struct probe *p, struct netlink *r)
{
	uint8_t bits[GROUPS_MAX / 8];
	unsigned len = sizeof(bits);
	int rc = sys_getsockopt(p->fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, bits, &len);

	if (rc < 0)
		return failed(rc, "pid %d fd %d: netlink groups", c->pid, p->fd);
	r->groups = arena_blob(c->arena, bits, len < sizeof(bits) ? len : sizeof(bits));
	return r->groups.p ? 0 : failed(-ENOMEM, "pid %d fd %d: netlink groups", c->pid, p->fd);
}

/* Whether the first message in the queue is one for this socket alone. */
static bool is_answer(const struct probe *p, const struct netlink *r)
{
	struct nlmsghdr h = { 0 };
	struct sockaddr_nl from = { 0 };
	unsigned len = sizeof(from);
	long n = sys_recvfrom(p->fd, &h, sizeof(h), MSG_PEEK | MSG_DONTWAIT, &from, &len);

	return n == sizeof(h) && !from.nl_groups && from.nl_pid == 0 && h.nlmsg_pid == r->port && r->port;
}

static int netlink_collect(struct collection *c, const struct probe *p, void *record)
{
	struct pollfd poll = { .fd = p->fd, .events = POLLIN };
	struct sockaddr_nl a = { 0 };
	struct netlink *r = record;
	unsigned len = sizeof(a);
	size_t i;
	int rc;

	r->type = (uint32_t)p->type;
	r->protocol = (uint32_t)p->protocol;
	rc = sys_getsockname(p->fd, &a, &len);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: getsockname", c->pid, p->fd);
	r->port = a.nl_pid;
	len = sizeof(a);
	if (sys_getpeername(p->fd, &a, &len) == 0) {
		r->peer_port = a.nl_pid;
		r->peer_groups = a.nl_groups;
	}
	rc = collect_groups(c, p, r);
	if (rc >= 0)
		rc = sockopt_collect(c, p, false, &r->options);
	if (rc < 0)
		return rc;
	for (i = 0; i < SWITCHES; i++)
		if (sockopt_get(p->fd, SOL_NETLINK, netlink_switches[i]) == 1)
			r->switches |= 1u << i;
	r->notes = socket_notes(c, p);
	rc = sys_poll(&poll, 1, 0);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: poll", c->pid, p->fd);
	r->waiting = (poll.revents & (POLLIN | POLLERR)) != 0;
	if (r->waiting && !(poll.revents & POLLERR) && is_answer(p, r))
		return collection_refuse(c, p, -EOPNOTSUPP, "netlink: an answer of the kernel's waits to be read");
	if (r->waiting)
		collection_loss(c, p, "netlink socket: messages waiting in its queue will be lost at restart");
	return 0;
}

static int join_groups(struct rebuild *rb, uint32_t obj, const struct netlink *r, int fd)
{
	const uint32_t *bits = r->groups.p;
	uint32_t i, n = (uint32_t)(r->groups.n / 4) * 32;
	int rc;

	for (i = 0; i < n; i++) {
		if (!(bits[i / 32] >> i % 32 & 1))
			continue;
		rc = sockopt_set(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, (int)i + 1);
		if (rc == -EPERM)
			rebuild_loss(rb, obj, "netlink socket: group %u needs a privilege", i + 1);
		else if (rc < 0)
			return failed(rc, "netlink socket: group %u", i + 1);
	}
	return 0;
}

static int name_it(struct rebuild *rb, uint32_t obj, const struct netlink *r, int fd)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = r->port };
	int rc = 0;

	if (r->port)
		rc = sys_bind(fd, &a, sizeof(a));
	if (rc == -EADDRINUSE) {
		a.nl_pid = 0;
		rc = sys_bind(fd, &a, sizeof(a));
		rebuild_loss(rb, obj, "netlink socket: its port id %u is taken", r->port);
	}
	if (rc >= 0 && (r->peer_port || r->peer_groups)) {
		a.nl_pid = r->peer_port;
		a.nl_groups = r->peer_groups;
		rc = sys_connect(fd, &a, sizeof(a));
	}
	return rc < 0 ? failed(rc, "netlink socket: port id %u", r->port) : 0;
}

static int netlink_create(struct rebuild *rb, uint32_t obj, void *record)
{
	const struct netlink *r = record;
	int fd = sys_socket(AF_NETLINK, (int)r->type | SOCK_CLOEXEC, (int)r->protocol), rc;
	size_t i;

	if (fd < 0)
		return failed(fd, "netlink socket of protocol %u", r->protocol);
	rc = sockopt_apply(rb, obj, fd, &r->options, SOCKOPT_BEFORE);
	if (rc >= 0)
		rc = name_it(rb, obj, r, fd);
	for (i = 0; i < SWITCHES && rc >= 0; i++)
		if (r->switches >> i & 1 && sockopt_set(fd, SOL_NETLINK, netlink_switches[i], 1) < 0)
			rebuild_loss(rb, obj, "netlink socket: option %d", netlink_switches[i]);
	if (rc >= 0)
		rc = join_groups(rb, obj, r, fd);
	if (r->waiting)
		rebuild_loss(rb, obj, "netlink socket: the messages that were waiting in its queue");
	if (rc >= 0)
		rc = sockopt_apply(rb, obj, fd, &r->options, SOCKOPT_LATE);
	if (rc >= 0)
		return fd;
	sys_close(fd);
	return rc;
}

const struct kind kind_netlink = {
	.tag = "netlink",
	.size = sizeof(struct netlink),
	.fields = netlink_fields,
	.match = netlink_match,
	.collect = netlink_collect,
	.create = netlink_create,
};
