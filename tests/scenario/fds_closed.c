/*
 * Standard descriptors closed, in every combination: they stay closed, and nothing of the shim's is met at their numbers.
 *
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nothing can be said with 2 closed: the status says it. */
static int child(int closed, int go)
{
	char byte;

	for (int fd = 0; fd < 3; fd++)
		if (closed >> fd & 1)
			close(fd);
	if (read(go, &byte, 1) != 1)
		return 10;
	for (int fd = 0; fd < 64; fd++) {
		bool open_now = fcntl(fd, F_GETFD) >= 0;

		if (open_now != (fd == go || (fd < 3 && !(closed >> fd & 1))))
			return 20 + fd;
	}
	return 0;
}

int main(void)
{
	int go[2], status;

	for (int fd = 3; fd < 64; fd++)
		close(fd);
	MUST(pipe(go));
	for (int closed = 0; closed < 8; closed++) {
		if (MUST(fork()) != 0)
			continue;
		close(go[1]);
		_exit(child(closed, go[0]));
	}
	/* and in the first process itself */
	close(0);
	close(1);
	scenario_wait();
	SAME(fcntl(0, F_GETFD), -1);
	SAME(fcntl(1, F_GETFD), -1);
	SAME(write(go[1], "abcdefgh", 8), 8);
	for (int n = 0; n < 8; n++) {
		MUST(wait(&status));
		SAME(status, 0);
	}
	SAME(open("/dev/null", O_RDONLY), 0);
	scenario_ok();
}
