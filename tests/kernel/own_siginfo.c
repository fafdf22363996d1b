/* A process may queue to itself any siginfo, si_code of the kernel's included: pending signals come back as they were. */
#include "fact.h"

int main(void)
{
	siginfo_t info = {.si_signo = SIGRTMIN, .si_code = SI_TIMER}, got;
	sigset_t set;

	info.si_value.sival_int = 4711;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	FACT(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	FACT(syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGRTMIN, &info) == 0);
	info.si_code = SI_KERNEL;
	FACT(syscall(SYS_rt_sigqueueinfo, getpid(), SIGRTMIN, &info) == 0);
	FACT(sigwaitinfo(&set, &got) == SIGRTMIN && got.si_code == SI_TIMER && got.si_value.sival_int == 4711);
	FACT(sigwaitinfo(&set, &got) == SIGRTMIN && got.si_code == SI_KERNEL);
	return 0;
}
