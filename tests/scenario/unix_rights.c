/* Descriptors in flight: a pipe, a listener and a connected socket that exist in the queue only, a socket in its own queue. */
#include "un.h"

static int descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int main(void)
{
	int carrier[2], own[2], pipes[2], other[2], many[2], fds[253], got[253], listener, client, server, before;
	char text[100];
	struct stat a, b;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, carrier));
	MUST(pipe(pipes));
	SAME(write(pipes[1], "in the pipe", 11), 11);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, other));
	un_send(other[0], "in the socket");
	listener = un_listener(SOCK_STREAM, "@scenario in flight", 2);
	fds[0] = pipes[0];
	fds[1] = listener;
	fds[2] = other[1];
	un_send(carrier[0], "before");
	un_send_fds(carrier[0], "R", fds, 3);
	un_send(carrier[0], "behind");
	close(pipes[0]);
	close(listener);
	close(other[1]);
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, own));
	fds[0] = own[1];
	un_send_fds(own[0], "self", fds, 1);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, many));
	for (int i = 0; i < 253; i++)
		fds[i] = i % 2 ? pipes[1] : many[0];
	un_send_fds(many[0], "many", fds, 253);
	before = descriptors();

	scenario_wait();
	SAME(descriptors(), before);
	SAME(recv(carrier[1], text, 6, MSG_DONTWAIT), 6);
	CHECK(memcmp(text, "before", 6) == 0);
	SAME(un_recv_fds(carrier[1], text, 1, got), 3);
	TEXT(text, "R");
	TEXT(un_recv(carrier[1]), "behind");
	SAME(read(got[0], text, sizeof(text)), 11);
	TEXT(un_name(got[1]), "@scenario in flight");
	un_meet(got[1], SOCK_STREAM, "@scenario in flight", &client, &server);
	TEXT(un_recv(got[2]), "in the socket");
	un_send(got[2], "answer");
	TEXT(un_recv(other[0]), "answer");
	SAME(un_recv_fds(own[1], text, sizeof(text) - 1, got), 1);
	MUST(fstat(own[1], &a));
	MUST(fstat(got[0], &b));
	SAME(a.st_ino, b.st_ino);
	SAME(un_recv_fds(many[1], text, sizeof(text) - 1, got), 253);
	TEXT(text, "many");
	MUST(fstat(pipes[1], &a));
	MUST(fstat(got[251], &b));
	SAME(a.st_ino, b.st_ino);
	scenario_ok();
}
