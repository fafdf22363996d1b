/* Pipes inside a process: bytes, packets, capacity, flags per end, a full one, half-open ones. */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static short state(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	MUST(poll(&p, 1, 0));
	return p.revents;
}

int main(void)
{
	int plain[2], packets[2], small[2], full[2], no_writer[2], no_reader[2], big[2], left;
	static char block[1 << 20], got[1 << 20];
	long filled = 0;

	signal(SIGPIPE, SIG_IGN);
	MUST(pipe2(plain, O_CLOEXEC));
	MUST(fcntl(plain[0], F_SETFL, O_NONBLOCK));
	SAME(write(plain[1], "hello", 5), 5);
	MUST(pipe2(packets, O_DIRECT));
	SAME(write(packets[1], "one", 3), 3);
	SAME(write(packets[1], "three", 5), 5);
	MUST(pipe2(small, O_DIRECT));
	for (int i = 1; i < 9; i++)
		SAME(write(small[1], "12345678", (size_t)(i % 3 ? 1 : i)), i % 3 ? 1 : i);
	MUST(pipe2(full, O_NONBLOCK));
	memset(block, 'f', sizeof(block));
	for (long n; (n = write(full[1], block, 5000)) > 0;)
		filled += n;
	MUST(pipe(no_writer));
	SAME(write(no_writer[1], "last words", 10), 10);
	close(no_writer[1]);
	MUST(pipe(no_reader));
	close(no_reader[0]);
	MUST(pipe(big));
	MUST(fcntl(big[1], F_SETPIPE_SZ, 1 << 20));
	memset(block, 'b', 700000);
	SAME(write(big[1], block, 700000), 700000);

	scenario_wait();

	SAME(fcntl(plain[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	SAME(fcntl(plain[1], F_GETFL) & O_NONBLOCK, 0);
	SAME(fcntl(plain[1], F_GETFD), FD_CLOEXEC);
	SAME(state(plain[0]), POLLIN);
	SAME(read(plain[0], got, sizeof(got)), 5);
	CHECK(memcmp(got, "hello", 5) == 0);
	SAME(read(plain[0], got, 1), -1);
	SAME(errno, EAGAIN);

	SAME(read(packets[0], got, 2), 2);
	SAME(read(packets[0], got, sizeof(got)), 5);
	CHECK(memcmp(got, "three", 5) == 0);
	for (int i = 1; i < 9; i++)
		SAME(read(small[0], got, sizeof(got)), i % 3 ? 1 : i);

	SAME(write(full[1], block, 5000), -1);
	SAME(errno, EAGAIN);
	MUST(ioctl(full[0], FIONREAD, &left));
	SAME(left, filled);
	SAME(read(full[0], got, sizeof(got)), filled);
	for (long i = 0; i < filled; i++)
		CHECK(got[i] == 'f');

	CHECK(state(no_writer[0]) & POLLHUP);
	SAME(read(no_writer[0], got, sizeof(got)), 10);
	SAME(read(no_writer[0], got, sizeof(got)), 0);
	CHECK(state(no_reader[1]) & POLLERR);
	SAME(write(no_reader[1], "x", 1), -1);
	SAME(errno, EPIPE);

	SAME(fcntl(big[0], F_GETPIPE_SZ), 1 << 20);
	SAME(read(big[0], got, sizeof(got)), 700000);
	for (long i = 0; i < 700000; i++)
		CHECK(got[i] == 'b');
	SAME(write(big[1], "x", 1), 1);
	close(big[1]);
	SAME(read(big[0], got, sizeof(got)), 1);
	SAME(read(big[0], got, sizeof(got)), 0);
	scenario_ok();
}
