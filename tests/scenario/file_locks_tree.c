/* Locks in a tree: flock shared through fork, POSIX locks of parent and child on one description, a waiter. */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static int lock(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, cmd, &fl);
}

static pid_t owner(int fd, off_t start)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 1 };

	MUST(fcntl(fd, F_GETLK, &fl));
	return fl.l_type == F_UNLCK ? 0 : fl.l_pid;
}

int main(void)
{
	int fd = MUST(open("file", O_RDWR | O_CREAT, 0600)), whole = MUST(open("whole", O_RDWR | O_CREAT, 0600)), status;
	int ready[2], go[2];
	pid_t child, waiter;
	char c;

	MUST(pipe(ready));
	MUST(pipe(go));
	MUST(flock(whole, LOCK_EX));
	MUST(lock(fd, F_SETLK, F_WRLCK, 0, 10));
	child = MUST(fork());
	if (child == 0) {
		MUST(lock(fd, F_SETLK, F_WRLCK, 100, 10));
		SAME(write(ready[1], "c", 1), 1);
		SAME(read(go[0], &c, 1), 1);
		SAME(owner(fd, 5), getppid());
		_exit(0);
	}
	waiter = MUST(fork());
	if (waiter == 0) {
		SAME(write(ready[1], "w", 1), 1);
		MUST(lock(fd, F_SETLKW, F_WRLCK, 5, 1));
		_exit(0);
	}
	SAME(read(ready[0], &c, 1), 1);
	SAME(read(ready[0], &c, 1), 1);

	scenario_wait();

	SAME(owner(fd, 105), child);
	SAME(owner(fd, 5), 0);
	SAME(flock(MUST(open("whole", O_RDONLY)), LOCK_SH | LOCK_NB), -1);
	SAME(errno, EWOULDBLOCK);
	SAME(waitpid(waiter, &status, WNOHANG), 0);
	SAME(write(go[1], "x", 1), 1);
	SAME(waitpid(child, &status, 0), child);
	SAME(status, 0);
	SAME(owner(fd, 105), 0);
	MUST(lock(fd, F_SETLK, F_UNLCK, 0, 10));
	SAME(waitpid(waiter, &status, 0), waiter);
	SAME(status, 0);
	scenario_ok();
}
