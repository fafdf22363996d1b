/*
 * wait.h - when a call with a relative timeout began
 */
#ifndef WAIT_H
#define WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "shim.h"

/* Of the innermost such call of this thread; written by the wrappers, read by redo.c. */
struct wait_note {
	uint64_t sp;               /* the wrapper's frame */
	int64_t nr;                /* the system call; 0 none */
	struct timespec since;     /* CLOCK_MONOTONIC */
};
extern __thread struct wait_note wait_note;

/* A handler may have interrupted such a call to make another: *outer is what that one noted. */
static inline __attribute__((always_inline)) void wait_begin(struct wait_note *outer, long nr)
{
	*outer = wait_note;
	wait_note.nr = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	real.clock_gettime(CLOCK_MONOTONIC, &wait_note.since);
	wait_note.sp = (uint64_t)outer;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	wait_note.nr = nr;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void wait_end(const struct wait_note *outer)
{
	wait_note.nr = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	wait_note.sp = outer->sp;
	wait_note.since = outer->since;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	wait_note.nr = outer->nr;
}

long syscall_plain(long nr, long a, long b, long c, long d, long e, long f);   /* context.S: what syscall() is in the end */

/* wrap_syscall.c: has a request for a checkpoint ended this call, though another thread took it? It is made again as it was. */
bool wait_stolen(long rc);

/* wrap_timeout.c: sockets of this process have timeouts of their own. */
void timeouts_begin(int name);             /* SO_RCVTIMEO or SO_SNDTIMEO has been set */
void signalfd_redirect(void);              /* wrap_signalfd.c: read and readv; they have one place to be watched from */

void wait_init(void);
int64_t wait_since(uint64_t thread_pointer, long nr, uint64_t sp);

#endif
