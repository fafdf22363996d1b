/*
 * diag.c - sock_diag: what the kernel says of all sockets
 *
 * The first question about a family dumps all of it over one netlink socket
 * and puts the answers into hash tables in the collection's arena; every later
 * question is a look-up, so the cost of a checkpoint grows linearly with the
 * sockets of the machine. The dump needs no privilege and no file of /proc.
 *
 * The dump is not atomic: sockets outside the stopped tree may come and go
 * meanwhile. Those of the tree stand still, so what is asked about is right.
 */
#include <asm/errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "skshim/diag.h"
#include "skshim/frozen.h"

#define REPLY_ROOM 65536
#define STATES 0x1ffeu        /* all but the bound ones that aren't connected (Linux 6.8), for which all ports are looked through */

struct unix_entry {
	struct diag_unix u;
	struct unix_entry *all, *same;   /* list of all; of those in one hash bucket */
};

struct inet_entry {
	struct diag_inet i;
	uint8_t src[16], dst[16];        /* mapped */
	struct inet_entry *all, *same_ino, *same_pair, *listens;
};

struct unix_table {
	bool asked;
	struct unix_entry *all, **by_ino;
	uint32_t n, mask;
};

struct inet_table {
	bool asked;
	int protocol;
	struct inet_entry *all, *listeners, **by_ino, **by_pair;
	uint32_t n, mask;
};

#define INET_TABLES 5

struct diag {
	struct unix_table unix_sockets;
	struct inet_table inet[INET_TABLES];
	char *reply;
	void *remembered;
};

/* What a dump hands each answer to; a negative result ends it. */
typedef int diag_take(struct collection *, void *table, const struct nlmsghdr *);

static struct diag *diag_of(struct collection *c)
{
	if (!c->diag)
		c->diag = arena_alloc(c->arena, sizeof(struct diag));
	return c->diag;
}

void **diag_remember(struct collection *c)
{
	struct diag *d = diag_of(c);

	return d ? &d->remembered : NULL;
}

static uint32_t hash_bytes(const void *p, size_t n, uint32_t h)
{
	const uint8_t *b = p;

	while (n--)
		h = (h ^ *b++) * 16777619u;
	return h;
}

static uint32_t hash_ino(uint32_t ino)
{
	return ino * 2654435769u >> 7;
}

static uint32_t hash_pair(const uint8_t *src, uint16_t sport, const uint8_t *dst, uint16_t dport)
{
	uint32_t h = hash_bytes(src, 16, 2166136261u);

	h = hash_bytes(&sport, 2, h);
	h = hash_bytes(dst, 16, h);
	return hash_bytes(&dport, 2, h);
}

/* Buckets for n entries; *mask gets the number less one. */
static void *table_new(struct collection *c, uint32_t n, uint32_t *mask)
{
	uint32_t size = 16;

	while (size < n)
		size *= 2;
	*mask = size - 1;
	return arena_alloc(c->arena, size * sizeof(void *));
}

/* One request, all its answers. */
static int diag_dump(struct collection *c, struct nlmsghdr *request, diag_take *take, void *table)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct diag *d = diag_of(c);
	struct nlmsghdr *h;
	long n;
	int fd, rc;

	if (d && !d->reply)
		d->reply = arena_alloc(c->arena, REPLY_ROOM);
	if (!d || !d->reply)
		return failed(-ENOMEM, "sock_diag");
	fd = sys_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return failed(fd, "sock_diag: socket");
	rc = (int)sys_sendto(fd, request, request->nlmsg_len, 0, &kernel, sizeof(kernel));
	if (rc < 0) {
		failed(rc, "sock_diag: request");
		goto out;
	}
	for (;;) {
		n = sys_recvfrom(fd, d->reply, REPLY_ROOM, 0, NULL, NULL);
		if (n == -EINTR)
			continue;
		if (n <= 0) {
			rc = failed(n ? (int)n : -EIO, "sock_diag: answer");
			goto out;
		}
		for (h = (struct nlmsghdr *)d->reply; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			rc = 0;
			if (h->nlmsg_type == NLMSG_DONE)
				goto out;
			if (h->nlmsg_type == NLMSG_ERROR) {
				rc = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
				goto out;
			}
			rc = take(c, table, h);
			if (rc < 0)
				goto out;
		}
	}
