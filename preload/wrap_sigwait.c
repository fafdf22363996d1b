/*
 * wrap_sigwait.c - calls that wait with a mask or for a set
 *
 * While one of them runs, what the thread would take is not what its signal
 * frame says, so signals_deliver() is told which call it is (signals_call).
 * libc makes the call, so these stay points of cancellation. Without a mask
 * they are libc's own. What has a timeout that the kernel doesn't write back is
 * noted as in wrap_wait.c.
 */
#include "signals.h"
#include "wait.h"

#include "skshim/frozen.h"

int __sigsuspend(const sigset_t *);
int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);

/* A set of ours, as long as the kernel may look at it. */
struct scope {
	sigset_t set;
	struct signals_call outer;    /* a handler may have interrupted such a call to make another */
};

static const sigset_t *scope_begin(struct scope *s, const sigset_t *program, int nr)
{
	s->set = signals_set_to_kernel(program);
	s->outer = signals_call;
	signals_call.set = NULL;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	signals_call.nr = nr;
	signals_call.mask = s->set.__val[0];
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	signals_call.set = &s->set;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return &s->set;
}

static void scope_end(struct scope *s)
{
	signals_call.set = NULL;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	signals_call.nr = s->outer.nr;
	signals_call.mask = s->outer.mask;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	signals_call.set = s->outer.set;
}

SHIM_EXPORT int sigsuspend(const sigset_t *mask)
{
	struct scope s;
	int rc;

	rc = real.sigsuspend(scope_begin(&s, mask, __NR_rt_sigsuspend));
	scope_end(&s);
	return rc;
}
SHIM_EXPORT int __sigsuspend(const sigset_t *) __attribute__((alias("sigsuspend"), copy(sigsuspend)));

SHIM_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *t, const sigset_t *mask)
{
	struct scope s;
	int rc;

	if (!mask)
		return real.ppoll(fds, n, t, NULL);
	rc = real.ppoll(fds, n, t, scope_begin(&s, mask, __NR_ppoll));
	scope_end(&s);
	return rc;
}

/* What ppoll is to a program built with _FORTIFY_SOURCE. */
SHIM_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *t, const sigset_t *mask, size_t room)
{
	struct scope s;
	int rc;

	if (!mask)
		return real.__ppoll_chk(fds, n, t, NULL, room);
	rc = real.__ppoll_chk(fds, n, t, scope_begin(&s, mask, __NR_ppoll), room);
	scope_end(&s);
	return rc;
}

SHIM_EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *t, const sigset_t *mask)
{
	struct scope s;
	int rc;

	if (!mask)
		return real.pselect(n, r, w, x, t, NULL);
	rc = real.pselect(n, r, w, x, t, scope_begin(&s, mask, __NR_pselect6));
	scope_end(&s);
	return rc;
}

SHIM_EXPORT int epoll_pwait(int ep, struct epoll_event *ev, int n, int ms, const sigset_t *mask)
{
	struct wait_note outer;
	struct scope s;
	int rc;

	if (ms > 0)
		wait_begin(&outer, __NR_epoll_pwait);
	if (mask)
		mask = scope_begin(&s, mask, __NR_epoll_pwait);
	do
		rc = real.epoll_pwait(ep, ev, n, ms, mask);
	while (wait_stolen(rc));
	if (mask)
		scope_end(&s);
	if (ms > 0)
		wait_end(&outer);
	return rc;
}

SHIM_EXPORT int epoll_pwait2(int ep, struct epoll_event *ev, int n, const struct timespec *t, const sigset_t *mask)
{
	struct wait_note outer;
	struct scope s;
	int rc;

	if (t)
		wait_begin(&outer, __NR_epoll_pwait2);
	if (mask)
		mask = scope_begin(&s, mask, __NR_epoll_pwait2);
	do
		rc = real.epoll_pwait2(ep, ev, n, t, mask);
	while (wait_stolen(rc));
	if (mask)
		scope_end(&s);
	if (t)
		wait_end(&outer);
	return rc;
}

/* --- waiting for signals ------------------------------------------------------------------------------------ */

static int number(int sig)
{
	return sig == SHIM_ALIAS && signals_moved ? signals_moved : sig;
}

SHIM_EXPORT int sigwait(const sigset_t *set, int *sig)
{
	struct scope s;
	int rc;

	rc = real.sigwait(scope_begin(&s, set, __NR_rt_sigtimedwait), sig);
	scope_end(&s);
	if (rc == 0)
		*sig = number(*sig);
	return rc;
}

SHIM_EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	struct scope s;
	int sig;

	set = scope_begin(&s, set, __NR_rt_sigtimedwait);
	do
		sig = real.sigwaitinfo(set, info);
	while (wait_stolen(sig));
	scope_end(&s);
	if (sig > 0 && info)
		info->si_signo = number(sig);
	return number(sig);
}

SHIM_EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *t)
{
	struct wait_note outer;
	struct scope s;
	int sig;

	if (t)
		wait_begin(&outer, __NR_rt_sigtimedwait);
	set = scope_begin(&s, set, __NR_rt_sigtimedwait);
	do
		sig = real.sigtimedwait(set, info, t);
	while (wait_stolen(sig));
	scope_end(&s);
	if (t)
		wait_end(&outer);
	if (sig > 0 && info)
		info->si_signo = number(sig);
	return number(sig);
}

/* By syscall(): libc would have changed si_code. */
long signals_timedwait(const sigset_t *set, siginfo_t *info, const struct timespec *t)
{
	struct wait_note outer;
	struct scope s;
	long sig;

	if (t)
		wait_begin(&outer, __NR_rt_sigtimedwait);
	set = scope_begin(&s, set, __NR_rt_sigtimedwait);
	do
		sig = syscall_plain(__NR_rt_sigtimedwait, (long)set, (long)info, (long)t, sizeof(uint64_t), 0, 0);
	while (wait_stolen(sig));
	scope_end(&s);
	if (t)
		wait_end(&outer);
	if (sig > 0 && info)
		info->si_signo = number((int)sig);
	return number((int)sig);
}
