/* Through exec an ignored signal stays ignored (its flags are gone), and a blocked one blocked, with its siginfo. */
#include "fact.h"

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = SIG_IGN, .sa_flags = SA_RESTART};
	sigset_t set;
	siginfo_t info;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMAX);
	if (argc > 1) {
		FACT(sigaction(SIGRTMAX - 1, NULL, &act) == 0 && act.sa_handler == SIG_IGN && act.sa_flags == 0);
		FACT(sigwaitinfo(&set, &info) == SIGRTMAX && info.si_value.sival_int == 4711);
		return 0;
	}
	pid = fork();
	if (pid == 0) {
		sigaction(SIGRTMAX - 1, &act, NULL);
		sigprocmask(SIG_BLOCK, &set, NULL);
		sigqueue(getpid(), SIGRTMAX, (union sigval){.sival_int = 4711});
		execl("/proc/self/exe", argv[0], "again", NULL);
		_exit(1);
	}
	wait_ok(pid);
	return 0;
}
