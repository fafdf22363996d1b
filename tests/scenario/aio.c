/*
 * Contexts of asynchronous I/O on which nothing is under way: fresh, used, with completions that nobody has taken, as
 * many as there is room for, behind the end of the memory; one that a thread waits for; beside them a child's, which it only inherits.
 *
 * scenario-checkpoints: 3
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdint.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FRESH, USED, WAITING, TURNED, FULL, WAITED, CONTEXTS };

static struct {
	aio_context_t id;
	unsigned first, n;           /* what waits: numbers, ascending */
} context[CONTEXTS];
static int file, way[2];
static char got[64];
static volatile long answer;

static int try(int i, unsigned number, unsigned op)
{
	struct iocb cb = { .aio_data = number, .aio_lio_opcode = (unsigned short)op, .aio_fildes = (unsigned)file, .aio_buf = (uintptr_t)got,
			   .aio_nbytes = number % 5 }, *list[1] = { &cb };

	if (op == IOCB_CMD_POLL) {
		cb.aio_fildes = (unsigned)way[0];
		cb.aio_buf = POLLIN;
		cb.aio_nbytes = 0;
	}
	return (int)syscall(SYS_io_submit, context[i].id, 1, list);
}

static void submit(int i)
{
	SAME(try(i, context[i].first + context[i].n, IOCB_CMD_PREAD), 1);
	context[i].n++;
}

static void take(int i)
{
	struct io_event e = { 0 };

	SAME(syscall(SYS_io_getevents, context[i].id, 1, 1, &e, NULL), 1);
	SAME(e.data, context[i].first);
	SAME(e.res, context[i].first % 5);
	context[i].first++;
	context[i].n--;
}

static void verify(int i)
{
	struct timespec none = { 0 };
	struct io_event e;

	while (context[i].n)
		take(i);
	SAME(syscall(SYS_io_getevents, context[i].id, 0, 1, &e, &none), 0);
	for (int k = 0; k < 40; k++) {
		submit(i);
		if (k % 3)
			take(i);
	}
	while (context[i].n)
		take(i);
	MUST(syscall(SYS_io_destroy, context[i].id));
	SAME(syscall(SYS_io_getevents, context[i].id, 0, 1, &e, &none), -1);
	SAME(errno, EINVAL);
}

static void *waiter(void *arg)
{
	struct io_event e = { 0 };

	(void)arg;
	if (syscall(SYS_io_getevents, context[WAITED].id, 1, 1, &e, NULL) == 1)
		answer = (long)e.data;
	return NULL;
}

/* The mapping is inherited, the context isn't. */
static void heir(int end, const unsigned *head)
{
	struct io_event e;
	struct timespec none = { 0 };
	unsigned before = *head;
	char c;

	SAME(read(end, &c, 1), 1);
	SAME(syscall(SYS_io_getevents, context[FRESH].id, 0, 1, &e, &none), -1);
	SAME(errno, EINVAL);
	SAME(*head, before);
	_exit(0);
}

int main(void)
{
	static const unsigned requests[CONTEXTS] = { 1, 8, 32, 100, 64, 1000 };
	pthread_t thread;
	int status;
	pid_t child;

	file = MUST(open("file", O_RDWR | O_CREAT, 0600));
	SAME(write(file, "0123456789", 10), 10);
	MUST(pipe(way));
	for (int i = 0; i < CONTEXTS; i++)
		MUST(syscall(SYS_io_setup, requests[i], &context[i].id));
	submit(USED);
	take(USED);
	for (int k = 0; k < 7; k++)
		submit(WAITING);
	take(WAITING);
	for (int k = 0; k < 1000; k++) {
		submit(TURNED);
		if (k >= 17)
			take(TURNED);
	}
	while (try(FULL, context[FULL].n, IOCB_CMD_PREAD) == 1)
		context[FULL].n++;
	SAME(errno, EAGAIN);
	pthread_create(&thread, NULL, waiter, NULL);
	child = MUST(fork());
	if (child == 0) {
		close(way[1]);
		heir(way[0], (const unsigned *)context[FRESH].id);
	}

	scenario_wait();

	SAME(write(way[1], "x", 1), 1);
	SAME(waitpid(child, &status, 0), child);
	SAME(status, 0);
	for (int i = 0; i < WAITED; i++)
		verify(i);
	SAME(answer, 0);
	SAME(write(way[1], "x", 1), 1);
	SAME(try(WAITED, 77, IOCB_CMD_POLL), 1);
	pthread_join(thread, NULL);
	SAME(answer, 77);
	scenario_ok();
}
