/* Who connected, who listened, who sent: processes of the tree, some of them gone. */
#include "un.h"

static pid_t sender_of(int fd, const char *text)
{
	char room[CMSG_SPACE(sizeof(struct ucred)) + 64], got[50] = "";
	struct iovec iov = { got, sizeof(got) - 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct ucred cred;
	struct cmsghdr *h;

	MUST(recvmsg(fd, &m, MSG_DONTWAIT));
	TEXT(got, text);
	h = CMSG_FIRSTHDR(&m);
	CHECK(h && h->cmsg_type == SCM_CREDENTIALS);
	memcpy(&cred, CMSG_DATA(h), sizeof(cred));
	SAME(cred.uid, getuid());
	return cred.pid;
}

int main(void)
{
	int listener = un_listener(SOCK_STREAM, "@scenario who", 5), pair[2], gone, living, one = 1, turn[2], status;
	pid_t dead, child;
	char c;

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	MUST(pipe(turn));
	MUST(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
	dead = MUST(fork());
	if (dead == 0) {
		int fd = un_connected(SOCK_STREAM, "@scenario who");

		un_send(fd, "farewell");
		un_send(pair[0], "dead");
		_exit(0);
	}
	gone = MUST(accept(listener, NULL, NULL));
	SAME(waitpid(dead, &status, 0), dead);
	child = MUST(fork());
	if (child == 0) {
		int fd;

		un_send(pair[0], "child");
		fd = un_connected(SOCK_STREAM, "@scenario who");
		close(turn[1]);
		SAME(read(turn[0], &c, 1), 0);
		SAME(un_cred(fd).pid, getppid());
		un_send(fd, "still here");
		_exit(7);
	}
	close(turn[0]);
	living = MUST(accept(listener, NULL, NULL));
	un_send(pair[0], "parent");

	scenario_wait();
	SAME(un_cred(gone).pid, dead);
	SAME(un_cred(gone).uid, getuid());
	SAME(un_cred(living).pid, child);
	SAME(un_cred(pair[0]).pid, getpid());
	SAME(sender_of(pair[1], "dead"), dead);
	SAME(sender_of(pair[1], "child"), child);
	SAME(sender_of(pair[1], "parent"), getpid());
	TEXT(un_recv(gone), "farewell");
	TEXT(un_recv(gone), "");
	close(turn[1]);
	SAME(waitpid(child, &status, 0), child);
	SAME(WEXITSTATUS(status), 7);
	TEXT(un_recv(living), "still here");
	scenario_ok();
}
