/*
 * Files of /proc that tell of other processes: a child, the parent, one that is gone; the process's own that a child has
 * too, at two numbers, and as O_PATH.
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int of(pid_t pid, const char *what, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
	return MUST(open(path, flags));
}

/* The number at the beginning of a "stat". */
static int pid_in(int fd)
{
	char got[64] = "";

	CHECK(MUST(pread(fd, got, sizeof(got) - 1, 0)) > 0);
	return atoi(got);
}

static void child(int own, int place, int up, int wait)
{
	int parent = of(getppid(), "stat", O_RDONLY);
	char c;

	SAME(write(up, "x", 1), 1);
	SAME(read(wait, &c, 1), 1);
	SAME(pid_in(parent), getppid());
	SAME(pid_in(own), getppid());
	SAME(pid_in(dup(own)), getppid());
	SAME(pid_in(MUST(openat(place, "stat", O_RDONLY))), getppid());
	_exit(7);
}

int main(void)
{
	int own = MUST(open("/proc/self/stat", O_RDONLY)), place = MUST(open("/proc/self", O_PATH | O_DIRECTORY)), up[2],
	    down[2];
	int again = MUST(fcntl(own, F_DUPFD_CLOEXEC, 50)), stat, dir, dead, dead_dir, status;
	pid_t pid, gone;
	char c;

	MUST(pipe(up));
	MUST(pipe(down));
	pid = MUST(fork());
	if (pid == 0)
		child(own, place, up[1], down[0]);
	SAME(read(up[0], &c, 1), 1);
	stat = of(pid, "stat", O_RDONLY);
	dir = of(pid, "fd", O_RDONLY | O_DIRECTORY);
	gone = MUST(fork());
	if (gone == 0) {
		pause();
		_exit(0);
	}
	dead = of(gone, "stat", O_RDONLY);
	dead_dir = of(gone, "", O_RDONLY | O_DIRECTORY);
	MUST(kill(gone, SIGKILL));
	SAME(waitpid(gone, &status, 0), gone);

	scenario_wait();

	SAME(pid_in(own), getpid());
	SAME(pid_in(again), getpid());
	MUST(lseek(own, 3, SEEK_SET));
	SAME(lseek(again, 0, SEEK_CUR), 3);
	SAME(fcntl(own, F_GETFD), 0);
	SAME(fcntl(again, F_GETFD), FD_CLOEXEC);
	SAME(pid_in(MUST(openat(place, "stat", O_RDONLY))), getpid());
	SAME(pid_in(stat), pid);
	MUST(faccessat(dir, "0", F_OK, AT_SYMLINK_NOFOLLOW));
	SAME(pread(dead, &c, 1, 0), -1);
	SAME(errno, ESRCH);
	SAME(openat(dead_dir, "stat", O_RDONLY), -1);
	SAME(write(down[1], "x", 1), 1);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(WEXITSTATUS(status), 7);
	SAME(pread(stat, &c, 1, 0), -1);
	SAME(errno, ESRCH);
	scenario_ok();
}
