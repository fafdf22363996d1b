/*
 * signal_action.c - a handler of SIGUSR2 with flags and a mask of its own
 *
 * SIGUSR2 is taken for granted by most programs; here it is the program's, and
 * what it set is what it finds, through checkpoints and after them.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "scenario.h"

static volatile int taken, number, code, value;
static sigset_t during;

static void on_usr2(int sig, siginfo_t *info, void *context)
{
	(void)context;
	taken++;
	number = sig == info->si_signo ? sig : -1;
	code = info->si_code;
	value = info->si_value.sival_int;
	pthread_sigmask(SIG_BLOCK, NULL, &during);
}

static void on_usr2_once(int sig)
{
	taken += sig;
}

static void same_action(void)
{
	struct sigaction act;

	MUST(sigaction(SIGUSR2, NULL, &act));
	CHECK(act.sa_sigaction == on_usr2);
	CHECK((act.sa_flags & SA_SIGINFO) && (act.sa_flags & SA_RESTART));
	SAME(act.sa_flags & (SA_NODEFER | SA_ONSTACK | (int)SA_RESETHAND), 0);
	CHECK(sigismember(&act.sa_mask, SIGTERM) == 1 && sigismember(&act.sa_mask, SIGUSR2) == 0);
	CHECK(sigismember(&act.sa_mask, SIGHUP) == 0);
}

static void take(void)
{
	taken = 0;
	MUST(raise(SIGUSR2));
	SAME(taken, 1);
	SAME(number, SIGUSR2);
	SAME(code, SI_TKILL);
	CHECK(sigismember(&during, SIGUSR2) == 1 && sigismember(&during, SIGTERM) == 1);
	MUST(kill(getpid(), SIGUSR2));
	SAME(taken, 2);
	SAME(code, SI_USER);
	MUST(sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 4711}));
	SAME(taken, 3);
	SAME(code, SI_QUEUE);
	SAME(value, 4711);
	SAME(pthread_kill(pthread_self(), SIGUSR2), 0);
	SAME(taken, 4);
}

int main(void)
{
	struct sigaction act, old;

	memset(&act, 0, sizeof(act));
	MUST(sigaction(SIGUSR2, NULL, &old));
	CHECK(old.sa_handler == SIG_DFL);
	act.sa_sigaction = on_usr2;
	act.sa_flags = SA_SIGINFO | SA_RESTART;
	sigemptyset(&act.sa_mask);
	sigaddset(&act.sa_mask, SIGTERM);
	MUST(sigaction(SIGUSR2, &act, NULL));
	take();

	scenario_wait();

	same_action();
	take();
	same_action();
	CHECK(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
	MUST(raise(SIGUSR2));
	SAME(taken, 4);
	act.sa_handler = on_usr2_once;
	act.sa_flags = (int)SA_RESETHAND;
	MUST(sigaction(SIGUSR2, &act, &old));
	CHECK(old.sa_handler == SIG_IGN);
	MUST(raise(SIGUSR2));
	SAME(taken, 4 + SIGUSR2);
	MUST(sigaction(SIGUSR2, NULL, &old));
	CHECK(old.sa_handler == SIG_DFL);
	scenario_ok();
}
