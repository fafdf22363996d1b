/*
 * udp.c - a UDP or UDP-Lite socket
 *
 * Its name alone doesn't say what it was bound to: connect fills in an address
 * and a port that were left open. What was given to bind is the ledger's to
 * know; an adopted socket is bound to its name as it stands.
 *
 * An error that waits to be told is taken away by any look at the queue. Where
 * the peer was on this machine and its port is nobody's, a datagram to it
 * brings the error back, which other processes that have the socket must not
 * see happen. Else such a socket isn't looked into, and the queue
 * behind the error is lost. An error queue can't be looked at at all; poll
 * doesn't tell it from an error.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <linux/sockios.h>
#include <netinet/udp.h>
#include <poll.h>

#include "skshim/diag.h"
#include "udp.h"

#include "skshim/frozen.h"

static const struct field udp_fields[] = {
	FIELD_U32(struct udp_record, family),
	FIELD_U32(struct udp_record, protocol),
	FIELD_U64(struct udp_record, ino),
	FIELD_U64(struct udp_record, order),
	FIELD_BIN(struct udp_record, name),
	FIELD_BIN(struct udp_record, peer),
	FIELD_BIN(struct udp_record, bound),
	FIELD_U32(struct udp_record, reuse),
	FIELD_U32(struct udp_record, shut),
	FIELD_U32(struct udp_record, error),
	FIELD_LIST(struct udp_record, options, struct sockopt, sockopt_fields),
	FIELD_BIN(struct udp_record, notes),
	FIELD_LIST(struct udp_record, queue, struct udp_datagram, udp_datagram_fields),
	FIELD_LIST_ADDED(struct udp_record, groups, struct membership, membership_fields),
	FIELD_U32_ADDED(struct udp_record, held),
	FIELD_BIN_ADDED(struct udp_record, corked),
	FIELD_U32_ADDED(struct udp_record, open),
	FIELD_END
};

static bool udp_match(const struct probe *p)
{
	return (p->family == AF_INET || p->family == AF_INET6) && p->type == SOCK_DGRAM &&
	       (p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_UDPLITE);
}

static void set_port(union inet_addr *a, uint16_t port)
{
	if (a->any.sa_family == AF_INET)
		a->v4.sin_port = htons(port);
	else
		a->v6.sin6_port = htons(port);
}

/* The name, with the address left open where the program left it open. */
static int collect_bound(struct collection *c, const struct probe *p, struct udp_record *r)
{
	const struct lineage *l = p->lineage;
	union inet_addr a, given;
	struct inet_key name, key;
	unsigned len, given_len;

	if (!inet_key(r->name, &name) || !name.port || !inet_addr_of(r->name, &a, &len))
		return 0;
	if (l && l->origin == LINEAGE_SOCKET && l->bound_len <= sizeof(l->bound)) {
		struct blob b = { l->bound, l->bound_len };

		r->open = !inet_key(b, &key) || !key.port;
		if (!l->bound_len && r->peer.n) {
			memset(&a, 0, sizeof(a));
			a.any.sa_family = (sa_family_t)r->family;
			set_port(&a, name.port);
		} else if (inet_key(b, &key) && inet_is_any(&key) && inet_addr_of(b, &given, &given_len)) {
			a = given;
			len = given_len;
			set_port(&a, name.port);
		}
	}
	r->bound = arena_blob(c->arena, &a, len);
	return r->bound.p ? 0 : failed(-ENOMEM, "pid %d fd %d: its address", c->pid, p->fd);
}

/* Of one without a port, which sock_diag doesn't list; that only sending was shut down isn't told. */
static uint32_t shut_in(int fd)
{
	struct pollfd poll = { .fd = fd, .events = RDHUP };

	(void)sys_poll(&poll, 1, 0);
	return poll.revents & POLLHUP ? 3 : poll.revents & RDHUP ? 1 : 0;
}

static int collect_state(struct collection *c, const struct probe *p, struct udp_record *r)
{
	const struct diag_inet *d = diag_inet(c, p->protocol, (uint32_t)p->st.st_ino);
	int rc = inet_name_read(c->arena, p->fd, false, &r->name);

	if (rc >= 0)
		rc = inet_name_read(c->arena, p->fd, true, &r->peer);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: its names", c->pid, p->fd);
	r->shut = d ? d->shutdown & 3 : shut_in(p->fd);
	r->reuse = sockopt_get(p->fd, SOL_SOCKET, SO_REUSEADDR) == 1;
	return collect_bound(c, p, r);
}

/* TX flags of SO_TIMESTAMPING: hardware, software, scheduler, acknowledgement, completion. */
#define TX_STAMPS (1 << 0 | 1 << 1 | 1 << 8 | 1 << 9 | 1 << 18)

static bool has_reports(const struct udp_record *r)
{
	return sockopt_int(&r->options, SOL_SOCKET, SO_ZEROCOPY, 0) ||
	       (sockopt_int(&r->options, SOL_SOCKET, SO_TIMESTAMPING, 0) & TX_STAMPS);
}

