/* scenario-steps: gkgk */
/* The processes behind SO_PEERPIDFD and SCM_PIDFD: they can be polled and signalled; those that were gone stay gone. */
#include "un.h"

#include <signal.h>
#include <sys/syscall.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif
#define PIDFD_MESSAGE 4 /* SCM_PIDFD */

/* -1 none, as where the kernel has forgotten a process that is gone. */
static int peer_process(int fd, bool raw)
{
	int pidfd = -1;
	socklen_t len = sizeof(pidfd);

	if (raw)
		(void)syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len);
	else
		(void)getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len);
	return pidfd;
}

static int sender_process(int fd, const char *text)
{
	char room[200], got[50] = "";
	struct iovec iov = { got, sizeof(got) - 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	int pidfd = -1;

	MUST(recvmsg(fd, &m, MSG_DONTWAIT));
	TEXT(got, text);
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == PIDFD_MESSAGE)
			memcpy(&pidfd, CMSG_DATA(h), sizeof(pidfd));
	return pidfd;
}

static bool lives(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return pidfd >= 0 && MUST(poll(&p, 1, 0)) == 0 && syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0;
}

static void same_process(int pidfd, pid_t pid)
{
	struct stat a, b;
	int own = (int)MUST(syscall(SYS_pidfd_open, pid, 0));

	CHECK(lives(pidfd));
	MUST(fstat(pidfd, &a));
	MUST(fstat(own, &b));
	SAME(a.st_ino, b.st_ino);
	SAME(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	close(own);
	close(pidfd);
}

/* Connects, once more without being accepted, sends, and waits to be killed. */
__attribute__((noreturn)) static void client(int to)
{
	int fd = un_connected(SOCK_STREAM, "@scenario listener");

	un_send(un_connected(SOCK_STREAM, "@scenario listener"), "waits");
	un_send(to, "child");
	un_send(fd, "ready");
	for (;;)
		pause();
}

int main(void)
{
	int listener = un_listener(SOCK_STREAM, "@scenario listener", 5), pair[2], dead, accepted, pending, fd, one = 1, status;
	pid_t gone, child;
	char c;

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	if (setsockopt(pair[1], SOL_SOCKET, SO_PASSPIDFD, &one, sizeof(one)) < 0)
		scenario_skip("this kernel has no SO_PASSPIDFD");
	gone = MUST(fork());
	if (gone == 0) {
		(void)un_connected(SOCK_STREAM, "@scenario listener");
		un_send(pair[0], "gone");
		_exit(0);
	}
	dead = MUST(accept(listener, NULL, NULL));
	SAME(waitpid(gone, &status, 0), gone);
	child = MUST(fork());
	if (child == 0)
		client(pair[0]);
	accepted = MUST(accept(listener, NULL, NULL));
	SAME(recv(accepted, &c, 1, 0), 1);

	scenario_wait();
	same_process(peer_process(accepted, false), child);
	same_process(peer_process(accepted, true), child);
	same_process(peer_process(pair[0], false), getpid());
	same_process(peer_process(un_connected(SOCK_STREAM, "@scenario listener"), false), getpid());
	CHECK(!lives(peer_process(dead, false)));
	CHECK(!lives(sender_process(pair[1], "gone")));
	fd = sender_process(pair[1], "child");
	pending = MUST(accept(listener, NULL, NULL));
	same_process(peer_process(pending, false), child);
	TEXT(un_recv(pending), "waits");
	CHECK(lives(fd));
	SAME(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0), 0);
	SAME(waitpid(child, &status, 0), child);
	SAME(WTERMSIG(status), SIGKILL);
	CHECK(!lives(fd));
	CHECK(!lives(peer_process(accepted, false)));
	scenario_ok();
}
