/*
 * A memfd that is open, mapped twice, once to read only, and sealed; one that
 * is mapped in a child and open in the parent; private mappings of one; and an
 * unlinked POSIX shared memory that is open and mapped; one of 70 MiB, which
 * travels as memory, not as a file.
 *
 * scenario-limit: 20
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *map(int fd, size_t n, int prot, int flags, off_t at)
{
	char *p = mmap(NULL, n, prot, flags, fd, at);

	CHECK(p != MAP_FAILED);
	return p;
}

static int file(const char *name, off_t size)
{
	int fd = MUST(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));

	MUST(ftruncate(fd, size));
	return fd;
}

int main(void)
{
	int fd = file("twice", 100000), sealed = file("sealed", 8192), theirs = file("theirs", 1 << 20), huge = file("big", 80 << 20), shm, go[2], back[2];
	char *a, *b, *ro, *mine, *posix, *big, name[64], byte;
	struct stat st, here;
	pid_t pid;
	int status;

	a = map(fd, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	b = map(fd, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, 65536);
	mine = map(fd, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, 65536);
	strcpy(a + 65536, "both");
	strcpy(mine + 4096, "only mine");
	strcpy(a + 99990, "the end");
	SAME(pwrite(sealed, "sealed for ever", 15, 0), 15);
	MUST(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
	ro = map(sealed, 8192, PROT_READ, MAP_SHARED, 0);
	snprintf(name, sizeof(name), "/scenario-%d", getpid());
	shm = MUST(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
	MUST(shm_unlink(name));
	MUST(ftruncate(shm, 1 << 20));
	posix = map(shm, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	strcpy(posix + 700000, "unlinked");
	MUST(pipe(go));
	MUST(pipe(back));
	big = map(huge, 80 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	memset(big + (2 << 20), 'b', 70 << 20);
	pid = MUST(fork());
	if (pid == 0) {
		char *p = map(theirs, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

		close(theirs);
		close(fd);
		close(go[1]);
		close(back[0]);
		strcpy(p + 500000, "from the child");
		while (write(back[1], "r", 1) == 1 && read(go[0], &byte, 1) == 1 && byte == 'w')
			strcpy(p + 600000, posix + 700000);
		_exit(0);
	}
	close(go[0]);
	close(back[1]);
	SAME(read(back[0], &byte, 1), 1);

	scenario_wait();

	CHECK(strcmp(b, "both") == 0 && strcmp(mine + 4096, "only mine") == 0 && strcmp(a + 99990, "the end") == 0);
	strcpy(b + 100, "still one");
	SAME(pread(fd, name, 10, 65636), 10);
	CHECK(strcmp(name, "still one") == 0 && strcmp(a + 65636, "still one") == 0);
	MUST(fstat(fd, &st));
	SAME(st.st_size, 100000);
	CHECK(strcmp(ro, "sealed for ever") == 0);
	SAME(mprotect(ro, 4096, PROT_READ | PROT_WRITE), -1);
	SAME(errno, EACCES);
	SAME(fcntl(sealed, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK);
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	SAME(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	SAME(errno, EBUSY);
	SAME(pread(theirs, name, 15, 500000), 15);
	CHECK(strcmp(name, "from the child") == 0);
	SAME(pread(shm, name, 9, 700000), 9);
	CHECK(strcmp(name, "unlinked") == 0);
	SAME(pwrite(shm, "rewritten", 10, 700000), 10);
	CHECK(big[0] == 0 && big[2 << 20] == 'b' && big[(72 << 20) - 1] == 'b' && big[72 << 20] == 0);
	SAME(pread(huge, &byte, 1, 50 << 20), 1);
	SAME(byte, 'b');
	SAME(write(go[1], "w", 1), 1);
	SAME(read(back[0], &byte, 1), 1);
	SAME(pread(theirs, name, 10, 600000), 10);
	CHECK(strcmp(name, "rewritten") == 0);
	close(go[1]);
	SAME(waitpid(pid, &status, 0), pid);
	MUST(fstat(shm, &st));
	MUST(fstat(fd, &here));
	SAME(st.st_nlink, 0);
	scenario_ok();
}
