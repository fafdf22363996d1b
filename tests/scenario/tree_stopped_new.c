/*
 * Children that are stopped as soon as they are made, before they have run
 * anything: they stand stopped afterwards, and have still run nothing.
 *
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORKED 12
#define ALL 16

extern char **environ;

static volatile int *ran;            /* by child */

static pid_t make(int i)
{
	char *const argv[] = {"sh", "-c", "exit 5", NULL};
	pid_t pid;

	if (i >= FORKED) {
		SAME(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
	} else {
		pid = MUST(fork());
		if (pid == 0) {
			ran[i] = 1;
			_exit(5);
		}
	}
	kill(pid, SIGSTOP);
	return pid;
}

int main(void)
{
	int was[ALL], status;
	siginfo_t info;
	pid_t pid[ALL];

	ran = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(ran != (void *)-1);
	for (int i = 0; i < ALL; i++) {
		pid[i] = make(i);
		/* or it was quicker, and has ended */
		MUST(waitid(P_PID, (id_t)pid[i], &info, WSTOPPED | WEXITED | WNOWAIT));
		was[i] = info.si_code == CLD_STOPPED ? ran[i] : -1;
	}

	scenario_wait();

	for (int i = 0; i < ALL; i++) {
		memset(&info, 0, sizeof(info));
		MUST(waitid(P_PID, (id_t)pid[i], &info, WSTOPPED | WEXITED | WNOWAIT | WNOHANG));
		SAME(info.si_pid, pid[i]);
		SAME(info.si_code, was[i] >= 0 ? CLD_STOPPED : CLD_EXITED);
		if (was[i] >= 0)
			SAME(ran[i], was[i]);
		kill(pid[i], SIGCONT);
		SAME(waitpid(pid[i], &status, 0), pid[i]);
		SAME(status, 5 << 8);
	}
	scenario_ok();
}
