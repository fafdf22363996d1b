/*
 * wrap_kill.c - sending the checkpoint signal within the tree
 *
 * To a process of the tree that has the shim, and to a thread of this process,
 * SHIM_ALIAS is sent instead. So the kernel treats it there as the program's
 * own in every respect: it interrupts nobody who blocks or ignores it, it can't
 * be taken for an order of a leader's that waits in the same place, and the
 * receiver need not know the sender, who may be gone by then. A second one is
 * dropped if the first still waits, as for any signal below 32.
 *
 * Groups get the signal itself; see signals_deliver().
 */
#include "signals.h"

#include "skshim/frozen.h"

/* Has it one already, which the kernel would have taken for this one too? */
static bool has_one(uint64_t pending)
{
	return signals_moved < FIRST_REALTIME && (pending & SHIM_BIT(SHIM_ALIAS));
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
			*waits = has_one(st.shared);
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
	*waits = has_one(st.shared);
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

/* --- threads of this process -------------------------------------------------------------------------------- */

static bool thread_waits(int tid)
{
	struct signals_status st;
	char path[48];

	if (signals_moved >= FIRST_REALTIME || tid <= 0)
		return false;
	text_format(path, sizeof(path), "/proc/self/task/%d/status", tid);
	return signals_status(path, &st) == 0 && has_one(st.own);
}

static bool self_waits(void)
{
	uint64_t pending;

	return sys_rt_sigpending(&pending) == 0 && has_one(pending) && thread_waits(sys_gettid());
}

static bool pthread_waits(pthread_t thread)
{
	return thread == (pthread_t)__builtin_thread_pointer() ? self_waits() : thread_waits(signals_tid(thread));
}

SHIM_EXPORT int raise(int sig)
{
	if (!sig || sig != signals_moved)
		return real.raise(sig);
	return self_waits() ? 0 : real.raise(SHIM_ALIAS);
}
SHIM_EXPORT int gsignal(int) __attribute__((alias("raise"), copy(raise)));

SHIM_EXPORT int tgkill(pid_t pid, pid_t tid, int sig)
{
	if (!sig || sig != signals_moved || pid != sys_getpid())
		return real.tgkill(pid, tid, sig);
	return real.tgkill(pid, tid, thread_waits(tid) ? 0 : SHIM_ALIAS);
}

SHIM_EXPORT int pthread_kill(pthread_t thread, int sig)
{
	if (!sig || sig != signals_moved)
		return real.pthread_kill(thread, sig);
	return real.pthread_kill(thread, pthread_waits(thread) ? 0 : SHIM_ALIAS);
}

SHIM_EXPORT int pthread_sigqueue(pthread_t thread, int sig, const union sigval value)
{
	if (!sig || sig != signals_moved)
		return real.pthread_sigqueue(thread, sig, value);
	return pthread_waits(thread) ? 0 : real.pthread_sigqueue(thread, SHIM_ALIAS, value);
}
