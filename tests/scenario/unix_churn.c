/*
 * Two processes that make thousands of pairs, use them and close them, all the
 * while: the ledger is full of sockets that are gone, and asks the kernel which
 * those are. The socket it asks by is nobody's, whenever a checkpoint comes.
 *
 * scenario-checkpoints: 8
 */
#include "scenario.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAIRS 1800

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 2 * PAIRS + 100; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void turn(void)
{
	static int pairs[PAIRS][2];
	char c;

	for (int i = 0; i < PAIRS; i++)
		MUST(socketpair(AF_UNIX, i % 2 ? SOCK_STREAM : SOCK_DGRAM, 0, pairs[i]));
	for (int i = 0; i < PAIRS; i++) {
		SAME(write(pairs[i][0], "x", 1), 1);
		SAME(read(pairs[i][1], &c, 1), 1);
	}
	for (int i = 0; i < PAIRS; i++) {
		MUST(close(pairs[i][0]));
		MUST(close(pairs[i][1]));
	}
}

int main(void)
{
	struct rlimit limit = { 2 * PAIRS + 100, 2 * PAIRS + 100 };
	int stop[2], status, had;
	pid_t child;

	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	MUST(pipe2(stop, O_NONBLOCK));
	child = MUST(fork());
	had = open_descriptors();
	if (child == 0) {
		char c;

		while (read(stop[0], &c, 1) < 0)
			turn();
		_exit(open_descriptors() == had ? 0 : 1);
	}
	scenario_ready();
	while (!scenario_go())
		turn();
	SAME(open_descriptors(), had);
	SAME(write(stop[1], "x", 1), 1);
	SAME(waitpid(child, &status, 0), child);
	SAME(status, 0);
	scenario_ok();
}
