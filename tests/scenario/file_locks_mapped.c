/*
 * POSIX locks of files that a checkpoint or a restart has to look into: mapped shared and private, deleted, both, without a
 * name from the beginning, a memfd, the program itself. Who closes any descriptor of a file loses them.
 */
#include "scenario.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 8192
#define FILES 8

static int file(const char *name, int flags)
{
	int fd = MUST(open(name, flags | O_RDWR | (flags & O_TMPFILE ? 0 : O_CREAT), 0600));

	MUST(ftruncate(fd, SIZE));
	SAME(pwrite(fd, "text", 4, 0), 4);
	return fd;
}

static void map(int fd, int flags)
{
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

	CHECK(p != MAP_FAILED);
	p[1] = 'E';
}

/* The program is locked by others that run it, too. */
static off_t place(pid_t owner)
{
	return owner * 8l;
}

static void lock(int fd, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = place(getpid()), .l_len = 3 };

	MUST(fcntl(fd, F_SETLK, &l));
}

/* As a child, which has none of its parent's. */
static void see(const int *fds)
{
	for (int i = 0; i < FILES; i++) {
		struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = place(getppid()) + 1, .l_len = 1 };

		MUST(fcntl(fds[i], F_GETLK, &l));
		if (l.l_type == F_UNLCK || l.l_pid != getppid())
			_exit(i + 1);
	}
	_exit(0);
}

int main(void)
{
	int fds[FILES], status, write_only;
	pid_t child;

	fds[0] = file("shared", 0);
	map(fds[0], MAP_SHARED);
	fds[1] = file("private", 0);
	map(fds[1], MAP_PRIVATE);
	fds[2] = file("gone", 0);
	MUST(unlink("gone"));
	fds[3] = file("both", 0);
	map(fds[3], MAP_SHARED);
	MUST(unlink("both"));
	fds[4] = file(".", O_TMPFILE);
	fds[5] = MUST(memfd_create("memfd", 0));
	SAME(write(fds[5], "text", 4), 4);
	fds[6] = MUST(open("/proc/self/exe", O_RDONLY));
	write_only = MUST(open("written", O_WRONLY | O_CREAT, 0600));
	SAME(write(write_only, "text", 4), 4);
	MUST(unlink("written"));
	fds[7] = write_only;
	for (int i = 0; i < FILES; i++)
		lock(fds[i], i == 6 ? F_RDLCK : F_WRLCK);

	scenario_wait();

	child = MUST(fork());
	if (child == 0)
		see(fds);
	SAME(waitpid(child, &status, 0), child);
	SAME(WEXITSTATUS(status), 0);
	scenario_ok();
}
