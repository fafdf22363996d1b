/*
 * small.c - a small program: MIB of touched memory, PAIRS socketpairs and as many datagram sockets, and an answer
 *
 * The sockets are in four processes: one may not have as many descriptors everywhere.
 *
 *	small SOCKET MIB PAIRS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROCESSES 4

static int make(long n)
{
	for (long i = 0; i < n; i++) {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		int pair[2], fd, len = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "small/%d/%ld", (int)getpid(), i);

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
			return -1;
		fd = socket(AF_UNIX, SOCK_DGRAM, 0);
		if (fd < 0 || bind(fd, (struct sockaddr *)&a, (socklen_t)(sizeof(a.sun_family) + 1 + (size_t)len)) != 0)
			return -1;
	}
	return 0;
}

/* Also in children, which then wait for the end. */
static int make_all(long n)
{
	int way[2], end[2];
	char made;

	if (n == 0)
		return 0;
	if (pipe(way) != 0 || pipe(end) != 0)
		return -1;
	for (int i = 1; i < PROCESSES; i++) {
		if (fork() == 0) {
			if (make(n / PROCESSES) != 0 || write(way[1], "", 1) != 1)
				_exit(1);
			close(end[1]);
			(void)!read(end[0], &made, 1);
			_exit(0);
		}
		if (read(way[0], &made, 1) != 1)
			return -1;
	}
	return make(n / PROCESSES);
}

int main(int argc, char **argv)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	size_t size;
	char *p;

	if (argc != 4)
		return 2;
	size = (size_t)atol(argv[2]) << 20;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return 1;
	for (size_t i = 0; i < size; i += 64)
		p[i] = (char)(i >> 6 | 1);
	if (make_all(atol(argv[3])) != 0)
		return 1;
	strncpy(a.sun_path, argv[1], sizeof(a.sun_path) - 1);
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(listener, 8) != 0)
		return 1;
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0 || write(fd, p, 1) != 1)
			return 1;
		close(fd);
	}
}
