/*
 * udp_cork.c - a datagram that is held back (UDP_CORK, MSG_MORE)
 *
 * The kernel shows nothing of what was put into it. Where it goes to an
 * address of this machine, that nobody has but this process alone, a stand-in
 * takes that address, connected to the sender, and so is the one that
 * gets the datagram (tests/kernel/udp_newest.c): it is let go, read, and held
 * back again. Nobody else sees it. Elsewhere it is lost at a restart.
 */
#include <asm/errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/mman.h>

#include "skshim/diag.h"
#include "udp.h"

#include "skshim/frozen.h"

#define HOLDERS 8
#define ROOM (128u << 10)    /* more than any datagram */
#define ARRIVAL 1000         /* ms for a datagram to pass the loopback */

/* Sockets of this process that have the peer's port, and what they lend. */
struct holders {
	struct {
		int fd, reuse, cpu;
	} of[HOLDERS];
	uint32_t n;
};

static bool is_alone(struct collection *c, uint32_t ino)
{
	return c->alone && c->alone(c->pid, ino);
}

static int fd_of(const struct collection *c, uint32_t ino)
{
	uint32_t i;

	for (i = 0; i < c->nprobes; i++)
		if (c->probes[i].family >= 0 && c->probes[i].st.st_ino == ino)
			return c->probes[i].fd;
	return -1;
}

/* Whoever has the port, at whatever address. False: among them is somebody else's, or one that its device puts before ours. */
static bool find_holders(struct collection *c, const struct udp_record *r, uint16_t port, struct holders *h)
{
	const struct diag_inet *d;
	int fd;

	for (d = diag_inet_next(c, (int)r->protocol, NULL); d; d = diag_inet_next(c, (int)r->protocol, d)) {
		if (d->sport != port)
			continue;
		fd = d->ino == r->ino ? -1 : fd_of(c, d->ino);
		if (fd < 0 || d->ifindex || h->n == HOLDERS || !is_alone(c, d->ino))
			return false;
		h->of[h->n++].fd = fd;
	}
	return true;
}

/* They share their port, and none is preferred for the processor that a datagram comes in on. */
static void holders_lend(struct holders *h)
{
	uint32_t i;

	for (i = 0; i < h->n; i++) {
		h->of[i].reuse = sockopt_get(h->of[i].fd, SOL_SOCKET, SO_REUSEADDR);
		h->of[i].cpu = sockopt_get(h->of[i].fd, SOL_SOCKET, SO_INCOMING_CPU);
		(void)sockopt_set(h->of[i].fd, SOL_SOCKET, SO_REUSEADDR, 1);
		if (h->of[i].cpu >= 0)
			(void)sockopt_set(h->of[i].fd, SOL_SOCKET, SO_INCOMING_CPU, -1);
	}
}

static void holders_end(const struct holders *h)
{
	uint32_t i;

	for (i = 0; i < h->n; i++) {
		(void)sockopt_set(h->of[i].fd, SOL_SOCKET, SO_REUSEADDR, h->of[i].reuse);
		if (h->of[i].cpu >= 0)
			(void)sockopt_set(h->of[i].fd, SOL_SOCKET, SO_INCOMING_CPU, h->of[i].cpu);
	}
}

/* What comes may be more than one datagram, of a sender with segments: they are one again. */
static int64_t receive(int fd, char *room)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t got = 0;
	long n;
	int rc = sys_poll(&p, 1, ARRIVAL);

	if (rc <= 0)
		return rc < 0 ? rc : -ETIME;
	while (got < ROOM && (n = sys_recvfrom(fd, room + got, ROOM - (size_t)got, MSG_DONTWAIT, NULL, NULL)) >= 0)
		got += n;
	return got;
}

