/* POSIX locks of a mapped and of a deleted file, where no process can be forked to look into them (not as root). */
#include "scenario.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int locked(const char *name)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1 };
	int fd = MUST(open(name, O_RDWR | O_CREAT, 0600));

	MUST(ftruncate(fd, 4096));
	SAME(write(fd, "text", 4), 4);
	MUST(fcntl(fd, F_SETLK, &l));
	return fd;
}

static void see(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1 };
	pid_t child = MUST(fork());
	int status;

	if (child == 0)
		_exit(fcntl(fd, F_GETLK, &l) == 0 && l.l_type == F_WRLCK && l.l_pid == getppid() ? 0 : 1);
	SAME(waitpid(child, &status, 0), child);
	SAME(status, 0);
}

int main(void)
{
	int mapped = locked("mapped"), gone = locked("gone");
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, mapped, 0);
	struct rlimit limit;

	CHECK(p != MAP_FAILED);
	p[0] = 'T';
	MUST(unlink("gone"));
	MUST(getrlimit(RLIMIT_NPROC, &limit));
	limit.rlim_cur = 1;
	MUST(setrlimit(RLIMIT_NPROC, &limit));

	scenario_wait();

	limit.rlim_cur = limit.rlim_max;
	MUST(setrlimit(RLIMIT_NPROC, &limit));
	see(mapped);
	see(gone);
	scenario_ok();
}
