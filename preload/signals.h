/*
 * signals.h - what signals.c, alias.S and the wrap_sig*.c tell each other
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim.h"

/* From here on the kernel queues signals of one number; below, a second one is dropped. */
#define FIRST_REALTIME 32

/* The checkpoint signal, once the program's use of it lives at SHIM_ALIAS; 0 before signals_init(). */
extern int signals_moved;
/* libc's return from a handler: what sa_restorer holds in every action that libc installs. */
extern void *signals_restorer;

/* alias.S: handlers of SHIM_ALIAS; the program's own handler is in sa_restorer. */
void alias_enter(int, siginfo_t *, void *);
void alias_once(int, siginfo_t *, void *);     /* with SA_RESETHAND */
/* Marks in sa_restorer; both are ways back from a handler. */
void alias_return(void);                       /* the program has never set an action */
void alias_ignored(void);                      /* SIG_IGN stands for SIG_DFL: a signal that is ignored by default */

/* sigaction() of the checkpoint signal. */
void signals_action(const struct sigaction *act, struct sigaction *old);

/* A thread's signals as /proc/.../status shows them. */
struct signals_status {
	uint64_t own, shared;      /* waiting for the thread, for its process */
	uint64_t blocked, ignored, caught;
};
int signals_status(const char *path, struct signals_status *);
/* The kernel's number of a thread of this process, out of libc's descriptor; 0 when it can't be known. */
int signals_tid(pthread_t);

/*
 * The call that this thread makes with a signal set of ours, or would make
 * next: written by the wrappers, read in the trigger's handler. A longjmp out
 * of a handler leaves it behind; `set` is therefore compared, never followed.
 */
struct signals_call {
	const void *set;           /* the set's address, as the kernel gets it; NULL none */
	int nr;                    /* the system call */
	uint64_t mask;             /* the set: kernel's bits */
};
extern __thread struct signals_call signals_call;

static inline sigset_t signals_set_to_kernel(const sigset_t *program)
{
	sigset_t set = { .__val = { signals_to_kernel(program->__val[0]) } };

	return set;
}

static inline void signals_set_to_program(sigset_t *set)
{
	set->__val[0] = signals_to_program(set->__val[0]);
}

/* wrap_sigwait.c: rt_sigtimedwait by syscall(). */
long signals_timedwait(const sigset_t *set, siginfo_t *info, const struct timespec *t);

/* The public edge: wrappers report errors as libc does (wrap_syscall.c). */
long syscall_result(long rc);
static inline int signals_errno(int e)
{
	return (int)syscall_result(-e);
}

/* wrap_timer.c: what the kernel is told: `ev` itself, or *copy, in which the signal is moved. */
struct sigevent *timer_event(struct sigevent *ev, struct sigevent *copy);

#endif
