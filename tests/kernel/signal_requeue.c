/* A signal that a handler queues to its own thread is taken when its frame is left, before the program's next step. */
#include "fact.h"

static volatile int first, second, at_return;

static void on_second(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)uc;
	second = info->si_code == SI_USER && info->si_pid == getppid() ? 1 : -1;
}

static void on_first(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)info;
	(void)uc;
	info->si_pid = getppid();
	info->si_signo = SIGRTMIN + 1;
	FACT(syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGRTMIN + 1, info) == 0);
	first = 1;
	at_return = second;
}

int main(void)
{
	struct sigaction act = {.sa_flags = SA_SIGINFO};

	sigfillset(&act.sa_mask);
	act.sa_sigaction = on_second;
	FACT(sigaction(SIGRTMIN + 1, &act, NULL) == 0);
	act.sa_sigaction = on_first;
	FACT(sigaction(SIGUSR2, &act, NULL) == 0);
	FACT(kill(getpid(), SIGUSR2) == 0);
	FACT(first == 1 && second == 1);
	FACT(at_return == 0);
	return 0;
}
