/*
 * An interval timer whose SIGALRM is pending does not run: getitimer tells
 * time left 0 (or 1 us) with the interval; it goes on when the signal is taken.
 */
#include "fact.h"
#include <sys/time.h>

int main(void)
{
	struct itimerval every = {{0, 2000}, {0, 2000}}, now;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	FACT(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	FACT(setitimer(ITIMER_REAL, &every, NULL) == 0);
	while (sigpending(&set) == 0 && !sigismember(&set, SIGALRM))
		sched_yield();
	FACT(getitimer(ITIMER_REAL, &now) == 0);
	printf("%ld %ld\n", now.it_value.tv_usec, now.it_interval.tv_usec);
	FACT(now.it_value.tv_sec == 0 && now.it_value.tv_usec <= 1 && now.it_interval.tv_usec == 2000);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	FACT(sigwaitinfo(&set, &info) == SIGALRM);
	FACT(sigwaitinfo(&set, &info) == SIGALRM);
	return 0;
}
