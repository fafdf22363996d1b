/*
 * A process that began a session of its own after it had made a child: the
 * child stayed in the old one, and is its child all the same.
 */
#include "scenario.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile struct {
	pid_t sid, pgid;
	int born, ready, go;
} *board;

static void await(volatile int *word)
{
	while (!*word)
		usleep(1000);
}

static void child(void)
{
	pid_t parent = getppid();

	board->sid = getsid(0);
	board->pgid = getpgrp();
	board->born = 1;
	await(&board->go);
	_exit(getsid(0) == board->sid && getpgrp() == board->pgid && getppid() == parent ? 7 : 8);
}

int main(void)
{
	pid_t pid, first;
	int status;

	board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(board != MAP_FAILED);
	/* the session that this was started in is the launcher's after a restart */
	first = MUST(fork());
	if (first > 0) {
		await(&board->ready);
		scenario_wait();
		board->go = 1;
		SAME(waitpid(first, &status, 0), first);
		SAME(status, 0);
		scenario_ok();
	}
	MUST(setsid());
	pid = MUST(fork());
	if (pid == 0) {
		pid = MUST(fork());
		if (pid == 0)
			child();
		await(&board->born);
		MUST(setsid());
		board->ready = 1;
		await(&board->go);
		SAME(waitpid(pid, &status, 0), pid);
		_exit(WEXITSTATUS(status));
	}
	await(&board->go);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 7 << 8);
	_exit(0);
}
