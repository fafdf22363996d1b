/* scenario-steps: ggkgk */
/* Packets: their limits, empty ones, large ones, partly read ones, a peek offset of the program's, a peer that left some unread. */
#include "un.h"

static char large[150000], got[200000];

int main(void)
{
	int seq[2], dgram[2], big[2], peek[2], offset = 2, end[2], reset[2];
	socklen_t len = sizeof(offset);

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, seq));
	un_send(seq[0], "one");
	un_send(seq[0], "");
	un_send(seq[0], "three");
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram));
	for (int i = 0; i < 50; i++) {
		snprintf(got, sizeof(got), "packet %d", i);
		un_send(dgram[0], got);
	}
	un_send(dgram[1], "");
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, big));
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i * 7 % 253);
	SAME(send(big[0], large, sizeof(large), 0), sizeof(large));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, peek));
	MUST(setsockopt(peek[1], SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)));
	un_send(peek[0], "abcdef");
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, end));
	un_send(end[0], "last");
	close(end[0]);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, reset));
	un_send(reset[1], "unread");
	close(reset[0]);

	scenario_wait();
	TEXT(un_recv(seq[1]), "one");
	TEXT(un_recv(seq[1]), "");
	TEXT(un_recv(seq[1]), "three");
	TEXT(un_recv(seq[1]), "EAGAIN");
	for (int i = 0; i < 50; i++) {
		snprintf(got, sizeof(got), "packet %d", i);
		TEXT(un_recv(dgram[1]), got);
	}
	TEXT(un_recv(dgram[1]), "EAGAIN");
	TEXT(un_recv(dgram[0]), "");
	TEXT(un_recv(dgram[0]), "EAGAIN");
	SAME(recv(big[1], got, sizeof(got), MSG_DONTWAIT), sizeof(large));
	CHECK(memcmp(got, large, sizeof(large)) == 0);
	MUST(getsockopt(peek[1], SOL_SOCKET, SO_PEEK_OFF, &offset, &len));
	SAME(offset, 2);
	SAME(recv(peek[1], got, 10, MSG_PEEK), 4);
	CHECK(memcmp(got, "cdef", 4) == 0);
	TEXT(un_recv(end[1]), "last");
	TEXT(un_recv(end[1]), "");
	TEXT(un_recv(reset[1]), "ECONNRESET");
	TEXT(un_recv(reset[1]), "");
	scenario_ok();
}
