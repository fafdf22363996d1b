/*
 * Calls that block until all of their bytes are passed on never return fewer:
 * write, writev, send, sendmsg and sendfile to pipes and sockets, recv and
 * recvmsg with MSG_WAITALL, recvmmsg, getrandom, read of /dev/zero.
 *
 * scenario-checkpoints: 5
 */
#include "scenario.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SIZE (1 << 20)
#define PIECE 8192

enum how { WRITE, WRITEV, SENDFILE, SEND, SENDMSG, WAITALL, WAITMSG, HOWS };

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

/* A hundred pieces of different length, one of them empty. */
static void in_pieces(struct iovec v[100], uint8_t *buf, uint64_t n)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < 99; i++) {
		v[i] = (struct iovec){buf + at, i == 50 ? 0 : n / 100 + i};
		at += v[i].iov_len;
	}
	v[99] = (struct iovec){buf + at, n - at};
}

/* The bytes by way of a file, at its position and at an offset in turns; what is on its way are the file's own pages. */
static void by_file(struct way *w, uint8_t *buf)
{
	int fd = MUST(memfd_create("bytes", 0));
	off_t at = 0;

	SAME(pwrite(fd, buf, SIZE, 0), SIZE);
	if (w->written / SIZE % 2) {
		SAME(sendfile(w->to, fd, &at, SIZE), SIZE);
		SAME(at, SIZE);
	} else {
		SAME(sendfile(w->to, fd, NULL, SIZE + 100), SIZE);
		SAME(lseek(fd, 0, SEEK_CUR), SIZE);
	}
	MUST(close(fd));
}

static void *writer(void *arg)
{
	struct way *w = arg;
	uint8_t *buf = malloc(SIZE);

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		struct iovec v[4] = {{buf, 10}, {buf + 10, 0}, {buf + 10, SIZE / 2}, {buf + 10 + SIZE / 2, SIZE / 2 - 10}};
		uint64_t n = w->how >= WAITALL ? PIECE : SIZE;
		struct iovec many[100];
		struct msghdr m = {.msg_iov = many, .msg_iovlen = 100};

		for (uint64_t i = 0; i < n; i++)
			buf[i] = byte_at(w->written + i);
		in_pieces(many, buf, n);
		if (w->how == WRITEV)
			SAME(writev(w->to, v, 4), n);
		else if (w->how == SEND)
			SAME(send(w->to, buf, n, 0), n);
		else if (w->how == SENDFILE)
			by_file(w, buf);
		else if (w->how == SENDMSG)
			SAME(sendmsg(w->to, &m, 0), n);
		else
			SAME(write(w->to, buf, n), n);
		w->written += n;
		if (w->how >= WAITALL)
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
		struct iovec many[100];
		struct msghdr m = {.msg_iov = many, .msg_iovlen = 100};

		in_pieces(many, buf, SIZE);
		n = w->how == WAITALL ? recv(w->from, buf, SIZE, MSG_WAITALL) :
		    w->how == WAITMSG ? recvmsg(w->from, &m, MSG_WAITALL) : read(w->from, buf, PIECE);
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != byte_at(w->read + (uint64_t)i))
				FAIL("way %d: byte %llu of %llu", (int)(w - ways), (unsigned long long)(w->read + (uint64_t)i), (unsigned long long)w->written);
		w->read += (uint64_t)n;
		/* fewer than all: only the last time */
		if (w->how >= WAITALL && n != SIZE)
			CHECK(__atomic_load_n(&stop, __ATOMIC_SEQ_CST));
		if (w->how < WAITALL)
			pause_a_moment();
	}
	SAME(n, 0);
	free(buf);
	return NULL;
}

static int mail[2];

static void *mail_reader(void *arg)
{
	struct mmsghdr got[5];
	struct iovec v[5];
	int texts[5];
	int next = 0;

	do {
		memset(got, 0, sizeof(got));
		for (int i = 0; i < 5; i++) {
			v[i] = (struct iovec){&texts[i], sizeof(int)};
			got[i].msg_hdr.msg_iov = &v[i];
			got[i].msg_hdr.msg_iovlen = 1;
		}
		SAME(recvmmsg(mail[0], got, 5, 0, NULL), 5);
		for (int i = 0; i < 5; i++) {
			SAME(got[i].msg_len, sizeof(int));
			if (texts[4] >= 0)
				SAME(texts[i], next++);
		}
	} while (texts[4] >= 0);
	return arg;
}

/* Large reads that a signal may end between two pages. */
static void *large(void *arg)
{
	int fd = MUST(open("/dev/zero", O_RDONLY));
	uint8_t *buf = malloc(4 * SIZE);

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		memset(buf, 1, 4 * SIZE);
		SAME(read(fd, buf, 4 * SIZE), 4 * SIZE);
		for (int i = 0; i < 4 * SIZE; i += 4096)
			SAME(buf[i], 0);
		SAME(getrandom(buf, SIZE, 0), SIZE);
		pause_a_moment();
	}
	free(buf);
	return arg;
}

int main(void)
{
	pthread_t reads, takes;
	int number = 0;

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
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, mail));
	SAME(pthread_create(&reads, NULL, large, NULL), 0);
	SAME(pthread_create(&takes, NULL, mail_reader, NULL), 0);
	scenario_ready();
	for (; !scenario_go() || number % 5; number++) {
		SAME(send(mail[1], &number, sizeof(number), 0), sizeof(number));
		pause_a_moment();
	}
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	number = -1;
	for (int i = 0; i < 5; i++)
		SAME(send(mail[1], &number, sizeof(number), 0), sizeof(number));
	SAME(pthread_join(reads, NULL), 0);
	SAME(pthread_join(takes, NULL), 0);
	for (int i = 0; i <= HOWS; i++) {
		SAME(pthread_join(ways[i].writer, NULL), 0);
		SAME(pthread_join(ways[i].reader, NULL), 0);
		SAME(ways[i].read, ways[i].written);
	}
	scenario_ok();
}
