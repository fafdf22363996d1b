/* A connection between two processes, full in both directions; one whose far end has closed with bytes it could not send. */
#include "net.h"

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
			return n;
		n += rc;
	}
}

static void drain(int fd, long n, int which)
{
	static unsigned char b[65536];
	long at = 0;

	while (at < n) {
		ssize_t rc;

		if (!(net_poll(fd, POLLIN, 5000) & POLLIN))
			FAIL("only %ld of %ld bytes", at, n);
		rc = recv(fd, b, sizeof(b), MSG_DONTWAIT);
		if (rc <= 0)
			FAIL("%zd after %ld of %ld bytes", rc, at, n);
		for (ssize_t i = 0; i < rc; i++, at++)
			if (b[i] != pattern(at, which))
				FAIL("byte %ld is wrong", at);
	}
}

int main(void)
{
	int l = net_listener("127.0.0.1", 5), p[2], gone[2], ready[2], go[2], pid, status;
	long n[2], left;
	char x;

	net_pair(l, gone);
	left = fill(gone[0], 2);
	close(gone[0]);
	net_pair(l, p);
	MUST(pipe(ready));
	MUST(pipe(go));
	n[0] = fill(p[0], 0);
	pid = MUST(fork());
	if (pid == 0) {
		close(p[0]);
		n[1] = fill(p[1], 1);
		SAME(write(ready[1], &n[1], sizeof(n[1])), sizeof(n[1]));
		SAME(read(go[0], &x, 1), 1);
		drain(p[1], n[0], 0);
		_exit(0);
	}
	close(p[1]);
	SAME(read(ready[0], &n[1], sizeof(n[1])), sizeof(n[1]));

	scenario_wait();

	drain(p[0], n[1], 1);
	SAME(write(go[1], "x", 1), 1);
	drain(gone[1], left, 2);
	net_eof(gone[1]);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 0);
	net_eof(p[0]);
	scenario_ok();
}