static bool has_error_queue(const struct udp_record *r)
{
	return has_reports(r) || sockopt_int(&r->options, IPPROTO_IP, IP_RECVERR, 0) ||
	       sockopt_int(&r->options, IPPROTO_IPV6, IPV6_RECVERR, 0);
}

static void collect_error(struct collection *c, const struct probe *p, struct udp_record *r, bool waiting)
{
	/* with an error queue of reports it is no error, as a rule */
	r->error = has_reports(r) ? 0 : ECONNREFUSED;
	if (has_error_queue(r))
		collection_loss(c, p, "UDP socket: its error queue%s will be lost at restart", waiting ? " and datagrams waiting" : "");
	else if (waiting)
		collection_loss(c, p, "UDP socket: datagrams waiting behind an error will be lost at restart");
}

bool udp_stays_here(const struct udp_record *r)
{
	static const struct {
		int level, name;
	} leading[] = {
		{ SOL_SOCKET, SO_BINDTODEVICE }, { SOL_SOCKET, SO_MARK }, { IPPROTO_IP, IP_OPTIONS }, { IPPROTO_IP, IP_UNICAST_IF },
		{ IPPROTO_IPV6, IPV6_UNICAST_IF }, { IPPROTO_IPV6, IPV6_RTHDR },
	};
	const struct sockopt *o = r->options.items;
	uint32_t i;
	size_t k;

	for (i = 0; i < r->options.n; i++)
		for (k = 0; k < sizeof(leading) / sizeof(leading[0]); k++)
			if (o[i].level == (uint32_t)leading[k].level && o[i].name == (uint32_t)leading[k].name)
				return false;
	return !(r->shut & 2) && inet_is_here(r->peer);
}

/* Whether a datagram that is sent to its peer is refused and reaches nobody. */
static bool refuses(struct collection *c, const struct udp_record *r)
{
	const struct diag_inet *d;
	struct inet_key peer, at;

	if (!inet_key(r->peer, &peer) || !udp_stays_here(r))
		return false;
	for (d = diag_inet_next(c, (int)r->protocol, NULL); d; d = diag_inet_next(c, (int)r->protocol, d)) {
		if (d->family == AF_INET)
			diag_map4(d->src, at.ip);
		else
			memcpy(at.ip, d->src, sizeof(at.ip));
		if (d->sport == peer.port && (inet_is_any(&at) || !memcmp(at.ip, peer.ip, sizeof(at.ip))))
			return false;
	}
	return true;
}