out:
	sys_close(fd);
	return rc;
}

static int take_unix(struct collection *c, void *table, const struct nlmsghdr *h)
{
	struct unix_table *t = table;
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	struct unix_entry *e = arena_alloc(c->arena, sizeof(*e));
	struct rtattr *a = (struct rtattr *)(m + 1);
	int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));

	if (!e)
		return failed(-ENOMEM, "sock_diag: unix sockets");
	e->u.ino = m->udiag_ino;
	e->u.type = m->udiag_type;
	e->u.state = m->udiag_state;
	e->u.cookie = (uint64_t)m->udiag_cookie[1] << 32 | m->udiag_cookie[0];
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		const void *p = RTA_DATA(a);
		size_t n = RTA_PAYLOAD(a);

		switch (a->rta_type) {
		case UNIX_DIAG_NAME:
			e->u.name = arena_blob(c->arena, p, n);
			break;
		case UNIX_DIAG_VFS:
			e->u.vfs_ino = ((const struct unix_diag_vfs *)p)->udiag_vfs_ino;
			e->u.vfs_dev = ((const struct unix_diag_vfs *)p)->udiag_vfs_dev;
			break;
		case UNIX_DIAG_PEER:
			e->u.peer = *(const uint32_t *)p;
			e->u.has_peer = 1;
			break;
		case UNIX_DIAG_ICONS:
			e->u.pending = arena_copy(c->arena, p, n);
			e->u.npending = e->u.pending ? (uint32_t)(n / 4) : 0;
			break;
		case UNIX_DIAG_RQLEN:
			e->u.rqueue = ((const struct unix_diag_rqlen *)p)->udiag_rqueue;
			e->u.wqueue = ((const struct unix_diag_rqlen *)p)->udiag_wqueue;
			break;
		case UNIX_DIAG_SHUTDOWN:
			e->u.shutdown = *(const uint8_t *)p;
			break;
		}
	}
	e->all = t->all;
	t->all = e;
	t->n++;
	return 0;
}

static int unix_ask(struct collection *c, struct unix_table *t)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} q = {
		.h = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = AF_UNIX, .udiag_states = ~0u,
		       .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN },
	};
	struct unix_entry *e;
	int rc;

	t->asked = true;
	rc = diag_dump(c, &q.h, take_unix, t);
	if (rc < 0)
		return rc;
	t->by_ino = table_new(c, t->n, &t->mask);
	if (!t->by_ino)
		return failed(-ENOMEM, "sock_diag: unix sockets");
	for (e = t->all; e; e = e->all) {
		struct unix_entry **bucket = &t->by_ino[hash_ino(e->u.ino) & t->mask];

		e->same = *bucket;
		*bucket = e;
	}
	return 0;
}

static struct unix_entry *unix_find(const struct unix_table *t, uint32_t ino)
{
	struct unix_entry *e;

	for (e = t->by_ino[hash_ino(ino) & t->mask]; e; e = e->same)
		if (e->u.ino == ino)
			return e;
	return NULL;
}

/* One that came about after the dump (a connection accepted to look into it) is asked for by itself. */
static struct unix_entry *unix_ask_one(struct collection *c, struct unix_table *t, uint32_t ino)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} q = {
		.h = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.r = { .sdiag_family = AF_UNIX, .udiag_states = ~0u, .udiag_ino = ino, .udiag_cookie = { ~0u, ~0u },
		       .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN },
	};
	struct unix_entry *before = t->all, *e, **bucket;

	if (diag_dump(c, &q.h, take_unix, t) < 0 || t->all == before)
		return NULL;
	e = t->all;
	bucket = &t->by_ino[hash_ino(ino) & t->mask];
	e->same = *bucket;
	*bucket = e;
	return e;
}

