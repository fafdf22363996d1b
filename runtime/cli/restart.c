/*
 * restart.c - skshim restart: skshim-restart under another name
 */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "cli.h"

int command_restart(int argc, char **argv)
{
	char program[PATH_MAX];

	(void)argc;
	argv[0] = "skshim-restart";
	if (path_beside("skshim-restart", program, sizeof(program)))
		execv(program, argv);
	else
		execvp("skshim-restart", argv);
	failed(-errno, "cannot start skshim-restart, which should stand beside skshim or on PATH");
	return CLI_REFUSED;
}
