/*
 * Files without a name that hold more than an image carries unless the user says so: a deleted one with holes that two
 * processes have open, an O_TMPFILE, a memfd that is not mapped.
 *
 * scenario-env: SKSHIM_FILES_MAX=100M
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1l << 20)
#define PIECE 65536

static void fill(int fd, long at, long n, uint32_t seed)
{
	static uint32_t words[PIECE / 4];

	for (long end = at + n; at < end; at += PIECE) {
		for (int i = 0; i < PIECE / 4; i++)
			words[i] = (uint32_t)(at + i) * 2654435761u + seed;
		SAME(pwrite(fd, words, PIECE, at), PIECE);
	}
}

static void verify(int fd, long at, long n, uint32_t seed)
{
	static uint32_t words[PIECE / 4];

	for (long end = at + n; at < end; at += PIECE) {
		SAME(pread(fd, words, PIECE, at), PIECE);
		for (int i = 0; i < PIECE / 4; i++)
			SAME(words[i], (uint32_t)(at + i) * 2654435761u + seed);
	}
}

int main(void)
{
	int deleted = MUST(open("deleted", O_RDWR | O_CREAT | O_EXCL, 0640)), memfd = MUST(memfd_create("large", 0));
	int nameless = MUST(open(".", O_TMPFILE | O_RDWR, 0600)), both[2], again, status;
	struct stat st;
	pid_t child;
	char c;

	again = MUST(open("deleted", O_RDONLY));
	MUST(unlink("deleted"));
	fill(deleted, 0, 40 * MIB, 1);
	fill(deleted, 1000 * MIB, 30 * MIB, 2);
	MUST(ftruncate(deleted, 1030 * MIB + 5));
	fill(memfd, 0, 65 * MIB, 3);
	fill(nameless, 0, 65 * MIB, 4);
	MUST(lseek(deleted, 12345, SEEK_SET));
	MUST(pipe(both));
	child = MUST(fork());
	if (child == 0) {
		SAME(read(both[0], &c, 1), 1);
		verify(again, 1000 * MIB, 30 * MIB, 2);
		_exit(0);
	}

	scenario_wait();

	SAME(lseek(deleted, 0, SEEK_CUR), 12345);
	MUST(fstat(deleted, &st));
	SAME(st.st_size, 1030 * MIB + 5);
	SAME(st.st_nlink, 0);
	CHECK(st.st_blocks * 512l < 100 * MIB);
	verify(deleted, 0, 40 * MIB, 1);
	verify(again, 1000 * MIB, 30 * MIB, 2);
	verify(memfd, 0, 65 * MIB, 3);
	verify(nameless, 0, 65 * MIB, 4);
	SAME(pwrite(deleted, "new", 3, 5), 3);
	SAME(pread(again, &c, 1, 5), 1);
	SAME(c, 'n');
	SAME(write(both[1], "x", 1), 1);
	SAME(waitpid(child, &status, 0), child);
	SAME(status, 0);
	scenario_ok();
}
