/*
 * tcp_repair.c - connections to the outside that go on where they were
 *
 * Only of a tree that is stopped: from one that goes on, the peer moves on too.
 * It needs CAP_NET_ADMIN. tcp_quiet_now() keeps the connection's packets away
 * (tcp_quiet.c), tcp_repair_dump() puts the socket into repair mode and leaves it there: closed
 * in this mode it says nothing to the peer. A checkpoint that fails takes all of
 * that back. tcp_repair_make() builds the same connection in repair mode, and
 * tcp_repair_end() lets it run when everything else is done.
 *
 * An end takes a sequence number, which is not among the bytes. Ours is sent
 * anew when the connection runs, with the number it had; the peer answers as if it was a packet that came
 * twice. The peer's is forged (tcp_forge.c).
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <sys/mman.h>

#include "tcp.h"

#include "skshim/frozen.h"

#define OPTION_MSS 2         /* of the TCP header */
#define OPTION_WINDOW 3
#define OPTION_SACK 4
#define OPTION_TIMESTAMP 8
#define PIECE 16384          /* what one send in repair mode takes for sure */
#define SO_BUF_LOCK_ 72
#define RDHUP 0x2000
#define END_WAIT 2000        /* ms for a packet to ourselves */

const struct field tcp_repair_fields[] = {
	FIELD_U32(struct tcp_repair, quiet),
	FIELD_U32(struct tcp_repair, send_seq),
	FIELD_U32(struct tcp_repair, receive_seq),
	FIELD_U32(struct tcp_repair, not_sent),
	FIELD_U32(struct tcp_repair, mss),
	FIELD_U32(struct tcp_repair, options),
	FIELD_U32(struct tcp_repair, send_scale),
	FIELD_U32(struct tcp_repair, receive_scale),
	FIELD_U32(struct tcp_repair, timestamp),
	FIELD_U32(struct tcp_repair, snd_wl1),
	FIELD_U32(struct tcp_repair, snd_wnd),
	FIELD_U32(struct tcp_repair, max_window),
	FIELD_U32(struct tcp_repair, rcv_wnd),
	FIELD_U32(struct tcp_repair, rcv_wup),
	FIELD_STR_ADDED(struct tcp_repair, table),
	FIELD_U64_ADDED(struct tcp_repair, netns),
	FIELD_END
};

/* --- dump --------------------------------------------------------------------------------------------------- */

static int queue_seq(int fd, int queue, uint32_t *seq)
{
	int rc = sockopt_set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);
	unsigned len = sizeof(*seq);

	return rc < 0 ? rc : sys_getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, seq, &len);
}

