/*
 * udp_build.c - all UDP sockets of an image, made at once
 *
 * Sockets that share a port are bound in the order in which they were made,
 * since the kernel prefers the last one. All have SO_REUSEADDR until the
 * queues are filled: a stand-in for a sender may then use the port of a
 * socket of the tree. Connecting comes after that, because a connected socket
 * takes nothing from others.
 */
#include <asm/errno.h>
#include <linux/filter.h>
#include <netinet/udp.h>
#include <stddef.h>

#include "skshim/diag.h"
#include "udp.h"

#include "skshim/frozen.h"

struct end {
	uint32_t obj;
	struct udp_record *rec;
	int fd;
	uint16_t port;
	struct end *same_port;       /* hash chain */
};

static struct {
	struct rebuild *rb;
	struct end *ends;
	uint32_t n, mask;
	struct end **by_port;
	bool filled;
} net;

static int trouble(const struct end *e, int rc, const char *what)
{
	char name[64];

	inet_text(e->rec->bound.n ? e->rec->bound : e->rec->name, name);
	return failed(rc, "UDP %s: %s", name, what);
}

/* Ascending by order. */
static void sort(struct end *a, uint32_t n)
{
	uint32_t gap, i, k;

	for (gap = n / 2; gap; gap /= 2)
		for (i = gap; i < n; i++) {
			struct end e = a[i];

			for (k = i; k >= gap && a[k - gap].rec->order > e.rec->order; k -= gap)
				a[k] = a[k - gap];
			a[k] = e;
		}
}

static int net_index(struct rebuild *rb)
{
	struct arena *arena = rebuild_arena(rb);
	uint32_t total = rebuild_objects(rb), size = 16, i, n = 0;
	struct inet_key key;
	struct end *e;

	memset(&net, 0, sizeof(net));
	for (i = 0; i < total; i++)
		net.n += rebuild_kind(rb, i) == &kind_udp;
	while (size < net.n)
		size *= 2;
	net.mask = size - 1;
	net.ends = arena_alloc(arena, net.n * sizeof(*net.ends));
	net.by_port = arena_alloc(arena, size * sizeof(void *));
	if (!net.ends || !net.by_port)
		return failed(-ENOMEM, "UDP sockets");
	for (i = 0; i < total; i++)
		if (rebuild_kind(rb, i) == &kind_udp)
			net.ends[n++] = (struct end){ .obj = i, .rec = rebuild_record(rb, i), .fd = -1 };
	sort(net.ends, net.n);
	for (e = net.ends; e < net.ends + net.n; e++) {
		if (!inet_key(e->rec->bound, &key))
			continue;
		e->port = key.port;
		e->same_port = net.by_port[key.port & net.mask];
		net.by_port[key.port & net.mask] = e;
	}
	net.rb = rb;
	return 0;
}

static bool port_shared(const struct end *e)
{
	const struct end *o = net.by_port[e->port & net.mask];

	while (o && (o == e || o->port != e->port))
		o = o->same_port;
	return o != NULL;
}

/* Bound to an address with the port left open, connected and disconnected: the port went, the address stayed. */
static void name_without_port(struct end *e)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct inet_key key;
	union inet_addr a;
	unsigned len;

	if (!inet_key(e->rec->name, &key) || inet_is_any(&key) || key.port || !inet_addr_of(e->rec->name, &a, &len))
		return;
	if (sys_bind(e->fd, &a, len) < 0 || sys_getsockname(e->fd, &a, &len) < 0 || sys_connect(e->fd, &a, len) < 0 ||
	    sys_connect(e->fd, &none, sizeof(none)) < 0)
		rebuild_loss(net.rb, e->obj, "UDP socket: its address, which has no port");
}

/* A port that the kernel had chosen it chooses again, where it can be made to. */
static int bind_again(const struct end *e, const union inet_addr *a, unsigned len)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int rc = -ENOPROTOOPT;

	/* those that are disconnected while rebuilding: to bring back an error, to fill a queue beside others' */
	if (e->rec->open && (!e->rec->error || e->rec->peer.n) && !port_shared(e))
		rc = inet_bind_open(e->fd, a, len);
	if (rc == -ERANGE)
		(void)sys_connect(e->fd, &none, sizeof(none));
	return rc >= 0 ? rc : sys_bind(e->fd, a, len);
}

static int make(struct end *e)
{
	const struct udp_record *r = e->rec;
	union inet_addr a;
	unsigned len;
	int rc;

	e->fd = sys_socket((int)r->family, SOCK_DGRAM | SOCK_CLOEXEC, (int)r->protocol);
	if (e->fd < 0)
		return trouble(e, e->fd, "socket");
	rebuild_give(net.rb, e->obj, e->fd);
	rc = sockopt_apply(net.rb, e->obj, e->fd, &r->options, SOCKOPT_BEFORE);
	if (rc >= 0)
		rc = sockopt_set(e->fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc >= 0 && inet_addr_of(r->bound, &a, &len)) {
		rc = bind_again(e, &a, len);
		if (rc < 0)
			trouble(e, rc, "bind");
	}
	if (rc >= 0 && !r->bound.n)
		name_without_port(e);
	return rc < 0 ? trouble(e, rc, "options") : 0;
}

