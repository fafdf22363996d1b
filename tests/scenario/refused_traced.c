/*
 * A tracer and its tracee in one tree would wait for each other: refused, and both go on. The tracer hears nothing of it: a
 * debugger would stop the program and tell its user.
 *
 * scenario-refused: of the tree
 */
#include "scenario.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int status;
	pid_t tracee = MUST(fork());

	if (tracee == 0) {
		for (;;)
			usleep(1000);
	}
	MUST(ptrace(PTRACE_SEIZE, tracee, NULL, NULL));
	scenario_ready();
	while (!scenario_go()) {
		SAME(MUST(waitpid(tracee, &status, WNOHANG)), 0);
		usleep(1000);
	}
	/* it still runs, and hears its tracer */
	MUST(ptrace(PTRACE_INTERRUPT, tracee, NULL, NULL));
	SAME(waitpid(tracee, &status, 0), tracee);
	CHECK(WIFSTOPPED(status));
	MUST(kill(tracee, SIGKILL));
	SAME(waitpid(tracee, &status, 0), tracee);
	CHECK(WIFSIGNALED(status));
	scenario_ok();
}
