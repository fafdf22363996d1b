/*
 * raw.c - raw sockets, and those of ping (ICMP datagrams)
 *
 * Both have an address and no port; ping's port is the id of its echo
 * requests. Their queues can't be walked: only the first packet could be seen.
 * What comes in is the network's and goes on coming, so the queue is announced
 * as lost.
 */
#include <asm/errno.h>
#include <netinet/in.h>
#include <poll.h>

#include "inet.h"
#include "skshim/diag.h"

#include "skshim/frozen.h"

#define MRT_INIT 200         /* the same number for IPv6 */

struct raw {
	uint32_t family, type, protocol;
	struct blob name, peer;      /* struct sockaddr_in or _in6, "" none */
	uint32_t shut;               /* as the kernel has it: 1 receiving, 2 sending */
	uint32_t waiting;            /* packets were in its queue */
	struct list options;         /* struct sockopt */
	struct blob notes;
	struct list groups;          /* struct membership */
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
	FIELD_END
};

static bool raw_match(const struct probe *p)
{
	if (p->family != AF_INET && p->family != AF_INET6)
		return false;
	return p->type == SOCK_RAW ||
	       (p->type == SOCK_DGRAM && (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6));
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
	if (r->waiting)
		collection_loss(c, p, "%s socket: packets waiting in its queue will be lost at restart",
				p->type == SOCK_RAW ? "raw" : "ping");
	return 0;
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
	int fd = raw_socket(record);

	(void)rb;
	(void)obj;
	if (fd < 0)
		return fd;
	sys_close(fd);
	return 0;
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
	rc = sys_connect(fd, &a, len);
	return rc < 0 ? failed(rc, "%s socket: connect to %s", r->type == SOCK_RAW ? "raw" : "ping", text) : 0;
}

static int raw_create(struct rebuild *rb, uint32_t obj, void *record)
{
	static const int how[4] = { 0, SHUT_RD, SHUT_WR, SHUT_RDWR };
	const struct raw *r = record;
	int fd = raw_socket(r), rc;

	if (fd < 0)
		return fd;
	rc = sockopt_apply(rb, obj, fd, &r->options, SOCKOPT_BEFORE);
	if (rc >= 0)
		rc = name_it(r, fd);
	if (rc >= 0)
		rc = sockopt_apply(rb, obj, fd, &r->options, SOCKOPT_LATE);
	if (rc >= 0)
		rc = sockopt_replay(rb, obj, fd, r->notes);
	if (rc >= 0)
		multicast_apply(rb, obj, fd, &r->groups);
	if (r->shut & 3)
		(void)sys_shutdown(fd, how[r->shut & 3]);
	if (r->waiting)
		rebuild_loss(rb, obj, "packets that were waiting in its queue");
	if (rc >= 0)
		return fd;
	sys_close(fd);
	return rc;
}

const struct kind kind_raw = {
	.tag = "raw",
	.size = sizeof(struct raw),
	.fields = raw_fields,
	.match = raw_match,
	.collect = raw_collect,
	.check = raw_check,
	.create = raw_create,
};