/* Of IPv4, where the addresses are: the kernel prefers those. */
static int stand_in(const struct udp_record *r)
{
	union inet_addr own, peer;
	unsigned own_len, peer_len;
	int fd, rc;

	if (!inet_addr_of(r->name, &own, &own_len) || !inet_addr_of(r->peer, &peer, &peer_len))
		return -EINVAL;
	own_len = inet_unmap(&own, own_len);
	peer_len = inet_unmap(&peer, peer_len);
	fd = rc = sys_socket(peer.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, (int)r->protocol);
	if (rc >= 0)
		rc = sockopt_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc >= 0)
		rc = sockopt_set(fd, SOL_SOCKET, SO_RCVBUF, 4 * (int)ROOM);
	if (rc >= 0)
		rc = sys_bind(fd, &peer, peer_len);
	if (rc >= 0)
		rc = sys_connect(fd, &own, own_len);
	if (rc < 0 && fd >= 0)
		sys_close(fd);
	return rc < 0 ? rc : fd;
}

/* Lets it go: its length, or a negative errno; *gone then says that it went nevertheless. */
static int64_t let_go(const struct probe *p, int to, char *room, bool *gone)
{
	int cork = sockopt_get(p->fd, IPPROTO_UDP, UDP_CORK), rc = sockopt_set(p->fd, IPPROTO_UDP, UDP_CORK, 0);
	int64_t n = rc < 0 ? rc : receive(to, room);

	*gone = rc >= 0 && n < 0;
	if (cork > 0)
		(void)sockopt_set(p->fd, IPPROTO_UDP, UDP_CORK, 1);
	return n;
}

static int hold_back(int fd, const void *bytes, size_t n)
{
	long rc = sys_sendto(fd, bytes, n, MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);

	return rc < 0 ? (int)rc : rc == (long)n ? 0 : -EIO;
}

/* Whether letting it go has no other effect than that it arrives. */
static bool is_plain(const struct udp_record *r)
{
	union inet_addr a;
	unsigned len;

	return r->protocol == IPPROTO_UDP && r->name.n && inet_addr_of(r->peer, &a, &len) &&
	       !(a.any.sa_family == AF_INET6 && a.v6.sin6_scope_id) && !sockopt_int(&r->options, IPPROTO_UDP, UDP_SEGMENT, 0) &&
	       udp_stays_here(r);
}

int udp_cork_collect(struct collection *c, const struct probe *p, struct udp_record *r)
{
	struct holders h = { .n = 0 };
	struct inet_key peer;
	bool gone = false;
	int64_t n;
	char *room;
	int fd, rc = 0;

	if (!is_plain(r) || !inet_key(r->peer, &peer) || !is_alone(c, (uint32_t)r->ino) || !find_holders(c, r, peer.port, &h))
		return 0;
	room = sys_mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_err(room))
		return failed(-ENOMEM, "pid %d fd %d: its datagram", c->pid, p->fd);
	holders_lend(&h);
	fd = stand_in(r);
	n = fd < 0 ? fd : let_go(p, fd, room, &gone);
	if (fd >= 0)
		sys_close(fd);
	holders_end(&h);
	if (n >= 0)
		rc = hold_back(p->fd, room, (size_t)n);
	if (rc < 0)
		rc = failed(rc, "pid %d fd %d: a datagram of %d bytes that was held back, and can't be any more", c->pid, p->fd, (int)n);
	r->held = n >= 0 && rc >= 0;
	if (r->held)
		r->corked = arena_blob(c->arena, room, (size_t)n);
	if (r->held && !r->corked.p)
		rc = failed(-ENOMEM, "pid %d fd %d: its datagram", c->pid, p->fd);
	sys_munmap(room, ROOM);
	if (gone)
		collection_loss(c, p, "UDP socket: a datagram that was held back has been sent by the checkpoint");
	return rc < 0 ? rc : gone;
}

void udp_cork_fill(struct rebuild *rb, uint32_t obj, const struct udp_record *r, int fd)
{
	if (r->held && hold_back(fd, r->corked.p, r->corked.n) < 0)
		rebuild_loss(rb, obj, "UDP socket: the datagram that was held back");
}
