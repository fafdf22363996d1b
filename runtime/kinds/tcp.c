/*
 * tcp.c - a TCP socket
 *
 * Connections with both ends in the tree are made again between the same
 * addresses; the restart finds the other end by its address. One whose other
 * end is outside can't be kept without privilege: it is announced here, and
 * given up at restart as a reset would look.
 */
#include <asm/errno.h>
#include <linux/tcp.h>
#include <poll.h>

#include "skshim/diag.h"
#include "tcp.h"

#include "skshim/frozen.h"

#define IPPROTO_MPTCP_ 262
#define CHECK_EXITS 300      /* ms until a killed process is gone */
#define CHECK_WAITS 62000    /* ms until what it left is gone: TCP_TIMEWAIT_LEN, net.ipv4.tcp_fin_timeout */

#define MAXSEG_MOST 32767    /* that TCP_MAXSEG takes */
#define TIMESTAMP_ROOM 12    /* of each segment */

/* Numbers of the kernel's states. */
enum { ESTABLISHED = 1, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING };

static const struct field tcp_fields[] = {
	FIELD_U32(struct tcp_record, family),
	FIELD_U32(struct tcp_record, protocol),
	FIELD_U64(struct tcp_record, ino),
	FIELD_U64(struct tcp_record, order),
	FIELD_U32(struct tcp_record, what),
	FIELD_U32(struct tcp_record, state),
	FIELD_U32(struct tcp_record, origin),
	FIELD_BIN(struct tcp_record, name),
	FIELD_BIN(struct tcp_record, peer),
	FIELD_I32(struct tcp_record, backlog),
	FIELD_U32(struct tcp_record, bound),
	FIELD_U32(struct tcp_record, reuse),
	FIELD_U32(struct tcp_record, shut),
	FIELD_U32(struct tcp_record, error),
	FIELD_U32(struct tcp_record, outside),
	FIELD_BIN(struct tcp_record, received),
	FIELD_I32(struct tcp_record, urgent),
	FIELD_U32(struct tcp_record, urgent_read),
	FIELD_BIN(struct tcp_record, unsent),
	FIELD_U64_ADDED(struct tcp_record, received_from),
	FIELD_U64_ADDED(struct tcp_record, sent_to),
	FIELD_LIST(struct tcp_record, options, struct sockopt, sockopt_fields),
	FIELD_BIN(struct tcp_record, notes),
	FIELD_REC(struct tcp_record, repair, struct tcp_repair, tcp_repair_fields),
	FIELD_LIST(struct tcp_record, pending, struct tcp_pending, tcp_pending_fields),
	FIELD_U32_ADDED(struct tcp_record, maxseg),
	FIELD_U32_ADDED(struct tcp_record, past),
	FIELD_END
};

static bool tcp_match(const struct probe *p)
{
	return (p->family == AF_INET || p->family == AF_INET6) && p->type == SOCK_STREAM &&
	       (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_MPTCP_);
}

/* An address of sock_diag's as getpeername would give it. */
struct blob tcp_diag_address(struct arena *arena, int family, const uint8_t *ip, uint16_t port)
{
	union inet_addr a = { .any = { .sa_family = (sa_family_t)family } };

	if (family == AF_INET) {
		a.v4.sin_port = htons(port);
		memcpy(&a.v4.sin_addr, ip, 4);
		return arena_blob(arena, &a, sizeof(a.v4));
	}
	a.v6.sin6_port = htons(port);
	memcpy(&a.v6.sin6_addr, ip, 16);
	return arena_blob(arena, &a, sizeof(a.v6));
}

/* Where it is connecting to, which getpeername doesn't tell before it is. */
static int collect_target(struct collection *c, const struct probe *p, struct tcp_record *r)
{
	const struct diag_inet *d = diag_inet(c, IPPROTO_TCP, (uint32_t)p->st.st_ino);

	if (d)
		r->peer = tcp_diag_address(c->arena, d->family, d->dst, d->dport);
	return 0;
}

static int read_info(struct collection *c, const struct probe *p, struct tcp_info *info)
{
	unsigned len = sizeof(*info);
	int rc = sys_getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, info, &len);

	return rc < 0 ? failed(rc, "pid %d fd %d: TCP_INFO", c->pid, p->fd) : 0;
}

/* TCP_MAXSEG of the socket, or of its listener: it has told its peer of less than its route allows. */
static uint32_t told_maxseg(const struct probe *p, const struct tcp_info *info)
{
	uint32_t mss = info->tcpi_advmss + (info->tcpi_options & TCPI_OPT_TIMESTAMPS ? TIMESTAMP_ROOM : 0);

	return mss <= MAXSEG_MOST && mss + (p->family == AF_INET6 ? 60 : 40) < info->tcpi_pmtu ? mss : 0;
}

