/* Files that the program goes on writing after the checkpoint: a log, an output, a journal. */
#include "scenario.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	int log = MUST(open("log", O_WRONLY | O_CREAT | O_APPEND, 0600)), out = MUST(open("out", O_WRONLY | O_CREAT, 0600));
	int journal = MUST(open("journal", O_RDWR | O_CREAT, 0600));
	struct timespec t = { .tv_nsec = 200000 };
	struct stat st;
	char got[16];
	off_t at;

	SAME(write(journal, "head", 4), 4);
	scenario_ready();
	while (!scenario_go()) {
		SAME(write(log, "line\n", 5), 5);
		SAME(write(out, "x", 1), 1);
		SAME(write(journal, "record", 6), 6);
		nanosleep(&t, NULL);
	}
	at = lseek(out, 0, SEEK_CUR);
	MUST(fstat(out, &st));
	CHECK(at > 0 && st.st_size >= at);
	SAME(pread(journal, got, 4, 0), 4);
	CHECK(memcmp(got, "head", 4) == 0);
	at = lseek(journal, 0, SEEK_CUR);
	SAME((at - 4) % 6, 0);
	MUST(fstat(log, &st));
	SAME(st.st_size % 5, 0);
	scenario_ok();
}
