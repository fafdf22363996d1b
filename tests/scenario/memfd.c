/* memfds: name, contents, holes, seals, locks, a second description that only reads. */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	int fd = MUST(memfd_create("some name", MFD_CLOEXEC)), sealed = MUST(memfd_create("sealed", MFD_ALLOW_SEALING)), ro;
	char path[64], got[64] = "";
	struct stat st;

	SAME(write(fd, "contents", 8), 8);
	SAME(pwrite(fd, "far", 3, 1 << 28), 3);
	SAME(write(sealed, "fixed", 5), 5);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", sealed);
	ro = MUST(open(path, O_RDONLY));
	MUST(lseek(ro, 2, SEEK_SET));
	MUST(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK));
	MUST(flock(fd, LOCK_EX));

	scenario_wait();

	SAME(lseek(fd, 0, SEEK_CUR), 8);
	MUST(fstat(fd, &st));
	SAME(st.st_size, (1 << 28) + 3);
	CHECK(st.st_blocks < 1000);
	SAME(pread(fd, got, 3, 1 << 28), 3);
	CHECK(memcmp(got, "far", 3) == 0);
	SAME(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	SAME(fcntl(ro, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK);
	SAME(read(ro, got, 64), 3);
	CHECK(memcmp(got, "xed", 3) == 0);
	SAME(write(ro, "x", 1), -1);
	SAME(errno, EBADF);
	SAME(pwrite(sealed, "x", 1, 0), -1);
	SAME(errno, EPERM);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	MUST(readlink(path, got, sizeof(got) - 1));
	CHECK(strncmp(got, "/memfd:some name (deleted)", 26) == 0);
	SAME(flock(MUST(open(path, O_RDONLY)), LOCK_SH | LOCK_NB), -1);
	SAME(errno, EWOULDBLOCK);
	scenario_ok();
}
