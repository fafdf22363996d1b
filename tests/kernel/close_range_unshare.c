/* close_range(CLOSE_RANGE_UNSHARE) in a CLONE_FILES child leaves the parent's descriptors open. */
#include "fact.h"
#include <linux/close_range.h>

static char stack[65536] __attribute__((aligned(16)));

static int child(void *arg)
{
	(void)arg;
	if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_UNSHARE) != 0)
		return 1;
	return fcntl(3, F_GETFD) != -1;
}

int main(void)
{
	int fd = open("/dev/null", O_RDONLY);
	pid_t pid;

	FACT(fd >= 3 && dup2(fd, 3) == 3);
	pid = clone(child, stack + sizeof(stack), CLONE_FILES | SIGCHLD, NULL);
	FACT(pid > 0);
	wait_ok(pid);
	FACT(fcntl(3, F_GETFD) != -1);
	return 0;
}
