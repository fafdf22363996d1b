/*
 * udp.h - the record of a UDP or UDP-Lite socket
 *
 * udp.c        record, match, collect, check
 * udp_queue.c  datagrams waiting: look at them, and have them sent again
 * udp_forge.c  from a sender that is alive, outside
 * udp_cork.c   a datagram that is held back
 * udp_build.c  all UDP sockets of an image, made at once
 */
#ifndef KINDS_UDP_H
#define KINDS_UDP_H

#include "inet.h"

/* One datagram in a receive queue. */
struct udp_datagram {
	struct blob data;
	struct blob sender;          /* struct sockaddr_in or _in6 */
	struct blob to;              /* the address it was sent to, port 0; "" not known */
	int32_t tos, ttl;            /* traffic class and hop limit, -1 not known */
	uint32_t segment;            /* several in one, of this size (UDP_GRO); 0 one */
};

struct udp_record {
	uint32_t family, protocol;
	uint64_t ino;
	uint64_t order;              /* cookie: sockets that share a port are bound in this order */
	struct blob name, peer;      /* struct sockaddr_in or _in6, "" none */
	struct blob bound;           /* what to bind to, so that the name comes out as it was; "" nothing */
	uint32_t open;               /* 1: the kernel chose the port, which goes when the socket is disconnected */
	uint32_t reuse;              /* SO_REUSEADDR: 1 all the time while rebuilding */
	uint32_t shut;               /* as the kernel has it: 1 receiving, 2 sending */
	uint32_t error;              /* errno that waits to be told, 0 none */
	struct list options;         /* struct sockopt */
	struct blob notes;
	struct list queue;           /* struct udp_datagram */
	struct list groups;          /* struct membership */
	uint32_t held;               /* 1: a datagram is held back, of which `corked` has been put together so far */
	struct blob corked;
};

extern const struct field udp_datagram_fields[];
extern const struct kind kind_udp;

/* Whether what it sends to its peer stays on this machine and is for one receiver, as far as its options and the routes tell. */
bool udp_stays_here(const struct udp_record *);
/* The datagram that is held back, if it can be had; nobody gets it. 1: it has gone, and that is announced. */
int udp_cork_collect(struct collection *, const struct probe *, struct udp_record *);
/* Holds it back again; fd is connected. */
void udp_cork_fill(struct rebuild *, uint32_t obj, const struct udp_record *, int fd);
/* Everything in the receive queue; nothing is consumed. Under socket_lock(). */
int udp_queue_collect(struct collection *, const struct probe *, struct udp_record *);
/* Sends what was in the queue to fd, which is bound, again; what can't be sent is announced. */
int udp_queue_fill(struct rebuild *, uint32_t obj, const struct udp_record *, int fd, bool port_shared);
/* Sends a datagram with a sender's address that somebody else has; needs CAP_NET_RAW. */
int udp_forge(const struct udp_datagram *, uint32_t protocol, const union inet_addr *from, const union inet_addr *to);
/* While a datagram is sent to a group again: the image's other sockets of this port don't take it. */
void udp_others_deaf(uint32_t obj, bool deaf);

int udp_build(struct rebuild *);
int udp_fill(struct rebuild *);

#endif
