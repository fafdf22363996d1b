/* MSG_PEEK with SO_PEEK_OFF walks a unix stream's queue without taking anything; switched off again it is as before. */
#include "fact.h"

int main(void)
{
	char buf[8];
	int pair[2], off = 0;

	FACT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	FACT(write(pair[0], "abc", 3) == 3 && write(pair[0], "defg", 4) == 4);
	FACT(setsockopt(pair[1], SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) == 0);
	FACT(recv(pair[1], buf, 2, MSG_PEEK) == 2 && memcmp(buf, "ab", 2) == 0);
	FACT(recv(pair[1], buf, 8, MSG_PEEK) == 5 && memcmp(buf, "cdefg", 5) == 0);
	FACT(recv(pair[1], buf, 8, MSG_PEEK | MSG_DONTWAIT) == -1 && errno == EAGAIN);
	off = -1;
	FACT(setsockopt(pair[1], SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) == 0);
	FACT(read(pair[1], buf, 8) == 7 && memcmp(buf, "abcdefg", 7) == 0);
	return 0;
}
