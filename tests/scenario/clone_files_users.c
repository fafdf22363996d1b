/*
 * Processes that share a table of descriptors, beside a worker that has become another user, and may not look at them.
 *
 * scenario-only: root
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

static int go[2], ready[2];
static char stack[65536] __attribute__((aligned(16)));

static int stands(int code)
{
	char c;

	SAME(write(ready[1], "r", 1), 1);
	SAME(read(go[0], &c, 1), 1);
	return code;
}

static int sharer(void *arg)
{
	int code = stands(3);

	(void)arg;
	SAME(dup2(ready[1], 77), 77);
	return code;
}

static pid_t worker(void)
{
	pid_t pid = MUST(fork());

	if (pid > 0)
		return pid;
	MUST(setgid(1000));
	MUST(setuid(1000));
	_exit(stands(4));
}

int main(void)
{
	pid_t pids[3];
	int status;
	char c;

	MUST(pipe(go));
	MUST(pipe(ready));
	pids[0] = worker();
	pids[1] = MUST(clone(sharer, stack + sizeof(stack), CLONE_FILES | SIGCHLD, NULL));
	pids[2] = worker();
	for (int i = 0; i < 3; i++)
		SAME(read(ready[0], &c, 1), 1);

	scenario_wait();

	SAME(write(go[1], "ggg", 3), 3);
	for (int i = 0; i < 3; i++) {
		SAME(waitpid(pids[i], &status, 0), pids[i]);
		SAME(status, (i == 1 ? 3 : 4) << 8);
	}
	SAME(write(77, "x", 1), 1);
	SAME(read(ready[0], &c, 1), 1);
	scenario_ok();
}
