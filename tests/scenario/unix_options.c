/* Options, owner and the out-of-band byte. */
#include "un.h"

#include <linux/filter.h>

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	MUST(getsockopt(fd, SOL_SOCKET, name, &value, &len));
	return value;
}

static void set(int fd, int name, int value)
{
	MUST(setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value)));
}

int main(void)
{
	struct sock_filter code[2] = { BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_RET | BPF_A, 0) };
	struct sock_fprog program = { 2, code };
	struct timeval time = { 3, 500000 };
	struct linger linger = { 1, 9 }, seen;
	int pair[2], oob[2], dgram[2], sndbuf;
	socklen_t len;
	char c;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	set(pair[0], SO_SNDBUF, 50000);
	set(pair[0], SO_RCVBUF, 60000);
	set(pair[0], SO_RCVLOWAT, 7);
	set(pair[0], SO_PASSCRED, 1);
	MUST(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	MUST(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	MUST(fcntl(pair[1], F_SETOWN, getpid()));
	MUST(fcntl(pair[1], F_SETSIG, SIGURG));
	sndbuf = option(pair[1], SO_SNDBUF);
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram));
	MUST(setsockopt(dgram[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
	set(dgram[1], SO_LOCK_FILTER, 1);
	un_send(dgram[0], "filtered");
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, oob));
	un_send(oob[0], "before");
	SAME(send(oob[0], "!", 1, MSG_OOB), 1);
	un_send(oob[0], "behind");

	scenario_wait();
	SAME(option(pair[0], SO_SNDBUF), 100000);
	SAME(option(pair[0], SO_RCVBUF), 120000);
	SAME(option(pair[0], SO_RCVLOWAT), 7);
	SAME(option(pair[0], SO_PASSCRED), 1);
	SAME(option(pair[1], SO_PASSCRED), 0);
	SAME(option(pair[1], SO_SNDBUF), sndbuf);
	len = sizeof(time);
	MUST(getsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &time, &len));
	SAME(time.tv_sec, 3);
	SAME(time.tv_usec, 500000);
	len = sizeof(seen);
	MUST(getsockopt(pair[1], SOL_SOCKET, SO_LINGER, &seen, &len));
	SAME(seen.l_linger, 9);
	SAME(fcntl(pair[1], F_GETOWN), getpid());
	SAME(fcntl(pair[1], F_GETSIG), SIGURG);
	TEXT(un_recv(dgram[1]), "filtered");
	SAME(option(dgram[1], SO_LOCK_FILTER), 1);
	len = 0;
	MUST(getsockopt(dgram[1], SOL_SOCKET, SO_GET_FILTER, NULL, &len));
	SAME(len, 2);
	SAME(recv(oob[1], &c, 1, MSG_OOB), 1);
	SAME(c, '!');
	TEXT(un_recv(oob[1]), "before");
	TEXT(un_recv(oob[1]), "behind");
	scenario_ok();
}
