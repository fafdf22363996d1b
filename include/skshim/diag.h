/*
 * diag.h - sock_diag: what the kernel says of all sockets, one dump a family
 */
#ifndef SKSHIM_DIAG_H
#define SKSHIM_DIAG_H

#include "skshim/kind.h"

struct diag_unix {
	uint32_t ino, peer;          /* peer 0: none */
	uint64_t cookie;
	uint8_t type, state, shutdown, has_peer; /* has_peer: connected, even where the peer is gone (peer 0) */
	uint32_t rqueue, wqueue;     /* listeners: pending connections, backlog; else bytes in / out */
	uint32_t vfs_dev, vfs_ino;   /* of the socket file; 0 none */
	struct blob name;            /* sun_path as the kernel has it */
	const uint32_t *pending;     /* listeners: inodes of the connections not accepted */
	uint32_t npending;
};

struct diag_inet {
	uint32_t ino;
	uint64_t cookie;
	uint8_t family, protocol, state, shutdown;
	uint16_t sport, dport;       /* host order */
	uint8_t src[16], dst[16];
	uint32_t ifindex, rqueue, wqueue, uid;
	uint32_t expires;            /* ms until it sends again on its own, 0 it waits for nothing; diag_inet_now() only */
};

/* By socket inode; NULL when the kernel doesn't list it. The first question makes the dump. */
const struct diag_unix *diag_unix(struct collection *, uint32_t ino);
/* The same, asked anew: others may look into a shared socket's backlog at the same time. */
const struct diag_unix *diag_unix_now(struct collection *, uint32_t ino);
/* Who listens under a name, as the kernel lists it. Looks at all of them. */
const struct diag_unix *diag_unix_listener(struct collection *, uint8_t type, struct blob name);
const struct diag_inet *diag_inet(struct collection *, int protocol, uint32_t ino);
/*
 * By names, seen from the socket that has `src`: addresses are 16 bytes, IPv4
 * ones mapped (::ffff:a.b.c.d). Finds connections that have no descriptor too.
 */
const struct diag_inet *diag_inet_pair(struct collection *, int protocol, const uint8_t src[16], uint16_t sport,
				       const uint8_t dst[16], uint16_t dport);
/* All of a protocol's, one after the other; `after` NULL for the first. TIME_WAIT has no inode and no cookie. */
const struct diag_inet *diag_inet_next(struct collection *, int protocol, const struct diag_inet *after);
/* The next listener on a port, whatever its address. */
const struct diag_inet *diag_inet_listener(struct collection *, int protocol, uint16_t port, const struct diag_inet *after);
/*
 * The next connection to a listener of this name that nobody has accepted, in
 * no particular order; `after` NULL for the first.
 */
const struct diag_inet *diag_inet_pending(struct collection *, const struct diag_inet *listener,
					  const struct diag_inet *after);
/* The same, asked anew instead of looked up: 0, -ENOENT or another negative errno. Fills state, ino and queues. */
int diag_inet_now(int protocol, const uint8_t src[16], uint16_t sport, const uint8_t dst[16], uint16_t dport,
		  struct diag_inet *out);
/* What the kernel counts for all that waits in a bound socket's receive queue, asked anew; 0 not known. */
uint64_t diag_inet_charge(struct collection *, const struct probe *, uint16_t port);
/* Ends a connection at once, whatever its state (SOCK_DESTROY, CAP_NET_ADMIN): 0 or a negative errno. */
int diag_inet_destroy(const struct diag_inet *);
/* An IPv4 address of 4 bytes as diag_inet_pair() wants it. */
void diag_map4(const uint8_t in[4], uint8_t out[16]);
/* Room for what socket kinds remember during one checkpoint. */
void **diag_remember(struct collection *);

#endif
