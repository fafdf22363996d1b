/*
 * Sockets of root's and of another user's in one tree, in turn: files that were moved, connections to a file whose mode
 * is another than at its making, also where the listener is gone; who made each stays known.
 *
 * scenario-only: root
 * scenario-checkpoints: 2
 */
#include "un.h"

#define ENDS 6
#define OTHER 1000

static struct {
	int listener, client, server;
} end[ENDS];

static uid_t user(int i)
{
	return i % 2 ? OTHER : 0;
}

static void made_by(int fd, int i)
{
	struct ucred c;
	socklen_t len = sizeof(c);

	MUST(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len));
	SAME(c.uid, user(i));
	SAME(c.pid, getpid());
}

static void make(int i)
{
	char from[32], to[32];
	int gone;

	snprintf(from, sizeof(from), "one/%d", i);
	snprintf(to, sizeof(to), "two/%d", i);
	MUST(seteuid(user(i)));
	end[i].listener = un_listener(SOCK_STREAM, from, 4);
	MUST(rename(from, to));
	snprintf(from, sizeof(from), "one/gone %d", i);
	MUST(seteuid(0));
	gone = un_listener(SOCK_STREAM, from, 4);
	MUST(chmod(from, 0666));
	MUST(seteuid(user(i)));
	end[i].client = un_connected(SOCK_STREAM, from);
	MUST(seteuid(0));
	end[i].server = MUST(accept(gone, NULL, NULL));
	close(gone);
	if (i % 3)
		MUST(unlink(from));
}

static void verify(int i)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "one/%d", i);
	TEXT(un_name(end[i].listener), name);
	snprintf(name, sizeof(name), "two/%d", i);
	fd = un_connected(SOCK_STREAM, name);
	made_by(fd, i);
	close(fd);
	snprintf(name, sizeof(name), "one/gone %d", i);
	TEXT(un_name(end[i].server), name);
	made_by(end[i].server, i);
	un_send(end[i].client, "x");
	TEXT(un_recv(end[i].server), "x");
}

/* A process that has given up root, connected to one that hasn't. */
static int worker(int listener)
{
	pid_t pid = MUST(fork());
	char got;
	int fd;

	if (pid == 0) {
		MUST(setuid(OTHER));
		fd = un_connected(SOCK_SEQPACKET, "open to all");
		SAME(read(fd, &got, 1), 1);
		un_send(fd, "done");
		SAME(read(fd, &got, 1), 0);
		_exit(0);
	}
	fd = MUST(accept(listener, NULL, NULL));
	MUST(fcntl(fd, F_SETFD, FD_CLOEXEC));
	return fd;
}

int main(void)
{
	int listener, to, status;
	char done[8];

	umask(022);
	MUST(mkdir("one", 0700));
	MUST(mkdir("two", 0700));
	MUST(chmod("one", 0777));
	MUST(chmod("two", 0777));
	MUST(chmod(".", 0755));
	listener = un_listener(SOCK_SEQPACKET, "open to all", 4);
	MUST(chmod("open to all", 0666));
	to = worker(listener);
	for (int i = 0; i < ENDS; i++)
		make(i);

	scenario_wait();

	for (int i = 0; i < ENDS; i++)
		verify(i);
	un_send(to, "x");
	SAME(read(to, done, sizeof(done)), 4);
	close(to);
	MUST(wait(&status));
	SAME(status, 0);
	scenario_ok();
}
