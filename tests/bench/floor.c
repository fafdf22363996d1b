/*
 * floor.c - what the machine itself needs for the same bytes
 *
 *	floor write FILE MIB     writes and syncs as many bytes from warm memory
 *	floor read FILE...       reads the files into fresh memory
 *	floor sockets N          N times socket() and close()
 *	floor pairs N            N connected pairs and N datagram sockets, in four processes, one after the other
 * Prints milliseconds (nanoseconds a pair of calls for "sockets").
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE (4l << 20)
#define PROCESSES 4 /* as small's */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int write_file(const char *path, long mib)
{
	char *p = malloc(PIECE);
	double began;
	int fd;

	if (p == NULL)
		return 1;
	memset(p, 'x', PIECE);
	began = now();
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	for (long done = 0; done < mib << 20; done += PIECE)
		if (write(fd, p, PIECE) != PIECE)
			return 1;
	if (fsync(fd) != 0 || close(fd) != 0)
		return 1;
	printf("%.3f\n", now() - began);
	return 0;
}

static int read_files(char **path)
{
	double began = now();

	for (; *path != NULL; path++) {
		int fd = open(*path, O_RDONLY);
		struct stat st;
		char *p;

		if (fd < 0 || fstat(fd, &st) != 0)
			return 1;
		if (st.st_size == 0)
			continue;
		p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return 1;
		for (off_t done = 0; done < st.st_size;) {
			ssize_t n = read(fd, p + done, (size_t)(st.st_size - done));

			if (n <= 0)
				return 1;
			done += n;
		}
		close(fd);
	}
	printf("%.3f\n", now() - began);
	return 0;
}

static int pair_and_named(long i)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int pair[2], fd, n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "bench/%d/%ld", (int)getpid(), i);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		return 1;
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	return fd < 0 || bind(fd, (struct sockaddr *)&a, (socklen_t)(sizeof(a.sun_family) + 1 + (size_t)n)) != 0;
}

static int sockets(long n)
{
	double began = now();

	for (long i = 0; i < n; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		if (fd < 0)
			return 1;
		close(fd);
	}
	printf("%.1f\n", (now() - began) * 1e6 / (double)n);
	return 0;
}

/* n pairs and n datagram sockets with names, in processes that share the work as those of `small` do. */
static int pairs(long n)
{
	double began, all = 0, part;
	int way[2];

	if (pipe(way) != 0)
		return 1;
	for (long p = 0; p < PROCESSES; p++) {
		if (fork() != 0) {
			if (read(way[0], &part, sizeof(part)) != sizeof(part))
				return 1;
			all += part;
			continue;
		}
		began = now();
		for (long i = 0; i < n / PROCESSES; i++)
			if (pair_and_named(i) != 0)
				return 1;
		part = now() - began;
		return write(way[1], &part, sizeof(part)) != sizeof(part);
	}
	printf("%.3f\n", all);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "write") == 0)
		return write_file(argv[2], atol(argv[3]));
	if (argc >= 3 && strcmp(argv[1], "read") == 0)
		return read_files(argv + 2);
	if (argc == 3 && strcmp(argv[1], "sockets") == 0)
		return sockets(atol(argv[2]));
	if (argc == 3 && strcmp(argv[1], "pairs") == 0)
		return pairs(atol(argv[2]));
	return 2;
}
