/*
 * What is left of a pair: the name of an end that is closed; who made it, and
 * the packets of the other end, after it was disconnected; the error of that
 * one; another that was connected to an end while it was alone. A seqpacket
 * socket that was shut down before it was connected.
 */
#include "scenario.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void name_it(int fd, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	strcpy(a.sun_path + (path[0] == '@'), path + (path[0] == '@'));
	MUST(bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))));
}

static void peer_is(int fd, const char *path)
{
	struct sockaddr_un a = {0};
	socklen_t len = sizeof(a);

	MUST(getpeername(fd, (struct sockaddr *)&a, &len));
	SAME(len, offsetof(struct sockaddr_un, sun_path) + strlen(path) + (path[0] && path[0] != '@'));
	CHECK(strncmp(a.sun_path + (path[0] == '@'), path + (path[0] == '@'), strlen(path) - (path[0] == '@')) == 0);
}

static void made_by_me(int fd)
{
	struct ucred u;
	socklen_t len = sizeof(u);

	MUST(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len));
	SAME(u.pid, getpid());
	SAME(u.uid, getuid());
}

static int error_of(int fd)
{
	int error = -1;
	socklen_t len = sizeof(error);

	MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	return error;
}

static void received(int fd, const char *what, const char *sender)
{
	struct sockaddr_un from = {0};
	socklen_t len = sizeof(from);
	char got[16];

	SAME(recvfrom(fd, got, sizeof(got), MSG_DONTWAIT, (struct sockaddr *)&from, &len), strlen(what));
	CHECK(memcmp(got, what, strlen(what)) == 0);
	CHECK(strcmp(from.sun_path + (sender[0] == '@'), sender + (sender[0] == '@')) == 0);
}

static void connect_to(int fd, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	strcpy(a.sun_path + 1, name + 1);
	MUST(connect(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))));
}

static void disconnect(int fd)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	MUST(connect(fd, &none, sizeof(none)));
}

static int path[2], abstract[2], apart[2], named[2], lived[2], died[2], both[2], stays[2], gone[2], anew[2], third;

static void make_closed(void)
{
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, path));
	name_it(path[1], "here");
	SAME(send(path[1], "last words", 10, 0), 10);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, abstract));
	name_it(abstract[1], "@left behind");
	MUST(close(path[1]));
	MUST(close(abstract[1]));

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, apart));
	disconnect(apart[0]);
	SAME(send(apart[1], "one", 3, 0), 3);
	SAME(send(apart[1], "two", 3, 0), 3);
	MUST(close(apart[1]));

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, named));
	name_it(named[1], "there");
	disconnect(named[0]);
	SAME(send(named[1], "three", 5, 0), 5);
	MUST(close(named[1]));
	MUST(unlink("there"));
}

static void make_parted(void)
{
	/* one leaves with something unread: an error of the other's */
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, lived));
	SAME(send(lived[0], "lost", 4, 0), 4);
	disconnect(lived[1]);
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, died));
	SAME(send(died[0], "lost", 4, 0), 4);
	disconnect(died[1]);
	MUST(close(died[1]));

	/* one leaves, and both have something of the other */
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, both));
	name_it(both[1], "@both of them");
	SAME(send(both[1], "to you", 6, 0), 6);
	disconnect(both[1]);
	SAME(send(both[0], "to me", 5, 0), 5);

	/* one leaves, the other stays, and neither has a name */
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, stays));
	disconnect(stays[0]);
	SAME(send(stays[1], "still", 5, 0), 5);

	/* one had a name, and is gone */
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, gone));
	name_it(gone[1], "@gone");
	SAME(send(gone[1], "bye", 3, 0), 3);
	MUST(close(gone[1]));
}

static void make_anew(void)
{
	/* connected anew, by name, behind another */
	third = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, anew));
	name_it(anew[0], "@anew 0");
	name_it(anew[1], "@anew 1");
	disconnect(anew[0]);
	disconnect(anew[1]);
	connect_to(third, "@anew 0");
	SAME(send(third, "third", 5, 0), 5);
	connect_to(anew[0], "@anew 1");
	connect_to(anew[1], "@anew 0");
	SAME(send(anew[1], "other", 5, 0), 5);
}

static void verify_closed(void)
{
	char got[16];

	peer_is(path[0], "here");
	SAME(recv(path[0], got, sizeof(got), 0), 10);
	SAME(recv(path[0], got, sizeof(got), 0), 0);
	peer_is(abstract[0], "@left behind");
	made_by_me(path[0]);

	made_by_me(apart[0]);
	SAME(send(apart[0], "x", 1, 0), -1);
	SAME(errno, ENOTCONN);
	SAME(recv(apart[0], got, sizeof(got), MSG_DONTWAIT), 3);
	CHECK(memcmp(got, "one", 3) == 0);
	SAME(recv(apart[0], got, sizeof(got), MSG_DONTWAIT), 3);
	CHECK(memcmp(got, "two", 3) == 0);
	SAME(recv(apart[0], got, sizeof(got), MSG_DONTWAIT), -1);

	made_by_me(named[0]);
	received(named[0], "three", "there");
	SAME(access("there", F_OK), -1);
}

static void verify_parted(void)
{
	SAME(error_of(lived[0]), ECONNRESET);
	SAME(send(lived[0], "again", 5, 0), 5);
	received(lived[1], "again", "");
	SAME(error_of(died[0]), ECONNRESET);
	SAME(send(died[0], "again", 5, 0), -1);
	SAME(errno, ECONNREFUSED);

	received(both[0], "to you", "@both of them");
	received(both[1], "to me", "");
	SAME(send(both[1], "x", 1, 0), -1);
	SAME(errno, ENOTCONN);

	received(stays[0], "still", "");
	SAME(send(stays[1], "on", 2, 0), 2);
	received(stays[0], "on", "");
	received(gone[0], "bye", "@gone");
	peer_is(gone[0], "@gone");
}

static void verify_anew(void)
{
	made_by_me(anew[0]);
	received(anew[0], "third", "");
	received(anew[0], "other", "@anew 1");
	peer_is(third, "@anew 0");
	peer_is(anew[0], "@anew 1");
}

int main(void)
{
	int shut = MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	struct pollfd p = {.fd = shut, .events = POLLIN};
	char got[16];

	make_closed();
	make_parted();
	make_anew();
	MUST(shutdown(shut, SHUT_RDWR));

	scenario_wait();

	verify_closed();
	verify_parted();
	verify_anew();
	MUST(poll(&p, 1, 0));
	SAME(p.revents, POLLIN | POLLHUP);
	SAME(recv(shut, got, sizeof(got), MSG_DONTWAIT), -1);
	SAME(errno, ENOTCONN);
	scenario_ok();
}
