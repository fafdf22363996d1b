/*
 * tcp_build.h - what tcp_build.c, tcp_backlog.c and tcp_fill.c share: every TCP socket of an image while it is made again
 */
#ifndef KINDS_TCP_BUILD_H
#define KINDS_TCP_BUILD_H

#include "tcp.h"

struct end {
	uint32_t obj;
	struct tcp_record *rec;
	int fd;
	struct inet_key name, peer_name;
	struct end *peer;            /* the other end, when it is in the image */
	struct end *same_pair;       /* hash chain */
	bool made, pending;
	bool finished;               /* has all its options */
	bool anew;                   /* connected to the outside again */
	bool given_up;               /* its bytes in a backlog can't be had */
	const struct tcp_pending *waits; /* with pending: how, and where */
	struct end *listener;
	bool awaited;                /* a listener that is some end's */
	int hidden;                  /* the far end of one whose peer has closed, -1 none */
};

struct stand_in;

struct net {
	struct rebuild *rb;
	struct end *ends;
	uint32_t n, mask;
	struct end **by_pair;
	struct stand_in **stand_ins;
	bool filled;
	bool lent;                   /* the launcher lends listeners, which aren't among the ends */
};
extern struct net *tcp_net;

/* failed(), naming the connection. */
int tcp_trouble(const struct end *, int rc, const char *what);
/* All its options, as they were; the second time nothing. */
int tcp_finish(struct end *);
int tcp_bind_to(int fd, struct blob name);
int tcp_connect_to(int fd, struct blob name);
/* A connection that is given up. */
bool tcp_is_lost(const struct end *);
/* A socket takes no packet, and isn't heard of. */
void tcp_deaf(int fd, uint32_t family, bool on);
/* tcp_error.c: between the two, the far end (hidden) is silent; behind them it is dropped. */
void tcp_error_begin(const struct end *);
void tcp_error_await(const struct end *);
/* tcp_fill.c: both ends of a connection are finished and parked, where numbers are scarce (rebuild_parks()). */
int tcp_settle_pair(struct end *);
/* tcp_backlog.c: everybody who waits to be accepted, and those whose connect was not answered. */
int tcp_make_backlogs(void);
/* Whether some in its backlog have no client any more. */
bool tcp_has_gone(const struct tcp_record *);

#endif
