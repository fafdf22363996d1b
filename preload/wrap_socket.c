/*
 * wrap_socket.c - the calls that make and name sockets
 *
 * Each makes the real call and notes it in the ledger on success. errno is the
 * real call's: nothing after it touches errno.
 *
 * setsockopt is noted only for options that the kernel takes and never tells:
 * reuseport programs, keys, sticky packet information. What can be read back
 * (SO_ATTACH_FILTER by SO_GET_FILTER, multicast groups when asked about one by
 * one) is left to the collector.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "family.h"
#include "wait.h"
#include "skshim/held.h"
#include "skshim/lineages.h"

static int call_errno(void)
{
	return errno;
}

#include "skshim/frozen.h"

#ifndef SOL_PACKET
#define SOL_PACKET 263
#endif
#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif
#ifndef TCP_AO_ADD_KEY
#define TCP_AO_ADD_KEY 38
#endif
#ifndef TCP_MD5SIG_EXT
#define TCP_MD5SIG_EXT 32
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif
#ifndef IPV6_FLOWLABEL_MGR
#define IPV6_FLOWLABEL_MGR 32
#endif
#define SO_BUSY_POLL_BUDGET_ 70
#define SO_INQ_ 84
#define MRT_INIT_ 200        /* the same for IPv6 */
#define MRT_DONE_ 201
#define CALL_EINPROGRESS 115
#define CALL_EINTR 4

SHIM_EXPORT int socket(int family, int type, int protocol)
{
	int fd = real.socket(family, type, protocol);

	if (fd >= 0)
		ledger_socket(fd, family, type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK), protocol);
	return fd;
}

SHIM_EXPORT int socketpair(int family, int type, int protocol, int fd[2])
{
	int rc = real.socketpair(family, type, protocol, fd);

	if (rc == 0)
		ledger_pair(fd, family, type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK), protocol);
	return rc;
}

SHIM_EXPORT int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	int rc = real.bind(fd, addr, len);

	if (rc == 0)
		ledger_named(fd, addr, len);
	return rc;
}

/* A connection that is still being made is noted as well: nobody tells when it is there. */
SHIM_EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct wait_note outer;
	int rc;

	wait_begin(&outer, __NR_connect);
	rc = real.connect(fd, addr, len);
	wait_end(&outer);
	if (rc == 0 || call_errno() == CALL_EINPROGRESS || call_errno() == CALL_EINTR)
		ledger_peer(fd, addr, len);
	return rc;
}

SHIM_EXPORT int listen(int fd, int backlog)
{
	int rc = real.listen(fd, backlog);

	if (rc == 0)
		ledger_backlog(fd, backlog);
	return rc;
}

/* What a checkpoint accepted in the program's place is exchanged first; its peer's name stands in for the stand-in's. */
static void accepted(int fd, int listener, struct sockaddr *addr, socklen_t *len, socklen_t room, int flags)
{
	struct sockaddr_un peer;
	unsigned n = sizeof(peer);

	if (held_exchange(fd, flags, &peer, &n) && addr && len && n) {
		memcpy(addr, &peer, n < room ? n : room);
		*len = n;
	}
	ledger_accepted(fd, listener);
}

SHIM_EXPORT int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	socklen_t room = addr && len ? *len : 0;
	struct wait_note outer;
	int rc;

	wait_begin(&outer, __NR_accept);
	rc = real.accept(fd, addr, len);
	wait_end(&outer);
	if (rc >= 0)
		accepted(rc, fd, addr, len, room, 0);
	return rc;
}

SHIM_EXPORT int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	socklen_t room = addr && len ? *len : 0;
	struct wait_note outer;
	int rc;

	wait_begin(&outer, __NR_accept4);
	rc = real.accept4(fd, addr, len, flags);
	wait_end(&outer);
	if (rc >= 0)
		accepted(rc, fd, addr, len, room, flags);
	return rc;
}

/* --- options ------------------------------------------------------------------------------------------------ */

enum note_how {
	NOTE_ADD,          /* one more */
	NOTE_REPLACE,      /* the only one of its name */
	NOTE_PROGRAM,      /* the only one; the value points to instructions, which are noted instead */
	NOTE_DROP,         /* takes away the note of `other` with the same first `key` bytes */
};

