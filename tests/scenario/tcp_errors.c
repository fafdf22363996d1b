/*
 * Errors that wait to be told: reset, reset behind an end, timed out; with and without bytes in front, over both families; and
 * the other ends of those that were timed out, which know nothing of it.
 *
 * scenario-checkpoints: 2
 */
#include "net.h"

enum { RESET, END_RESET, DATA_RESET, DATA_END_RESET, WROTE, DATA_WROTE, END_READ_WROTE, UNREAD, URGENT_RESET, TIMED_OUT, DATA_TIMED_OUT, ALIVE, WAYS };

static int end[2][WAYS], other[2][WAYS];

/* Takes no packet any more: none has that many hops left. */
static void deafen(int fd, int on)
{
	net_set(fd, IPPROTO_IP, IP_MINTTL, on ? 255 : 0);
	if (net_own(fd).any.sa_family == AF_INET6)
		net_set(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, on ? 255 : 0);
}

static void reset(int fd)
{
	struct linger now = { 1, 0 };

	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	close(fd);
}

static bool has_data(int way)
{
	return way == DATA_RESET || way == DATA_END_RESET || way == DATA_WROTE || way == DATA_TIMED_OUT || way == URGENT_RESET;
}

static bool has_end(int way)
{
	return way == END_RESET || way == DATA_END_RESET || way == WROTE || way == DATA_WROTE || way == END_READ_WROTE;
}

static bool has_timed_out(int way)
{
	return way == TIMED_OUT || way == DATA_TIMED_OUT || way == ALIVE;
}

static void make(int way, int p[2])
{
	if (has_data(way))
		SAME(send(p[1], "hello", 5, way == URGENT_RESET ? MSG_OOB : 0), 5);
	if (has_end(way)) {
		MUST(shutdown(p[1], SHUT_WR));
		net_await(p[0], TCP_CLOSE_WAIT);
	}
	if (way == RESET || way == END_RESET || way == DATA_RESET || way == DATA_END_RESET || way == URGENT_RESET)
		reset(p[1]);
	if (way == END_READ_WROTE)
		net_eof(p[0]);
	if (way == WROTE || way == DATA_WROTE || way == END_READ_WROTE) {
		close(p[1]);
		net_send(p[0], "x");
	}
	if (way == UNREAD) {
		net_send(p[0], "unread");
		close(p[1]);
	}
	if (!has_timed_out(way))
		return;
	deafen(p[1], 1);
	if (way == ALIVE) {
		net_set(p[0], SOL_SOCKET, SO_KEEPALIVE, 1);
		net_set(p[0], IPPROTO_TCP, TCP_KEEPIDLE, 1);
		net_set(p[0], IPPROTO_TCP, TCP_KEEPINTVL, 1);
		net_set(p[0], IPPROTO_TCP, TCP_KEEPCNT, 1);
	} else {
		net_set(p[0], IPPROTO_TCP, TCP_USER_TIMEOUT, 10);
		net_send(p[0], "x");
	}
}

static int expected(int way)
{
	return has_timed_out(way) ? ETIMEDOUT : has_end(way) ? EPIPE : ECONNRESET;
}

/* Told in three ways: SO_ERROR, send, and recv where no end is in front. */
static void verify(int way, int how, int fd)
{
	short now = net_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	char b[8];

	if (now != (POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP))
		FAIL("%d: poll says %#x", way, now);
	if (has_data(way))
		net_expect(fd, way == URGENT_RESET ? "hell" : "hello");
	if (has_end(way))
		SAME(recv(fd, b, sizeof(b), 0), 0);
	if (how == 0) {
		errno = net_get(fd, SOL_SOCKET, SO_ERROR);
	} else if (how == 1 || has_end(way)) {
		SAME(send(fd, b, sizeof(b), MSG_NOSIGNAL), -1);
	} else {
		SAME(recv(fd, b, sizeof(b), 0), -1);
	}
	if (errno != expected(way))
		FAIL("%d: told %d instead of %d", way, errno, expected(way));
	SAME(net_get(fd, SOL_SOCKET, SO_ERROR), 0);
	SAME(recv(fd, b, sizeof(b), 0), 0);
	SAME(send(fd, b, sizeof(b), MSG_NOSIGNAL), -1);
	SAME(errno, EPIPE);
}

/* An end whose peer was timed out meets that when it sends. */
static void verify_other(int fd)
{
	char b;

	net_empty(fd);
	SAME(net_state(fd), TCP_ESTABLISHED);
	net_send(fd, "x");
	CHECK(net_poll(fd, POLLIN, 2000) & POLLERR);
	SAME(recv(fd, &b, 1, 0), -1);
	SAME(errno, ECONNRESET);
}

int main(void)
{
	static const char *const host[2] = { "127.0.0.1", "::1" };

	for (int v6 = 0; v6 < 2; v6++) {
		int l = net_listener(host[v6], 5);

		for (int way = 0; way < WAYS; way++) {
			int p[2];

			net_pair(l, p);
			make(way, p);
			end[v6][way] = p[0];
			other[v6][way] = p[1];
		}
	}
	for (int i = 0; i < 2 * WAYS; i++) {
		short now;

		do /* bytes in front of it don't wait */
			now = net_poll(end[i / WAYS][i % WAYS], 0, 30000);
		while (now && !(now & POLLERR));
		if (!now)
			FAIL("%d: no error", i);
		if (has_timed_out(i % WAYS)) /* or it would hold its port when it is killed */
			deafen(other[i / WAYS][i % WAYS], 0);
	}

	scenario_wait();

	for (int i = 0; i < 2 * WAYS; i++)
		verify(i % WAYS, i % 3, end[i / WAYS][i % WAYS]);
	/* keepalive's last word, a reset, may have come when it was heard again */
	for (int i = 0; i < 2 * WAYS; i++)
		if (i % WAYS == TIMED_OUT)
			verify_other(other[i / WAYS][i % WAYS]);
	scenario_ok();
}
