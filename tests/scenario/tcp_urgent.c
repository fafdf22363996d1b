/* Urgent bytes: unread, read, in line, at the front, in the middle, at the end; the mark. */
#include "net.h"

#include <sys/ioctl.h>

static int at_mark(int fd)
{
	int v = -1;

	MUST(ioctl(fd, SIOCATMARK, &v));
	return v;
}

/* In connections that nobody has accepted; the client of the second is gone. */
static void wait_unaccepted(int listener)
{
	for (int i = 0; i < 2; i++) {
		int fd = net_connect("::1", net_port(listener));

		SAME(send(fd, "ab!", 3, MSG_OOB), 3);
		net_send(fd, "cd");
		if (i)
			close(fd);
	}
}

static void verify_unaccepted(int listener)
{
	char x;

	for (int i = 0; i < 2; i++) {
		int fd = MUST(accept(listener, NULL, NULL));

		net_expect(fd, "ab");
		SAME(at_mark(fd), 1);
		SAME(recv(fd, &x, 1, MSG_OOB), 1);
		SAME(x, '!');
		net_expect(fd, "cd");
		if (i)
			net_eof(fd);
	}
}

int main(void)
{
	int l = net_listener("127.0.0.1", 9), a[2], b[2], c[2], d[2], e[2], f[2];
	int unaccepted = net_listener("::1", 5);
	char x;

	wait_unaccepted(unaccepted);
	net_pair(l, a); /* in the middle */
	net_send(a[0], "abc");
	SAME(send(a[0], "U", 1, MSG_OOB), 1);
	net_send(a[0], "def");
	net_pair(l, b); /* at the front */
	SAME(send(b[0], "V", 1, MSG_OOB), 1);
	net_send(b[0], "behind");
	net_pair(l, c); /* at the end, alone */
	SAME(send(c[0], "W", 1, MSG_OOB), 1);
	net_pair(l, d); /* read already, the mark is ahead */
	net_send(d[0], "123");
	SAME(send(d[0], "X", 1, MSG_OOB), 1);
	net_send(d[0], "456");
	CHECK(net_poll(d[1], POLLPRI, 1000) & POLLPRI);
	SAME(recv(d[1], &x, 1, MSG_OOB), 1);
	net_pair(l, e); /* in line */
	net_set(e[1], SOL_SOCKET, SO_OOBINLINE, 1);
	net_send(e[0], "in");
	SAME(send(e[0], "Y", 1, MSG_OOB), 1);
	net_send(e[0], "line");
	net_pair(l, f); /* the other direction, to the one that accepted nothing */
	SAME(send(f[1], "Z", 1, MSG_OOB), 1);
	CHECK(net_poll(f[0], POLLPRI, 1000) & POLLPRI);
	CHECK(net_poll(e[1], POLLIN, 1000) & POLLIN);
	CHECK(net_poll(a[1], POLLPRI, 1000) & POLLPRI);

	scenario_wait();

	verify_unaccepted(unaccepted);

	CHECK(net_poll(a[1], POLLPRI, 0) & POLLPRI);
	net_expect(a[1], "abc");
	SAME(at_mark(a[1]), 1);
	SAME(recv(a[1], &x, 1, MSG_OOB), 1);
	SAME(x, 'U');
	net_expect(a[1], "def");
	net_empty(a[1]);
	SAME(at_mark(b[1]), 1);
	SAME(recv(b[1], &x, 1, MSG_OOB), 1);
	SAME(x, 'V');
	net_expect(b[1], "behind");
	SAME(recv(c[1], &x, 1, MSG_OOB), 1);
	SAME(x, 'W');
	net_empty(c[1]);
	SAME(recv(d[1], &x, 1, MSG_OOB), -1);
	SAME(errno, EINVAL);
	net_expect(d[1], "123");
	net_expect(d[1], "456");
	net_empty(d[1]);
	net_expect(e[1], "in");
	SAME(at_mark(e[1]), 1);
	net_expect(e[1], "Yline");
	net_empty(e[1]);
	SAME(net_get(e[1], SOL_SOCKET, SO_OOBINLINE), 1);
	SAME(net_get(a[1], SOL_SOCKET, SO_OOBINLINE), 0);
	SAME(recv(f[0], &x, 1, MSG_OOB), 1);
	SAME(x, 'Z');
	scenario_ok();
}
