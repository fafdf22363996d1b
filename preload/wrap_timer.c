/*
 * wrap_timer.c - notifications by the checkpoint signal
 *
 * A timer that is told to send it sends SHIM_ALIAS; message queues: notify.c.
 */
#include "signals.h"

#include "skshim/frozen.h"

struct sigevent *timer_event(struct sigevent *ev, struct sigevent *copy)
{
	if (!ev || !signals_moved || ev->sigev_signo != signals_moved)
		return ev;
	if (ev->sigev_notify != SIGEV_SIGNAL && ev->sigev_notify != SIGEV_THREAD_ID)
		return ev;
	*copy = *ev;
	copy->sigev_signo = SHIM_ALIAS;
	return copy;
}

SHIM_EXPORT int timer_create(clockid_t clock, struct sigevent *ev, timer_t *timer)
{
	struct sigevent copy;

	return real.timer_create(clock, timer_event(ev, &copy), timer);
}
