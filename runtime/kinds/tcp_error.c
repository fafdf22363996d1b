/*
 * tcp_error.c - the error that waits on a TCP socket whose connection has failed
 *
 * Only poll tells that there is one; whoever asks which takes it. So it is
 * inferred, from what the kernel leaves standing of a closed socket
 * (tests/kernel/tcp_end_seen.c, tcp_silent.c):
 *
 *   ECONNREFUSED  never connected, and something came back
 *   ETIMEDOUT     it sent again, or asked whether the peer lives, as often as it may
 *   EPIPE         the peer had ended before it was reset
 *   ECONNRESET    else
 *
 * What a restart has made wait is noted in the ledger, since how it is made looks otherwise.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>      /* before the kernel's, which then leave it alone */

#include <linux/tcp.h>
#include <poll.h>
#include <stddef.h>

#include "tcp_build.h"

#include "skshim/frozen.h"

#define ALMOST 3             /* fewer tries than net.ipv4.tcp_retries2 where the way there and back is long */
#define TIME_OUT_WAIT 10000  /* ms for the kernel to give up a peer that is silent */

/* --- which error it is ---------------------------------------------------------------------------------------- */

/* Bytes waiting, and one more for the end behind them, as a peek tells with TCP_INQ. -1: not told. */
static int64_t told_inq(int fd)
{
	_Alignas(struct cmsghdr) char control[64];
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int was = sockopt_get(fd, IPPROTO_TCP, TCP_INQ), off = sockopt_get(fd, SOL_SOCKET, SO_PEEK_OFF), inq = -1;
	struct cmsghdr *h;

	if (off >= 0)
		(void)sockopt_set(fd, SOL_SOCKET, SO_PEEK_OFF, -1);
	if (was == 0)
		(void)sockopt_set(fd, IPPROTO_TCP, TCP_INQ, 1);
	if (sys_recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT) > 0)
		for (h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
			if (h->cmsg_level == IPPROTO_TCP && h->cmsg_type == TCP_CM_INQ)
				memcpy(&inq, CMSG_DATA(h), sizeof(inq));
	if (was == 0)
		(void)sockopt_set(fd, IPPROTO_TCP, TCP_INQ, 0);
	if (off >= 0)
		(void)sockopt_set(fd, SOL_SOCKET, SO_PEEK_OFF, off);
	return inq;
}

/* Whether the peer's end has come, read or not. An error that waits stays. */
static bool peer_ended(int fd)
{
	struct tcp_zerocopy_receive z = { 0 };
	unsigned len = offsetof(struct tcp_zerocopy_receive, recv_skip_hint) + sizeof(z.recv_skip_hint);
	int in_line = sockopt_get(fd, SOL_SOCKET, SO_OOBINLINE), inq = 0;
	bool ended;

	/* or SIOCINQ would end at an urgent byte */
	if (!in_line)
		(void)sockopt_set(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	if (sys_ioctl(fd, SIOCINQ, (long)&inq) >= 0 && inq > 0)
		ended = told_inq(fd) > inq;
	else
		ended = sys_getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &z, &len) == -EIO;
	if (!in_line)
		(void)sockopt_set(fd, SOL_SOCKET, SO_OOBINLINE, 0);
	return ended;
}

static uint32_t tries_allowed(struct collection *c)
{
	struct blob text;
	const char *p;
	uint64_t n = 0;

	if (arena_read_file(c->arena, AT_FDCWD, "/proc/sys/net/ipv4/tcp_retries2", &text) < 0)
		return 15;
	p = text.p;
	return text_number(&p, p + text.n, 10, &n) && n > ALMOST ? (uint32_t)n : ALMOST + 1;
}

static bool timed_out(struct collection *c, int fd, const struct tcp_info *info)
{
	uint32_t tries = info->tcpi_retransmits > info->tcpi_probes ? info->tcpi_retransmits : info->tcpi_probes;
	int alive = sockopt_get(fd, SOL_SOCKET, SO_KEEPALIVE);

	if (!tries)
		return false;
	if (sockopt_get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) > 0)
		return true;
	if (alive > 0 && (int)info->tcpi_probes >= sockopt_get(fd, IPPROTO_TCP, TCP_KEEPCNT))
		return true;
	return tries + ALMOST >= tries_allowed(c);
}

/* One that never was connected. 0: not known. */
static uint32_t why_not(int fd, const struct tcp_info *info)
{
	if (info->tcpi_segs_in)
		return ECONNREFUSED;
	return (int)info->tcpi_retransmits >= sockopt_get(fd, IPPROTO_TCP, TCP_SYNCNT) ? ETIMEDOUT : 0;
}

void tcp_error_collect(struct collection *c, const struct probe *p, struct tcp_record *r, const struct tcp_info *info)
{
	if (peer_ended(p->fd))
		r->shut |= TCP_SHUT_PEER;
	if (p->lineage && p->lineage->error)
		r->error = p->lineage->error;
	else if (!info->tcpi_rtt)
		r->error = why_not(p->fd, info);
	else if (timed_out(c, p->fd, info))
		r->error = ETIMEDOUT;
	else
		r->error = r->shut & TCP_SHUT_PEER ? EPIPE : ECONNRESET;
	if (r->error)
		return;
	r->error = ECONNREFUSED;
	collection_loss(c, p, "TCP connection that failed: why can't be asked without taking it from the program; will say after a "
			"restart that it was refused");
}

/* --- it waits again ------------------------------------------------------------------------------------------- */

void tcp_deaf(int fd, uint32_t family, bool on)
{
	(void)sockopt_set(fd, IPPROTO_IP, IP_MINTTL, on ? 255 : 0);
	if (family == AF_INET6)
		(void)sockopt_set(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, on ? 255 : 0);
}

/* So that tcp_deaf() works where packets are sent with the most hops there are. */
static void go_far(const struct end *e, bool on)
{
	(void)sockopt_set(e->fd, IPPROTO_IP, IP_TTL, on ? 1 : -1);
	if (e->rec->family == AF_INET6)
		(void)sockopt_set(e->fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, on ? 1 : -1);
}

void tcp_error_begin(const struct end *e)
{
	if (e->rec->shut & TCP_SHUT_PEER)
		(void)sys_shutdown(e->hidden, SHUT_WR);
	if (e->rec->error != ETIMEDOUT)
		return;
	go_far(e, true);
	tcp_deaf(e->hidden, e->rec->family, true);
	(void)sockopt_set(e->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1);
	(void)sys_sendto(e->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
}

void tcp_error_await(const struct end *e)
{
	struct pollfd p = { .fd = e->fd };

	if (e->rec->error != ETIMEDOUT)
		return;
	if (sys_poll(&p, 1, TIME_OUT_WAIT) != 1)
		rebuild_loss(tcp_net->rb, e->obj, "TCP connection: its error");
	(void)sockopt_set(e->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
	go_far(e, false);
}
