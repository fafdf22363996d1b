/*
 * unix_net.h - all unix sockets of an image, while they are made and filled
 */
#ifndef KINDS_UNIX_NET_H
#define KINDS_UNIX_NET_H

#include <sys/socket.h>

#include "unix.h"

struct group;

/* One socket: of the image, or hidden. */
struct end {
	uint32_t obj;                /* OBJ_NONE: hidden */
	struct unix_record *rec;
	int fd, anchor;
	struct end *peer;
	struct end *same_ino, *same_name;
	struct end *next;            /* in its group */
	struct end *next_hidden;
	struct group *groups;        /* a listening socket's: what came in through it */
	uint32_t waits_for;          /* datagram sockets that have to connect to it before it connects itself */
	bool waiting;                /* not accepted yet: what it holds is sent by its client, it has no descriptor */
	bool anew;                   /* another connection to a peer outside */
	bool lent;                   /* the launcher's descriptor, whatever that is */
	bool accepted, bound, joined, pending, outside;
	bool carried;                /* in flight in a queue */
	bool wanted;                 /* a datagram socket that others connect to, or have sent from */
	bool stand_in;               /* a listener for the moment */
	bool loose;                  /* half of a pair, and to be disconnected from the other half */
	struct end *mate;            /* the other half, which stays connected to it */
	bool fed;                    /* feeder is what is left of its pair, and can send to it */
	int feeder;
	bool filled;                 /* has its queue, before the others */
	bool settled;                /* finished and parked before the others, or left to its process (kind.h) */
};

/* The connections that came in through one listener. */
struct group {
	struct end *listener;        /* NULL: gone */
	struct end *first, **last;   /* the accepted ends */
	struct group *next, *same_name, *same_listener;
};

struct net {
	struct rebuild *rb;
	uint32_t uid, gid;           /* whose calls they are that no agent makes */
	struct blob own_groups;      /* the same; p NULL unknown */
	struct end *ends, *hidden;
	uint32_t n, mask;
	struct end **by_ino;
	struct end **listeners, **dgrams; /* by name: those who own it */
	struct group **by_name;
	struct group *groups, **groups_end;
	bool lent;                   /* the launcher lends listeners, which aren't among the ends */
	bool late, filled;           /* queues are filled when all processes exist; it's done */
};

extern struct net *unix_net;

/* --- unix_join.c -------------------------------------------------------------------------------------------- */

/* Fills the net: ends, their peers, groups. */
int unix_join(void);
struct end *unix_find_ino(uint64_t ino);
struct end *unix_find_obj(uint32_t obj);
/* The owner of a name among listening (or datagram) sockets; vfs 0: whatever its file. */
struct end *unix_find_listener(uint32_t type, struct blob name, uint64_t vfs);
struct end *unix_find_dgram(struct blob name);

/* --- unix_build.c, unix_name.c, unix_fill.c ------------------------------------------------------------------- */

/* The address that leads to a bound socket; -ENOTCONN when nothing does. */
int unix_reach(struct end *, struct unix_addr *);
/* The address of a peer outside, as it was asked for. */
int unix_away(const struct unix_record *, struct unix_addr *);
int unix_make_socket(struct end *);
int unix_make_bound(struct end *);
/* Fills, finishes and parks a pair, or a socket that has nothing to do with any other. */
int unix_settle_pair(struct end *);
int unix_settle_single(struct end *);
/* Connects a datagram socket whose peer has a name but is gone, or outside. */
int unix_connect_away(struct end *);
/* failed(), naming the socket. */
int unix_trouble(const struct end *, int rc, const char *what);

static inline bool unix_is_dgram(const struct end *e)
{
	return e->rec->type == SOCK_DGRAM;
}

#endif
