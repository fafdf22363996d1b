/*
 * TCP sockets that aren't connected, in odd ways: shut down before anything
 * else; with the port of a connect that was refused, which is nobody's any
 * more, and before the program has connected once more to clear that away. And the options that a connection has of its listener when nobody has
 * accepted it yet.
 */
#include "scenario.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct sockaddr_in home = {.sin_family = AF_INET, .sin_addr = {.s_addr = 0x0100007f}};

static int made(void)
{
	return MUST(socket(AF_INET, SOCK_STREAM, 0));
}

static in_port_t port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	MUST(getsockname(fd, (struct sockaddr *)&a, &len));
	return a.sin_port;
}

static int number(int fd, int level, int name)
{
	int v = -1;
	socklen_t len = sizeof(v);

	MUST(getsockopt(fd, level, name, &v, &len));
	return v;
}

static int connected_to(int fd, in_port_t port)
{
	struct sockaddr_in a = home;

	a.sin_port = port;
	return connect(fd, (struct sockaddr *)&a, sizeof(a));
}

int main(void)
{
	int shut = made(), bound = made(), refused = made(), listener = made(), client = made(), nobody = made(), once = made(), told = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), fd;
	struct pollfd p = {.fd = shut, .events = POLLIN | POLLRDHUP};
	struct sockaddr_in a = home;
	in_port_t port, old, was, heard;

	SAME(shutdown(shut, SHUT_RDWR), -1);
	SAME(errno, ENOTCONN);
	MUST(bind(bound, (const struct sockaddr *)&home, sizeof(home)));
	SAME(shutdown(bound, SHUT_RDWR), -1);
	port = port_of(bound);

	MUST(bind(nobody, (const struct sockaddr *)&home, sizeof(home)));
	SAME(connected_to(refused, port_of(nobody)), -1);
	SAME(errno, ECONNREFUSED);
	old = port_of(refused);
	CHECK(old != 0);

	MUST(bind(once, (const struct sockaddr *)&home, sizeof(home)));
	MUST(listen(once, 1));
	MUST(shutdown(once, SHUT_RDWR));
	heard = port_of(once);

	SAME(connected_to(told, port_of(nobody)), -1);
	SAME(errno, EINPROGRESS);
	p.fd = told;
	SAME(poll(&p, 1, 10000), 1);
	p.fd = shut;
	SAME(number(told, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
	was = port_of(told);

	MUST(setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)));
	MUST(setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int)));
	MUST(bind(listener, (const struct sockaddr *)&home, sizeof(home)));
	MUST(listen(listener, 4));
	SAME(connected_to(client, port_of(listener)), 0);
	SAME(send(client, "hello", 5, 0), 5);

	scenario_wait();

	MUST(poll(&p, 1, 0));
	SAME(p.revents, POLLIN | POLLHUP | POLLRDHUP);
	SAME(port_of(shut), 0);
	SAME(connected_to(shut, port_of(listener)), 0);
	SAME(port_of(bound), port);
	SAME(bind(bound, (const struct sockaddr *)&home, sizeof(home)), -1);
	SAME(errno, EINVAL);

	SAME(port_of(refused), old);
	a.sin_port = old;
	fd = made();
	MUST(bind(fd, (struct sockaddr *)&a, sizeof(a))); /* it holds no port */
	MUST(close(fd));
	MUST(bind(refused, (struct sockaddr *)&home, sizeof(home)));
	SAME(connected_to(refused, port_of(listener)), 0);

	SAME(port_of(once), heard);
	a.sin_port = heard;
	fd = made();
	MUST(bind(fd, (struct sockaddr *)&a, sizeof(a)));
	MUST(close(fd));
	MUST(listen(once, 1));
	CHECK(port_of(once) != 0);

	SAME(port_of(told), was);
	SAME(number(told, SOL_SOCKET, SO_ERROR), 0);
	SAME(recv(told, &port, 1, 0), 0);
	SAME(connected_to(told, port_of(listener)), -1);
	SAME(errno, ECONNABORTED);
	SAME(connected_to(told, port_of(listener)), -1);
	SAME(errno, EINPROGRESS);

	fd = MUST(accept(listener, NULL, NULL));
	SAME(number(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	SAME(number(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	SAME(number(fd, SOL_SOCKET, SO_REUSEADDR), 0);
	SAME(number(listener, SOL_SOCKET, SO_REUSEADDR), 0);
	scenario_ok();
}
