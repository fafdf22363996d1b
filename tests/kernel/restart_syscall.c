/*
 * nanosleep that a stop and continue interrupted goes on as restart_syscall:
 * /proc/TID/syscall then shows number 219, not the call's own, so the original
 * number must be known otherwise; its deadline stays.
 */
#include "fact.h"

int main(void)
{
	struct timespec t = {1, 0}, before, after;
	pid_t pid = fork();
	char path[64];
	int status;

	if (pid == 0)
		_exit(syscall(SYS_nanosleep, &t, NULL) != 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	wait_blocked_in(pid, pid, SYS_nanosleep);
	FACT(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	FACT(kill(pid, SIGCONT) == 0);
	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	wait_blocked_in(pid, pid, SYS_restart_syscall);
	wait_ok(pid);
	clock_gettime(CLOCK_MONOTONIC, &after);
	FACT((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 1500);
	return 0;
}
