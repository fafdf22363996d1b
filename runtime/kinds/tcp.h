/*
 * tcp.h - the record of a TCP socket
 *
 * tcp.c        record, match, collect, check
 * tcp_pending.c connections that nobody has accepted
 * tcp_queue.c  bytes: look and put back
 * tcp_build.c  all TCP sockets of an image, made at once
 * tcp_backlog.c  those that nobody had accepted
 * tcp_fill.c   their queues, ends and options
 * tcp_error.c  the error of one that has failed
 * tcp_wait.c   what the killed tree left in TIME_WAIT
 * tcp_repair.c connections to the outside that go on where they were (privileged)
 * tcp_quiet.c  their packets are kept away meanwhile
 * tcp_forge.c  the end that a peer had sent, once more
 */
#ifndef KINDS_TCP_H
#define KINDS_TCP_H

#include "inet.h"

/* Bits of tcp_record.shut. */
#define TCP_SHUT_PEER 1u     /* the peer has ended; of one that is dead: before it died */
#define TCP_SHUT_WRITE 2u    /* we have */
#define TCP_SHUT_READ 4u     /* shutdown(SHUT_RD): nothing is read any more, which the peer doesn't notice */

enum tcp_what {
	TCP_IS_PLAIN,                /* neither listens nor is connected; perhaps bound */
	TCP_IS_LISTENING,
	TCP_IS_CONNECTED,            /* shut says what is closed */
	TCP_IS_CONNECTING,           /* SYN sent */
	TCP_IS_DEAD,                 /* was connected; error says whether that is still to be told */
};

struct tcp_pending {
	struct blob client, server;  /* its address, and ours as it knows it */
	uint32_t bytes;              /* that it has sent, which can't be looked at */
	uint32_t gone;               /* TCP_GONE_*, or 0 */
	uint32_t place;              /* 1 the first to be accepted, ..., 0 not known */
	struct blob received;        /* what it has sent, when that was looked at; bytes is 0 then */
	uint32_t urgent;             /* 1 the first of them is the urgent byte, ..., 0 none is */
};
#define TCP_GONE_CLOSED 1u
#define TCP_GONE_RESET 2u
extern const struct field tcp_pending_fields[];

/* What a connection to the outside needs to go on where it was. */
struct tcp_repair {
	uint32_t quiet;              /* 1: it was stopped in silence, and waits */
	uint32_t send_seq, receive_seq; /* of the first byte in the queues */
	uint32_t not_sent;           /* bytes at the end of unsent that never left */
	uint32_t mss;
	uint32_t options;            /* TCPI_OPT_* */
	uint32_t send_scale, receive_scale;
	uint32_t timestamp;
	uint32_t snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup; /* struct tcp_repair_window */
	struct blob table;           /* keeps its packets away (quiet.h) */
	uint64_t netns;              /* inode of the network namespace where that is */
};
extern const struct field tcp_repair_fields[];

struct tcp_record {
	uint32_t family, protocol;
	uint64_t ino;
	uint64_t order;              /* cookie: who was made first */
	uint32_t what;               /* enum tcp_what */
	uint32_t state;              /* the kernel's number, for inspect */
	uint32_t origin;             /* enum lineage_origin */
	struct blob name, peer;      /* struct sockaddr_in or _in6, "" none */
	int32_t backlog;
	uint32_t bound;              /* bind was called: connect didn't choose the port */
	uint32_t past;               /* the port in its name was a connect's that has failed, and isn't held; of a dead one: that was told */
	uint32_t reuse;              /* SO_REUSEADDR: 1 all the time while rebuilding */
	uint32_t shut;               /* TCP_SHUT_* */
	uint32_t error;              /* errno that waits to be told, 0 none */
	uint32_t outside;            /* the peer was no socket of the tree's */
	struct blob received;        /* bytes in the receive queue */
	int32_t urgent;              /* offset of the urgent byte in them, -1 none */
	uint32_t urgent_read;        /* it was read already, and is only a mark */
	struct blob unsent;          /* bytes in the send queue that the peer has not received */
	uint64_t received_from;      /* 1 + bytes of the stream before received; 0 not known */
	uint64_t sent_to;            /* 1 + bytes of the stream up to the end of unsent; 0 not known */
	struct list options;         /* struct sockopt */
	struct blob notes;
	struct list pending;         /* struct tcp_pending: not accepted yet */
	struct tcp_repair repair;
	uint32_t maxseg;             /* TCP_MAXSEG when it was connected, 0 none */
	bool moved;                  /* while restarting: --map-address gives it another name or peer */
	bool resumed;                /* while restarting: it is in repair mode, to be ended in ready */
	bool parked;                 /* while restarting: it has gone ahead to its process */
	bool still;                  /* while collecting: nothing is on its way, in either direction */
	uint32_t unacked_fin;        /* while collecting: our end is among what the peer has not acknowledged */
};

