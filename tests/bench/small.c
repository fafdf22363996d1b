/*
 * small.c - a small program: MIB of touched memory, PAIRS socketpairs, and an answer for everybody who connects
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
	for (long i = 0; i < atol(argv[3]); i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
			return 1;
	}
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
