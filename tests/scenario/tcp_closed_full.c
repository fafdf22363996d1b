/*
 * Ends that were closed, or whose process has ended, with bytes that the other end had no room for: they are nobody's, and all
 * arrive, and the end behind them. Over both families, with a small buffer, after shutdowns, with an urgent byte.
 *
 * scenario-checkpoints: 2
 */
#include "net.h"

#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>

enum { PLAIN, SIX, SMALL, PROCESS, LIVING, SHUT_BEFORE, READER_SHUT, URGENT, WAYS };

/* Behind this many bytes the urgent one has been sent: more than the other end had room for. */
#define MARK 1000000

static int reader[WAYS];
static long sent[WAYS];
static pid_t living;

static unsigned char pattern(long at, int which)
{
	return (unsigned char)(at * 7 + at / 251 + which);
}

static long fill(int fd, int which)
{
	unsigned char b[1000];
	long n = 0;
	ssize_t rc;

	do {
		for (int i = 0; i < 1000; i++)
			b[i] = pattern(n + i, which);
		rc = send(fd, b, sizeof(b), MSG_DONTWAIT | (which == URGENT && n == MARK - 1000 ? MSG_OOB : 0));
		n += rc > 0 ? rc : 0;
	} while (rc > 0 || (errno == EAGAIN && net_poll(fd, POLLOUT, 50)));
	SAME(errno, EAGAIN);
	return n;
}

/* The bytes that a process, gone or not, has sent before it closed. */
static long fill_by_process(int p[2], bool lives)
{
	int told[2];
	long n;
	pid_t pid;

	MUST(pipe(told));
	pid = MUST(fork());
	if (pid == 0) {
		close(p[1]);
		n = fill(p[0], lives ? LIVING : PROCESS);
		close(p[0]);
		MUST(write(told[1], &n, sizeof(n)));
		if (!lives)
			_exit(0);
		pause();
	}
	SAME(read(told[0], &n, sizeof(n)), sizeof(n));
	if (lives)
		living = pid;
	else
		SAME(waitpid(pid, NULL, 0), pid);
	close(told[0]);
	close(told[1]);
	return n;
}

static void make(int which, int listener)
{
	int p[2], here = 0;

	if (which == SMALL)
		net_set(listener, SOL_SOCKET, SO_RCVBUF, 4096);
	net_pair(listener, p);
	if (which == PROCESS || which == LIVING)
		sent[which] = fill_by_process(p, which == LIVING);
	else
		sent[which] = fill(p[0], which);
	if (which == URGENT)
		net_set(p[1], SOL_SOCKET, SO_OOBINLINE, 1);
	if (which == SHUT_BEFORE)
		MUST(shutdown(p[0], SHUT_WR));
	if (which == READER_SHUT) {
		MUST(shutdown(p[1], SHUT_WR));
		net_eof(p[0]);
	}
	close(p[0]);
	MUST(ioctl(p[1], SIOCINQ, &here));
	CHECK(here < sent[which]);
	reader[which] = p[1];
}

static void drain(int which)
{
	static unsigned char b[65536];
	long at = 0;
	ssize_t rc;

	for (;;) {
		if (!(net_poll(reader[which], POLLIN, 5000) & POLLIN))
			FAIL("%d: only %ld of %ld bytes", which, at, sent[which]);
		if (which == URGENT && at == MARK - 1)
			CHECK(sockatmark(reader[which]) == 1);
		rc = recv(reader[which], b, sizeof(b), MSG_DONTWAIT);
		if (which == URGENT && at < MARK - 1 && at + rc > MARK - 1)
			FAIL("read across the mark: %zd bytes from %ld", rc, at);
		if (rc < 0)
			FAIL("%d: after %ld of %ld bytes", which, at, sent[which]);
		if (rc == 0)
			break;
		for (ssize_t i = 0; i < rc; i++, at++)
			if (b[i] != pattern(at, which))
				FAIL("%d: byte %ld is wrong", which, at);
	}
	SAME(at, sent[which]);
	net_eof(reader[which]);
}

int main(void)
{
	for (int which = 0; which < WAYS; which++) {
		int l = net_listener(which == SIX ? "::1" : "127.0.0.1", 5);

		make(which, l);
		close(l);
	}
	scenario_wait();
	for (int which = 0; which < WAYS; which++)
		drain(which);
	MUST(kill(living, SIGKILL));
	SAME(waitpid(living, NULL, 0), living);
	scenario_ok();
}