/* The n connections that wait at a listener. */
int tcp_pending_collect(struct collection *, const struct probe *, struct tcp_record *, uint32_t n);
/* An address of sock_diag's as getpeername would give it. */
struct blob tcp_diag_address(struct arena *, int family, const uint8_t *ip, uint16_t port);
/* What the peer could not send for want of room at fd comes over; the bytes that still are not there, or an error. */
int64_t tcp_make_way(int fd, const struct inet_key *own, const struct inet_key *peer);
/*
 * What its peer could not send for want of room here comes over, at this socket and, the first time, at all others of
 * the process. Bytes that won't, of a peer that has closed, are announced. False: nothing was on its way.
 */
bool tcp_queue_make_way(struct collection *, const struct probe *, struct tcp_record *);
/* Receive and send queue; what has to be taken to look at it is put back. */
int tcp_queue_collect(struct collection *, const struct probe *, struct tcp_record *, short revents);
/* More room at a receiver for a while; only what is in its queue then stays. */
struct tcp_room {
	int fd, size, lock, lowat;
};
void tcp_room_begin(struct tcp_room *, int fd, uint64_t bytes);
void tcp_room_end(const struct tcp_room *);
/* Sends all of data from fd; bytes that find no room anywhere are an error. urgent: offset of a byte to mark, or -1. */
int tcp_queue_send(int fd, struct blob data, int32_t urgent);

/* Of a closed socket: r->error, and whether the peer had ended. */
struct tcp_info;
void tcp_error_collect(struct collection *, const struct probe *, struct tcp_record *, const struct tcp_info *);

/* Ends what the killed tree left at ports of the image, as far as that may be done. The number of those that stay. */
uint32_t tcp_end_waits(struct rebuild *);
/* Somebody listens there, so that waiting for the end of others doesn't help. */
bool tcp_is_listened(struct blob name);
/* Keeps the packets away, before the queues are looked at; negative: it can't be resumed, nothing has changed. */
int tcp_quiet_now(struct collection *, const struct probe *, const struct tcp_record *);
/* What keeps them away once the image is there. */
int tcp_quiet_note(struct collection *, const struct probe *, struct tcp_repair *);
/* The rest of the record. The socket stays in repair mode until the process ends or the collection is released. */
int tcp_repair_dump(struct collection *, const struct probe *, struct tcp_record *);
/* The same connection on a fresh socket, in repair mode; and out of it. */
int tcp_repair_make(const struct tcp_record *, int fd);
int tcp_repair_end(const struct tcp_record *, int fd);
/* Whether it shall go on where it was. */
bool tcp_resumes(const struct rebuild *, const struct tcp_record *);
/* Whether TCP_REPAIR is allowed; what it changes is put back. */
bool tcp_may_repair(int fd);
/* While all of an image are made anew no packet of theirs reaches anybody; then they are let through. */
void tcp_quiet_begin(struct rebuild *);
void tcp_quiet_end(struct rebuild *);
/* A packet to ourselves as if the peer had sent its end; scope: the interface of a link-local address, or 0. */
int tcp_forge_end(const struct inet_key *own, const struct inet_key *peer, uint32_t scope, uint32_t seq, uint32_t ack);
int tcp_build(struct rebuild *);
int tcp_fill(struct rebuild *);

extern const struct kind kind_tcp;

#endif
