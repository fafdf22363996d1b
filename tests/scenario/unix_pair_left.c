/*
 * What is left of a pair: the name of an end that is closed; who made it, and
 * the packets of the other end, after it was disconnected. A seqpacket socket
 * that was shut down before it was connected.
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

static void disconnect(int fd)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	MUST(connect(fd, &none, sizeof(none)));
}

int main(void)
{
	int path[2], abstract[2], apart[2], named[2], shut = MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	struct sockaddr_un from = {0};
	struct pollfd p = {.fd = shut, .events = POLLIN};
	socklen_t len = sizeof(from);
	char got[16];

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

	MUST(shutdown(shut, SHUT_RDWR));

	scenario_wait();

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
	SAME(recvfrom(named[0], got, sizeof(got), MSG_DONTWAIT, (struct sockaddr *)&from, &len), 5);
	SAME(strcmp(from.sun_path, "there"), 0);
	SAME(access("there", F_OK), -1);

	MUST(poll(&p, 1, 0));
	SAME(p.revents, POLLIN | POLLHUP);
	SAME(recv(shut, got, sizeof(got), MSG_DONTWAIT), -1);
	SAME(errno, ENOTCONN);
	scenario_ok();
}
