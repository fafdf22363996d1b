/*
 * An interval timer whose SIGALRM is pending does not run: getitimer tells
 * time left 0 (or 1 us) with the interval; it goes on when the signal is taken.
 * Less than 1 us is told as 0 as well, though the timer runs; asked again for
 * 2 us it tells that it does, or its signal is there.
 */
#include "fact.h"
#include <sys/time.h>
#include <time.h>

static bool waits(void)
{
	sigset_t set;

	return sigpending(&set) == 0 && sigismember(&set, SIGALRM) == 1;
}

static long left(void)
{
	struct itimerval now;

	FACT(getitimer(ITIMER_REAL, &now) == 0);
	return now.it_value.tv_sec * 1000000 + now.it_value.tv_usec;
}

static int64_t ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void asked_to_the_end(void)
{
	struct itimerval once = {{0, 0}, {0, 200}};
	int zeros = 0, sig;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	for (int i = 0; i < 500; i++) {
		FACT(setitimer(ITIMER_REAL, &once, NULL) == 0);
		while (left() > 0)
			;
		if (!waits()) {
			int64_t until = ns() + 2000;

			zeros++;
			while (left() == 0 && ns() < until)
				;
			/* longer only where the processor that sends the signal is held up just then */
			for (int again = 0; left() == 0 && !waits() && again < 100000; again++)
				sched_yield();
			FACT(left() > 0 || waits());
		}
		FACT(sigwait(&set, &sig) == 0);
	}
	printf("%d of 500 were told as over too early\n", zeros);
}

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
	asked_to_the_end();
	return 0;
}
