/*
 * sockopt.c - socket options
 *
 * One table of all options that can be read back and set again. A record holds
 * those whose value differs from a fresh socket's of the same family, so that
 * a default stays a default on a machine that is set up otherwise.
 *
 * The order of the table is the order of setting: IP_TOS overwrites
 * SO_PRIORITY, SO_LOCK_FILTER forbids what comes behind it.
 */
#include <asm/errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "skshim/diag.h"
#include "skshim/lineages.h"
#include "socket.h"

#include "skshim/frozen.h"

#define VALUE_MAX 256

/* Which sockets have an option. */
#define F_UNIX   0x01
#define F_INET   0x02        /* AF_INET, and AF_INET6 for connections to mapped addresses */
#define F_INET6  0x04
#define F_TCP    0x08
#define F_UDP    0x10
#define F_RAW    0x20
#define F_OTHER  0x40        /* netlink, packet, ... */
#define F_IP     (F_INET | F_INET6)
#define F_NET    (F_IP | F_OTHER)
#define F_ANY    (F_UNIX | F_NET)
#define F_STREAMLESS 0x80    /* a stream takes it from the packets that made it, and can't be told otherwise */
#define F_STATE  0x100       /* on a connection it tells about the connection, not what was set */
#define F_PORTLESS 0x200     /* no port that others could want */
#define F_OFTEN 0x400        /* asked for even where no setsockopt was seen */
#define F_TOGGLED 0x800      /* and its setting isn't noted (base/touched.c) */

enum how {
	PLAIN,
	BUFFER,              /* read back doubled; the kernel's own choice unless SO_BUF_LOCK says otherwise */
	NAME,                /* a string */
	FILTER,              /* a classic BPF program */
};

struct row {
	uint16_t level, name, size, flags;
	uint8_t when, how;
};

#define S(name, size, flags) { SOL_SOCKET, name, size, flags, SOCKOPT_LATE, PLAIN }
#define SB(name, size, flags) { SOL_SOCKET, name, size, flags, SOCKOPT_BEFORE, PLAIN }
#define IP4(name) { IPPROTO_IP, name, 4, F_INET, SOCKOPT_LATE, PLAIN }
#define IP4M(name) { IPPROTO_IP, name, 4, F_INET | F_STREAMLESS, SOCKOPT_LATE, PLAIN }
#define IP6M(name) { IPPROTO_IPV6, name, 4, F_INET6 | F_STREAMLESS, SOCKOPT_LATE, PLAIN }
#define IP6(name) { IPPROTO_IPV6, name, 4, F_INET6, SOCKOPT_LATE, PLAIN }
#define IP6B(name, size) { IPPROTO_IPV6, name, size, F_INET6, SOCKOPT_LATE, PLAIN }
#define TCP(name) { IPPROTO_TCP, name, 4, F_TCP, SOCKOPT_LATE, PLAIN }
#define TCP_(name) { IPPROTO_TCP, name, 4, F_TCP | F_OFTEN | F_TOGGLED, SOCKOPT_LATE, PLAIN }

/* Newer than the C library's headers. */
#define SO_TIMESTAMP_NEW_ 63
#define SO_TIMESTAMPNS_NEW_ 64
#define SO_TIMESTAMPING_NEW_ 65
#define SO_RCVTIMEO_ 66
#define SO_SNDTIMEO_ 67
#define SO_PREFER_BUSY_POLL_ 69
#define SO_BUF_LOCK_ 72
#define SO_RESERVE_MEM_ 73
#define SO_TXREHASH_ 74
#define SO_RCVMARK_ 75
#define SO_PASSPIDFD_ 76
#define SO_RCVPRIORITY_ 82
#define SO_PASSRIGHTS_ 83

