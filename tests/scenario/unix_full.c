/* Full buffers in both directions, a writer blocked in each, between two processes. */
#include "un.h"

#define LENGTH 2000000

static void pour(int fd)
{
	static char block[LENGTH];
	ssize_t n;

	for (long i = 0; i < LENGTH; i++)
		block[i] = (char)(i % 251);
	for (long done = 0; done < LENGTH; done += n)
		n = MUST(write(fd, block + done, (size_t)(LENGTH - done)));
}

static void drink(int fd)
{
	unsigned char block[5000];
	long all = 0;
	ssize_t n;

	while (all < LENGTH && (n = MUST(read(fd, block, sizeof(block)))) > 0)
		for (ssize_t i = 0; i < n; i++, all++)
			if (block[i] != all % 251)
				FAIL("byte %ld is %d", all, block[i]);
	SAME(all, LENGTH);
}

int main(void)
{
	int pair[2], status;
	pid_t here, there;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	here = MUST(fork());
	if (here == 0) {
		pour(pair[0]);
		_exit(0);
	}
	there = MUST(fork());
	if (there == 0) {
		pour(pair[1]);
		_exit(0);
	}
	while ((un_poll(pair[0]) & POLLOUT) || (un_poll(pair[1]) & POLLOUT))
		usleep(1000);

	scenario_wait();
	drink(pair[1]);
	drink(pair[0]);
	SAME(waitpid(here, &status, 0), here);
	SAME(status, 0);
	SAME(waitpid(there, &status, 0), there);
	SAME(status, 0);
	TEXT(un_recv(pair[0]), "EAGAIN");
	scenario_ok();
}
