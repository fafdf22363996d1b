/*
 * wrap_kill.c - sending the checkpoint signal within the tree
 *
 * To a process of the tree that has the shim, SHIM_ALIAS is sent instead. So
 * the kernel treats it there as the program's own in every respect, and the
 * receiver need not know the sender, who may be gone by then. A second one is
 * dropped if the first still waits, as for any signal below 32.
 *
 * Groups and threads get the signal itself; see signals_deliver().
 */
#include "signals.h"

#include "skshim/frozen.h"

/* Has the process one already, which the kernel would have taken for this one too? */
static bool waits_already(const struct signals_status *st)
{
	return signals_moved < FIRST_REALTIME && (st->shared & SHIM_BIT(SHIM_ALIAS));
}

/* May `sig` to `pid` become the alias? *waits: it has one already. */
static bool goes_as_alias(pid_t pid, int sig, bool *waits)
{
	struct signals_status st = { 0 };
	uint64_t pending = 0;
	char path[32];

	*waits = false;
	if (!sig || sig != signals_moved || pid <= 0)
		return false;
	if (pid == sys_getpid()) {
		if (sys_rt_sigpending(&pending) == 0 && (pending & SHIM_BIT(SHIM_ALIAS)) &&
		    signals_status("/proc/thread-self/status", &st) == 0)
			*waits = waits_already(&st);
		return true;
	}
	if (!members_has(pid))
		return false;
	text_format(path, sizeof(path), "/proc/%d/status", pid);
	if (signals_status(path, &st) < 0)
		return false;
	/* in the middle of an exec, or executing what can't have the shim */
	if (!(st.caught & SHIM_BIT(sig)) || !((st.caught | st.ignored) & SHIM_BIT(SHIM_ALIAS)))
		return false;
	*waits = waits_already(&st);
	return true;
}

SHIM_EXPORT int kill(pid_t pid, int sig)
{
	bool waits;

	if (!goes_as_alias(pid, sig, &waits))
		return real.kill(pid, sig);
	return real.kill(pid, waits ? 0 : SHIM_ALIAS);
}

SHIM_EXPORT int sigqueue(pid_t pid, int sig, const union sigval value)
{
	bool waits;

	if (!goes_as_alias(pid, sig, &waits))
		return real.sigqueue(pid, sig, value);
	return waits ? real.kill(pid, 0) : real.sigqueue(pid, SHIM_ALIAS, value);
}