static const struct row rows[] = {
	/* where it may be bound, how it connects */
	{ IPPROTO_IPV6, IPV6_V6ONLY, 4, F_INET6, SOCKOPT_BEFORE, PLAIN },
	SB(SO_REUSEPORT, 4, F_IP | F_OFTEN),
	SB(SO_REUSEADDR, 4, F_PORTLESS), /* the others' is a matter of binding them */
	SB(SO_BROADCAST, 4, F_ANY),
	SB(SO_DONTROUTE, 4, F_ANY),
	SB(SO_MARK, 4, F_ANY),
	{ SOL_SOCKET, SO_BINDTODEVICE, 16, F_ANY, SOCKOPT_BEFORE, NAME },
	{ IPPROTO_IP, IP_FREEBIND, 4, F_INET, SOCKOPT_BEFORE, PLAIN },
	{ IPPROTO_IP, IP_TRANSPARENT, 4, F_INET, SOCKOPT_BEFORE, PLAIN },
	{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 4, F_INET, SOCKOPT_BEFORE, PLAIN },
	{ IPPROTO_IP, 51 /* IP_LOCAL_PORT_RANGE */, 4, F_INET, SOCKOPT_LATE, PLAIN },
	{ IPPROTO_IP, IP_HDRINCL, 4, F_RAW | F_INET, SOCKOPT_BEFORE, PLAIN },
	{ IPPROTO_IP, IP_ROUTER_ALERT, 4, F_RAW | F_INET, SOCKOPT_LATE, PLAIN },
	{ SOL_SOCKET, SO_SNDBUF, 4, F_ANY, SOCKOPT_BEFORE, BUFFER },
	{ SOL_SOCKET, SO_RCVBUF, 4, F_ANY, SOCKOPT_BEFORE, BUFFER },
	{ IPPROTO_TCP, TCP_CONGESTION, 16, F_TCP, SOCKOPT_BEFORE, NAME },
	{ IPPROTO_TCP, TCP_MAXSEG, 4, F_TCP | F_STATE, SOCKOPT_BEFORE, PLAIN },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP, 4, F_TCP | F_STATE, SOCKOPT_BEFORE, PLAIN },

	{ IPPROTO_IP, IP_TOS, 4, F_INET | F_OFTEN, SOCKOPT_LATE, PLAIN }, IP4(IP_TTL), IP4(IP_RECVOPTS), IP4(IP_RETOPTS), IP4(IP_PKTINFO), IP4(IP_MTU_DISCOVER),
	IP4(IP_RECVERR), IP4(IP_RECVTTL), IP4(IP_RECVTOS), IP4(IP_PASSSEC), IP4(IP_RECVORIGDSTADDR), IP4(IP_MINTTL),
	IP4(IP_NODEFRAG), IP4(IP_CHECKSUM), IP4(IP_RECVFRAGSIZE), IP4(26 /* IP_RECVERR_RFC4884 */),
	IP4M(IP_MULTICAST_IF), IP4M(IP_MULTICAST_TTL), IP4(IP_MULTICAST_LOOP), IP4(IP_MULTICAST_ALL), IP4(IP_UNICAST_IF),
	{ IPPROTO_IP, IP_OPTIONS, 40, F_INET, SOCKOPT_LATE, PLAIN },

	IP6(IPV6_UNICAST_HOPS), IP6M(IPV6_MULTICAST_IF), IP6M(IPV6_MULTICAST_HOPS), IP6(IPV6_MULTICAST_LOOP),
	IP6(IPV6_MTU_DISCOVER), IP6(IPV6_RECVERR), IP6(29 /* IPV6_MULTICAST_ALL */), IP6(IPV6_ROUTER_ALERT),
	IP6(30 /* IPV6_ROUTER_ALERT_ISOLATE */), IP6(31 /* IPV6_RECVERR_RFC4884 */),
	IP6(11 /* IPV6_FLOWINFO */), IP6(IPV6_RECVPKTINFO), IP6(IPV6_RECVHOPLIMIT), IP6(IPV6_RECVHOPOPTS),
	IP6(IPV6_RECVRTHDR), IP6(IPV6_RECVDSTOPTS), IP6(IPV6_RECVPATHMTU), IP6(IPV6_DONTFRAG), IP6(IPV6_RECVTCLASS),
	IP6(IPV6_TCLASS), IP6(IPV6_AUTOFLOWLABEL), IP6(IPV6_ADDR_PREFERENCES), IP6(IPV6_MINHOPCOUNT),
	IP6(IPV6_ORIGDSTADDR), IP6(IPV6_UNICAST_IF), IP6(IPV6_RECVFRAGSIZE),
	IP6(IPV6_2292PKTINFO), IP6(IPV6_2292HOPOPTS), IP6(IPV6_2292DSTOPTS), IP6(IPV6_2292RTHDR), IP6(IPV6_2292HOPLIMIT),
	IP6B(IPV6_HOPOPTS, 256), IP6B(IPV6_RTHDRDSTOPTS, 256), IP6B(IPV6_RTHDR, 256), IP6B(IPV6_DSTOPTS, 256),
	{ IPPROTO_IPV6, IPV6_TRANSPARENT, 4, F_INET6, SOCKOPT_BEFORE, PLAIN },
	/* or connect forgets the label in the peer's address */
	{ IPPROTO_IPV6, 33 /* IPV6_FLOWINFO_SEND */, 4, F_INET6, SOCKOPT_BEFORE, PLAIN },
	{ IPPROTO_IPV6, IPV6_FREEBIND, 4, F_INET6, SOCKOPT_BEFORE, PLAIN },
	{ SOL_RAW, IPV6_CHECKSUM, 4, F_RAW | F_INET6, SOCKOPT_LATE, PLAIN }, /* not to be set at IPv6's level, for ICMPv6 */
	{ SOL_RAW, IPV6_HDRINCL, 4, F_RAW | F_INET6, SOCKOPT_LATE, PLAIN },

	TCP_(TCP_NODELAY), TCP_(TCP_CORK), TCP(TCP_KEEPIDLE), TCP(TCP_KEEPINTVL), TCP(TCP_KEEPCNT), TCP(TCP_SYNCNT),
	TCP(TCP_LINGER2), TCP(TCP_DEFER_ACCEPT), TCP(TCP_THIN_LINEAR_TIMEOUTS), TCP(TCP_THIN_DUPACK),
	TCP(TCP_USER_TIMEOUT), TCP(TCP_FASTOPEN), TCP(TCP_NOTSENT_LOWAT), TCP(TCP_SAVE_SYN),
	TCP(TCP_FASTOPEN_CONNECT), TCP(TCP_FASTOPEN_NO_COOKIE), TCP(TCP_INQ), TCP(37 /* TCP_TX_DELAY */),
	TCP(44 /* TCP_RTO_MAX_MS */), TCP(45 /* TCP_RTO_MIN_US */), TCP(46 /* TCP_DELACK_MAX_US */),
	{ IPPROTO_TCP, TCP_QUICKACK, 4, F_TCP, SOCKOPT_LATE, PLAIN },
	{ IPPROTO_TCP, TCP_FASTOPEN_KEY, 32, F_TCP, SOCKOPT_LATE, PLAIN },

	{ IPPROTO_UDP, UDP_CORK, 4, F_UDP | F_OFTEN | F_TOGGLED, SOCKOPT_LATE, PLAIN },
	{ IPPROTO_UDP, UDP_ENCAP, 4, F_UDP, SOCKOPT_LATE, PLAIN },
	{ IPPROTO_UDP, UDP_NO_CHECK6_TX, 4, F_UDP, SOCKOPT_LATE, PLAIN },
	{ IPPROTO_UDP, UDP_NO_CHECK6_RX, 4, F_UDP, SOCKOPT_LATE, PLAIN },
	{ IPPROTO_UDP, UDP_SEGMENT, 4, F_UDP, SOCKOPT_LATE, PLAIN },
	{ IPPROTO_UDP, UDP_GRO, 4, F_UDP, SOCKOPT_LATE, PLAIN },
	{ IPPROTO_UDPLITE, 10 /* UDPLITE_SEND_CSCOV */, 4, F_UDP, SOCKOPT_LATE, PLAIN },
	{ IPPROTO_UDPLITE, 11 /* UDPLITE_RECV_CSCOV */, 4, F_UDP, SOCKOPT_LATE, PLAIN },

	{ SOL_RAW, 1 /* ICMP_FILTER */, 4, F_RAW | F_INET, SOCKOPT_LATE, PLAIN },
	{ IPPROTO_ICMPV6, 1 /* ICMP6_FILTER */, 32, F_RAW | F_INET6, SOCKOPT_LATE, PLAIN },

	S(SO_DEBUG, 4, F_ANY), S(SO_KEEPALIVE, 4, F_ANY | F_OFTEN), S(SO_OOBINLINE, 4, F_ANY), S(SO_NO_CHECK, 4, F_ANY),
	S(SO_PRIORITY, 4, F_ANY), S(SO_LINGER, 8, F_ANY), S(SO_PASSCRED, 4, F_UNIX | F_OTHER | F_OFTEN), S(SO_PASSSEC, 4, F_UNIX | F_OTHER),
	S(SO_PASSPIDFD_, 4, F_UNIX | F_OTHER), S(SO_PASSRIGHTS_, 4, F_UNIX),
	S(SO_RCVLOWAT, 4, F_ANY), S(SO_RCVTIMEO_, 16, F_ANY), S(SO_SNDTIMEO_, 16, F_ANY),
	S(SO_TIMESTAMP, 4, F_ANY), S(SO_TIMESTAMPNS, 4, F_ANY), S(SO_TIMESTAMP_NEW_, 4, F_ANY),
	S(SO_TIMESTAMPNS_NEW_, 4, F_ANY), S(SO_TIMESTAMPING, 8, F_ANY), S(SO_TIMESTAMPING_NEW_, 8, F_ANY),
	S(SO_RXQ_OVFL, 4, F_ANY), S(SO_WIFI_STATUS, 4, F_ANY), S(SO_NOFCS, 4, F_ANY), S(SO_SELECT_ERR_QUEUE, 4, F_ANY),
	S(SO_BUSY_POLL, 4, F_ANY), S(SO_PREFER_BUSY_POLL_, 4, F_ANY),
	S(SO_MAX_PACING_RATE, 8, F_ANY), S(SO_INCOMING_CPU, 4, F_ANY), S(SO_ZEROCOPY, 4, F_IP | F_UNIX),
	S(SO_TXTIME, 8, F_ANY), S(SO_RESERVE_MEM_, 4, F_ANY), S(SO_TXREHASH_, 4, F_ANY), S(SO_RCVMARK_, 4, F_ANY),
	S(SO_RCVPRIORITY_, 4, F_ANY), S(SO_BUF_LOCK_, 4, F_ANY | F_OFTEN), S(SO_PEEK_OFF, 4, F_UNIX | F_IP),
	{ SOL_SOCKET, SO_ATTACH_FILTER, 0, F_ANY, SOCKOPT_LATE, FILTER },
	S(SO_LOCK_FILTER, 4, F_ANY),
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

