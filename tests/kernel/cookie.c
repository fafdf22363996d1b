/* SO_COOKIE names a socket: the same through dup, fork and SCM_RIGHTS, on every family, never given twice. */
#include "fact.h"

static uint64_t cookie(int fd)
{
	uint64_t c = 0;
	socklen_t n = sizeof(c);

	FACT(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &c, &n) == 0);
	return c;
}

int main(void)
{
	static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
	uint64_t last = 0;
	int pair[2];
	pid_t pid;

	for (int i = 0; i < 1000; i++) {
		int fd = socket(families[i % 4], SOCK_DGRAM, 0), other;

		if (fd < 0 && errno == EAFNOSUPPORT)
			continue;
		FACT(fd >= 0);
		other = dup(fd);
		FACT(cookie(fd) != 0 && cookie(fd) == cookie(other));
		FACT(cookie(fd) != last);
		last = cookie(fd);
		close(fd);
		close(other);
	}
	FACT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	last = cookie(pair[0]);
	pid = fork();
	if (pid == 0)
		_exit(cookie(pair[0]) != last);
	wait_ok(pid);
	return 0;
}
