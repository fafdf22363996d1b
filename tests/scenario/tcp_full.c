/*
 * Both directions full, so that bytes wait in send queues too; a thread blocked in each direction.
 *
 * scenario-checkpoints: 2
 */
#include "net.h"

#include <pthread.h>

static unsigned char pattern(long at, int which)
{
	return (unsigned char)(at * 7 + at / 251 + which);
}

static long fill(int fd, int which)
{
	unsigned char b[1000];
	long n = 0;
	ssize_t rc;

	for (;;) {
		for (int i = 0; i < 1000; i++)
			b[i] = pattern(n + i, which);
		rc = send(fd, b, sizeof(b), MSG_DONTWAIT);
		if (rc < 0)
			break;
		n += rc;
	}
	SAME(errno, EAGAIN);
	return n;
}

static void drain(int fd, long n, int which)
{
	static unsigned char b[65536];
	long at = 0;

	while (at < n) {
		ssize_t rc;

		if (!(net_poll(fd, POLLIN, 5000) & POLLIN))
			FAIL("only %ld of %ld bytes", at, n);
		rc = MUST(recv(fd, b, sizeof(b), MSG_DONTWAIT));
		if (rc == 0)
			FAIL("end after %ld of %ld bytes", at, n);
		for (ssize_t i = 0; i < rc; i++, at++)
			if (b[i] != pattern(at, which))
				FAIL("byte %ld is wrong", at);
	}
}

struct work {
	int fd, which;
	long at;
};

static void *writer(void *arg)
{
	struct work *w = arg;
	static unsigned char b[2][100000];
	ssize_t rc;
	long n = 0;

	for (int i = 0; i < 100000; i++)
		b[w->which][i] = pattern(w->at + i, w->which);
	while (n < 100000 && (rc = send(w->fd, b[w->which] + n, (size_t)(100000 - n), MSG_NOSIGNAL)) > 0)
		n += rc;
	return (void *)n;
}

int main(void)
{
	int l = net_listener("127.0.0.1", 5), p[2], q[2];
	long n[2], m[2];
	struct work w[2];
	pthread_t t[2];
	void *rc;

	net_pair(l, p);
	net_pair(l, q);
	for (int i = 0; i < 2; i++) {
		n[i] = fill(p[i], i);
		m[i] = fill(q[i], i);
		w[i] = (struct work){ q[i], i, m[i] };
	}
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, writer, &w[i]) == 0);

	scenario_wait();

	for (int i = 0; i < 2; i++) {
		drain(p[1 - i], n[i], i);
		drain(q[1 - i], m[i] + 100000, i);
	}
	for (int i = 0; i < 2; i++) {
		CHECK(pthread_join(t[i], &rc) == 0);
		SAME((long)rc, 100000);
		net_empty(p[i]);
		net_empty(q[i]);
		net_send(p[i], "and on");
		net_expect(p[1 - i], "and on");
	}
	scenario_ok();
}
