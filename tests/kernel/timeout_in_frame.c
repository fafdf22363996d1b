/*
 * ppoll, select and pselect6 write the time that is left back into the caller's
 * timeout when a signal interrupts them (the raw calls; libc hides it), so that
 * a repeated call does not start its timeout anew.
 */
#include "fact.h"
#include <sys/select.h>
#include <sys/time.h>

static void handler(int sig)
{
	(void)sig;
}

/* Again and again: one that comes before the call begins is followed by one that finds it. */
static void interrupt_every_ms(long ms)
{
	struct itimerval it = {{0, ms * 1000}, {0, ms * 1000}};

	FACT(setitimer(ITIMER_REAL, &it, NULL) == 0);
}

int main(void)
{
	struct sigaction sa = {.sa_handler = handler};
	struct timespec ts = {100, 0};
	struct timeval tv = {100, 0};

	FACT(sigaction(SIGALRM, &sa, NULL) == 0);
	interrupt_every_ms(30);
	FACT(syscall(SYS_ppoll, NULL, 0, &ts, NULL, 8) == -1 && errno == EINTR);
	FACT(ts.tv_sec < 100 && ts.tv_sec > 0);
	FACT(syscall(SYS_select, 0, NULL, NULL, NULL, &tv) == -1 && errno == EINTR);
	FACT(tv.tv_sec < 100 && tv.tv_sec > 0);
	ts = (struct timespec){100, 0};
	FACT(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ts, NULL) == -1 && errno == EINTR);
	FACT(ts.tv_sec < 100 && ts.tv_sec > 0);
	return 0;
}