const struct field sockopt_fields[] = {
	FIELD_U32(struct sockopt, level),
	FIELD_U32(struct sockopt, name),
	FIELD_BIN(struct sockopt, value),
	FIELD_END
};

/* A fresh socket's values, one set a (family, type, protocol). */
struct defaults {
	struct defaults *next;
	int family, type, protocol;
	struct blob value[ROWS];     /* p NULL: this kernel doesn't have the option */
	bool known;
};

int sockopt_get(int fd, int level, int name)
{
	int v = 0;
	unsigned len = sizeof(v);
	int rc = sys_getsockopt(fd, level, name, &v, &len);

	return rc < 0 ? rc : v;
}

int sockopt_set(int fd, int level, int name, int value)
{
	return sys_setsockopt(fd, level, name, &value, sizeof(value));
}

void sockopt_grow(int fd, int name, uint64_t bytes)
{
	int force = name == SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE;
	int want = bytes > 0x20000000 ? 0x20000000 : (int)bytes;

	if (sockopt_set(fd, SOL_SOCKET, force, want) < 0)
		(void)sockopt_set(fd, SOL_SOCKET, name, want); /* more can't be had: the caller goes on with what there is */
}

static uint32_t flags_of(int family, int type, int protocol)
{
	uint32_t f = F_OTHER;

	if (family == AF_UNIX)
		return F_UNIX | F_PORTLESS;
	if (family == AF_INET)
		f = F_INET;
	else if (family == AF_INET6)
		f = F_INET6 | (type == SOCK_RAW ? 0 : F_INET);
	if (f == F_OTHER)
		return f | F_PORTLESS;
	if (type != SOCK_STREAM)
		f |= F_STREAMLESS;
	if (type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == 262 /* IPPROTO_MPTCP */))
		f |= F_TCP;
	if (type == SOCK_DGRAM && (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE))
		f |= F_UDP;
	if (type == SOCK_RAW)
		f |= F_RAW;
	return f & (F_TCP | F_UDP) ? f : f | F_PORTLESS;
}

