/* Files without a name: deleted, O_TMPFILE, sparse, deleted with another link left (elsewhere: open), in a deleted directory. */
#include "scenario.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	int first = MUST(open("gone", O_RDWR | O_CREAT, 0640)), second = MUST(open("gone", O_RDONLY)), tmp, linked, lost, dir, away, known;
	char got[32] = "";
	struct stat st;

	SAME(write(first, "0123456789", 10), 10);
	MUST(lseek(second, 4, SEEK_SET));
	MUST(unlink("gone"));
	tmp = MUST(open(".", O_TMPFILE | O_RDWR, 0600));
	SAME(pwrite(tmp, "end", 3, 1l << 33), 3);
	linked = MUST(open("linked", O_RDWR | O_CREAT, 0600));
	SAME(write(linked, "linked", 6), 6);
	MUST(link("linked", "other"));
	MUST(unlink("linked"));
	MUST(mkdir("dir", 0700));
	MUST(mkdir("away", 0700));
	away = MUST(open("here", O_RDWR | O_CREAT, 0600));
	MUST(link("here", "away/there"));
	MUST(unlink("here"));
	known = MUST(open("away/there", O_RDONLY));
	lost = MUST(open("dir/lost", O_RDWR | O_CREAT, 0600));
	SAME(write(lost, "lost", 4), 4);
	dir = MUST(open("dir", O_RDONLY | O_DIRECTORY));
	MUST(unlink("dir/lost"));
	MUST(rmdir("dir"));

	scenario_wait();

	SAME(read(second, got, 3), 3);
	CHECK(memcmp(got, "456", 3) == 0);
	SAME(lseek(first, 0, SEEK_CUR), 10);
	SAME(pwrite(first, "X", 1, 9), 1);
	SAME(pread(second, got, 1, 9), 1);
	CHECK(got[0] == 'X');
	MUST(fstat(second, &st));
	SAME(st.st_nlink, 0);
	SAME(st.st_mode & 0777, 0640);
	MUST(fstat(tmp, &st));
	SAME(st.st_size, (1l << 33) + 3);
	CHECK(st.st_blocks < 1000);
	SAME(pread(tmp, got, 3, 1l << 33), 3);
	CHECK(memcmp(got, "end", 3) == 0);
	SAME(pwrite(linked, "LINK", 4, 0), 4);
	SAME(pread(MUST(open("other", O_RDONLY)), got, 6, 0), 6);
	CHECK(memcmp(got, "LINKed", 6) == 0);
	SAME(write(away, "away", 4), 4);
	SAME(read(known, got, 4), 4);
	MUST(fstat(away, &st));
	SAME(st.st_nlink, 1);
	SAME(pread(lost, got, 4, 0), 4);
	CHECK(memcmp(got, "lost", 4) == 0);
	MUST(fstat(dir, &st));
	SAME(st.st_nlink, 0);
	SAME(access("dir", F_OK), -1);
	SAME(access("gone", F_OK), -1);
	scenario_ok();
}
