/*
 * FIFOs: with a name, unlinked, opened in both directions, a reader that never
 * had a writer, a writer whose reader has left something behind.
 */
#include "scenario.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static short state(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	MUST(poll(&p, 1, 0));
	return p.revents;
}

int main(void)
{
	int r, w, gone, fresh, left, unread;
	char got[32] = "";

	MUST(mkfifo("named", 0600));
	MUST(mkfifo("gone", 0600));
	MUST(mkfifo("fresh", 0600));
	r = MUST(open("named", O_RDONLY | O_NONBLOCK));
	w = MUST(open("named", O_WRONLY));
	SAME(write(w, "in flight", 9), 9);
	gone = MUST(open("gone", O_RDWR));
	SAME(write(gone, "unlinked", 8), 8);
	MUST(unlink("gone"));
	fresh = MUST(open("fresh", O_RDONLY | O_NONBLOCK));
	SAME(state(fresh), 0);
	MUST(mkfifo("left", 0600));
	unread = MUST(open("left", O_RDONLY | O_NONBLOCK));
	left = MUST(open("left", O_WRONLY));
	SAME(write(left, "for later", 9), 9);
	MUST(close(unread));

	scenario_wait();

	SAME(read(r, got, sizeof(got)), 9);
	CHECK(memcmp(got, "in flight", 9) == 0);
	SAME(write(w, "more", 4), 4);
	SAME(read(r, got, sizeof(got)), 4);
	close(w);
	SAME(state(r), POLLHUP);
	SAME(read(gone, got, sizeof(got)), 8);
	SAME(access("gone", F_OK), -1);
	SAME(state(fresh), 0);
	w = MUST(open("fresh", O_WRONLY | O_NONBLOCK));
	SAME(write(w, "x", 1), 1);
	SAME(state(fresh), POLLIN);
	unread = MUST(open("left", O_RDONLY | O_NONBLOCK));
	SAME(read(unread, got, sizeof(got)), 9);
	CHECK(memcmp(got, "for later", 9) == 0);
	SAME(write(left, "x", 1), 1);
	SAME(read(unread, got, sizeof(got)), 1);
	scenario_ok();
}
