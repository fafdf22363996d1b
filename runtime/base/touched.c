/*
 * touched.c - which socket options a program has set
 *
 * Asking a socket for every option takes longer than everything else about it, so an option that changes nothing but itself
 * has a bit of its own in lineage.touched (tests/kernel/option_alone.c), and the collector asks for these. One that changes
 * others too, as IP_TOS does SO_PRIORITY, or that few programs set, has TOUCHED_ANY: all are asked for.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "skshim/lineages.h"
#include "skshim/frozen.h"

#define SO_RCVTIMEO_NEW_ 66
#define SO_SNDTIMEO_NEW_ 67
#define SO_BUF_LOCK_ 72

/* Options of one bit change each other. */
static const struct {
	int level, name, bit;
} single[] = {
	{ SOL_SOCKET, SO_REUSEADDR, 1 },
	{ SOL_SOCKET, SO_REUSEPORT, 2 },
	{ SOL_SOCKET, SO_KEEPALIVE, 3 },
	{ SOL_SOCKET, SO_LINGER, 4 },
	{ SOL_SOCKET, SO_OOBINLINE, 5 },
	{ SOL_SOCKET, SO_BROADCAST, 6 },
	{ SOL_SOCKET, SO_PASSCRED, 7 },
	{ SOL_SOCKET, SO_RCVTIMEO, 8 },
	{ SOL_SOCKET, SO_RCVTIMEO_NEW_, 8 },
	{ SOL_SOCKET, SO_SNDTIMEO, 9 },
	{ SOL_SOCKET, SO_SNDTIMEO_NEW_, 9 },
	{ SOL_SOCKET, SO_SNDBUF, 10 },
	{ SOL_SOCKET, SO_RCVBUF, 10 },
	{ SOL_SOCKET, SO_SNDBUFFORCE, 10 },
	{ SOL_SOCKET, SO_RCVBUFFORCE, 10 },
	{ SOL_SOCKET, SO_BUF_LOCK_, 10 },
	{ IPPROTO_IPV6, IPV6_V6ONLY, 11 },
	{ IPPROTO_TCP, TCP_KEEPIDLE, 12 },
	{ IPPROTO_TCP, TCP_KEEPINTVL, 13 },
	{ IPPROTO_TCP, TCP_KEEPCNT, 14 },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, 15 },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT, 16 },
	{ IPPROTO_TCP, TCP_SYNCNT, 17 },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, 18 },
	/* set with each answer by some servers: every socket is asked */
	{ IPPROTO_TCP, TCP_NODELAY, -1 },
	{ IPPROTO_TCP, TCP_CORK, -1 },
	{ IPPROTO_UDP, 1 /* UDP_CORK */, -1 },
};

uint32_t lineages_touch(int level, int name)
{
	for (uint32_t i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		if (single[i].level == level && single[i].name == name)
			return single[i].bit < 0 ? 0 : 1u << single[i].bit;
	return TOUCHED_ANY;
}
