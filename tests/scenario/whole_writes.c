/*
 * Calls that block until all of their bytes are passed on never return fewer:
 * write, writev and send to pipes and sockets, recv with MSG_WAITALL.
 *
 * scenario-checkpoints: 5
 */
#include "scenario.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SIZE (1 << 20)
#define PIECE 8192

enum how { WRITE, WRITEV, SEND, WAITALL, HOWS };

static struct way {
	enum how how;
	int from, to;
	pthread_t writer, reader;
	uint64_t written, read;
} ways[HOWS + 1];
static int stop;

static uint8_t byte_at(uint64_t at)
{
	at = (at + 1) * 0x9e3779b97f4a7c15u;
	return (uint8_t)((at ^ at >> 29) * 0xbf58476d1ce4e5b9u >> 56);
}

static void pause_a_moment(void)
{
	struct timespec t = {0, 500000};

	nanosleep(&t, NULL);
}

static void *writer(void *arg)
{
	struct way *w = arg;
	uint8_t *buf = malloc(SIZE);

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		struct iovec v[4] = {{buf, 10}, {buf + 10, 0}, {buf + 10, SIZE / 2}, {buf + 10 + SIZE / 2, SIZE / 2 - 10}};
		uint64_t n = w->how == WAITALL ? PIECE : SIZE;

		for (uint64_t i = 0; i < n; i++)
			buf[i] = byte_at(w->written + i);
		if (w->how == WRITEV)
			SAME(writev(w->to, v, 4), n);
		else if (w->how == SEND)
			SAME(send(w->to, buf, n, 0), n);
		else
			SAME(write(w->to, buf, n), n);
		w->written += n;
		if (w->how == WAITALL)
			pause_a_moment();
	}
	MUST(close(w->to));
	free(buf);
	return NULL;
}

static void *reader(void *arg)
{
	struct way *w = arg;
	uint8_t *buf = malloc(SIZE);
	ssize_t n;

	for (;;) {
		n = w->how == WAITALL ? recv(w->from, buf, SIZE, MSG_WAITALL) : read(w->from, buf, PIECE);
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != byte_at(w->read + (uint64_t)i))
				FAIL("way %d: byte %llu of %llu", (int)(w - ways), (unsigned long long)(w->read + (uint64_t)i), (unsigned long long)w->written);
		w->read += (uint64_t)n;
		/* fewer than all: only the last time */
		if (w->how == WAITALL && n != SIZE)
			CHECK(__atomic_load_n(&stop, __ATOMIC_SEQ_CST));
		if (w->how != WAITALL)
			pause_a_moment();
	}
	SAME(n, 0);
	free(buf);
	return NULL;
}

int main(void)
{
	for (int i = 0; i <= HOWS; i++) {
		struct way *w = &ways[i];
		int fd[2];

		w->how = i == HOWS ? WRITEV : (enum how)i;
		if (i == WRITE || i == WRITEV)
			MUST(pipe(fd));
		else
			MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
		w->from = fd[0];
		w->to = fd[1];
		SAME(pthread_create(&w->writer, NULL, writer, w), 0);
		SAME(pthread_create(&w->reader, NULL, reader, w), 0);
	}
	scenario_wait();
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i <= HOWS; i++) {
		SAME(pthread_join(ways[i].writer, NULL), 0);
		SAME(pthread_join(ways[i].reader, NULL), 0);
		SAME(ways[i].read, ways[i].written);
	}
	scenario_ok();
}
