/*
 * A child cloned with exit_signal 0 is not seen by the program: no SIGCHLD, and
 * wait() without __WALL or __WCLONE answers ECHILD although it is there.
 */
#include "fact.h"
#include <linux/sched.h>

static volatile int chld;

static void handler(int sig)
{
	(void)sig;
	chld++;
}

int main(void)
{
	struct clone_args a = {.exit_signal = 0};
	struct sigaction sa = {.sa_handler = handler};
	siginfo_t info;
	long pid;

	FACT(sigaction(SIGCHLD, &sa, NULL) == 0);
	pid = syscall(SYS_clone3, &a, sizeof(a));
	if (pid == 0)
		_exit(3);
	FACT(pid > 0);
	FACT(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	FACT(waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == -1 && errno == ECHILD);
	FACT(waitpid((pid_t)pid, NULL, __WALL) == pid);
	FACT(chld == 0);
	return 0;
}