static bool row_fits(const struct row *r, uint32_t flags)
{
	uint32_t layer = r->flags & (F_TCP | F_UDP | F_RAW), family = r->flags & (F_UNIX | F_NET);

	if ((layer && !(flags & layer)) || (r->flags & (F_STREAMLESS | F_PORTLESS) & ~flags))
		return false;
	return !family || (flags & family);
}

/* The program of a classic filter; none and an extended one's refusal (-EACCES) look alike to the caller. */
static int read_filter(struct collection *c, int fd, struct blob *out)
{
	unsigned n = 0;
	int rc = sys_getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n);
	void *p;

	*out = (struct blob){ 0 };
	if (rc < 0 || !n)
		return rc;
	p = arena_alloc(c->arena, n * sizeof(struct sock_filter));
	if (!p)
		return -ENOMEM;
	rc = sys_getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, p, &n);
	if (rc >= 0)
		*out = (struct blob){ p, n * sizeof(struct sock_filter) };
	return rc;
}

struct socket_memory *socket_memory(struct collection *c)
{
	void **place = diag_remember(c);

	if (place && !*place)
		*place = arena_alloc(c->arena, sizeof(struct socket_memory));
	return place ? *place : NULL;
}

static struct defaults *defaults_of(struct collection *c, int family, int type, int protocol)
{
	struct socket_memory *memory = socket_memory(c);
	struct defaults *d;
	uint32_t flags = flags_of(family, type, protocol);
	uint8_t value[VALUE_MAX];
	unsigned len;
	size_t i;
	int fd;

