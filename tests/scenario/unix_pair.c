/* Socketpairs: bytes in both directions, shutdown of each direction, peers that are gone. */
#include "un.h"

static int both[2], ended[2], deaf[2], gone[2], reset[2];

static void make(void)
{
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, both));
	un_send(both[0], "to one");
	un_send(both[1], "to zero");
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ended));
	un_send(ended[0], "last");
	MUST(shutdown(ended[0], SHUT_WR));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, deaf));
	un_send(deaf[0], "heard");
	MUST(shutdown(deaf[1], SHUT_RD));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, gone));
	un_send(gone[0], "left");
	close(gone[0]);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, reset));
	un_send(reset[0], "also left");
	un_send(reset[1], "never read");
	close(reset[0]);
}

int main(void)
{
	make();
	scenario_wait();
	TEXT(un_recv(both[1]), "to one");
	TEXT(un_recv(both[0]), "to zero");
	TEXT(un_recv(both[0]), "EAGAIN");
	un_send(both[0], "more");
	TEXT(un_recv(both[1]), "more");
	SAME(un_cred(both[0]).pid, getpid());

	TEXT(un_recv(ended[1]), "last");
	TEXT(un_recv(ended[1]), "");
	un_send(ended[1], "back");
	TEXT(un_recv(ended[0]), "back");
	SAME(send(ended[0], "x", 1, MSG_NOSIGNAL), -1);
	SAME(errno, EPIPE);

	TEXT(un_recv(deaf[1]), "heard");
	TEXT(un_recv(deaf[1]), "");
	SAME(send(deaf[0], "x", 1, MSG_NOSIGNAL), -1);
	SAME(errno, EPIPE);
	un_send(deaf[1], "speaks");
	TEXT(un_recv(deaf[0]), "speaks");

	TEXT(un_recv(gone[1]), "left");
	TEXT(un_recv(gone[1]), "");
	CHECK(un_poll(gone[1]) & POLLHUP);
	SAME(send(gone[1], "x", 1, MSG_NOSIGNAL), -1);
	SAME(errno, EPIPE);

	CHECK(un_poll(reset[1]) & POLLERR);
	TEXT(un_recv(reset[1]), "also left");
	TEXT(un_recv(reset[1]), "ECONNRESET");
	TEXT(un_recv(reset[1]), "");
	scenario_ok();
}
