/*
 * Registrations with membarrier: a process that has registered may go on
 * using the expedited commands without registering again.
 */
#include "scenario.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static int command(int cmd)
{
	return (int)syscall(SYS_membarrier, cmd, 0, 0);
}

int main(void)
{
	if (command(MEMBARRIER_CMD_QUERY) < 0)
		scenario_skip("no membarrier here");
	MUST(command(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
	MUST(command(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED));
	scenario_wait();
	MUST(command(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
	MUST(command(MEMBARRIER_CMD_GLOBAL_EXPEDITED));
	SAME(command(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE), -1);
	SAME(errno, EPERM);
	scenario_ok();
}