	if (!memory)
		return NULL;
	for (d = memory->defaults; d; d = d->next)
		if (d->family == family && d->type == type && d->protocol == protocol)
			return d;
	d = arena_alloc(c->arena, sizeof(*d));
	if (!d)
		return NULL;
	*d = (struct defaults){ .next = memory->defaults, .family = family, .type = type, .protocol = protocol };
	memory->defaults = d;
	fd = sys_socket(family, type | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return d; /* no privilege for another one: every value is recorded */
	for (i = 0; i < ROWS; i++) {
		len = rows[i].size;
		if (rows[i].how == FILTER || !row_fits(&rows[i], flags) ||
		    sys_getsockopt(fd, rows[i].level, rows[i].name, value, &len) < 0)
			continue;
		d->value[i] = arena_blob(c->arena, value, len);
	}
	d->known = true;
	sys_close(fd);
	return d;
}

/* Readable on a stream, where it follows the connection, but not to be set. */
static bool multicast_sending(const struct row *r)
{
	return (r->level == IPPROTO_IP && (r->name == IP_MULTICAST_IF || r->name == IP_MULTICAST_TTL)) ||
	       (r->level == IPPROTO_IPV6 && (r->name == IPV6_MULTICAST_IF || r->name == IPV6_MULTICAST_HOPS));
}

/*
 * Whether a socket's options are a fresh one's, but for the toggled ones and those that were seen being set: the ledger
 * has seen all of its life. The kernel has to bear it out for some common ones.
 */
static bool is_fresh(const struct probe *p, const struct defaults *d)
{
	const struct lineage *l = p->lineage;

	return (p->family == AF_UNIX || p->family == AF_INET || p->family == AF_INET6) && d->known && l && !(l->touched & TOUCHED_ANY) &&
	       l->origin != LINEAGE_UNKNOWN && l->origin != LINEAGE_ADOPTED;
}

/* Kernel TLS and the like: keys and counters in the kernel, which can't be read back. */
static int refuse_layer(struct collection *c, const struct probe *p)
{
	char name[32] = "";
	unsigned len = sizeof(name) - 1;

	if (sys_getsockopt(p->fd, IPPROTO_TCP, TCP_ULP, name, &len) < 0 || !len || !name[0])
		return 0;
	return collection_refuse(c, p, -EOPNOTSUPP, "tcp with the upper layer \"%s\" in the kernel is not supported: turn it off", name);
}

/* The value of one row, if it isn't a fresh socket's: 1, 0 or a negative errno with failed() called. */
static int collect_row(struct collection *c, const struct probe *p, const struct defaults *d, size_t i, struct blob *v)
{
	const struct row *r = &rows[i];
	uint8_t value[VALUE_MAX];
	unsigned len = r->size;
	int rc, lock;

	if (r->how == FILTER) {
		rc = read_filter(c, p->fd, v);
		if (rc == -EACCES || rc == -EPERM)
			return collection_refuse(c, p, -EOPNOTSUPP, "socket with an eBPF filter");
		if (rc < 0 && rc != -ENOPROTOOPT && rc != -EINVAL && rc != -EOPNOTSUPP)
			return failed(rc, "fd %d: socket filter", p->fd);
		return rc >= 0 && v->n;
	}
	if (d->known && !d->value[i].p)
		return 0;
	if (sys_getsockopt(p->fd, r->level, r->name, value, &len) < 0)
		return 0; /* not this socket's, or not in this state */
	if (d->known && d->value[i].n == len && !memcmp(d->value[i].p, value, len))
		return 0;
	if (r->how == BUFFER) {
		lock = sockopt_get(p->fd, SOL_SOCKET, SO_BUF_LOCK_);
		if (lock >= 0 && !(lock & (r->name == SO_SNDBUF ? 1 : 2)))
			return 0; /* the kernel's own tuning */
	}
	*v = arena_blob(c->arena, value, len);
	return v->p ? 1 : failed(-ENOMEM, "fd %d: socket options", p->fd);
}

struct options_found {
	struct sockopt list[ROWS];
	uint32_t n;
};

static bool was_set(const struct probe *p, const struct row *r)
{
	return p->lineage->touched && (p->lineage->touched & lineages_touch(r->level, r->name));
}

/* `fresh`: only those asked for often, and those that were set. 1: one differs that nobody was seen to set; ask for all. */
static int collect_rows(struct collection *c, const struct probe *p, const struct defaults *d, bool connected, bool fresh,
			struct options_found *found)
{
	uint32_t flags = flags_of(p->family, p->type, p->protocol);
	struct blob v;
	size_t i;
	int rc;

