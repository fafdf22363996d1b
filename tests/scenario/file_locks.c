/* Locks on files, FIFOs and devices: POSIX, of the description, flock. */
#include "scenario.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether another description could not have it. */
static bool taken(const char *name, short type, off_t start)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 1 };
	int fd = MUST(open(name, O_RDWR)), rc = fcntl(fd, F_OFD_SETLK, &fl);

	return rc != 0;
}

int main(void)
{
	struct flock posix = { .l_type = F_WRLCK, .l_start = 1 << 30, .l_len = 1 }, shared = { .l_type = F_RDLCK, .l_start = 5, .l_len = 0 };
	struct flock ofd = { .l_type = F_WRLCK, .l_start = 10, .l_len = 10 };
	int a = MUST(open("a", O_RDWR | O_CREAT, 0600)), b = MUST(open("b", O_RDWR | O_CREAT, 0600));
	int c = MUST(open("c", O_RDONLY | O_CREAT, 0600)), d, fifo, device = MUST(open("/dev/zero", O_RDONLY));

	MUST(fcntl(a, F_SETLK, &posix));
	MUST(fcntl(b, F_OFD_SETLK, &ofd));
	MUST(flock(c, LOCK_EX));
	d = MUST(open("d", O_RDWR | O_CREAT, 0600));
	MUST(fcntl(d, F_SETLK, &shared));
	MUST(mkfifo("fifo", 0600));
	fifo = MUST(open("fifo", O_RDWR));
	MUST(fcntl(fifo, F_OFD_SETLK, &ofd));
	MUST(flock(device, LOCK_SH));

	scenario_wait();

	CHECK(taken("b", F_RDLCK, 10) && taken("b", F_RDLCK, 19));
	CHECK(!taken("b", F_WRLCK, 9) && !taken("b", F_WRLCK, 20));
	SAME(flock(MUST(open("c", O_RDONLY)), LOCK_SH | LOCK_NB), -1);
	CHECK(taken("a", F_RDLCK, 1 << 30));
	CHECK(taken("fifo", F_RDLCK, 12) && !taken("fifo", F_RDLCK, 2));
	SAME(flock(MUST(open("/dev/zero", O_RDONLY)), LOCK_EX | LOCK_NB), -1);
	/* Opening and closing the file in the same process gives POSIX locks up, so no more than one question each. */
	CHECK(taken("d", F_WRLCK, 1 << 20));
	scenario_ok();
}
