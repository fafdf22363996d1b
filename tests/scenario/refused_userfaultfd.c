/*
 * What can't be restored is refused by name, and the program goes on.
 *
 * scenario-refused: userfaultfd is not supported
 */
#include "scenario.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */);

	if (fd < 0)
		scenario_skip("no userfaultfd here");
	scenario_wait();
	SAME(fcntl(fd, F_GETFD), FD_CLOEXEC);
	scenario_ok();
}
