/*
 * signal_moved.c - another signal asks for checkpoints
 *
 * scenario-env: SKSHIM_SIGNAL=RTMIN+5
 *
 * SIGUSR2 is then nobody's business, and a real-time signal keeps its queue.
 */
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "scenario.h"

static volatile int usr2, order[8], n;

static void on_usr2(int sig)
{
	usr2 += sig == SIGUSR2;
}

static void on_real_time(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (sig == SIGRTMIN + 5 && n < 8)
		order[n++] = info->si_value.sival_int;
}

int main(void)
{
	struct sigaction act = {.sa_sigaction = on_real_time, .sa_flags = SA_SIGINFO};
	sigset_t set;
	int i;

	CHECK(signal(SIGUSR2, on_usr2) == SIG_DFL);
	MUST(sigaction(SIGRTMIN + 5, &act, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	for (i = 0; i < 3; i++)
		MUST(sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = 10 + i}));

	scenario_wait();

	MUST(sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = 13}));
	SAME(n, 0);
	MUST(sigprocmask(SIG_UNBLOCK, &set, NULL));
	SAME(n, 4);
	for (i = 0; i < 4; i++)
		SAME(order[i], 10 + i);
	MUST(raise(SIGUSR2));
	SAME(usr2, 1);
	scenario_ok();
}
