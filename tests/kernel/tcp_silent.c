/* A TCP socket that wants more hops left than packets have takes nothing, and is silent: with TCP_USER_TIMEOUT its peer is timed out. */
#include "fact.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>

int main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int listener = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), s, ms = 1, error = 0, most = 255;
	socklen_t len = sizeof(a);
	struct pollfd p = { .fd = c };

	FACT(bind(listener, (void *)&a, sizeof(a)) == 0 && listen(listener, 1) == 0);
	FACT(getsockname(listener, (void *)&a, &len) == 0 && connect(c, (void *)&a, sizeof(a)) == 0);
	s = accept(listener, NULL, NULL);
	FACT(s >= 0 && setsockopt(s, IPPROTO_IP, IP_MINTTL, &most, sizeof(most)) == 0);
	FACT(setsockopt(c, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)) == 0);
	FACT(send(c, "x", 1, 0) == 1);
	FACT(poll(&p, 1, 5000) == 1 && (p.revents & POLLERR));
	len = sizeof(error);
	FACT(getsockopt(c, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == ETIMEDOUT);
	return 0;
}
