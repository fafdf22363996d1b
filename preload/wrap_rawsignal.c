/*
 * wrap_rawsignal.c - signals by syscall()
 *
 * What programs ask of the kernel behind libc's back, for a mask with all bits
 * or a handler without libc's return, is translated as for libc's functions: a
 * program with the checkpoint signal blocked would never be checkpointed.
 */
#include <asm/errno.h>

#include "signals.h"
#include "wait.h"

#include "skshim/frozen.h"

#define SET 8                     /* bytes of the kernel's sets */

long signals_syscall(long nr, long a, long b, long c, long d, long e, long f);

static long raw_mask(long how, const uint64_t *set, uint64_t *old)
{
	uint64_t copy = set ? signals_to_kernel(*set) : 0;
	long rc = syscall_plain(__NR_rt_sigprocmask, how, set ? (long)&copy : 0, (long)old, SET, 0, 0);

	if (rc == 0 && old)
		*old = signals_to_program(*old);
	return rc;
}

/* Of the checkpoint signal: in libc's shape and back. */
static long raw_own_action(const struct arch_sigaction *act, struct arch_sigaction *old)
{
	struct sigaction new, was;

	memset(&new, 0, sizeof(new));
	memset(&was, 0, sizeof(was));
	if (act) {
		new.sa_handler = (sighandler_t)act->handler;
		new.sa_flags = (int)act->flags;
		new.sa_restorer = (void (*)(void))act->restorer;
		new.sa_mask.__val[0] = act->mask;
	}
	signals_action(act ? &new : NULL, old ? &was : NULL);
	if (old) {
		old->handler = (void *)was.sa_handler;
		old->flags = (uint64_t)(unsigned)was.sa_flags;
		old->restorer = (void *)was.sa_restorer;
		old->mask = was.sa_mask.__val[0];
	}
	return 0;
}

static long raw_action(long sig, const struct arch_sigaction *act, struct arch_sigaction *old)
{
	struct arch_sigaction copy;
	long rc;

	if (sig == SHIM_ALIAS)
		return signals_errno(EINVAL);
	if (sig == signals_moved)
		return raw_own_action(act, old);
	if (act) {
		copy = *act;
		copy.mask = signals_to_kernel(copy.mask);
	}
	rc = syscall_plain(__NR_rt_sigaction, sig, act ? (long)&copy : 0, (long)old, SET, 0, 0);
	if (rc == 0 && old)
		old->mask = signals_to_program(old->mask);
	return rc;
}

/* syscall() of one of these (context.S). */
long signals_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	long rc;

	if (!signals_moved || (nr == __NR_rt_sigpending || nr == __NR_rt_sigsuspend ? b : d) != SET)
		return syscall_plain(nr, a, b, c, d, e, f);
	switch (nr) {
	case __NR_rt_sigprocmask:
		return raw_mask(a, (const uint64_t *)b, (uint64_t *)c);
	case __NR_rt_sigaction:
		return raw_action(a, (const struct arch_sigaction *)b, (struct arch_sigaction *)c);
	case __NR_rt_sigsuspend:
		return sigsuspend((const sigset_t *)a);
	case __NR_rt_sigtimedwait:
		return signals_timedwait((const sigset_t *)a, (siginfo_t *)b, (const struct timespec *)c);
	}
	rc = syscall_plain(nr, a, b, c, d, e, f);
	if (rc == 0 && nr == __NR_rt_sigpending)
		*(uint64_t *)a = signals_to_program(*(uint64_t *)a);
	return rc;
}
