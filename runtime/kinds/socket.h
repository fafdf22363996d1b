/*
 * socket.h - what the kinds of sockets share
 */
#ifndef KINDS_SOCKET_H
#define KINDS_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "skshim/kind.h"

/* --- sockopt.c: options ------------------------------------------------------------------------------------- */

/* One option whose value is not that of a fresh socket. */
struct sockopt {
	uint32_t level, name;
	struct blob value;           /* as getsockopt gave it */
};
extern const struct field sockopt_fields[];

enum sockopt_when {
	SOCKOPT_BEFORE,              /* before bind and connect: what decides where a socket may be bound, window sizes */
	SOCKOPT_LATE,                /* when queues are filled: all the rest */
};

/* Reads every option that can be read back; `connected` leaves out those that then tell about the connection. */
int sockopt_collect(struct collection *, const struct probe *, bool connected, struct list *out);
/* Sets the options of one stage. What needs a privilege that is not there is announced and left out. */
int sockopt_apply(struct rebuild *, uint32_t obj, int fd, const struct list *options, enum sockopt_when when);
/* Repeats what the ledger noted of options that can't be read back. */
int sockopt_replay(struct rebuild *, uint32_t obj, int fd, struct blob notes);
/* The recorded value of an int option, or `none`. */
int sockopt_int(const struct list *options, int level, int name, int none);
/* Plain int options of a descriptor. */
int sockopt_get(int fd, int level, int name);
int sockopt_set(int fd, int level, int name, int value);
/* Makes room for refilling a queue: the largest buffer that is allowed (name: SO_SNDBUF or SO_RCVBUF). */
void sockopt_grow(int fd, int name, uint64_t bytes);

/* --- multicast.c: groups -------------------------------------------------------------------------------------- */

struct membership {
	uint32_t ifindex;
	struct blob device;          /* its name then */
	struct blob group;           /* 4 bytes or 16 */
	uint32_t mode;               /* of the filter: MCAST_INCLUDE or MCAST_EXCLUDE these */
	struct blob sources;         /* addresses, one after the other */
};
extern const struct field membership_fields[];

int multicast_collect(struct collection *, const struct probe *, struct list *out);
/* Joins again; what can't be joined is announced. */
void multicast_apply(struct rebuild *, uint32_t obj, int fd, const struct list *memberships);
/* The interface on which a group is joined, as it is numbered now; 0 it isn't. */
uint32_t multicast_device(int fd, const struct list *memberships, const void *group, unsigned size);

/* Bytes that were taken out of a queue and put back while collecting, for the socket whose turn comes later. */
struct drained {
	struct drained *next;
	uint64_t ino;
	struct blob bytes;
};
/* What socket kinds remember during one checkpoint; NULL out of memory. */
struct socket_memory {
	struct defaults *defaults;
	struct drained *drained;
	struct quieting *quieting;   /* tcp_quiet.c */
	struct multicast *multicast;
	uint32_t acks_waited;        /* ms, all TCP sockets together */
	bool ways_made;              /* tcp_queue.c */
};
struct socket_memory *socket_memory(struct collection *);

/*
 * Keeps other processes that have the socket from walking its queue meanwhile: a
 * descriptor to close, or a negative errno.
 */
int socket_lock(const struct probe *);

/* --- empties.c: empty packets that an earlier look has hidden --------------------------------------------------- */

struct peeked;
struct tree;

/* A look at a queue of packets, the head with a peek that knows no offset, the others with one. */
struct empties {
	struct collection *c;
	const struct probe *p;
	const struct peeked *now;    /* what shows */
	uint32_t n;
	bool doubtful;               /* the program itself may have hidden some */
	uint64_t charge;             /* what the kernel counts for all packets together; 0 not known */
	uint64_t (*cost)(const struct probe *, uint32_t len); /* the same for a packet of that length, 0 not known */
};
#define EMPTIES_HIDDEN (~0u)
struct empties_packet {
	uint32_t shown;              /* its number among those that show */
	struct blob detail;          /* of one that doesn't */
};
/* All of the queue in its order; how many, or a negative errno. Notes it for the next look. */
int empties_join(const struct empties *, struct empties_packet **out);

/* What the lineage says cannot be read back, as a blob in the collection's arena. */
struct blob socket_notes(struct collection *, const struct probe *);
/* Whether an option is among them. */
bool socket_noted(struct blob notes, int level, int name);
/* Its value, or 0. */
int socket_noted_int(struct blob notes, int level, int name);

#endif