	found->n = 0;
	for (i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];

		if (!row_fits(r, flags) || (connected && (r->flags & F_STATE)) || (p->type == SOCK_STREAM && multicast_sending(r)) ||
		    (fresh && !(r->flags & F_OFTEN) && !was_set(p, r)))
			continue;
		rc = collect_row(c, p, d, i, &v);
		if (rc < 0)
			return rc;
		if (rc && fresh && !(r->flags & F_TOGGLED) && !was_set(p, r))
			return 1;
		if (rc)
			found->list[found->n++] = (struct sockopt){ r->level, r->name, v };
	}
	return 0;
}

int sockopt_collect(struct collection *c, const struct probe *p, bool connected, struct list *out)
{
	struct defaults *d = defaults_of(c, p->family, p->type, p->protocol);
	struct options_found found;
	bool all = true;
	int rc = 0;

	*out = (struct list){ 0 };
	if (!d)
		return failed(-ENOMEM, "fd %d: socket options", p->fd);
	if (is_fresh(p, d)) {
		rc = collect_rows(c, p, d, connected, true, &found);
		all = rc == 1;
	}
	if (all && rc >= 0 && p->type == SOCK_STREAM && p->protocol == IPPROTO_TCP)
		rc = refuse_layer(c, p);
	if (all && rc >= 0)
		rc = collect_rows(c, p, d, connected, false, &found);
	if (rc < 0)
		return rc;
	out->items = arena_copy(c->arena, found.list, found.n * sizeof(found.list[0]));
	out->n = found.n;
	return found.n && !out->items ? failed(-ENOMEM, "fd %d: socket options", p->fd) : 0;
}

