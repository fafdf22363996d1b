/*
 * Connections that nobody has accepted, whose clients have spoken, ended, gone, been reset; more than the receiver has room for;
 * one to itself; one that a listener with TCP_DEFER_ACCEPT doesn't show yet. A child that is forked afterwards accepts some.
 *
 * scenario-checkpoints: 2
 */
#include "net.h"

#define CLIENTS 6

static int listener, defers, clients[CLIENTS], silent, big, own;
static struct name names[CLIENTS];
static long sent;

static void begin(void)
{
	struct linger now = { 1, 0 };
	static char b[4096];
	struct name n;
	ssize_t rc;

	listener = net_listener("::", 20);
	for (int i = 0; i < CLIENTS; i++) {
		char text[64];

		clients[i] = net_connect(i % 2 ? "127.0.0.1" : "::1", net_port(listener));
		names[i] = net_own(clients[i]);
		snprintf(text, sizeof(text), "from %d", i);
		if (i != 1)
			net_send(clients[i], text);
	}
	close(clients[2]);
	MUST(setsockopt(clients[3], SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	close(clients[3]);
	MUST(shutdown(clients[4], SHUT_WR));
	defers = net_bound("127.0.0.1", 0);
	net_set(defers, IPPROTO_TCP, TCP_DEFER_ACCEPT, 30);
	MUST(listen(defers, 5));
	silent = net_connect("127.0.0.1", net_port(defers));
	big = net_connect("127.0.0.1", net_port(listener));
	for (;; sent += rc) {
		for (int i = 0; i < 4096; i++)
			b[i] = (char)((sent + i) * 7 / 3);
		rc = send(big, b, sizeof(b), MSG_DONTWAIT);
		if (rc < 0)
			break;
	}
	MUST(shutdown(big, SHUT_WR));
	own = net_bound("127.0.0.1", 0);
	n = net_own(own);
	MUST(connect(own, &n.any, n.len));
	net_send(own, "to myself");
}

static void accept_in_order(int from, int to)
{
	struct name n;
	char text[64];
	int got;

	for (int i = from; i < to; i++) {
		CHECK(net_poll(listener, POLLIN, 1000) & POLLIN);
		n.len = sizeof(n.v6);
		got = MUST(accept(listener, &n.any, &n.len));
		SAME(n.v6.sin6_port, names[i].v6.sin6_port);
		snprintf(text, sizeof(text), "from %d", i);
		if (i == 3) {
			SAME(recv(got, text, sizeof(text), 0), 6);
			SAME(recv(got, text, sizeof(text), 0), -1);
			SAME(errno, ECONNRESET);
		} else if (i != 1) {
			net_expect(got, text);
		}
		if (i == 2 || i == 4)
			net_eof(got);
		if (i != 2 && i != 3)
			net_send(got, "back");
		close(got);
	}
}

int main(void)
{
	static char b[65536];
	int pid, status, got;
	ssize_t rc;

	begin();

	scenario_wait();

	pid = MUST(fork());
	if (pid == 0) {
		accept_in_order(0, 5);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0));
	SAME(status, 0);
	accept_in_order(5, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		if (i != 2 && i != 3) {
			net_expect(clients[i], "back");
			net_eof(clients[i]);
		}
	got = MUST(accept(listener, NULL, NULL));
	for (long at = 0; at < sent; at += rc) {
		rc = MUST(recv(got, b, sizeof(b), 0));
		if (rc == 0)
			FAIL("end after %ld of %ld bytes", at, sent);
		for (ssize_t i = 0; i < rc; i++)
			if (b[i] != (char)((at + i) * 7 / 3))
				FAIL("byte %ld is wrong", at + i);
	}
	net_eof(got);
	net_send(got, "thanks");
	net_expect(big, "thanks");
	SAME(net_poll(listener, POLLIN, 0), 0);
	SAME(net_poll(defers, POLLIN, 0), 0);
	net_send(silent, "at last");
	CHECK(net_poll(defers, POLLIN, 2000) & POLLIN);
	net_expect(MUST(accept(defers, NULL, NULL)), "at last");
	net_expect(own, "to myself");
	net_send(own, "again");
	net_expect(own, "again");
	scenario_ok();
}
