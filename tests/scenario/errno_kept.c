/*
 * errno, return values and short counts of a loop of failing and succeeding calls are never disturbed.
 *
 * scenario-checkpoints: 20
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static int stop;

static void *calls(void *arg)
{
	char buf[10];
	int pair[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		SAME(read(-1, buf, 1), -1);
		SAME(errno, EBADF);
		SAME(open("/nowhere/at/all", O_RDONLY), -1);
		SAME(errno, ENOENT);
		SAME(read(pair[0], buf, 10), -1);
		SAME(errno, EAGAIN);
		SAME(write(pair[1], "abc", 3), 3);
		SAME(read(pair[0], buf, 10), 3);
		SAME(socket(-1, SOCK_STREAM, 0), -1);
		SAME(errno, EAFNOSUPPORT);
	}
	return arg;
}

int main(void)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		SAME(pthread_create(&t[i], NULL, calls, NULL), 0);
	scenario_wait();
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 4; i++)
		SAME(pthread_join(t[i], NULL), 0);
	scenario_ok();
}