static const struct row *row_of(uint32_t level, uint32_t name)
{
	size_t i;

	for (i = 0; i < ROWS; i++)
		if (rows[i].level == level && rows[i].name == name)
			return &rows[i];
	return NULL;
}

static int apply_one(int fd, const struct row *r, const struct sockopt *o)
{
	int v = 0, rc;

	if (r->how == FILTER) {
		struct sock_fprog prog = {
			.len = (unsigned short)(o->value.n / sizeof(struct sock_filter)),
			.filter = (struct sock_filter *)o->value.p,
		};

		return sys_setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
	}
	if (r->how == BUFFER) {
		if (o->value.n != 4)
			return -EINVAL;
		memcpy(&v, o->value.p, 4);
		v /= 2;
		rc = sockopt_set(fd, SOL_SOCKET, (int)o->name, v);
		if (rc == 0 && sockopt_get(fd, SOL_SOCKET, (int)o->name) < v * 2)
			(void)sockopt_set(fd, SOL_SOCKET, o->name == SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE, v);
		if (rc == 0 && sockopt_get(fd, SOL_SOCKET, (int)o->name) < v * 2)
			rc = -EPERM;
		return rc;
	}
	return sys_setsockopt(fd, (int)o->level, (int)o->name, o->value.p, (unsigned)o->value.n);
}

/* Some can't be set in every state, and needn't be when they are what they were. */
static bool is_set(int fd, const struct sockopt *o)
{
	uint8_t value[VALUE_MAX];
	unsigned len = sizeof(value);

	return sys_getsockopt(fd, (int)o->level, (int)o->name, value, &len) == 0 && len == o->value.n &&
	       !memcmp(value, o->value.p, len);
}

int sockopt_apply(struct rebuild *rb, uint32_t obj, int fd, const struct list *options, enum sockopt_when when)
{
	const struct sockopt *o = options->items;
	uint32_t i;
	int rc;

	for (i = 0; i < options->n; i++, o++) {
		const struct row *r = row_of(o->level, o->name);
		bool buffer = r && r->how == BUFFER;

		if (!r)
			return failed(-EINVAL, "socket option %u/%u is not known", o->level, o->name);
		if (r->when != when && !(buffer && when == SOCKOPT_LATE))
			continue;
		rc = apply_one(fd, r, o);
		if (rc == -EPERM || rc == -EACCES) {
			if (!buffer || when == SOCKOPT_LATE)
				rebuild_loss(rb, obj, "socket option %u/%u: needs a privilege", o->level, o->name);
		} else if (rc < 0 && !(rc == -EINVAL && (r->flags & F_STATE)) && !is_set(fd, o)) {
			rebuild_loss(rb, obj, "socket option %u/%u: %s", o->level, o->name, text_error(rc));
		}
	}
	return 0;
}

