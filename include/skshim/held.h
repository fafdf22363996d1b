/*
 * held.h - connections that a checkpoint accepted before the program did
 *
 * What a client has sent to a connection that nobody has accepted can only be
 * seen by accepting it. The checkpoint does that, looks, and puts the accepted
 * socket back: it connects to the listener itself, under a name that says so,
 * and sends the socket along as a descriptor in flight. poll and epoll report
 * the listener as before, in every process that has it; whoever accepts gets
 * the stand-in, and the wrapper of accept exchanges it. Frozen code.
 */
#ifndef SKSHIM_HELD_H
#define SKSHIM_HELD_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a just accepted socket is a stand-in; its descriptor in flight then, else -1. The stand-in stays open. */
int held_inside(int fd);
/*
 * For accept's wrapper: puts what a stand-in carries at its number, and tells its peer's name (peer_len 0: not known).
 * True when it was one. `flags` as for accept4.
 */
bool held_exchange(int fd, int flags, void *peer, unsigned *peer_len);
/*
 * Puts an accepted socket back: a stand-in of socket type `type` connects to
 * the listener's address. `cookie` makes its name unique. 0 or a negative errno.
 */
int held_put(int accepted, int type, uint64_t cookie, const void *addr, unsigned len);

/* --- TCP (held_tcp.c) --- */

#define HELD_TCP_MAX 128u

/* How many more can be put back, of HELD_TCP_MAX in a process. */
uint32_t held_tcp_room(void);
/* A connection to a listener's address, to become a stand-in; or a negative errno. */
int held_tcp_knock(const void *addr, unsigned len);
/* Puts an accepted socket back, with its peer's address, behind a connection that has knocked; both stay open. */
int held_tcp_put(int stand_in, int accepted, const void *peer, unsigned peer_len);
/* What a just accepted socket stands in for, and its peer's address; -1 when it is none. It stays open. */
int held_tcp_inside(int fd, void *peer, unsigned *peer_len);
/* A descriptor of ours. */
bool held_tcp_owns(int fd);
/* In a restarted process, whose backlogs are whole again. */
void held_tcp_forget(void);

#endif
