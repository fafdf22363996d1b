/*
 * A child in a root directory that has no /proc: named, and it goes on.
 *
 * scenario-only: root
 * scenario-refused: there is no /proc in its root directory
 */
#include "scenario.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int go[2], there[2], status;
	pid_t pid;
	char c;

	MUST(pipe(go));
	MUST(pipe(there));
	MUST(mkdir("jail", 0755));
	pid = MUST(fork());
	if (pid == 0) {
		close(go[1]);
		MUST(chroot("jail"));
		MUST(chdir("/"));
		close(there[1]);
		SAME(read(go[0], &c, 1), 0);
		_exit(access("/etc", F_OK) == 0 ? 5 : 4);
	}
	close(there[1]);
	SAME(read(there[0], &c, 1), 0);

	scenario_wait();

	close(go[1]);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 4 << 8);
	scenario_ok();
}