/* A program is noted by its instructions; one of eBPF is a descriptor's number, which means nothing any more. */
static int replay_one(int fd, int level, int name, const void *value, uint32_t n)
{
	struct sock_fprog prog = { .len = (unsigned short)(n / sizeof(struct sock_filter)), .filter = (struct sock_filter *)value };

	if (level == IPPROTO_TCP && name == TCP_REPAIR)
		return 0; /* off by now */
	if (level == IPPROTO_TCP && name == TCP_WINDOW_CLAMP && n >= 4 && !memcmp(value, "\0\0\0\0", 4))
		return 0; /* none: what a socket has that isn't connected yet; a connected one refuses it */
	if (level == SOL_SOCKET && name == SO_ATTACH_REUSEPORT_CBPF)
		return sys_setsockopt(fd, level, name, &prog, sizeof(prog));
	if (level == SOL_SOCKET && (name == SO_ATTACH_BPF || name == SO_ATTACH_REUSEPORT_EBPF))
		return -EOPNOTSUPP;
	return sys_setsockopt(fd, level, name, value, n);
}

int sockopt_replay(struct rebuild *rb, uint32_t obj, int fd, struct blob notes)
{
	const uint8_t *p = notes.p, *end = p + notes.n;
	uint32_t head[3];
	int rc;

	while (end - p >= (long)sizeof(head)) {
		memcpy(head, p, sizeof(head));
		p += sizeof(head);
		if (head[2] > (size_t)(end - p))
			return failed(-EINVAL, "noted socket options are cut short");
		rc = replay_one(fd, (int)head[0], (int)head[1], p, head[2]);
		if (rc < 0 && rc != -EADDRINUSE && rc != -EADDRNOTAVAIL)
			rebuild_loss(rb, obj, "socket option %u/%u: %s", head[0], head[1], text_error(rc));
		p += (head[2] + 3) & ~3u;
	}
	return 0;
}

int sockopt_int(const struct list *options, int level, int name, int none)
{
	const struct sockopt *o = options->items;
	uint32_t i;
	int v;

	for (i = 0; i < options->n; i++, o++)
		if (o->level == (uint32_t)level && o->name == (uint32_t)name && o->value.n >= 4) {
			memcpy(&v, o->value.p, 4);
			return v;
		}
	return none;
}

struct blob socket_notes(struct collection *c, const struct probe *p)
{
	const struct lineage *l = p->lineage;

	if (l && l->notes_lost)
		collection_loss(c, p, "socket: more options that can't be read back than can be noted: %u will be lost at restart",
				l->notes_lost);
	if (!l || !l->notes_len || l->notes_len > LINEAGE_NOTES)
		return (struct blob){ 0 };
	if (socket_noted((struct blob){ l->notes, l->notes_len }, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF))
		collection_loss(c, p, "socket: the eBPF program of its SO_REUSEPORT group will be lost at restart");
	return arena_blob(c->arena, l->notes, l->notes_len);
}

static struct blob note_of(struct blob notes, int level, int name)
{
	const uint8_t *at = notes.p, *end = at + notes.n;
	uint32_t head[3];

	while (end - at >= (long)sizeof(head)) {
		memcpy(head, at, sizeof(head));
		at += sizeof(head);
		if (head[0] == (uint32_t)level && head[1] == (uint32_t)name)
			return (struct blob){ at, head[2] };
		at += (head[2] + 3) & ~3u;
	}
	return (struct blob){ 0 };
}

bool socket_noted(struct blob notes, int level, int name)
{
	return note_of(notes, level, name).p != NULL;
}

int socket_noted_int(struct blob notes, int level, int name)
{
	struct blob note = note_of(notes, level, name);
	int v = 0;

	if (note.p && note.n >= sizeof(v))
		memcpy(&v, note.p, sizeof(v));
	return v;
}