/* All that was not acknowledged, sent or not. */
static int dump_send_queue(struct collection *c, int fd, struct tcp_record *r)
{
	int all = 0, not_sent = 0;
	char *room;
	long n;

	if (sys_ioctl(fd, SIOCOUTQ, (long)&all) < 0 || sys_ioctl(fd, SIOCOUTQNSD, (long)&not_sent) < 0)
		return -EIO;
	if (r->shut & TCP_SHUT_WRITE) {
		r->repair.send_seq--;
		all -= all > 0;
		not_sent -= not_sent > 0;
	}
	if (all <= 0)
		return 0;
	room = sys_mmap(NULL, (size_t)all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_err(room))
		return -ENOMEM;
	n = sys_recvfrom(fd, room, (size_t)all, MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
	if (n == all)
		r->unsent = arena_blob(c->arena, room, (size_t)n);
	sys_munmap(room, (size_t)all);
	if (n != all)
		return n < 0 ? (int)n : -EIO;
	r->repair.not_sent = (uint32_t)not_sent;
	r->repair.send_seq -= (uint32_t)all;
	return r->unsent.p ? 0 : -ENOMEM;
}

int tcp_repair_dump(struct collection *c, const struct probe *p, struct tcp_record *r)
{
	struct tcp_repair *t = &r->repair;
	struct tcp_repair_window w = { 0 };
	struct tcp_info info = { 0 };
	unsigned len = sizeof(info);
	int rc = sys_getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, &info, &len);

	if (rc >= 0)
		rc = sockopt_set(p->fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
	if (rc >= 0)
		rc = queue_seq(p->fd, TCP_SEND_QUEUE, &t->send_seq);
	if (rc >= 0)
		rc = dump_send_queue(c, p->fd, r);
	len = sizeof(w);
	if (rc >= 0)
		rc = sys_getsockopt(p->fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, &len);
	if (rc >= 0)
		rc = queue_seq(p->fd, TCP_RECV_QUEUE, &t->receive_seq);
	if (rc < 0)
		return failed(rc, "pid %d fd %d: TCP_REPAIR", c->pid, p->fd);
	t->receive_seq -= (uint32_t)r->received.n + !!(r->shut & TCP_SHUT_PEER);
	t->mss = (uint32_t)sockopt_get(p->fd, IPPROTO_TCP, TCP_MAXSEG);
	t->timestamp = (uint32_t)sockopt_get(p->fd, IPPROTO_TCP, TCP_TIMESTAMP);
	t->options = info.tcpi_options;
	t->send_scale = info.tcpi_snd_wscale;
	t->receive_scale = info.tcpi_rcv_wscale;
	t->snd_wl1 = w.snd_wl1;
	t->snd_wnd = w.snd_wnd;
	t->max_window = w.max_window;
	t->rcv_wnd = w.rcv_wnd;
	t->rcv_wup = w.rcv_wup;
	t->quiet = 1;
	return tcp_quiet_note(c, p, t);
}

/* --- repair ------------------------------------------------------------------------------------------------- */

static int set_seq(int fd, int queue, uint32_t seq)
{
	int rc = sockopt_set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);

	return rc < 0 ? rc : sockopt_set(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, (int)seq);
}

static int set_options(int fd, const struct tcp_repair *t)
{
	struct tcp_repair_opt o[4];
	unsigned n = 0;
	int rc;

	o[n++] = (struct tcp_repair_opt){ OPTION_MSS, t->mss };
	if (t->options & TCPI_OPT_WSCALE)
		o[n++] = (struct tcp_repair_opt){ OPTION_WINDOW, t->send_scale | t->receive_scale << 16 };
	if (t->options & TCPI_OPT_SACK)
		o[n++] = (struct tcp_repair_opt){ OPTION_SACK, 0 };
	if (t->options & TCPI_OPT_TIMESTAMPS)
		o[n++] = (struct tcp_repair_opt){ OPTION_TIMESTAMP, 0 };
	rc = sys_setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, o, n * (unsigned)sizeof(o[0]));
	if (rc >= 0 && t->options & TCPI_OPT_TIMESTAMPS)
		rc = sockopt_set(fd, IPPROTO_TCP, TCP_TIMESTAMP, (int)t->timestamp);
	return rc;
}

static int put_queue(int fd, int queue, const char *p, uint64_t n)
{
	long rc = sockopt_set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);
	uint64_t at = 0;

	while (rc >= 0 && at < n) {
		rc = sys_sendto(fd, p + at, n - at < PIECE ? n - at : PIECE, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
		if (rc > 0)
			at += (uint64_t)rc;
	}
	return rc < 0 ? (int)rc : 0;
}

static int set_window(int fd, const struct tcp_repair *t, uint32_t next)
{
	struct tcp_repair_window w = {
		.snd_wl1 = t->snd_wl1, .snd_wnd = t->snd_wnd, .max_window = t->max_window, .rcv_wnd = t->rcv_wnd, .rcv_wup = t->rcv_wup,
	};

	/* what was announced last may lie behind the peer's end, which hasn't come yet */
	if ((int32_t)(w.rcv_wup - next) > 0)
		w.rcv_wup = next;
	return sys_setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, sizeof(w));
}