/* A closed one that has sent or received anything since it was made, or since it was last disconnected. Others are shut down, too. */
static bool was_connected(const struct tcp_info *info)
{
	return info->tcpi_segs_in || info->tcpi_segs_out;
}

/* sock_diag has them where it has the connection in the same state; but for the interface of a link-local address. */
static int collect_names(struct collection *c, const struct probe *p, const struct diag_inet *d, uint32_t state, struct tcp_record *r)
{
	int rc;

	if (d && d->family == AF_INET && p->family == AF_INET && d->state == state && state == ESTABLISHED) {
		r->name = tcp_diag_address(c->arena, AF_INET, d->src, d->sport);
		r->peer = tcp_diag_address(c->arena, AF_INET, d->dst, d->dport);
		return r->name.p && r->peer.p ? 0 : failed(-ENOMEM, "pid %d fd %d: its names", c->pid, p->fd);
	}
	rc = inet_name_read(c->arena, p->fd, false, &r->name);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: getsockname", c->pid, p->fd);
	rc = inet_name_read(c->arena, p->fd, true, &r->peer);
	return rc < 0 ? failed(rc, "pid %d fd %d: getpeername", c->pid, p->fd) : 0;
}

/*
 * Whether the port in the name of one that is neither connected nor listens isn't held: the kernel had chosen it, and
 * that connection failed, or it doesn't listen any more. After a bind that may be; then another can have the port.
 */
static bool port_is_gone(const struct probe *p, const struct tcp_record *r)
{
	const struct lineage *l = p->lineage;
	static const struct list none;
	struct inet_key given;

	if (!l || l->origin != LINEAGE_SOCKET || l->bound_len > sizeof(l->bound))
		return false;
	if (!l->bound_len)
		return true;
	return inet_key((struct blob){ l->bound, l->bound_len }, &given) && !given.port &&
	       inet_probe(p->family, SOCK_STREAM, p->protocol, r->name, &none, false, false) == 0;
}

/* Names and what kind of life it leads. */
static int collect_state(struct collection *c, const struct probe *p, struct tcp_record *r, struct tcp_info *info)
{
	struct pollfd poll = { .fd = p->fd, .events = POLLIN | POLLPRI | RDHUP };
	/* asked first: what its peer inside has in no queue any more by then is here when we look */
	const struct diag_inet *d = diag_inet(c, IPPROTO_TCP, (uint32_t)p->st.st_ino);
	struct inet_key name;
	bool quiet = false;
	int rc;

	rc = read_info(c, p, info);
	if (rc >= 0)
		rc = collect_names(c, p, d, info->tcpi_state, r);
	if (rc < 0)
		return rc;
	if (info->tcpi_state != LISTEN && info->tcpi_state != SYN_SENT && info->tcpi_state != CLOSE) {
		r->outside = inet_peer_inside(c, IPPROTO_TCP, r->name, r->peer) == INET_PEER_OUTSIDE;
		/* with the last of its peer's bytes comes its peer's end */
		r->still = !r->outside && !tcp_queue_make_way(c, p, r) && d && !d->wqueue;
		rc = r->still ? 0 : read_info(c, p, info);
		if (rc < 0)
			return rc;
	}
	rc = sys_poll(&poll, 1, 0);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: poll", c->pid, p->fd);
	r->state = info->tcpi_state;
	switch (info->tcpi_state) {
	case LISTEN:
		r->what = TCP_IS_LISTENING;
		r->backlog = (int32_t)info->tcpi_sacked;
		return 0;
	case SYN_SENT:
		r->what = TCP_IS_CONNECTING;
		return collect_target(c, p, r);
	case CLOSE:
		r->what = poll.revents & RDHUP && was_connected(info) ? TCP_IS_DEAD : TCP_IS_PLAIN;
		break;
	default:
		r->what = TCP_IS_CONNECTED;
	}
	if (r->what == TCP_IS_PLAIN) {
		r->shut = poll.revents & RDHUP ? TCP_SHUT_READ : 0;
		r->past = inet_key(r->name, &name) && name.port && port_is_gone(p, r);
		return 0;
	}
	if (r->what == TCP_IS_CONNECTED && !r->outside)
		r->maxseg = told_maxseg(p, info);
	r->past = r->what == TCP_IS_DEAD && !info->tcpi_rtt && r->origin != LINEAGE_ACCEPT && !(poll.revents & POLLERR);
	if (poll.revents & POLLERR && info->tcpi_state == CLOSE)
		tcp_error_collect(c, p, r, info);
	else if (poll.revents & POLLERR)
		collection_loss(c, p, "TCP connection: what waits in its error queue will be lost at restart");
	if (info->tcpi_state == CLOSE_WAIT || info->tcpi_state == CLOSING || info->tcpi_state == LAST_ACK)
		r->shut |= TCP_SHUT_PEER;
	else if (poll.revents & RDHUP)
		r->shut |= TCP_SHUT_READ;
	if (info->tcpi_state == FIN_WAIT1 || info->tcpi_state == FIN_WAIT2 || info->tcpi_state == CLOSING ||
	    info->tcpi_state == LAST_ACK)
		r->shut |= TCP_SHUT_WRITE;
	r->unacked_fin = info->tcpi_state == FIN_WAIT1 || info->tcpi_state == CLOSING || info->tcpi_state == LAST_ACK;
	if (r->outside && !c->going_on && info->tcpi_state != SYN_RECV && info->tcpi_state != CLOSE && !r->error &&
	    tcp_may_repair(p->fd) && tcp_quiet_now(c, p, r) >= 0)
		quiet = true;
	rc = tcp_queue_collect(c, p, r, poll.revents);
	return rc >= 0 && quiet ? tcp_repair_dump(c, p, r) : rc;
}

