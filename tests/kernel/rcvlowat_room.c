/* SO_RCVLOWAT lets the receive buffer of a TCP socket grow without privilege, so that what found no room comes over. */
#include "fact.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int main(void)
{
	static char b[65536];
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), s, left = 0, here = 0, lowat, one = 1;
	long total = 0;

	FACT(bind(listener, (void *)&a, sizeof(a)) == 0 && listen(listener, 1) == 0);
	FACT(getsockname(listener, (void *)&a, &len) == 0 && connect(c, (void *)&a, sizeof(a)) == 0);
	s = accept(listener, NULL, NULL);
	FACT(s >= 0);
	for (ssize_t n; (n = send(c, b, sizeof(b), MSG_DONTWAIT)) > 0;)
		total += n;
	FACT(ioctl(c, SIOCOUTQ, &left) == 0 && left > 0);
	FACT(ioctl(s, SIOCINQ, &here) == 0 && here < total);
	lowat = (int)total + 65536;
	FACT(setsockopt(s, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat)) == 0);
	FACT(setsockopt(s, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one)) == 0);
	for (int i = 0; i < 3000 && left > 0; i++) {
		FACT(recv(s, b, 1, MSG_PEEK) == 1);
		usleep(1000);
		FACT(ioctl(c, SIOCOUTQ, &left) == 0);
	}
	FACT(left == 0);
	FACT(ioctl(s, SIOCINQ, &here) == 0 && here == total);
	return 0;
}