const struct diag_unix *diag_unix(struct collection *c, uint32_t ino)
{
	struct diag *d = diag_of(c);
	struct unix_table *t = d ? &d->unix_sockets : NULL;
	struct unix_entry *e;

	if (!t || (!t->asked && unix_ask(c, t) < 0) || !t->by_ino || !ino)
		return NULL;
	e = unix_find(t, ino);
	if (!e)
		e = unix_ask_one(c, t, ino);
	return e ? &e->u : NULL;
}

const struct diag_unix *diag_unix_now(struct collection *c, uint32_t ino)
{
	struct diag *d = diag_of(c);
	struct unix_table *t = d ? &d->unix_sockets : NULL;
	struct unix_entry *e;

	if (!t || (!t->asked && unix_ask(c, t) < 0) || !t->by_ino)
		return NULL;
	e = unix_ask_one(c, t, ino);
	return e ? &e->u : NULL;
}

const struct diag_unix *diag_unix_listener(struct collection *c, uint8_t type, struct blob name)
{
	struct diag *d = diag_of(c);
	struct unix_entry *e;

	if (!d || (!d->unix_sockets.asked && unix_ask(c, &d->unix_sockets) < 0))
		return NULL;
	for (e = d->unix_sockets.all; e; e = e->all)
		if (e->u.state == 10 /* LISTEN */ && e->u.type == type && blob_eq(e->u.name, name))
			return &e->u;
	return NULL;
}

void diag_map4(const uint8_t in[4], uint8_t out[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(out, prefix, 12);
	memcpy(out + 12, in, 4);
}

static int take_inet(struct collection *c, void *table, const struct nlmsghdr *h)
{
	struct inet_table *t = table;
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct inet_entry *e = arena_alloc(c->arena, sizeof(*e));
	struct rtattr *a = (struct rtattr *)(m + 1);
	int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));

	if (!e)
		return failed(-ENOMEM, "sock_diag: internet sockets");
	e->i = (struct diag_inet){
		.ino = m->idiag_inode, .cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0],
		.family = m->idiag_family, .protocol = (uint8_t)t->protocol, .state = m->idiag_state,
		.sport = ntohs(m->id.idiag_sport), .dport = ntohs(m->id.idiag_dport),
		.ifindex = m->id.idiag_if, .rqueue = m->idiag_rqueue, .wqueue = m->idiag_wqueue, .uid = m->idiag_uid,
	};
	memcpy(e->i.src, m->id.idiag_src, 16);
	memcpy(e->i.dst, m->id.idiag_dst, 16);
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == INET_DIAG_SHUTDOWN)
			e->i.shutdown = *(const uint8_t *)RTA_DATA(a);
	if (m->idiag_family == AF_INET) {
		diag_map4(e->i.src, e->src);
		diag_map4(e->i.dst, e->dst);
	} else {
		memcpy(e->src, e->i.src, 16);
		memcpy(e->dst, e->i.dst, 16);
	}
	if (e->i.state == 10 /* LISTEN */) {
		e->listens = t->listeners;
		t->listeners = e;
	}
	e->all = t->all;
	t->all = e;
	t->n++;
	return 0;
}

static int dump_family(struct collection *c, struct inet_table *t, uint8_t family)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} q = {
		.h = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = family, .sdiag_protocol = (uint8_t)t->protocol, .idiag_states = STATES },
	};
	int rc = diag_dump(c, &q.h, take_inet, t);

	if (rc == -ENOENT || rc == -EOPNOTSUPP)
		return 0; /* no diag module for this protocol: nothing is listed */
	return rc < 0 ? failed(rc, "sock_diag: protocol %d", t->protocol) : 0;
}

/* The older request, of which there is one for TCP only, lists both families. */
static int dump_tcp(struct collection *c, struct inet_table *t)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req r;
	} q = {
		.h = { .nlmsg_len = sizeof(q), .nlmsg_type = TCPDIAG_GETSOCK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .idiag_family = AF_INET, .idiag_states = STATES },
	};

	return diag_dump(c, &q.h, take_inet, t);
}

