/*
 * wrap_sigmask.c - blocked and pending signals as the program sees them
 *
 * The checkpoint signal's bit stands for SHIM_ALIAS's in the kernel, so that
 * the kernel never blocks the former. NULL sets pass as they are.
 */
#include "signals.h"

#include "skshim/frozen.h"

#define EINVAL_ 22

int __sigsuspend(const sigset_t *);
int bsd_sigpause(int mask) __asm__("sigpause");
int __sigpause(int mask_or_sig, int is_sig);

SHIM_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;
	int rc;

	if (set)
		copy = signals_set_to_kernel(set);
	rc = real.sigprocmask(how, set ? &copy : NULL, old);
	if (rc == 0 && old)
		signals_set_to_program(old);
	return rc;
}

SHIM_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;
	int rc;

	if (set)
		copy = signals_set_to_kernel(set);
	rc = real.pthread_sigmask(how, set ? &copy : NULL, old);
	if (rc == 0 && old)
		signals_set_to_program(old);
	return rc;
}

SHIM_EXPORT int sigpending(sigset_t *set)
{
	int rc = real.sigpending(set);

	if (rc == 0)
		signals_set_to_program(set);
	return rc;
}

/* The mask with which a thread will start. */
SHIM_EXPORT int pthread_attr_setsigmask_np(pthread_attr_t *attr, const sigset_t *set)
{
	sigset_t copy;

	if (set)
		copy = signals_set_to_kernel(set);
	return real.pthread_attr_setsigmask_np(attr, set ? &copy : NULL);
}

SHIM_EXPORT int pthread_attr_getsigmask_np(const pthread_attr_t *attr, sigset_t *set)
{
	int rc = real.pthread_attr_getsigmask_np(attr, set);

	if (rc == 0)
		signals_set_to_program(set);
	return rc;
}

/* --- System V and BSD --------------------------------------------------------------------------------------- */

/* libc's work on the one bit; here it may be another. */
static int change(int how, int sig)
{
	sigset_t set = { .__val = { SHIM_BIT(sig) } };

	return sigprocmask(how, &set, NULL);
}

SHIM_EXPORT int sighold(int sig)
{
	if (sig == SHIM_ALIAS && signals_moved)
		return signals_errno(EINVAL_);
	return sig == signals_moved && sig ? change(SIG_BLOCK, sig) : real.sighold(sig);
}

SHIM_EXPORT int sigrelse(int sig)
{
	if (sig == SHIM_ALIAS && signals_moved)
		return signals_errno(EINVAL_);
	return sig == signals_moved && sig ? change(SIG_UNBLOCK, sig) : real.sigrelse(sig);
}

/* An int holds the lowest 32 signals. */
static int change_old(int how, unsigned mask)
{
	sigset_t set = { .__val = { mask } }, old;

	if (sigprocmask(how, &set, &old) < 0)
		return -1;
	return (int)(unsigned)old.__val[0];
}

SHIM_EXPORT int sigblock(int mask)
{
	return change_old(SIG_BLOCK, (unsigned)mask);
}

SHIM_EXPORT int sigsetmask(int mask)
{
	return change_old(SIG_SETMASK, (unsigned)mask);
}

SHIM_EXPORT int siggetmask(void)
{
	return change_old(SIG_BLOCK, 0);
}

SHIM_EXPORT int __sigpause(int mask_or_sig, int is_sig)
{
	sigset_t set = { .__val = { (unsigned)mask_or_sig } };

	if (is_sig) {
		if (mask_or_sig < 1 || mask_or_sig > 64)
			return signals_errno(EINVAL_);
		if (sigprocmask(SIG_BLOCK, NULL, &set) < 0)
			return -1;
		set.__val[0] &= ~SHIM_BIT(mask_or_sig);
	}
	return __sigsuspend(&set);
}

/* The header's sigpause() is X/Open's, __xpg_sigpause in the library; BSD's has the plain name. */
SHIM_EXPORT int sigpause(int sig)
{
	return __sigpause(sig, 1);
}

SHIM_EXPORT int bsd_sigpause(int mask)
{
	return __sigpause(mask, 0);
}
