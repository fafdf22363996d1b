/*
 * wrap_sigaction.c - sigaction and its elders
 *
 * Actions of the checkpoint signal are SHIM_ALIAS's in the kernel; of the
 * other actions only the mask is translated. The alias itself does not exist
 * for the program: EINVAL, like the two numbers that libc keeps for itself.
 * The elders are libc's, except for the checkpoint signal, for which they are
 * written out here, after glibc's.
 */
#include <string.h>

#include "signals.h"

#include "skshim/frozen.h"

#define EINVAL_ 22

int __libc_allocate_rtsig(int high);

static bool is_alias(int sig)
{
	return sig == SHIM_ALIAS && signals_moved;
}

static sighandler_t invalid(void)
{
	signals_errno(EINVAL_);
	return SIG_ERR;
}

SHIM_EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction copy;
	int rc;

	if (!signals_moved)
		return real.sigaction(sig, act, old);
	if (is_alias(sig))
		return signals_errno(EINVAL_);
	if (sig == signals_moved) {
		signals_action(act, old);
		return 0;
	}
	if (act) {
		copy = *act;
		copy.sa_mask.__val[0] = signals_to_kernel(act->sa_mask.__val[0]);
	}
	rc = real.sigaction(sig, act ? &copy : NULL, old);
	if (rc == 0 && old)
		signals_set_to_program(&old->sa_mask);
	return rc;
}
SHIM_EXPORT int __sigaction(int, const struct sigaction *, struct sigaction *)
	__attribute__((alias("sigaction"), copy(sigaction)));

/* What siginterrupt() has asked for, of the checkpoint signal. */
static int interrupts;

static sighandler_t set_handler(sighandler_t handler, int flags, bool block)
{
	struct sigaction act, old;

	if (handler == SIG_ERR)
		return invalid();
	memset(&act, 0, sizeof(act));
	act.sa_handler = handler;
	act.sa_flags = flags;
	if (block)
		act.sa_mask.__val[0] = SHIM_BIT(signals_moved);
	signals_action(&act, &old);
	return old.sa_handler;
}

SHIM_EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	if (is_alias(sig))
		return invalid();
	if (sig == signals_moved && sig)
		return set_handler(handler, __atomic_load_n(&interrupts, __ATOMIC_RELAXED) ? 0 : SA_RESTART, true);
	return real.signal(sig, handler);
}
SHIM_EXPORT sighandler_t bsd_signal(int, sighandler_t) __attribute__((alias("signal"), copy(signal)));
SHIM_EXPORT sighandler_t ssignal(int, sighandler_t) __attribute__((alias("signal"), copy(signal)));

SHIM_EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	if (is_alias(sig))
		return invalid();
	if (sig == signals_moved && sig)
		return set_handler(handler, (int)(SA_ONESHOT | SA_NOMASK | SA_INTERRUPT), false);
	return real.sysv_signal(sig, handler);
}
SHIM_EXPORT sighandler_t __sysv_signal(int, sighandler_t) __attribute__((alias("sysv_signal"), copy(sysv_signal)));

SHIM_EXPORT int siginterrupt(int sig, int on)
{
	struct sigaction act;

	if (is_alias(sig))
		return signals_errno(EINVAL_);
	if (sig != signals_moved || !sig)
		return real.siginterrupt(sig, on);
	signals_action(NULL, &act);
	__atomic_store_n(&interrupts, on != 0, __ATOMIC_RELAXED);
	if (on)
		act.sa_flags &= ~SA_RESTART;
	else
		act.sa_flags |= SA_RESTART;
	signals_action(&act, NULL);
	return 0;
}

SHIM_EXPORT int sigignore(int sig)
{
	if (is_alias(sig))
		return signals_errno(EINVAL_);
	if (sig != signals_moved || !sig)
		return real.sigignore(sig);
	set_handler(SIG_IGN, 0, false);
	return 0;
}

SHIM_EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
	sigset_t set = { .__val = { SHIM_BIT(SHIM_ALIAS) } }, old;
	struct sigaction act;

	if (is_alias(sig))
		return invalid();
	if (sig != signals_moved || !sig)
		return real.sigset(sig, handler);
	if (handler == SIG_HOLD) {
		real.sigprocmask(SIG_BLOCK, &set, &old);
		signals_action(NULL, &act);
	} else {
		act.sa_handler = set_handler(handler, 0, false);
		if (act.sa_handler == SIG_ERR)
			return SIG_ERR;
		real.sigprocmask(SIG_UNBLOCK, &set, &old);
	}
	return (old.__val[0] & SHIM_BIT(SHIM_ALIAS)) ? SIG_HOLD : act.sa_handler;
}

/* SIGRTMAX; the alias is above it. */
SHIM_EXPORT int __libc_current_sigrtmax(void)
{
	int max = real.__libc_current_sigrtmax();

	return max >= SHIM_ALIAS ? SHIM_ALIAS - 1 : max;
}

SHIM_EXPORT int __libc_allocate_rtsig(int high)
{
	int sig = real.__libc_allocate_rtsig(high);

	return sig == SHIM_ALIAS ? real.__libc_allocate_rtsig(high) : sig;
}