int udp_build(struct rebuild *rb)
{
	struct end *e;
	int rc;

	if (net.rb == rb)
		return 0;
	rc = net_index(rb);
	for (e = net.ends; rc >= 0 && e < net.ends + net.n; e++)
		rc = make(e);
	return rc;
}

/* Makes an ICMP error wait: a datagram to a port of ours that nobody has. */
static void meet_error(struct end *e)
{
	union inet_addr a = { .v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
	bool v6 = e->rec->family == AF_INET6;
	struct inet_key own;
	unsigned len = v6 ? sizeof(a.v6) : sizeof(a.v4);
	int helper = sys_socket((int)e->rec->family, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = helper;

	if (v6)
		a = (union inet_addr){ .v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT } };
	/* the first connect settles the own address */
	if (inet_key(e->rec->name, &own) && !inet_is_any(&own) && inet_addr_of(e->rec->name, &a, &len))
		a.v4.sin_port = 0; /* where IPv6 has it, too */
	if (rc >= 0)
		rc = sys_bind(helper, &a, len);
	if (rc >= 0)
		rc = sys_getsockname(helper, &a, &len);
	if (helper >= 0)
		sys_close(helper);
	if (rc >= 0)
		rc = sys_connect(e->fd, &a, len);
	if (rc >= 0)
		rc = (int)sys_sendto(e->fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
	if (rc < 0)
		rebuild_loss(net.rb, e->obj, "UDP socket: the error that was waiting");
}

static int connect_again(struct end *e)
{
	const struct udp_record *r = e->rec;
	union inet_addr a;
	unsigned len;
	int rc;

	if (r->error)
		meet_error(e);
	if (inet_addr_of(r->peer, &a, &len)) {
		rc = inet_connect(e->fd, &a, len);
		if (rc == -ENETUNREACH || rc == -EHOSTUNREACH || rc == -EADDRNOTAVAIL) {
			rebuild_loss(net.rb, e->obj, "UDP socket: its peer can't be reached from here: %s", text_error(rc));
			return 0;
		}
		return rc < 0 ? trouble(e, rc, "connect") : 0;
	}
	if (r->error) {
		a = (union inet_addr){ .any = { .sa_family = AF_UNSPEC } };
		(void)sys_connect(e->fd, &a, sizeof(a.any));
	}
	return 0;
}

static int finish(struct end *e)
{
	static const int how[4] = { 0, SHUT_RD, SHUT_WR, SHUT_RDWR };
	const struct udp_record *r = e->rec;
	int rc = connect_again(e);

	if (rc >= 0 && r->shut & 3)
		(void)sys_shutdown(e->fd, how[r->shut & 3]); /* says ENOTCONN, and does it, where not connected */
	if (rc >= 0)
		rc = sockopt_apply(net.rb, e->obj, e->fd, &r->options, SOCKOPT_LATE);
	if (rc >= 0)
		rc = sockopt_replay(net.rb, e->obj, e->fd, r->notes);
	if (rc >= 0)
		rc = sockopt_set(e->fd, SOL_SOCKET, SO_REUSEADDR, (int)r->reuse);
	udp_cork_fill(net.rb, e->obj, r, e->fd);
	return rc < 0 ? trouble(e, rc, "options") : 0;
}

void udp_others_deaf(uint32_t obj, bool deaf)
{
	struct sock_filter nothing = { .code = BPF_RET | BPF_K, .k = 0 };
	struct sock_fprog prog = { .len = 1, .filter = &nothing };
	const struct end *me = net.ends, *e;

	while (me < net.ends + net.n && me->obj != obj)
		me++;
	for (e = me < net.ends + net.n ? net.by_port[me->port & net.mask] : NULL; e; e = e->same_port) {
		if (e->obj == obj || e->port != me->port)
			continue;
		if (deaf) /* their own filters come when all queues are full */
			(void)sys_setsockopt(e->fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
		else
			(void)sockopt_set(e->fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	}
}

/* One that was disconnected keeps its queue, but no port to which that could be sent. */
static int fill(struct end *e)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	bool lent = !e->rec->bound.n;
	union inet_addr a;
	unsigned len;
	int rc = 0;

	if (lent) /* its name, whose port is 0 */
		rc = inet_addr_of(e->rec->name, &a, &len) ? sys_bind(e->fd, &a, len) : -EINVAL;
	if (rc < 0)
		return trouble(e, rc, "a port for its queue");
	rc = udp_queue_fill(net.rb, e->obj, e->rec, e->fd, !lent && port_shared(e));
	if (rc >= 0 && lent)
		rc = sys_connect(e->fd, &none, sizeof(none));
	return rc;
}

int udp_fill(struct rebuild *rb)
{
	struct end *e;
	int rc = 0;

	if (net.rb != rb || net.filled)
		return 0;
	net.filled = true;
	for (e = net.ends; e < net.ends + net.n; e++)
		multicast_apply(rb, e->obj, e->fd, &e->rec->groups);
	for (e = net.ends; rc >= 0 && e < net.ends + net.n; e++)
		if (e->rec->queue.n)
			rc = fill(e);
	for (e = net.ends; rc >= 0 && e < net.ends + net.n; e++)
		rc = finish(e);
	return rc;
}
