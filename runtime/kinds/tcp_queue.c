/*
 * tcp_queue.c - bytes on their way in a TCP connection
 *
 * The receive queue is peeked at. What an unread urgent byte hides is seen
 * with SO_OOBINLINE and SO_PEEK_OFF, both put back.
 *
 * The send queue can't be seen without CAP_NET_ADMIN (TCP_REPAIR). Mostly it is
 * empty but for acknowledgements that are late: these are asked for and waited
 * for. What remains found no room at the receiver. So the receiver makes room:
 * SO_RCVLOWAT lets its buffer grow, without privilege, and the bytes come over
 * to where they can be looked at (tests/kernel/rcvlowat_room.c). Where that isn't enough, and the
 * receiver is in the same process, everything is taken out of its queue, until all
 * has passed, and sent again: same bytes, same order, nobody looked meanwhile.
 *
 * Every process makes room at all its receivers before it looks at any queue, or two
 * processes would wait for each other. A receiver that dropped something gets it when its
 * peer sends again, at a time that sock_diag tells. Since the two ends are not looked at in
 * the same moment, each queue says where in the stream it lies (received_from, sent_to): the restart
 * leaves out what both have (tcp_build.c).
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <sys/mman.h>

#include "skshim/diag.h"
#include "tcp.h"

#include "skshim/frozen.h"

#define PIECE (64ul << 20)
#define ACK_WAIT 60          /* ms without progress; a delayed acknowledgement takes 40 */
#define WAY_WAIT 4000        /* the same, where a receiver in another process makes room when it gets there */
#define ACK_BUDGET 12000     /* ms, all sockets of a process together */
#define ROOM_WAIT 1500       /* ms without progress, and then none until the peer sends again: */
#define AGAIN_MAX 15000      /* ms that is waited for that */
#define ROOM_MAX (1 << 28)
#define ROOM_FACTOR 4        /* bytes in small pieces take that much memory */
#define ROOM_SLACK (64 << 10)
#define BUF_LOCK_RECEIVE 2
#define DRAIN_WAIT 300       /* ms without progress */
#define SO_BUF_LOCK_ 72

static int64_t ask(int fd, unsigned long what)
{
	int n = 0;
	long rc = sys_ioctl(fd, what, (long)&n);

	return rc < 0 ? rc : n;
}

static void moment(void)
{
	(void)sys_poll(NULL, 0, 1);
}

/*
 * Where the queues lie in their streams, in bytes since the connection was made, plus 1; 0 when that isn't known.
 * The counters of TCP_INFO count the other side's end, and on the side that connected its own beginning.
 */
static bool has_ended(int state)
{
	return state == 8 /* CLOSE_WAIT */ || state == 9 /* LAST_ACK */ || state == 11 /* CLOSING */;
}

