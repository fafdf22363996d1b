/* scenario-checkpoints: 3 */
/* Out-of-band bytes: waiting, taken, alone, inline, behind an error. */
#include "un.h"

#include <sys/ioctl.h>

static void make(int fd[2], const char *before, const char *oob, const char *behind)
{
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	un_send(fd[0], before);
	if (*oob)
		SAME(send(fd[0], oob, 1, MSG_OOB), 1);
	un_send(fd[0], behind);
}

static const char *urgent(int fd)
{
	static char byte[2];

	if (recv(fd, byte, 1, MSG_OOB | MSG_DONTWAIT) != 1)
		return errno == EINVAL ? "EINVAL" : "error";
	return byte;
}

static int at_mark(int fd)
{
	int is = -1;

	MUST(ioctl(fd, SIOCATMARK, &is));
	return is;
}

/* The other end goes, and leaves what it was sent unread. */
static void reset(int fd[2])
{
	un_send(fd[1], "unread");
	MUST(close(fd[0]));
}

int main(void)
{
	int waits[2], taken[2], first[2], renewed[2], alone[2], behind[2], inlined[2], named[2], one = 1;
	pid_t child;

	make(waits, "ab", "!", "cd");
	make(taken, "ab", "!", "cd");
	TEXT(urgent(taken[1]), "!");
	make(first, "", "!", "cd");
	TEXT(urgent(first[1]), "!");
	make(renewed, "ab", "!", "cd");
	TEXT(urgent(renewed[1]), "!");
	SAME(send(renewed[0], "?", 1, MSG_OOB), 1);
	make(alone, "", "!", "");
	reset(alone);
	make(behind, "ab", "!", "cd");
	reset(behind);
	make(inlined, "ab", "!", "cd");
	MUST(setsockopt(inlined[1], SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)));
	/* its messages bear credentials, of two processes */
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, named));
	MUST(setsockopt(named[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
	un_send(named[0], "ab");
	SAME(send(named[0], "!", 1, MSG_OOB), 1);
	un_send(named[0], "cd");
	TEXT(urgent(named[1]), "!");
	child = MUST(fork());
	if (child == 0) {
		un_send(named[0], "ef");
		_exit(0);
	}
	SAME(waitpid(child, NULL, 0), child);

	scenario_wait();
	CHECK(un_poll(waits[1]) & POLLIN);
	SAME(at_mark(waits[1]), 0);
	TEXT(urgent(waits[1]), "!");
	TEXT(un_recv(waits[1]), "ab");
	TEXT(un_recv(waits[1]), "cd");
	SAME(at_mark(taken[1]), 0);
	TEXT(urgent(taken[1]), "EINVAL");
	TEXT(un_recv(taken[1]), "ab");
	SAME(at_mark(taken[1]), 1);
	TEXT(un_recv(taken[1]), "cd");
	SAME(at_mark(first[1]), 1);
	TEXT(un_recv(first[1]), "cd");
	TEXT(un_recv(renewed[1]), "abcd");
	SAME(at_mark(renewed[1]), 1);
	TEXT(urgent(renewed[1]), "?");
	TEXT(urgent(alone[1]), "!");
	TEXT(un_recv(alone[1]), "ECONNRESET");
	TEXT(un_recv(alone[1]), "");
	TEXT(urgent(behind[1]), "!");
	TEXT(un_recv(behind[1]), "ab");
	TEXT(un_recv(behind[1]), "cd");
	TEXT(un_recv(behind[1]), "ECONNRESET");
	TEXT(un_recv(inlined[1]), "ab");
	SAME(at_mark(inlined[1]), 1);
	TEXT(un_recv(inlined[1]), "!cd");
	TEXT(un_recv(inlined[1]), "EAGAIN");
	TEXT(un_recv(named[1]), "ab");
	SAME(at_mark(named[1]), 1);
	TEXT(un_recv(named[1]), "cd");
	SAME(at_mark(named[1]), 0);
	TEXT(un_recv(named[1]), "ef");
	scenario_ok();
}
