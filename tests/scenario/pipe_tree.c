/* Pipes between processes: a pipeline with data in it, a blocked reader and a blocked writer, shared descriptions. */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH 1000000

/* Copies until the end, then says how much it was. */
static void copier(int in, int out)
{
	static char buf[3000];
	long n, total = 0;

	while ((n = read(in, buf, sizeof(buf))) > 0)
		total += n;
	SAME(n, 0);
	SAME(write(out, &total, sizeof(total)), sizeof(total));
	_exit(0);
}

static void writer(int out)
{
	static char block[LENGTH];
	long n;

	for (long done = 0; done < LENGTH; done += n)
		n = MUST(write(out, block, (size_t)(LENGTH - done)));
	_exit(0);
}

int main(void)
{
	int data[2], answer[2], full[2], turn[2], status;
	pid_t reader, blocked;
	long total;
	char c;

	MUST(pipe(data));
	MUST(pipe(answer));
	MUST(pipe(full));
	MUST(pipe(turn));
	reader = MUST(fork());
	if (reader == 0) {
		close(data[1]);
		close(answer[0]);
		close(full[0]);
		close(full[1]);
		copier(data[0], answer[1]);
	}
	blocked = MUST(fork());
	if (blocked == 0) {
		close(data[0]);
		close(data[1]);
		close(answer[0]);
		close(answer[1]);
		close(full[0]);
		writer(full[1]);
	}
	close(data[0]);
	close(answer[1]);
	close(full[1]);
	SAME(write(data[1], "0123456789", 10), 10);
	SAME(write(turn[1], "ab", 2), 2);

	scenario_wait();

	SAME(read(turn[0], &c, 1), 1);
	SAME(c, 'a');
	SAME(write(data[1], "more", 4), 4);
	close(data[1]);
	SAME(read(answer[0], &total, sizeof(total)), sizeof(total));
	SAME(total, 14);
	SAME(read(answer[0], &c, 1), 0);
	static char got[LENGTH + 1];
	for (total = 0; total < LENGTH;) {
		long n = MUST(read(full[0], got, sizeof(got)));

		CHECK(n > 0);
		total += n;
	}
	SAME(read(full[0], &c, 1), 0);
	SAME(waitpid(reader, &status, 0), reader);
	SAME(status, 0);
	SAME(waitpid(blocked, &status, 0), blocked);
	SAME(status, 0);
	scenario_ok();
}
