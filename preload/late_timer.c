/*
 * late_timer.c - signals of interval timers that waited when the world stood
 *
 * Such a timer doesn't run until its signal is taken; then the kernel counts
 * how often it would have run out meanwhile (timer_getoverrun). A signal that
 * is queued again after a restart would be no timer's: the count of a new timer
 * is 0. So the timer is set to have run out that often before: its own signal
 * waits then, and counts on. The restart leaves these timers to us.
 *
 * Timers of the processor's time begin anew and have no time before: their
 * signals are queued again, as everybody's.
 */
#include <asm/errno.h>
#include <signal.h>
#include <time.h>

#include "stop.h"

#include "skshim/frozen.h"

#define LATE_TIMERS 256
#define NS 1000000000ull

static struct late_timer {
	int32_t id, clock;
	uint64_t interval, left; /* ns */
	uint64_t times;          /* signals and what they counted */
} timers[LATE_TIMERS];
static uint32_t ntimers;

static struct late_timer *of(const siginfo_t *info)
{
	for (uint32_t i = 0; info->si_code == SI_TIMER && i < ntimers; i++)
		if (timers[i].id == info->si_timerid)
			return &timers[i];
	return NULL;
}

static bool waits(const struct waiting *w, const struct timer_record *t)
{
	for (uint32_t i = 0; i < w->n; i++)
		if (w->list[i].si_code == SI_TIMER && w->list[i].si_timerid == t->id && w->list[i].si_signo == t->signo)
			return true;
	return false;
}

static bool kept(int32_t clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_TAI;
}

void late_timer_note(struct timer_record *list, uint32_t n)
{
	ntimers = 0;
	for (uint32_t i = 0; i < n && ntimers < LATE_TIMERS; i++) {
		struct timer_record *t = &list[i];
		bool late = waits(&quiesce.shared, t);

		for (uint32_t s = 0; s < quiesce.nslots && !late; s++)
			late = waits(&quiesce.slots[s].pending, t);
		if (!late || !t->interval_ns || !t->left_ns || !kept(t->clock))
			continue;
		t->absolute_expired = 1;
		timers[ntimers++] = (struct late_timer){ t->id, t->clock, t->interval_ns, t->left_ns, 0 };
	}
}

void late_timer_take(struct waiting *w)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->n; i++) {
		struct late_timer *t = of(&w->list[i]);

		if (t)
			__atomic_fetch_add(&t->times, 1 + (uint64_t)w->list[i].si_overrun, __ATOMIC_SEQ_CST);
		else
			w->list[n++] = w->list[i];
	}
	w->n = n;
}

void late_timer_arm(void)
{
	for (uint32_t i = 0; i < ntimers; i++) {
		const struct late_timer *t = &timers[i];
		struct __kernel_itimerspec its;
		struct __kernel_timespec now;
		uint64_t at, before = t->times * t->interval;
		int rc;

		sys_clock_gettime(t->clock, &now);
		at = (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec + t->left;
		at = at > before ? at - before : 1;
		its.it_interval.tv_sec = (int64_t)(t->interval / NS);
		its.it_interval.tv_nsec = (int64_t)(t->interval % NS);
		its.it_value.tv_sec = (int64_t)(at / NS);
		its.it_value.tv_nsec = (int64_t)(at % NS);
		rc = (int)SYS4(__NR_timer_settime, t->id, TIMER_ABSTIME, &its, NULL);
		if (rc < 0)
			log_line(LOG_WARN, "pid %d: timer %d does not run: %s", shim.pid, t->id, text_error(rc));
	}
	ntimers = 0;
}
