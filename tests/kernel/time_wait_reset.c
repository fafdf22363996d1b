/* TIME_WAIT is ended by a connect from its other end's address: SYN, an ACK that fits nothing, RST. */
#include "fact.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int bound(const struct sockaddr_in *a, int reuse)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
	if (bind(fd, (const void *)a, sizeof(*a)) == 0)
		return fd;
	close(fd);
	return -1;
}

int main(void)
{
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } }, client;
	socklen_t len = sizeof(server);
	int listener = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), s, again;

	FACT(bind(listener, (void *)&server, sizeof(server)) == 0 && listen(listener, 1) == 0);
	FACT(getsockname(listener, (void *)&server, &len) == 0);
	FACT(connect(c, (void *)&server, sizeof(server)) == 0);
	len = sizeof(client);
	s = accept(listener, (void *)&client, &len);
	FACT(s >= 0);
	close(listener);
	close(s); /* ends first: its side waits */
	close(c);
	FACT(bound(&server, 1) < 0);
	again = bound(&client, 1);
	FACT(again >= 0);
	connect(again, (void *)&server, sizeof(server));
	close(again);
	FACT(bound(&server, 0) >= 0);
	return 0;
}
