/*
 * wrap_timer.c - notifications by the checkpoint signal
 *
 * A timer or a message queue that is told to send it sends SHIM_ALIAS.
 */
#include "signals.h"

#include "skshim/frozen.h"

/* What the kernel is told: `ev` itself, or *copy with the alias. */
static struct sigevent *event(struct sigevent *ev, struct sigevent *copy)
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

	return real.timer_create(clock, event(ev, &copy), timer);
}

SHIM_EXPORT int mq_notify(mqd_t queue, const struct sigevent *ev)
{
	struct sigevent copy;

	return real.mq_notify(queue, event((struct sigevent *)(uintptr_t)ev, &copy));
}
