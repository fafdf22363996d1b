/*
 * Connections between sockets of the tree, in one process and in two: names, bytes both ways, options, IPv6, mapped, small segments.
 *
 * scenario-checkpoints: 3
 */
#include "net.h"

#define PAIRS 5

static void child(int fd)
{
	char text[64];
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0)
		if (write(fd, text, (size_t)n) != n)
			break;
	_exit(n < 0 ? 1 : 0);
}

/* One whose segments are small, since the listener or the connecting end wants it; bytes wait. */
static void small(int e[2], int by_listener, int mss[2])
{
	int l = net_listener(by_listener ? "::1" : "127.0.0.1", 1), c;
	struct name n = net_own(l);

	c = e[0] = MUST(socket(n.any.sa_family, SOCK_STREAM, 0));
	net_set(by_listener ? l : c, IPPROTO_TCP, TCP_MAXSEG, 500);
	MUST(connect(c, &n.any, n.len));
	e[1] = MUST(accept(l, NULL, NULL));
	close(l);
	for (int k = 0; k < 2; k++) {
		mss[k] = net_get(e[k], IPPROTO_TCP, TCP_MAXSEG);
		CHECK(mss[k] <= 500);
		for (int i = 0; i < 300; i++)
			net_send(e[k], "123456789 123456789 123456789 123456789 123456789 123456789 ");
	}
}

static void verify_small(int e[2], const int mss[2])
{
	for (int k = 0; k < 2; k++) {
		SAME(net_get(e[k], IPPROTO_TCP, TCP_MAXSEG), mss[k]);
		for (int i = 0; i < 300; i++)
			net_expect(e[k], "123456789 123456789 123456789 123456789 123456789 123456789 ");
		net_empty(e[k]);
	}
}

int main(void)
{
	int s[2][2], mss[2][2], p[PAIRS][2], l[4] = { net_listener("127.0.0.1", 5), net_listener("0.0.0.0", 5), net_listener("::1", 5), net_listener("::", 5) };
	struct name own[PAIRS][2], peer[PAIRS][2];
	int pid, status;

	for (int i = 0; i < 3; i++)
		net_pair(l[i], p[i]);
	p[3][0] = net_connect("127.0.0.1", net_port(l[3]));
	p[3][1] = MUST(accept(l[3], NULL, NULL));
	net_pair(l[0], p[4]);
	pid = MUST(fork());
	if (pid == 0) {
		for (int i = 0; i < PAIRS; i++)
			close(p[i][0]);
		child(p[4][1]);
	}
	close(p[4][1]);
	p[4][1] = p[4][0];
	net_set(p[0][0], IPPROTO_TCP, TCP_NODELAY, 1);
	net_set(p[0][1], SOL_SOCKET, SO_KEEPALIVE, 1);
	net_set(p[0][1], IPPROTO_TCP, TCP_KEEPIDLE, 77);
	MUST(fcntl(p[1][1], F_SETFL, O_NONBLOCK));
	for (int i = 0; i < PAIRS; i++)
		for (int k = 0; k < 2; k++) {
			own[i][k] = net_own(p[i][k]);
			peer[i][k] = net_peer(p[i][k]);
		}
	for (int i = 0; i < 4; i++) {
		net_send(p[i][0], "to the server");
		net_send(p[i][1], "to the client");
	}
	for (int i = 0; i < 2; i++)
		small(s[i], i, mss[i]);

	scenario_wait();

	for (int i = 0; i < 2; i++)
		verify_small(s[i], mss[i]);

	for (int i = 0; i < PAIRS; i++)
		for (int k = 0; k < 2; k++) {
			net_same(own[i][k], net_own(p[i][k]));
			net_same(peer[i][k], net_peer(p[i][k]));
		}
	for (int i = 0; i < 4; i++) {
		net_expect(p[i][1], "to the server");
		net_expect(p[i][0], "to the client");
		net_empty(p[i][0]);
		net_empty(p[i][1]);
		net_send(p[i][0], "more");
		net_expect(p[i][1], "more");
		net_send(p[i][1], "back");
		net_expect(p[i][0], "back");
	}
	net_send(p[4][0], "echo");
	net_expect(p[4][0], "echo");
	MUST(shutdown(p[4][0], SHUT_WR));
	net_eof(p[4][0]);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 0);
	SAME(net_get(p[0][0], IPPROTO_TCP, TCP_NODELAY), 1);
	SAME(net_get(p[0][1], IPPROTO_TCP, TCP_NODELAY), 0);
	SAME(net_get(p[0][1], SOL_SOCKET, SO_KEEPALIVE), 1);
	SAME(net_get(p[0][1], IPPROTO_TCP, TCP_KEEPIDLE), 77);
	CHECK(fcntl(p[1][1], F_GETFL) & O_NONBLOCK);
	SAME(net_get(p[0][0], SOL_SOCKET, SO_ERROR), 0);
	close(p[0][1]);
	net_eof(p[0][0]);
	scenario_ok();
}
