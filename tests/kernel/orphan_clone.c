/*
 * A writer that is nobody's child: a CLONE_VM|CLONE_VFORK helper forks it and
 * ends; it is reparented away, and the program has no child at all.
 * It is a copy-on-write copy of the memory at that moment.
 */
#include "fact.h"
#include <linux/sched.h>

static char stack[65536] __attribute__((aligned(16)));
static volatile int state = 1;
static int report[2], go[2];

static int helper(void *arg)
{
	struct clone_args a = {.exit_signal = 0};
	long pid = syscall(SYS_clone3, &a, sizeof(a));

	(void)arg;
	if (pid == 0) {
		int seen[2];
		char byte;

		close(go[1]);
		FACT(read(go[0], &byte, 1) >= 0);
		seen[0] = state;
		seen[1] = getppid();
		FACT(write(report[1], seen, sizeof(seen)) == sizeof(seen));
		_exit(0);
	}
	return pid < 0;
}

int main(void)
{
	int seen[2];
	int pid;

	FACT(pipe(report) == 0 && pipe(go) == 0);
	pid = clone(helper, stack + sizeof(stack), CLONE_VM | CLONE_VFORK, NULL);
	FACT(pid > 0 && waitpid(pid, NULL, __WALL) == pid);
	state = 2; /* the copy must not see it */
	close(go[1]);
	FACT(read(report[0], seen, sizeof(seen)) == sizeof(seen));
	FACT(seen[0] == 1);
	FACT(seen[1] != getpid());
	FACT(waitpid(-1, NULL, __WALL) == -1 && errno == ECHILD);
	return 0;
}
