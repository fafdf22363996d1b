/* Ends: half-closed either way with and without bytes behind, both closed, peers gone, resets told and not yet told. */
#include "net.h"

static int a[2], b[2], c[2], d[2], e[2], f[2], g[2], h[2], i[2];
static struct name own, peer;

static void make(void)
{
	int l = net_listener("127.0.0.1", 20);
	struct linger now = { 1, 0 };
	char x;

	net_pair(l, a); /* the client has ended, its last bytes are unread */
	net_send(a[0], "bye");
	MUST(shutdown(a[0], SHUT_WR));
	net_pair(l, b); /* the server has ended */
	net_send(b[1], "tail");
	MUST(shutdown(b[1], SHUT_WR));
	net_pair(l, c); /* both have */
	net_send(c[0], "one");
	net_send(c[1], "two");
	MUST(shutdown(c[0], SHUT_WR));
	MUST(shutdown(c[1], SHUT_WR));
	net_pair(l, d); /* gone in peace, bytes left */
	net_send(d[1], "last words");
	close(d[1]);
	net_pair(l, e); /* gone with a reset, which nobody has seen */
	net_send(e[1], "before it");
	MUST(setsockopt(e[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	close(e[1]);
	net_pair(l, f); /* the same, and seen */
	MUST(setsockopt(f[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	close(f[1]);
	CHECK(net_poll(f[0], POLLIN, 1000) & POLLIN);
	SAME(recv(f[0], &x, 1, 0), -1);
	SAME(errno, ECONNRESET);
	net_pair(l, g); /* nothing is read any more */
	MUST(shutdown(g[0], SHUT_RD));
	net_pair(l, h); /* an end that was read already */
	net_send(h[0], "?");
	MUST(shutdown(h[0], SHUT_WR));
	net_expect(h[1], "?");
	net_eof(h[1]);
	net_pair(l, i); /* the accepted end is gone, its peer has ended too */
	MUST(shutdown(i[0], SHUT_WR));
	close(i[1]);
	net_await(a[1], TCP_CLOSE_WAIT);
	net_await(b[0], TCP_CLOSE_WAIT);
	net_await(d[0], TCP_CLOSE_WAIT);
	own = net_own(d[0]);
	peer = net_peer(d[0]);
}

static void verify(void)
{
	char x;

	net_expect(a[1], "bye");
	net_eof(a[1]);
	net_send(a[1], "still talking");
	net_expect(a[0], "still talking");
	SAME(send(a[0], "x", 1, MSG_NOSIGNAL), -1);
	SAME(errno, EPIPE);
	net_expect(b[0], "tail");
	net_eof(b[0]);
	net_send(b[0], "still listening");
	net_expect(b[1], "still listening");
	close(b[0]);
	net_eof(b[1]);
	net_expect(c[1], "one");
	net_eof(c[1]);
	net_expect(c[0], "two");
	net_eof(c[0]);
	SAME(send(c[0], "x", 1, MSG_NOSIGNAL), -1);
	net_same(own, net_own(d[0]));
	net_same(peer, net_peer(d[0]));
	net_expect(d[0], "last words");
	net_eof(d[0]);
	CHECK((net_poll(e[0], POLLIN | POLLRDHUP, 0) & (POLLIN | POLLERR | POLLHUP | POLLRDHUP)) ==
	      (POLLIN | POLLERR | POLLHUP | POLLRDHUP));
	SAME(recv(e[0], &x, 1, 0), 1);
	SAME(x, 'b');
	for (const char *p = "efore it"; *p; p++)
		CHECK(recv(e[0], &x, 1, 0) == 1 && x == *p);
	SAME(recv(e[0], &x, 1, 0), -1);
	SAME(errno, ECONNRESET);
	SAME(recv(e[0], &x, 1, 0), 0);
	SAME(net_peer(e[0]).len, 0);
	SAME(net_get(f[0], SOL_SOCKET, SO_ERROR), 0);
	SAME(recv(f[0], &x, 1, 0), 0);
	SAME(send(f[0], "x", 1, MSG_NOSIGNAL), -1);
	SAME(errno, EPIPE);
	SAME(recv(g[0], &x, 1, 0), 0);
	net_send(g[0], "writes");
	net_expect(g[1], "writes");
	CHECK(net_poll(g[1], POLLIN | POLLRDHUP, 0) == 0);
	net_eof(h[1]);
	net_send(h[1], "!");
	net_expect(h[0], "!");
	SAME(recv(i[0], &x, 1, 0), 0);
	net_get(i[0], SOL_SOCKET, SO_ERROR);
}

int main(void)
{
	make();
	scenario_wait();
	verify();
	scenario_ok();
}