/* A program that repairs connections: such a socket is half of something. */
static bool repairs_itself(const struct probe *p)
{
	const struct lineage *l = p->lineage;

	return l && l->notes_len && l->notes_len <= LINEAGE_NOTES &&
	       socket_noted_int((struct blob){ l->notes, l->notes_len }, IPPROTO_TCP, TCP_REPAIR) == 1;
}

static int tcp_collect(struct collection *c, const struct probe *p, void *record)
{
	struct tcp_record *r = record;
	struct tcp_info info = { 0 };
	char peer[64];
	bool connected;
	int rc;

	if (repairs_itself(p))
		return collection_refuse(c, p, -EOPNOTSUPP, "tcp in repair mode (TCP_REPAIR) is not supported: end it");
	r->family = (uint32_t)p->family;
	r->protocol = (uint32_t)p->protocol;
	r->ino = p->st.st_ino;
	r->order = p->cookie;
	r->urgent = -1;
	r->backlog = -1;
	r->origin = p->lineage ? p->lineage->origin : LINEAGE_UNKNOWN;
	r->bound = p->lineage && p->lineage->bound_len;
	r->reuse = sockopt_get(p->fd, SOL_SOCKET, SO_REUSEADDR) == 1;
	rc = collect_state(c, p, r, &info);
	connected = r->what == TCP_IS_CONNECTED;
	if (rc >= 0)
		rc = sockopt_collect(c, p, connected, &r->options);
	if (rc < 0)
		return rc;
	r->notes = socket_notes(c, p);
	if (r->what == TCP_IS_LISTENING)
		return info.tcpi_unacked ? tcp_pending_collect(c, p, r, info.tcpi_unacked) : 0;
	if (p->protocol == IPPROTO_MPTCP_ && connected)
		return collection_refuse(c, p, -EOPNOTSUPP, "connected MPTCP socket is not supported");
	if (r->outside && !r->repair.quiet) {
		inet_text(r->peer, peer);
		collection_loss(c, p, "TCP connection with %s: the peer is outside, will be reset at restart", peer);
	}
	return 0;
}

/*
 * Until the killed tree is gone from this address: its processes may be on their way out, TIME_WAIT that may not be
 * ended by anybody lasts a minute, and so does an end whose peer doesn't close.
 */
static void tcp_await(struct rebuild *rb, const struct tcp_record *r)
{
	uint32_t left = 0;
	int ms, step;

	for (ms = 0; ms < CHECK_EXITS || (left && ms < CHECK_WAITS); ms += step) {
		if (inet_probe((int)r->family, SOCK_STREAM, (int)r->protocol, r->name, &r->options, true,
			       r->what == TCP_IS_LISTENING) != -EADDRINUSE)
			return;
		if (ms >= CHECK_EXITS && tcp_is_listened(r->name))
			return;
		left = tcp_end_waits(rb);
		step = ms < 10 ? 1 : ms < CHECK_EXITS ? 10 : 100;
		(void)sys_poll(NULL, 0, step);
	}
}