static int inet_ask(struct collection *c, struct inet_table *t, int protocol)
{
	struct inet_entry *e;
	int rc;

	t->asked = true;
	t->protocol = protocol;
	rc = protocol == IPPROTO_TCP ? dump_tcp(c, t) : -EOPNOTSUPP;
	if (rc < 0 && t->all)
		return failed(rc, "sock_diag: protocol %d", protocol);
	if (rc < 0) {
		rc = dump_family(c, t, AF_INET);
		if (rc >= 0)
			rc = dump_family(c, t, AF_INET6);
	}
	if (rc < 0)
		return rc;
	t->by_ino = table_new(c, t->n, &t->mask);
	t->by_pair = t->by_ino ? table_new(c, t->n, &t->mask) : NULL;
	if (!t->by_pair)
		return failed(-ENOMEM, "sock_diag: internet sockets");
	for (e = t->all; e; e = e->all) {
		struct inet_entry **bucket = &t->by_ino[hash_ino(e->i.ino) & t->mask];

		e->same_ino = *bucket;
		*bucket = e;
		bucket = &t->by_pair[hash_pair(e->src, e->i.sport, e->dst, e->i.dport) & t->mask];
		e->same_pair = *bucket;
		*bucket = e;
	}
	return 0;
}

/* The protocol's table, dumped; NULL when it can't be. */
static struct inet_table *inet_table(struct collection *c, int protocol)
{
	struct diag *d = diag_of(c);
	unsigned i;

	for (i = 0; d && i < INET_TABLES; i++) {
		struct inet_table *t = &d->inet[i];

		if (!t->asked && inet_ask(c, t, protocol) < 0)
			return NULL;
		if (t->protocol == protocol)
			return t->by_pair ? t : NULL;
	}
	return NULL;
}

const struct diag_inet *diag_inet(struct collection *c, int protocol, uint32_t ino)
{
	struct inet_table *t = inet_table(c, protocol);
	struct inet_entry *e;

	if (!t || !ino)
		return NULL;
	for (e = t->by_ino[hash_ino(ino) & t->mask]; e; e = e->same_ino)
		if (e->i.ino == ino)
			return &e->i;
	return NULL;
}

const struct diag_inet *diag_inet_pair(struct collection *c, int protocol, const uint8_t src[16], uint16_t sport,
				       const uint8_t dst[16], uint16_t dport)
{
	struct inet_table *t = inet_table(c, protocol);
	struct inet_entry *e;

	if (!t)
		return NULL;
	for (e = t->by_pair[hash_pair(src, sport, dst, dport) & t->mask]; e; e = e->same_pair)
		if (e->i.sport == sport && e->i.dport == dport && !memcmp(e->src, src, 16) && !memcmp(e->dst, dst, 16))
			return &e->i;
	return NULL;
}