/* Datagrams to nobody, until one is answered; older kernels answer so many in a second only. */
static int be_refused(int fd)
{
	struct pollfd poll = { .fd = fd };
	int tries, rc = 0;

	for (tries = 0; tries < 100 && rc >= 0 && !(poll.revents & POLLERR); tries++) {
		(void)sys_sendto(fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
		rc = sys_poll(&poll, 1, 20);
	}
	return rc < 0 ? rc : poll.revents & POLLERR ? 0 : -ETIME;
}

/* Whether the answer comes (a firewall may keep it away): seen on a socket of our own, as long as the error is not taken. */
static int try_refusal(const struct udp_record *r)
{
	union inet_addr a;
	unsigned len;
	int fd = sys_socket((int)r->family, SOCK_DGRAM | SOCK_CLOEXEC, (int)r->protocol), rc = fd;

	if (rc >= 0)
		rc = inet_addr_of(r->peer, &a, &len) ? sys_connect(fd, &a, len) : -EINVAL;
	if (rc >= 0)
		rc = be_refused(fd);
	if (fd >= 0)
		sys_close(fd);
	return rc;
}

/* The error that was taken comes back. */
static int bring_back(int fd)
{
	int cork = sockopt_get(fd, IPPROTO_UDP, UDP_CORK), rc;

	if (cork > 0)
		(void)sockopt_set(fd, IPPROTO_UDP, UDP_CORK, 0);
	rc = be_refused(fd);
	if (cork > 0)
		(void)sockopt_set(fd, IPPROTO_UDP, UDP_CORK, 1);
	return rc;
}

/* The queue behind a refusal, which is taken and comes back. */
static int collect_behind_error(struct collection *c, const struct probe *p, struct udp_record *r)
{
	int error = (int)sockopt_get(p->fd, SOL_SOCKET, SO_ERROR), back, rc;

	if (error <= 0) { /* the error queue of an option that was set before */
		collection_loss(c, p, "UDP socket: its error queue will be lost at restart");
		return udp_queue_collect(c, p, r);
	}
	r->error = (uint32_t)error;
	rc = udp_queue_collect(c, p, r);
	back = bring_back(p->fd);
	if (back < 0)
		return failed(back, "pid %d fd %d: its error \"%s\", which was taken", c->pid, p->fd, text_error(-error));
	if (error != ECONNREFUSED)
		collection_loss(c, p, "UDP socket: its error \"%s\" has become \"%s\", now and after a restart", text_error(-error),
				text_error(-ECONNREFUSED));
	return rc;
}

/* What waits to be received, asked while no other process looks. */
static int collect_waiting(struct collection *c, const struct probe *p, struct udp_record *r, bool corked)
{
	struct pollfd poll = { .fd = p->fd, .events = POLLIN };
	int rc = sys_poll(&poll, 1, 0);

	if (rc < 0)
		return failed(rc, "pid %d fd %d: poll", c->pid, p->fd);
	if (poll.revents & POLLERR && poll.revents & POLLIN && !corked && !has_error_queue(r) && refuses(c, r) && try_refusal(r) >= 0)
		return collect_behind_error(c, p, r);
	if (poll.revents & POLLERR) {
		collect_error(c, p, r, poll.revents & POLLIN);
		return 0;
	}
	return poll.revents & POLLIN ? udp_queue_collect(c, p, r) : 0;
}

/* A datagram that is held back. */
static int collect_corked(struct collection *c, const struct probe *p, struct udp_record *r, bool error)
{
	int rc = error || has_reports(r) ? 0 : udp_cork_collect(c, p, r);

	if (rc == 0 && !r->held)
		collection_loss(c, p, "UDP socket: a corked datagram, which can't be looked at, will be lost at restart");
	return rc < 0 ? rc : 0;
}

static int udp_collect(struct collection *c, const struct probe *p, void *record)
{
	struct pollfd poll = { .fd = p->fd, .events = POLLIN };
	struct udp_record *r = record;
	int corked = 0, lock, rc;

	r->family = (uint32_t)p->family;
	r->protocol = (uint32_t)p->protocol;
	r->ino = p->st.st_ino;
	r->order = p->cookie;
	rc = collect_state(c, p, r);
	if (rc >= 0)
		rc = sockopt_collect(c, p, false, &r->options);
	if (rc >= 0)
		rc = multicast_collect(c, p, &r->groups);
	if (rc < 0)
		return rc;
	r->notes = socket_notes(c, p);
	rc = sys_poll(&poll, 1, 0);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: poll", c->pid, p->fd);
	if (sys_ioctl(p->fd, SIOCOUTQ, (long)&corked) == 0 && corked > 0) {
		rc = collect_corked(c, p, r, poll.revents & POLLERR);
		if (rc < 0)
			return rc;
	}
	if (!(poll.revents & (POLLERR | POLLIN)))
		return 0;
	lock = socket_lock(p);
	if (lock < 0)
		return failed(lock, "pid %d fd %d: its queue", c->pid, p->fd);
	rc = collect_waiting(c, p, r, corked > 0);
	sys_close(lock);
	return rc;
}

static int udp_readdress(struct rebuild *rb, uint32_t obj, void *record, struct lineage_record *l)
{
	struct udp_record *r = record;
	struct udp_datagram *m = r->queue.items;
	int rc = inet_readdress(rb, obj, &r->name);
	uint32_t i;

	if (rc >= 0)
		rc = inet_readdress(rb, obj, &r->peer);
	if (rc >= 0)
		rc = inet_readdress(rb, obj, &r->bound);
	for (i = 0; i < r->queue.n && rc >= 0; i++) {
		rc = inet_readdress(rb, obj, &m[i].sender);
		if (rc >= 0)
			rc = inet_readdress(rb, obj, &m[i].to);
	}
	if (rc >= 0)
		rc = inet_readdress_options(rb, obj, &r->options, &r->notes);
	if (rc >= 0)
		rc = inet_readdress_groups(rb, obj, &r->groups);
	return rc < 0 ? rc : inet_readdress_lineage(rb, obj, l);
}

static int udp_check(struct rebuild *rb, uint32_t obj, void *record)
{
	const struct udp_record *r = record;

	(void)rb;
	(void)obj;
	return r->bound.n ? inet_check("UDP", (int)r->family, SOCK_DGRAM, (int)r->protocol, r->bound, &r->options, r->reuse, false) : 0;
}

/* The first one asked for makes them all. */
static int udp_create(struct rebuild *rb, uint32_t obj, void *record)
{
	int rc = udp_build(rb);

	(void)record;
	return rc < 0 ? rc : rebuild_fd(rb, obj);
}

static int udp_kind_fill(struct rebuild *rb, uint32_t obj, void *record, int fd)
{
	(void)obj;
	(void)record;
	(void)fd;
	return udp_fill(rb);
}

const struct kind kind_udp = {
	.tag = "udp",
	.size = sizeof(struct udp_record),
	.fields = udp_fields,
	.match = udp_match,
	.collect = udp_collect,
	.readdress = udp_readdress,
	.check = udp_check,
	.create = udp_create,
	.fill = udp_kind_fill,
};
