/* A blocked signal stays blocked and pending through exec: sent between exec and the constructor it kills nobody. */
#include "fact.h"

int main(int argc, char **argv)
{
	sigset_t set, pending;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	if (argc > 1) {
		FACT(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR2));
		FACT(sigwaitinfo(&set, NULL) == SIGUSR2);
		return 0;
	}
	pid = fork();
	if (pid == 0) {
		sigprocmask(SIG_BLOCK, &set, NULL);
		kill(getpid(), SIGUSR2);
		execl("/proc/self/exe", argv[0], "again", NULL);
		_exit(1);
	}
	wait_ok(pid);
	return 0;
}