/* A buffer large enough for what is put into it, and the kernel's own choice again after that. */
static void grow(int fd, int name, uint64_t bytes)
{
	int lock = sockopt_get(fd, SOL_SOCKET, SO_BUF_LOCK_);

	if (!bytes)
		return;
	sockopt_grow(fd, name, bytes * 2 + (256 << 10));
	if (lock >= 0)
		(void)sockopt_set(fd, SOL_SOCKET, SO_BUF_LOCK_, lock);
}

int tcp_repair_make(const struct tcp_record *r, int fd)
{
	const struct tcp_repair *t = &r->repair;
	uint64_t sent = r->unsent.n - t->not_sent;
	union inet_addr own, peer;
	unsigned own_len, peer_len;
	int rc = inet_addr_of(r->name, &own, &own_len) && inet_addr_of(r->peer, &peer, &peer_len) ? 0 : -EINVAL;

	if (rc >= 0 && t->not_sent > r->unsent.n)
		rc = -EINVAL;
	if (rc >= 0)
		rc = sockopt_set(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
	if (rc >= 0)
		rc = set_seq(fd, TCP_SEND_QUEUE, t->send_seq);
	if (rc >= 0)
		rc = set_seq(fd, TCP_RECV_QUEUE, t->receive_seq);
	if (rc >= 0)
		rc = sys_bind(fd, &own, own_len);
	if (rc >= 0)
		rc = sys_connect(fd, &peer, peer_len);
	if (rc >= 0)
		rc = set_options(fd, t);
	grow(fd, SO_RCVBUF, r->received.n);
	grow(fd, SO_SNDBUF, r->unsent.n);
	if (rc >= 0)
		rc = put_queue(fd, TCP_RECV_QUEUE, r->received.p, r->received.n);
	if (rc >= 0)
		rc = put_queue(fd, TCP_SEND_QUEUE, r->unsent.p, sent);
	return rc < 0 ? rc : set_window(fd, t, t->receive_seq + (uint32_t)r->received.n);
}

/* The peer's end arrives once more. */
static int end_of_peer(const struct tcp_record *r, int fd, const struct inet_key *own, const struct inet_key *peer)
{
	const struct tcp_repair *t = &r->repair;
	struct pollfd p = { .fd = fd, .events = RDHUP };
	union inet_addr a;
	unsigned len;
	int rc;

	if (!inet_addr_of(r->name, &a, &len))
		return -EINVAL;
	rc = tcp_forge_end(own, peer, a.any.sa_family == AF_INET6 ? a.v6.sin6_scope_id : 0,
			   t->receive_seq + (uint32_t)r->received.n, t->send_seq);
	if (rc >= 0)
		rc = sys_poll(&p, 1, END_WAIT);
	return rc == 0 ? -ETIMEDOUT : rc;
}

int tcp_repair_end(const struct tcp_record *r, int fd)
{
	const char *p = r->unsent.p;
	uint64_t at = r->unsent.n - r->repair.not_sent;
	struct inet_key own, peer;
	long rc = inet_key(r->name, &own) && inet_key(r->peer, &peer) ? 0 : -EINVAL;

	if (rc >= 0)
		rc = sockopt_set(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF);
	if (rc >= 0)
		rc = sockopt_set(fd, SOL_SOCKET, SO_REUSEADDR, (int)r->reuse);
	if (rc >= 0 && r->shut & TCP_SHUT_PEER)
		rc = end_of_peer(r, fd, &own, &peer);
	while (rc >= 0 && at < r->unsent.n) {
		rc = sys_sendto(fd, p + at, r->unsent.n - at, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
		if (rc > 0)
			at += (uint64_t)rc;
	}
	if (rc >= 0 && r->shut & TCP_SHUT_WRITE)
		rc = sys_shutdown(fd, SHUT_WR);
	return rc < 0 ? (int)rc : 0;
}
