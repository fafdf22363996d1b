/* scenario-checkpoints: 3 */
/* Connections that nobody has accepted: in their order, with data, with a name, with the client closed already. */
#include "un.h"

#include <sys/epoll.h>

/* Clients that have sent something, one that is gone, one with a descriptor in flight; accepted in a child. */
static void with_data(int listener, int *client, int *pipes)
{
	for (int i = 0; i < 4; i++) {
		client[i] = un_connected(SOCK_STREAM, "held");
		un_send(client[i], (char[]){ 'a' + i, '\0' });
	}
	close(client[1]);
	MUST(shutdown(client[2], SHUT_WR));
	MUST(pipe(pipes));
	un_send_fds(client[3], "F", &pipes[1], 1);
	SAME(write(pipes[1], "x", 1), 1);
	CHECK(un_poll(listener) & POLLIN);
}

static void accept_data(int listener, const int *client, const int *pipes)
{
	struct sockaddr_un a = { 0 };
	socklen_t len = sizeof(a);
	char text[20];
	int fd, fds[3];

	fd = MUST(accept4(listener, (struct sockaddr *)&a, &len, SOCK_CLOEXEC | SOCK_NONBLOCK));
	SAME(len, 2);
	TEXT(un_recv(fd), "a");
	SAME(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	TEXT(un_name(fd), "held");
	un_send(fd, "answer");
	TEXT(un_recv(client[0]), "answer");
	fd = MUST(accept(listener, NULL, NULL));
	TEXT(un_recv(fd), "b");
	TEXT(un_recv(fd), "");
	fd = MUST(accept(listener, NULL, NULL));
	TEXT(un_recv(fd), "c");
	TEXT(un_recv(fd), "");
	un_send(fd, "still");
	TEXT(un_recv(client[2]), "still");
	fd = MUST(accept(listener, NULL, NULL));
	SAME(recv(fd, text, 1, 0), 1);
	SAME(text[0], 'd');
	SAME(un_recv_fds(fd, text, 10, fds), 1);
	SAME(write(fds[0], "y", 1), 1);
	SAME(read(pipes[0], text, 10), 2);
	CHECK(!(un_poll(listener) & POLLIN));
}

int main(void)
{
	int listener = un_listener(SOCK_STREAM, "@scenario backlog", 10), client[5], server, second;
	int held = un_listener(SOCK_STREAM, "held", 10), with[4], pipes[2], status, epoll = MUST(epoll_create1(0));
	struct epoll_event ready = { .events = EPOLLIN };
	pid_t child;

	for (int i = 0; i < 5; i++) {
		char name[30];

		snprintf(name, sizeof(name), "@scenario client %d", i);
		client[i] = un_bound(SOCK_STREAM, name);
		MUST(un_connect(client[i], "@scenario backlog"));
	}
	with_data(held, with, pipes);
	MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, held, &ready));

	scenario_wait();
	SAME(epoll_wait(epoll, &ready, 1, 0), 1);
	child = MUST(fork());
	if (child == 0) {
		accept_data(held, with, pipes);
		_exit(0);
	}
	SAME(waitpid(child, &status, 0), child);
	SAME(status, 0);
	CHECK(un_poll(listener) & POLLIN);
	for (int i = 0; i < 5; i++) {
		char name[30];

		snprintf(name, sizeof(name), "@scenario client %d", i);
		server = MUST(accept(listener, NULL, NULL));
		TEXT(un_peer(server), name);
		TEXT(un_peer(client[i]), "@scenario backlog");
		un_send(client[i], name);
		TEXT(un_recv(server), name);
		SAME(un_cred(server).pid, getpid());
	}
	CHECK(!(un_poll(listener) & POLLIN));
	un_meet(listener, SOCK_STREAM, "@scenario backlog", &server, &second);
	scenario_ok();
}