static int tcp_readdress(struct rebuild *rb, uint32_t obj, void *record, struct lineage_record *l)
{
	struct tcp_record *r = record;
	struct tcp_pending *p = r->pending.items;
	int own = inet_readdress(rb, obj, &r->name), other = inet_readdress(rb, obj, &r->peer), rc = own < 0 ? own : other;
	uint32_t i;

	r->moved = own > 0 || other > 0;
	for (i = 0; i < r->pending.n && rc >= 0; i++) {
		rc = inet_readdress(rb, obj, &p[i].client);
		if (rc >= 0)
			rc = inet_readdress(rb, obj, &p[i].server);
	}
	if (rc >= 0)
		rc = inet_readdress_options(rb, obj, &r->options, &r->notes);
	return rc < 0 ? rc : inet_readdress_lineage(rb, obj, l);
}

bool tcp_resumes(const struct rebuild *rb, const struct tcp_record *r)
{
	/* the peer knows nothing of another address, unless whoever asks for it has seen to that */
	if (r->moved && rebuild_tcp_policy(rb) != POLICY_REPAIR)
		return false;
	return r->repair.quiet && rebuild_tcp_policy(rb) != POLICY_RECONNECT;
}

static bool tcp_lends(const void *record, struct lends *l)
{
	const struct tcp_record *r = record;

	if (r->what != TCP_IS_LISTENING)
		return false;
	l->domain = (int)r->family;
	l->type = SOCK_STREAM;
	inet_text(r->name, l->name);
	return true;
}

static int tcp_check(struct rebuild *rb, uint32_t obj, void *record)
{
	struct tcp_record *r = record;
	struct inet_key own;
	char peer[64];

	(void)obj;
	inet_text(r->peer, peer);
	if (r->outside && rebuild_tcp_policy(rb) == POLICY_REPAIR && !r->repair.quiet)
		return failed(ERR_PLAIN, "TCP connection with %s, a peer outside, can't go on (--tcp repair): the tree wasn't stopped with "
			      "skshim checkpoint --stop and CAP_NET_ADMIN", peer);
	if (r->outside && rebuild_tcp_policy(rb) == POLICY_FAIL && !tcp_resumes(rb, r))
		return failed(ERR_PLAIN, "TCP connection with %s, a peer outside (--tcp fail)", peer);
	if (!inet_key(r->name, &own) || !own.port || r->past)
		return 0;
	if (r->what == TCP_IS_CONNECTED && !r->outside)
		return inet_check_address("TCP", (int)r->family, SOCK_STREAM, r->name, &r->options);
	if (r->what != TCP_IS_LISTENING && r->what != TCP_IS_PLAIN)
		return 0;
	tcp_await(rb, r);
	return inet_check("TCP", (int)r->family, SOCK_STREAM, (int)r->protocol, r->name, &r->options, true,
			  r->what == TCP_IS_LISTENING);
}

static int tcp_create(struct rebuild *rb, uint32_t obj, void *record)
{
	int rc = tcp_build(rb);

	(void)record;
	return rc < 0 ? rc : rebuild_fd(rb, obj);
}

/* All have listened, which one bound to the same port without SO_REUSEADDR would have forbidden. */
static int tcp_link(struct rebuild *rb, uint32_t obj, void *record, int fd)
{
	const struct tcp_record *r = record;

	(void)rb;
	(void)obj;
	return r->parked && !r->reuse ? sockopt_set(fd, SOL_SOCKET, SO_REUSEADDR, 0) : 0;
}

/* The first one asked lets the packets of all through. */
static int tcp_ready(struct rebuild *rb, uint32_t obj, void *record, int fd)
{
	const struct tcp_record *r = record;
	static bool heard;
	char peer[64];
	int rc;

	(void)obj;
	if (!heard)
		tcp_quiet_end(rb);
	heard = true;
	if (!r->resumed)
		return 0;
	inet_text(r->peer, peer);
	rc = tcp_repair_end(r, fd);
	return rc < 0 ? failed(rc, "TCP connection with %s: going on", peer) : 0;
}

static int tcp_kind_fill(struct rebuild *rb, uint32_t obj, void *record, int fd)
{
	(void)obj;
	(void)record;
	(void)fd;
	return tcp_fill(rb);
}

const struct kind kind_tcp = {
	.tag = "tcp",
	.size = sizeof(struct tcp_record),
	.fields = tcp_fields,
	.match = tcp_match,
	.collect = tcp_collect,
	.readdress = tcp_readdress,
	.lends = tcp_lends,
	.check = tcp_check,
	.create = tcp_create,
	.fill = tcp_kind_fill,
	.link = tcp_link,
	.ready = tcp_ready,
};
