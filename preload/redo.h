/*
 * redo.h - what redo.c, rest.c and context.S share: a call that is made again
 */
#ifndef REDO_H
#define REDO_H

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "stop.h"

#define REDO_MAGIC 0x6f6465726d69686bull

/* Lies on the program's stack while the call is made again; context.S knows the offsets. */
struct redo {
	uint64_t magic;
	uint64_t nr;                          /* 8 */
	uint64_t args[6];                     /* 16 */
	uint64_t saved[6];                    /* 64: rdi rsi rdx r10 r8 r9 as the program had them */
	uint64_t rip;                         /* 112: behind its syscall instruction */
	uint64_t rsp;                         /* 120 */
	uint64_t poll;                        /* 128: wait for a socket first */
	struct pollfd pollfd;                 /* 136 */
	struct __kernel_timespec poll_left;   /* 144 */
	int64_t poll_timeout;                 /* 160: the call's result when that time is over */
	int64_t done;                         /* 168: what this call has passed on already */
	struct __kernel_timespec left;
	int64_t deadline;                     /* CLOCK_MONOTONIC ns */
	uint32_t where;                       /* enum timeout */
	uint32_t rem_known;
	struct __kernel_timespec rem_was;     /* what the program had where a sleep writes the rest */
	struct msghdr msg;                    /* of a sendmsg or recvmsg whose rest is made again */
	struct iovec rest[];                  /* and of a writev */
};
_Static_assert(offsetof(struct redo, saved) == 64 && offsetof(struct redo, rip) == 112, "context.S");
_Static_assert(offsetof(struct redo, poll) == 128 && offsetof(struct redo, poll_left) == 144, "context.S");
_Static_assert(offsetof(struct redo, poll_timeout) == 160 && offsetof(struct redo, done) == 168, "context.S");

/* rest.c: calls that don't return before all of what they were asked for is done, unless a signal comes. */
/* Is this one, that has passed on n? */
bool rest_is_due(long nr, uint64_t *const args[6], uint64_t n);
/* Vectors that go on behind the first `n` bytes: so many have to be copied. */
int rest_vectors(long nr, uint64_t *const args[6], uint64_t n);
/* Goes on behind `n`; the first time the vectors are the program's own. */
void rest_take(struct redo *, uint64_t n, bool first);

#endif