/* One request about one connection; the answer stays in reply. Its length or a negative errno. */
static long inet_exchange(const struct diag_inet *d, uint16_t type, void *reply, size_t room)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} q = {
		.h = { .nlmsg_len = sizeof(q), .nlmsg_type = type,
		       .nlmsg_flags = type == SOCK_DESTROY ? NLM_F_REQUEST | NLM_F_ACK : NLM_F_REQUEST },
		.r = { .sdiag_family = d->family, .sdiag_protocol = d->protocol, .idiag_states = ~0u,
		       .id = { .idiag_sport = htons(d->sport), .idiag_dport = htons(d->dport), .idiag_if = d->ifindex,
			       .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
	};
	size_t len = d->family == AF_INET ? 4 : 16;
	int fd = sys_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	const struct nlmsghdr *h = reply;
	long n;

	if (fd < 0)
		return fd;
	memcpy(q.r.id.idiag_src, d->src, len);
	memcpy(q.r.id.idiag_dst, d->dst, len);
	n = sys_sendto(fd, &q, sizeof(q), 0, &kernel, sizeof(kernel));
	if (n >= 0)
		n = sys_recvfrom(fd, reply, room, 0, NULL, NULL);
	sys_close(fd);
	if (n < 0)
		return n;
	if (!NLMSG_OK(h, n))
		return -EIO;
	if (h->nlmsg_type == NLMSG_ERROR && ((const struct nlmsgerr *)NLMSG_DATA(h))->error)
		return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
	return n;
}

int diag_inet_now(int protocol, const uint8_t src[16], uint16_t sport, const uint8_t dst[16], uint16_t dport,
		  struct diag_inet *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool v4 = !memcmp(src, mapped, 12) && !memcmp(dst, mapped, 12);
	_Alignas(8) char reply[2048];
	const struct inet_diag_msg *m = NLMSG_DATA((const struct nlmsghdr *)reply);
	long n;

	*out = (struct diag_inet){ .family = v4 ? AF_INET : AF_INET6, .protocol = (uint8_t)protocol, .sport = sport, .dport = dport };
	memcpy(out->src, v4 ? src + 12 : src, v4 ? 4 : 16);
	memcpy(out->dst, v4 ? dst + 12 : dst, v4 ? 4 : 16);
	n = inet_exchange(out, SOCK_DIAG_BY_FAMILY, reply, sizeof(reply));
	if (n < 0)
		return (int)n;
	out->ino = m->idiag_inode;
	out->family = m->idiag_family;
	out->state = m->idiag_state;
	out->rqueue = m->idiag_rqueue;
	out->wqueue = m->idiag_wqueue;
	out->expires = m->idiag_timer == 1 || m->idiag_timer == 4 ? m->idiag_expires : 0;
	return 0;
}

struct charge {
	uint64_t cookie;
	uint32_t bytes;
};

static int take_charge(struct collection *c, void *table, const struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct charge *out = table;

	(void)c;
	if (((uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0]) == out->cookie)
		out->bytes = m->idiag_rqueue;
	return 0;
}

uint64_t diag_inet_charge(struct collection *c, const struct probe *p, uint16_t port)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} q = {
		.h = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = (uint8_t)p->family, .sdiag_protocol = (uint8_t)p->protocol, .idiag_states = ~0u,
		       .id = { .idiag_sport = htons(port) } },
	};
	struct charge charge = { p->cookie, 0 };

	return diag_dump(c, &q.h, take_charge, &charge) < 0 ? 0 : charge.bytes;
}

int diag_inet_destroy(const struct diag_inet *d)
{
	_Alignas(8) char reply[2048];
	long n = inet_exchange(d, SOCK_DESTROY, reply, sizeof(reply));

	return n < 0 ? (int)n : 0;
}

const struct diag_inet *diag_inet_next(struct collection *c, int protocol, const struct diag_inet *after)
{
	struct inet_table *t = inet_table(c, protocol);
	struct inet_entry *e = after ? ((const struct inet_entry *)after)->all : t ? t->all : NULL;

	return e ? &e->i : NULL;
}

const struct diag_inet *diag_inet_listener(struct collection *c, int protocol, uint16_t port, const struct diag_inet *after)
{
	struct inet_table *t = inet_table(c, protocol);
	struct inet_entry *e = after ? ((const struct inet_entry *)after)->listens : t ? t->listeners : NULL;

	while (e && e->i.sport != port)
		e = e->listens;
	return e ? &e->i : NULL;
}

/* Whether a connection with this local address can have come in by the listener. */
static bool accepts(const struct inet_entry *l, const struct inet_entry *e)
{
	static const uint8_t any6[16], any4[16] = { [10] = 0xff, [11] = 0xff };

	if (l->i.sport != e->i.sport)
		return false;
	return !memcmp(l->src, e->src, 16) || !memcmp(l->src, any6, 16) ||
	       (!memcmp(l->src, any4, 16) && e->i.family == AF_INET);
}

const struct diag_inet *diag_inet_pending(struct collection *c, const struct diag_inet *listener,
					  const struct diag_inet *after)
{
	struct inet_table *t = inet_table(c, listener->protocol);
	const struct inet_entry *l = (const struct inet_entry *)listener;
	struct inet_entry *e;

	if (!t)
		return NULL;
	e = after ? ((const struct inet_entry *)after)->same_ino : t->by_ino[hash_ino(0) & t->mask];
	for (; e; e = e->same_ino)
		if (!e->i.ino && e->i.dport && e->i.cookie && accepts(l, e) &&
		    (e->i.state == 1 /* ESTABLISHED */ || e->i.state == 8 /* CLOSE_WAIT */))
			return &e->i;
	return NULL;
}
