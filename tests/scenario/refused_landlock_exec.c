/*
 * scenario-refused: is confined by landlock
 *
 * Landlock stays when another program is executed.
 */
#include "scenario.h"

#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	uint64_t handled = 1ull << 12; /* LANDLOCK_ACCESS_FS_MAKE_SYM */
	int fd;

	if (argc > 1) {
		scenario_wait();
		scenario_ok();
	}
	fd = (int)syscall(444, &handled, sizeof(handled), 0);
	if (fd < 0)
		scenario_skip("no landlock here");
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(syscall(446, fd, 0));
	close(fd);
	execl("/proc/self/exe", argv[0], "again", NULL);
	FAIL("exec");
}
