/*
 * The session and the process group that the program was started in: the
 * numbers stay, a child is in them too, and kill(-group) reaches those of the group.
 *
 * scenario-only: user
 */
#include "scenario.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int got;

static void handler(int sig)
{
	(void)sig;
	got++;
}

int main(void)
{
	pid_t group = getpgrp(), session = getsid(0), pid;
	int go[2], status;
	char c;

	MUST(pipe(go));
	pid = MUST(fork());
	if (pid == 0) {
		close(go[1]);
		SAME(read(go[0], &c, 1), 0);
		SAME(getpgrp(), group);
		SAME(getsid(0), session);
		SAME(getpgid(getppid()), group);
		_exit(8);
	}

	scenario_wait();

	SAME(getpgrp(), group);
	SAME(getsid(0), session);
	SAME(getpgid(pid), group);
	if (scenario_killed()) {
		/* elsewhere the runner is in it */
		signal(SIGWINCH, handler);
		MUST(kill(-group, SIGWINCH));
		SAME(got, 1);
	}
	close(go[1]);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 8 << 8);
	scenario_ok();
}
