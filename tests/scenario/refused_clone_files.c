/*
 * A process that shares its parent's table of descriptors (CLONE_FILES): what
 * one opens the other has. It is refused by name, and both go on.
 *
 * scenario-refused: is sharing its table of descriptors with another process
 */
#include "scenario.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int *turn;

static int sharer(void *arg)
{
	(void)arg;
	*turn = 1;
	while (*turn != 2)
		usleep(500);
	/* opened by the other after the checkpoint */
	SAME(lseek(50, 0, SEEK_CUR), 7);
	SAME(dup2(50, 51), 51);
	*turn = 3;
	while (*turn != 4)
		usleep(500);
	return fcntl(51, F_GETFD) == -1 ? 6 : 1;
}

int main(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	int fd = MUST(open("file", O_RDWR | O_CREAT, 0600)), status;
	pid_t pid, child;

	turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(turn != MAP_FAILED);
	SAME(write(fd, "0123456789", 10), 10);
	pid = MUST(clone(sharer, stack + sizeof(stack), CLONE_FILES | SIGCHLD, NULL));
	while (*turn != 1)
		usleep(500);
	child = MUST(fork());
	if (child == 0) {
		while (*turn < 2)
			usleep(500);
		SAME(lseek(fd, 0, SEEK_CUR), 7);
		SAME(fcntl(50, F_GETFD), -1);
		_exit(5);
	}

	scenario_wait();

	MUST(lseek(fd, 7, SEEK_SET));
	SAME(dup2(fd, 50), 50);
	*turn = 2;
	while (*turn != 3)
		usleep(500);
	SAME(fcntl(51, F_GETFD), 0);
	close(51);
	*turn = 4;
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 6 << 8);
	SAME(waitpid(child, &status, 0), child);
	SAME(status, 5 << 8);
	scenario_ok();
}