/* Kept by level. `key` 0 with NOTE_DROP: the whole value must be the same. */
static const struct noted {
	int level, name;
	enum note_how how;
	int other;
	unsigned key;
} noted[] = {
	{ SOL_SOCKET, SO_ATTACH_BPF, NOTE_REPLACE, 0, 0 },
	{ SOL_SOCKET, SO_DETACH_FILTER, NOTE_DROP, SO_ATTACH_BPF, ~0u },
	{ SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, NOTE_PROGRAM, SO_ATTACH_REUSEPORT_EBPF, 0 },
	{ SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, NOTE_REPLACE, SO_ATTACH_REUSEPORT_CBPF, 0 },
	{ SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, NOTE_DROP, SO_ATTACH_REUSEPORT_CBPF, ~0u },
	{ SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, NOTE_DROP, SO_ATTACH_REUSEPORT_EBPF, ~0u },

	{ SOL_SOCKET, SO_BUSY_POLL_BUDGET_, NOTE_REPLACE, 0, 0 },
	{ SOL_SOCKET, SO_INQ_, NOTE_REPLACE, 0, 0 },

	/* told as an address, without the device */
	{ IPPROTO_IP, IP_MULTICAST_IF, NOTE_REPLACE, 0, 0 },
	{ IPPROTO_IP, IP_IPSEC_POLICY, NOTE_ADD, 0, 0 },
	{ IPPROTO_IP, IP_XFRM_POLICY, NOTE_ADD, 0, 0 },
	{ IPPROTO_IP, MRT_INIT_, NOTE_REPLACE, 0, 0 },
	{ IPPROTO_IP, MRT_DONE_, NOTE_DROP, MRT_INIT_, ~0u },

	{ IPPROTO_IPV6, IPV6_MTU, NOTE_REPLACE, 0, 0 },
	{ IPPROTO_IPV6, IPV6_PKTINFO, NOTE_REPLACE, 0, 0 },
	{ IPPROTO_IPV6, IPV6_NEXTHOP, NOTE_REPLACE, 0, 0 },
	{ IPPROTO_IPV6, IPV6_2292PKTOPTIONS, NOTE_REPLACE, 0, 0 },
	{ IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, NOTE_ADD, 0, 0 },
	{ IPPROTO_IPV6, IPV6_IPSEC_POLICY, NOTE_ADD, 0, 0 },
	{ IPPROTO_IPV6, IPV6_XFRM_POLICY, NOTE_ADD, 0, 0 },
	{ IPPROTO_IPV6, MRT_INIT_, NOTE_REPLACE, 0, 0 },
	{ IPPROTO_IPV6, MRT_DONE_, NOTE_DROP, MRT_INIT_, ~0u },
	{ IPPROTO_IPV6, IPV6_JOIN_ANYCAST, NOTE_ADD, 0, 0 },
	{ IPPROTO_IPV6, IPV6_LEAVE_ANYCAST, NOTE_DROP, IPV6_JOIN_ANYCAST, 0 },

	{ IPPROTO_TCP, TCP_MD5SIG, NOTE_ADD, 0, 0 },
	{ IPPROTO_TCP, TCP_MD5SIG_EXT, NOTE_ADD, 0, 0 },
	{ IPPROTO_TCP, TCP_AO_ADD_KEY, NOTE_ADD, 0, 0 },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP, NOTE_REPLACE, 0, 0 }, /* of a connection the kernel tells its own */
	{ IPPROTO_TCP, TCP_REPAIR, NOTE_REPLACE, 0, 0 }, /* told, but then it may be ours */

	{ SOL_PACKET, PACKET_ADD_MEMBERSHIP, NOTE_ADD, 0, 0 },
	{ SOL_PACKET, PACKET_DROP_MEMBERSHIP, NOTE_DROP, PACKET_ADD_MEMBERSHIP, 0 },
	{ SOL_PACKET, PACKET_FANOUT_DATA, NOTE_REPLACE, 0, 0 },
	{ SOL_PACKET, PACKET_RX_RING, NOTE_REPLACE, 0, 0 },
	{ SOL_PACKET, PACKET_TX_RING, NOTE_REPLACE, 0, 0 },

	{ SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NOTE_ADD, 0, 0 },
	{ SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, NOTE_DROP, NETLINK_ADD_MEMBERSHIP, 0 },
};

static void note_program(int fd, int level, int name, const void *val, unsigned len)
{
	const struct sock_fprog *prog = val;

	if (len >= sizeof(*prog) && prog->filter)
		ledger_option(fd, level, name, prog->filter, prog->len * (unsigned)sizeof(struct sock_filter));
}

static void note_row(const struct noted *n, int fd, int level, const void *val, unsigned len)
{
	unsigned key = n->key && n->key < len ? n->key : len;

	switch (n->how) {
	case NOTE_ADD:
		ledger_option(fd, level, n->name, val, len);
		break;
	case NOTE_DROP:
		ledger_drop_option(fd, level, n->other, val, n->key == ~0u ? 0 : key);
		break;
	case NOTE_REPLACE:
	case NOTE_PROGRAM:
		ledger_drop_option(fd, level, n->name, val, 0);
		if (n->other)
			ledger_drop_option(fd, level, n->other, val, 0);
		if (n->how == NOTE_PROGRAM)
			note_program(fd, level, n->name, val, len);
		else
			ledger_option(fd, level, n->name, val, len);
		break;
	}
}

static void note_option(int fd, int level, int name, const void *val, unsigned len)
{
	for (size_t i = 0; i < sizeof(noted) / sizeof(noted[0]); i++)
		if (noted[i].level == level && noted[i].name == name)
			note_row(&noted[i], fd, level, val, len);
}

SHIM_EXPORT int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	int rc = real.setsockopt(fd, level, name, val, len);
	uint32_t what = rc == 0 && shim.active ? lineages_touch(level, name) : 0;

	if (what) {
		note_option(fd, level, name, val, len);
		ledger_touched(fd, what);
		if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO))
			timeouts_begin(name);
	}
	return rc;
}

/* For one option only, whose answer a restart has changed. */
SHIM_EXPORT int getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	int rc = real.getsockopt(fd, level, name, val, len);

	if (name == SO_PEERPIDFD && level == SOL_SOCKET && shim.active && shim.tree && shim.tree->generation)
		rc = peer_pidfd(fd, rc, val, len);
	return rc;
}

/* The same by syscall(), in context.S: accept, accept4, setsockopt, getsockopt. */
long socket_call(long nr, long fd, long a, long b, long c, long d);
long socket_call(long nr, long fd, long a, long b, long c, long d)
{
	switch (nr) {
	case __NR_accept:
		return accept((int)fd, (struct sockaddr *)a, (socklen_t *)b);
	case __NR_accept4:
		return accept4((int)fd, (struct sockaddr *)a, (socklen_t *)b, (int)c);
	case __NR_getsockopt:
		return getsockopt((int)fd, (int)a, (int)b, (void *)c, (socklen_t *)d);
	default:
		return setsockopt((int)fd, (int)a, (int)b, (const void *)c, (socklen_t)d);
	}
}
