/*
 * A process that lives only until it has made the next one, and so on for ever: the checkpoint catches one, and
 * after a restart the chain goes on from there.
 */
#include "scenario.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	unsigned long links;
	int end, errors;
} *board;

static void chain(void)
{
	while (!__atomic_load_n(&board->end, __ATOMIC_SEQ_CST)) {
		pid_t pid = fork();

		if (pid > 0)
			_exit(0);
		if (pid < 0) {
			board->errors++;
			_exit(1);
		}
		__atomic_add_fetch(&board->links, 1, __ATOMIC_SEQ_CST);
	}
	_exit(0);
}

static unsigned long links(void)
{
	return __atomic_load_n(&board->links, __ATOMIC_SEQ_CST);
}

int main(void)
{
	unsigned long before;
	pid_t pid;
	int status;

	board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(board != MAP_FAILED);
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	if (MUST(fork()) == 0)
		chain();

	scenario_ready();
	while (!scenario_go()) {
		pid = MUST(wait(&status));
		SAME(status, 0);
	}

	for (before = links(); links() < before + 100;) {
		pid = MUST(wait(&status));
		SAME(status, 0);
	}
	__atomic_store_n(&board->end, 1, __ATOMIC_SEQ_CST);
	while ((pid = wait(&status)) > 0)
		SAME(status, 0);
	SAME(board->errors, 0);
	scenario_ok();
}