static uint64_t read_up_to(int fd)
{
	struct tcp_info info = { 0 };
	unsigned len = sizeof(info);
	int64_t waiting;
	int tries;

	for (tries = 0; tries < 8; tries++) {
		waiting = ask(fd, SIOCINQ);
		if (waiting < 0 || sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
			return 0;
		if (ask(fd, SIOCINQ) == waiting)
			return info.tcpi_bytes_received - has_ended(info.tcpi_state) - (uint64_t)waiting + 1;
	}
	return 0;
}

static uint64_t written(int fd, const struct tcp_record *r)
{
	struct tcp_info info = { 0 };
	unsigned len = sizeof(info);
	int64_t before = ask(fd, SIOCOUTQ);

	if ((r->origin != LINEAGE_ACCEPT && r->origin != LINEAGE_SOCKET) || before < 0 ||
	    sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || ask(fd, SIOCOUTQ) != before)
		return 0;
	return info.tcpi_bytes_acked + (uint64_t)before - r->unacked_fin - (r->origin == LINEAGE_SOCKET) + 1;
}

/* Peeks at `total` bytes, across the urgent mark at which a peek stops. */
static int64_t peek_all(int fd, char *room, uint64_t total)
{
	uint64_t n = 0;
	long rc;
	int off = sockopt_get(fd, SOL_SOCKET, SO_PEEK_OFF);

	while (n < total) {
		if (n && sockopt_set(fd, SOL_SOCKET, SO_PEEK_OFF, (int)n) < 0)
			return -EOPNOTSUPP;
		rc = sys_recvfrom(fd, room + n, total - n, MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
		if (rc <= 0)
			break;
		n += (uint64_t)rc;
	}
	if (off != sockopt_get(fd, SOL_SOCKET, SO_PEEK_OFF))
		(void)sockopt_set(fd, SOL_SOCKET, SO_PEEK_OFF, off);
	return (int64_t)n;
}

/*
 * The mark of an urgent byte ahead ends SIOCINQ and a peek. With the byte in
 * line SIOCINQ tells all there is; the difference tells where the mark is.
 */
static int collect_received(struct collection *c, const struct probe *p, struct tcp_record *r, bool urgent, char *room)
{
	int was = sockopt_get(p->fd, SOL_SOCKET, SO_OOBINLINE), off = sockopt_get(p->fd, SOL_SOCKET, SO_PEEK_OFF);
	int64_t total, before, n = 0;

	if (was)
		(void)sockopt_set(p->fd, SOL_SOCKET, SO_OOBINLINE, 0);
	before = ask(p->fd, SIOCINQ);
	(void)sockopt_set(p->fd, SOL_SOCKET, SO_OOBINLINE, 1);
	total = ask(p->fd, SIOCINQ);
	if (total > 0) {
		if (off >= 0)
			(void)sockopt_set(p->fd, SOL_SOCKET, SO_PEEK_OFF, -1);
		n = total > (int64_t)PIECE ? -EMSGSIZE : peek_all(p->fd, room, (uint64_t)total);
		r->received_from = read_up_to(p->fd);
		if (off >= 0)
			(void)sockopt_set(p->fd, SOL_SOCKET, SO_PEEK_OFF, off);
	}
	if (!was)
		(void)sockopt_set(p->fd, SOL_SOCKET, SO_OOBINLINE, 0);
	if (total < 0 || n < 0)
		return failed((int)(total < 0 ? total : n), "pid %d fd %d: receive queue", c->pid, p->fd);
	r->urgent = before != total && before >= 0 && before < n ? (int32_t)before : -1;
	r->urgent_read = r->urgent >= 0 && !urgent;
	r->received = arena_blob(c->arena, room, (size_t)n);
	return r->received.p ? 0 : failed(-ENOMEM, "pid %d fd %d: receive queue", c->pid, p->fd);
}

/* Bytes that the peer has not acknowledged, after it had time to. */
static int64_t unacknowledged(struct collection *c, int fd, bool fin, uint32_t wait)
{
	struct socket_memory *memory = socket_memory(c);
	int64_t n = ask(fd, SIOCOUTQ) - fin, last = n;
	uint32_t idle = 0;

	while (n > 0 && memory && memory->acks_waited < ACK_BUDGET && idle < wait) {
		moment();
		memory->acks_waited++;
		n = ask(fd, SIOCOUTQ) - fin;
		idle = n < last ? 0 : idle + 1;
		last = n;
	}
	return n;
}

/* --- room at a receiver --------------------------------------------------------------------------------------- */

void tcp_room_begin(struct tcp_room *room, int fd, uint64_t bytes)
{
	int want = bytes > ROOM_MAX ? ROOM_MAX : (int)bytes * ROOM_FACTOR + ROOM_SLACK;

	*room = (struct tcp_room){ .fd = fd, .size = sockopt_get(fd, SOL_SOCKET, SO_RCVBUF),
				   .lock = sockopt_get(fd, SOL_SOCKET, SO_BUF_LOCK_),
				   .lowat = sockopt_get(fd, SOL_SOCKET, SO_RCVLOWAT) };
	if (room->lock > 0)
		(void)sockopt_set(fd, SOL_SOCKET, SO_BUF_LOCK_, room->lock & ~BUF_LOCK_RECEIVE);
	(void)sockopt_set(fd, SOL_SOCKET, SO_RCVLOWAT, want);
	if (room->lowat > 0)
		(void)sockopt_set(fd, SOL_SOCKET, SO_RCVLOWAT, room->lowat);
	/* more than net.ipv4.tcp_rmem allows takes a privilege */
	if (sockopt_get(fd, SOL_SOCKET, SO_RCVBUF) < want && sockopt_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, want / 2) >= 0)
		(void)sockopt_set(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, want);
}

/*
 * The size goes back only where the program has chosen it: a buffer that is
 * smaller than what is in it drops what comes, and the sender waits for long.
 */
void tcp_room_end(const struct tcp_room *room)
{
	if (room->lock > 0 && room->lock & BUF_LOCK_RECEIVE)
		(void)sockopt_set(room->fd, SOL_SOCKET, SO_RCVBUF, room->size / 2);
	if (room->lock >= 0)
		(void)sockopt_set(room->fd, SOL_SOCKET, SO_BUF_LOCK_, room->lock);
}

/* Whether we may use TCP_REPAIR; switching it off changes nothing but SO_REUSEADDR. */
bool tcp_may_repair(int fd)
{
	int reuse = sockopt_get(fd, SOL_SOCKET, SO_REUSEADDR);
	bool may = sockopt_set(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP) >= 0;

	if (may)
		(void)sockopt_set(fd, SOL_SOCKET, SO_REUSEADDR, reuse);
	return may;
}

/* Asks for the acknowledgement that is late, and leaves the mode as it was. */
static void acknowledge(int fd)
{
	int was = sockopt_get(fd, IPPROTO_TCP, TCP_QUICKACK);

	(void)sockopt_set(fd, IPPROTO_TCP, TCP_QUICKACK, 1);
	if (was == 0)
		(void)sockopt_set(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
}

/* Negative: not known at this moment. */
static int64_t peer_unacknowledged(const struct inet_key *own, const struct inet_key *peer, struct diag_inet *d)
{
	int rc = diag_inet_now(IPPROTO_TCP, peer->ip, peer->port, own->ip, own->port, d);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	/* FIN_WAIT1, LAST_ACK, CLOSING: its end is among them */
	return (int64_t)d->wqueue - (d->state == 4 || d->state == 9 || d->state == 11);
}

int64_t tcp_make_way(int fd, const struct inet_key *own, const struct inet_key *peer)
{
	struct diag_inet d = { 0 };
	struct tcp_room room;
	int64_t n, last;
	uint32_t idle = 0, limit;
	char byte;

	acknowledge(fd);
	n = last = peer_unacknowledged(own, peer, &d);
	if (n == 0)
		return 0;
	tcp_room_begin(&room, fd, (uint64_t)(ask(fd, SIOCINQ) + (n > 0 ? n : 0)));
	do {
		/* a look makes the kernel say how much room there is */
		(void)sys_recvfrom(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
		acknowledge(fd);
		n = peer_unacknowledged(own, peer, &d);
		idle = n >= 0 && n < last ? 0 : idle + 1;
		last = n >= 0 ? n : last;
		limit = ROOM_WAIT + (d.expires < AGAIN_MAX ? d.expires : 0);
		if (n != 0)
			moment();
	} while (n != 0 && idle < limit);
	tcp_room_end(&room);
	return n;
}

static void key_of(const struct diag_inet *d, bool remote, struct inet_key *key)
{
	const uint8_t *ip = remote ? d->dst : d->src;

	if (d->family == AF_INET)
		diag_map4(ip, key->ip);
	else
		memcpy(key->ip, ip, sizeof(key->ip));
	key->port = remote ? d->dport : d->sport;
}

/* For all who have something to send to one of this process's sockets. */
static void make_ways(struct collection *c)
{
	const struct diag_inet *d, *here;
	struct inet_key own, peer;
	uint32_t i;

	for (d = diag_inet_next(c, IPPROTO_TCP, NULL); d; d = diag_inet_next(c, IPPROTO_TCP, d)) {
		if (!d->wqueue || d->state == 2 /* SYN_SENT */ || d->state == 10 /* LISTEN */)
			continue;
		key_of(d, true, &own);
		key_of(d, false, &peer);
		here = diag_inet_pair(c, IPPROTO_TCP, own.ip, own.port, peer.ip, peer.port);
		for (i = 0; here && here->ino && i < c->nprobes; i++)
			if (c->probes[i].st.st_ino == here->ino && c->probes[i].type == SOCK_STREAM)
				(void)tcp_make_way(c->probes[i].fd, &own, &peer);
	}
}

/* The send queue as TCP_REPAIR shows it; -EPERM without the privilege. */
static int64_t repair_peek(int fd, const struct tcp_record *r, char *room, uint64_t n)
{
	int64_t rc = sockopt_set(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);

	if (rc < 0)
		return rc;
	rc = sockopt_set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
	if (rc >= 0)
		rc = sys_recvfrom(fd, room, n, MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
	(void)sockopt_set(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
	(void)sockopt_set(fd, SOL_SOCKET, SO_REUSEADDR, (int)r->reuse);
	return rc;
}

/* The other end among this process's descriptors. */
static const struct probe *other_end(struct collection *c, const struct tcp_record *r)
{
	struct inet_key name, peer, a, b;
	struct blob n;
	uint32_t i;

	if (!inet_key(r->name, &name) || !inet_key(r->peer, &peer))
		return NULL;
	for (i = 0; i < c->nprobes; i++) {
		const struct probe *q = &c->probes[i];

		if ((q->family != AF_INET && q->family != AF_INET6) || q->type != SOCK_STREAM)
			continue;
		if (inet_name_read(c->arena, q->fd, false, &n) < 0 || !inet_key(n, &a) || !inet_key_eq(&a, &peer))
			continue;
		if (inet_name_read(c->arena, q->fd, true, &n) == 0 && inet_key(n, &b) && inet_key_eq(&b, &name))
			return q;
	}
	return NULL;
}

/* Takes everything out of the receiver, until nothing is on its way any more. */
static int64_t drain(int from, int to, char *room)
{
	uint64_t n = 0;
	int idle = 0;
	long rc;

	while (idle < DRAIN_WAIT) {
		rc = n < PIECE ? sys_recvfrom(to, room + n, PIECE - n, MSG_DONTWAIT, NULL, NULL) : -EMSGSIZE;
		if (rc > 0) {
			n += (uint64_t)rc;
			idle = 0;
			continue;
		}
		if (rc < 0 && rc != -EAGAIN)
			return rc;
		if (ask(from, SIOCOUTQ) == 0)
			return (int64_t)n;
		acknowledge(to);
		moment();
		idle++;
	}
	return -ETIMEDOUT;
}

int tcp_queue_send(int fd, struct blob data, int32_t urgent)
{
	int size = sockopt_get(fd, SOL_SOCKET, SO_SNDBUF), lock = sockopt_get(fd, SOL_SOCKET, SO_BUF_LOCK_);
	const char *p = data.p;
	uint64_t at = 0, n;
	int idle = 0, flags;
	bool grown = false;
	long rc = 0;

	while (at < data.n && idle < DRAIN_WAIT) {
		bool mark = urgent >= 0 && at == (uint64_t)urgent;

		n = mark ? 1 : urgent >= 0 && at < (uint64_t)urgent ? (uint64_t)urgent - at : data.n - at;
		flags = MSG_DONTWAIT | MSG_NOSIGNAL | (mark ? MSG_OOB : 0);
		rc = sys_sendto(fd, p + at, n, flags, NULL, 0);
		if (rc > 0) {
			at += (uint64_t)rc;
			idle = 0;
			continue;
		}
		if (rc != -EAGAIN)
			break;
		if (!grown && idle == 20) {
			sockopt_grow(fd, SO_SNDBUF, data.n * 2 + 65536);
			grown = true;
		}
		moment();
		idle++;
	}
	if (grown) {
		(void)sockopt_set(fd, SOL_SOCKET, SO_SNDBUF, size / 2);
		if (lock >= 0)
			(void)sockopt_set(fd, SOL_SOCKET, SO_BUF_LOCK_, lock);
	}
	return at == data.n ? 0 : rc < 0 ? (int)rc : -EAGAIN;
}

static int remember(struct collection *c, const struct probe *q, const char *p, uint64_t n)
{
	struct socket_memory *memory = socket_memory(c);
	struct drained *d = arena_alloc(c->arena, sizeof(*d));

	if (!memory || !d)
		return -ENOMEM;
	*d = (struct drained){ .next = memory->drained, .ino = q->st.st_ino, .bytes = arena_blob(c->arena, p, n) };
	memory->drained = d;
	return d->bytes.p ? 0 : -ENOMEM;
}

/*
 * What could not be looked at is taken out at the other end and sent once more. That end's
 * own record: when it came before, it has the first of these bytes, as the offsets tell;
 * when it comes later, it is told which are its.
 */
static int drain_and_resend(struct collection *c, const struct probe *p, struct tcp_record *r, const struct probe *q, char *room)
{
	struct pollfd urgent = { .fd = q ? q->fd : -1, .events = POLLPRI };
	int64_t n, split;
	int rc;

	if (!q || (r->shut & TCP_SHUT_WRITE) || sys_poll(&urgent, 1, 0) < 0 || (urgent.revents & POLLPRI))
		return collection_refuse(c, p, -EOPNOTSUPP,
					 "TCP connection with bytes that its peer in another process has no room for");
	split = ask(q->fd, SIOCINQ);
	r->sent_to = written(p->fd, r);
	n = drain(p->fd, q->fd, room);
	if (n >= 0) {
		rc = tcp_queue_send(p->fd, (struct blob){ room, (uint64_t)n }, -1);
		if (rc < 0)
			n = rc;
	}
	if (n < 0)
		return failed((int)n, "pid %d fd %d: send queue", c->pid, p->fd);
	split = split < 0 || split > n ? n : split;
	if (q->obj > p->obj) {
		rc = remember(c, q, room, (uint64_t)split);
		r->sent_to = 0;
	} else {
		rc = 0;
		split = r->sent_to ? 0 : split;
	}
	r->unsent = arena_blob(c->arena, room + split, (size_t)(n - split));
	return rc < 0 || !r->unsent.p ? failed(-ENOMEM, "pid %d fd %d: send queue", c->pid, p->fd) : 0;
}

static int collect_unsent(struct collection *c, const struct probe *p, struct tcp_record *r, char *room)
{
	int64_t n = unacknowledged(c, p->fd, r->unacked_fin, ACK_WAIT), rc;
	struct inet_key own, peer;
	const struct probe *q;

	if (n <= 0)
		return 0;
	/* the receiver makes room when its turn comes, or has done so; its own record then has everything */
	q = other_end(c, r);
	if (q && q->obj > p->obj && inet_key(r->peer, &own) && inet_key(r->name, &peer))
		n = tcp_make_way(q->fd, &own, &peer);
	if (n < 0)
		return failed((int)n, "pid %d fd %d: how much its peer has not received", c->pid, p->fd);
	if (n > 0 && !q)
		n = unacknowledged(c, p->fd, r->unacked_fin, WAY_WAIT);
	if (n <= 0)
		return 0;
	if (n > (int64_t)PIECE)
		return failed(-EMSGSIZE, "pid %d fd %d: send queue", c->pid, p->fd);
	r->sent_to = written(p->fd, r);
	rc = repair_peek(p->fd, r, room, (uint64_t)n);
	if (rc == -EPERM)
		return drain_and_resend(c, p, r, q, room);
	if (rc < 0)
		return failed((int)rc, "pid %d fd %d: send queue", c->pid, p->fd);
	r->unsent = arena_blob(c->arena, room, (size_t)rc);
	return r->unsent.p ? 0 : failed(-ENOMEM, "pid %d fd %d: send queue", c->pid, p->fd);
}

/* Bytes that were found before, when the sender had its turn. */
static bool already_drained(struct collection *c, const struct probe *p, struct tcp_record *r)
{
	struct socket_memory *memory = socket_memory(c);
	struct drained *d;

	for (d = memory ? memory->drained : NULL; d; d = d->next)
		if (d->ino == p->st.st_ino) {
			r->received = d->bytes;
			return true;
		}
	return false;
}

bool tcp_queue_make_way(struct collection *c, const struct probe *p, struct tcp_record *r)
{
	struct socket_memory *memory = socket_memory(c);
	struct inet_key own, peer;
	const struct diag_inet *d;

	if (memory && !memory->ways_made) {
		memory->ways_made = true;
		make_ways(c);
	}
	if (!inet_key(r->name, &own) || !inet_key(r->peer, &peer))
		return true;
	d = diag_inet_pair(c, IPPROTO_TCP, peer.ip, peer.port, own.ip, own.port);
	if (d && !d->wqueue)
		return false;
	if (d)
		r->received_from = read_up_to(p->fd);
	if (d && tcp_make_way(p->fd, &own, &peer) != 0 && !d->ino)
		collection_loss(c, p, "TCP connection: bytes that its peer, which has closed, could not send");
	return true;
}

int tcp_queue_collect(struct collection *c, const struct probe *p, struct tcp_record *r, short revents)
{
	struct pollfd now = { .fd = p->fd, .events = POLLIN | POLLPRI };
	bool unsent, waiting, connected = r->what == TCP_IS_CONNECTED && !r->outside;
	char *room;
	int rc = 0;

	if (connected && !r->still && sys_poll(&now, 1, 0) == 1)
		revents |= now.revents;
	unsent = connected && !r->still && ask(p->fd, SIOCOUTQ) > 0;
	/* poll says nothing of bytes that are fewer than SO_RCVLOWAT */
	waiting = (revents & (POLLIN | POLLPRI)) || ask(p->fd, SIOCINQ) > 0;
	if (!waiting && !unsent)
		return 0;
	room = sys_mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_is_err(room))
		return failed(-ENOMEM, "pid %d fd %d: queues", c->pid, p->fd);
	if (waiting && !already_drained(c, p, r))
		rc = collect_received(c, p, r, revents & POLLPRI, room);
	if (rc >= 0 && unsent)
		rc = collect_unsent(c, p, r, room);
	sys_munmap(room, PIECE);
	return rc;
}
