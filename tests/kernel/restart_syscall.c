/*
 * nanosleep that a stop and continue interrupted goes on as restart_syscall:
 * /proc/TID/syscall then shows number 219, not the call's own, so the original
 * number must be known otherwise; its deadline stays: continued behind it, the
 * call is over at once.
 */
#include "fact.h"

static void stop(pid_t pid)
{
	int status;

	FACT(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

int main(void)
{
	struct timespec t = {1, 0}, behind, continued, over;
	pid_t pid = fork();

	if (pid == 0)
		_exit(syscall(SYS_nanosleep, &t, NULL) != 0);
	wait_blocked_in(pid, pid, SYS_nanosleep);
	clock_gettime(CLOCK_MONOTONIC, &behind);
	behind.tv_sec++;
	stop(pid);
	FACT(kill(pid, SIGCONT) == 0);
	wait_blocked_in(pid, pid, SYS_restart_syscall);
	stop(pid);
	FACT(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &behind, NULL) == 0);
	clock_gettime(CLOCK_MONOTONIC, &continued);
	FACT(kill(pid, SIGCONT) == 0);
	wait_ok(pid);
	clock_gettime(CLOCK_MONOTONIC, &over);
	FACT((over.tv_sec - continued.tv_sec) * 1000 + (over.tv_nsec - continued.tv_nsec) / 1000000 < 1000);
	return 0;
}
