/*
 * A peek with SO_PEEK_OFF shows an empty packet once and passes over it from then on; a peek without shows the head
 * always. What the sender is charged tells how many packets there are.
 */
#include "fact.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

static void offset(int fd, int off)
{
	FACT(setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) == 0);
}

int main(void)
{
	char buf[8];
	int pair[2], one, all;

	FACT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	FACT(send(pair[0], "", 0, 0) == 0 && ioctl(pair[0], SIOCOUTQ, &one) == 0);
	FACT(send(pair[0], "abc", 3, 0) == 3 && send(pair[0], "", 0, 0) == 0);
	for (int i = 0; i < 2; i++) {
		offset(pair[1], -1);
		FACT(recv(pair[1], buf, 8, MSG_PEEK) == 0);
		offset(pair[1], 0);
		FACT(recv(pair[1], buf, 8, MSG_PEEK) == 3);
		if (i == 0)
			FACT(recv(pair[1], buf, 8, MSG_PEEK | MSG_DONTWAIT) == 0);
		FACT(recv(pair[1], buf, 8, MSG_PEEK | MSG_DONTWAIT) == -1 && errno == EAGAIN);
	}
	FACT(recv(pair[1], buf, 8, 0) == 0 && recv(pair[1], buf, 8, 0) == 3);
	FACT(ioctl(pair[0], SIOCOUTQ, &all) == 0 && all == one);
	FACT(recv(pair[1], buf, 8, MSG_DONTWAIT) == 0);
	FACT(recv(pair[1], buf, 8, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	return 0;
}
