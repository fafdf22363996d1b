/* Regular files: positions, flags, sharing by dup, a deleted one, append, directories, close-on-exec; modes that forbid opening them again. */
#include "scenario.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	int fd = MUST(open("numbers", O_RDWR | O_CREAT | O_CLOEXEC, 0640));
	int copy = MUST(dup(fd)), far = MUST(dup2(fd, 700)), again, append, gone, dir, null, closed, hidden, shut;
	char buf[64] = "";
	struct stat st;

	SAME(write(fd, "0123456789", 10), 10);
	MUST(lseek(fd, 3, SEEK_SET));
	again = MUST(open("numbers", O_RDONLY));
	MUST(lseek(again, 5, SEEK_SET));
	append = MUST(open("log", O_WRONLY | O_CREAT | O_APPEND, 0600));
	SAME(write(append, "one\n", 4), 4);
	gone = MUST(open("gone", O_RDWR | O_CREAT, 0600));
	SAME(write(gone, "still here", 10), 10);
	MUST(unlink("gone"));
	MUST(mkdir("sub", 0700));
	dir = MUST(open("sub", O_RDONLY | O_DIRECTORY));
	null = MUST(open("/dev/null", O_WRONLY));
	closed = MUST(open("closed", O_RDWR | O_CREAT, 0600));
	SAME(write(closed, "shut", 4), 4);
	MUST(fchmod(closed, 0));
	hidden = MUST(open("hidden", O_WRONLY | O_CREAT, 0400));
	MUST(mkdir("shut", 0700));
	shut = MUST(open("shut", O_RDONLY | O_DIRECTORY));
	MUST(chmod("shut", 0));
	scenario_wait();
	SAME(fcntl(fd, F_GETFD), FD_CLOEXEC);
	SAME(fcntl(copy, F_GETFD), 0);
	SAME(fcntl(again, F_GETFL) & O_ACCMODE, O_RDONLY);
	SAME(read(copy, buf, 2), 2);
	CHECK(memcmp(buf, "34", 2) == 0);
	SAME(lseek(fd, 0, SEEK_CUR), 5);
	SAME(lseek(far, 0, SEEK_CUR), 5);
	SAME(read(again, buf, 64), 5);
	CHECK(memcmp(buf, "56789", 5) == 0);
	CHECK((fcntl(append, F_GETFL) & O_APPEND) != 0);
	SAME(write(append, "two\n", 4), 4);
	MUST(stat("log", &st));
	SAME(st.st_size, 8);
	SAME(pread(gone, buf, 64, 0), 10);
	CHECK(memcmp(buf, "still here", 10) == 0);
	SAME(access("gone", F_OK), -1);
	MUST(fstat(gone, &st));
	SAME(st.st_nlink, 0);
	MUST(openat(dir, "new", O_CREAT | O_WRONLY, 0600));
	SAME(access("sub/new", F_OK), 0);
	SAME(write(null, "x", 1), 1);
	SAME(pread(closed, buf, 64, 0), 4);
	SAME(pwrite(closed, "S", 1, 0), 1);
	SAME(write(hidden, "x", 1), 1);
	MUST(stat("closed", &st));
	SAME(st.st_mode & 07777, 0);
	MUST(stat("hidden", &st));
	SAME(st.st_mode & 07777, 0400);
	MUST(fstat(shut, &st));
	SAME(st.st_mode & 07777, 0);
	scenario_ok();
}
