/*
 * A socket between virtual machines: not supported, and said so by name.
 *
 * scenario-refused: fd 20: a socket of family AF_VSOCK
 */
#include "scenario.h"

#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (fd < 0)
		scenario_skip("no AF_VSOCK here");
	MUST(dup2(fd, 20));
	close(fd);
	scenario_wait();
	MUST(close(20));
	scenario_ok();
}
