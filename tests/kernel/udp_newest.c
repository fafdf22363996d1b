/* Of UDP sockets with the same address and port the one that is connected to the sender gets the datagram, the newest one of several. */
#include "fact.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int shared(int family)
{
	int fd = socket(family, SOCK_DGRAM, 0), on = 1;

	FACT(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
	return fd;
}

static void try(int family, int connected)
{
	struct sockaddr_in6 own = { .sin6_family = (sa_family_t)family, .sin6_addr = IN6ADDR_LOOPBACK_INIT }, peer = own;
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(own), n = len;
	int sender = shared(family), old = shared(family), young = shared(family);
	char c;

	if (family == AF_INET) {
		((struct sockaddr_in *)&own)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		((struct sockaddr_in *)&peer)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	FACT(bind(sender, (void *)&own, len) == 0 && getsockname(sender, (void *)&own, &n) == 0);
	FACT(bind(old, (void *)&peer, len) == 0 && getsockname(old, (void *)&peer, &n) == 0);
	FACT(!connected || connect(old, (void *)&own, len) == 0);
	FACT(connect(sender, (void *)&peer, len) == 0);
	FACT(bind(young, (void *)&peer, len) == 0 && connect(young, (void *)&own, len) == 0);
	FACT(send(sender, "x", 1, 0) == 1);
	FACT(recv(young, &c, 1, 0) == 1);
	FACT(recv(old, &c, 1, MSG_DONTWAIT) == -1);
	close(young);
	FACT(send(sender, "x", 1, 0) == 1);
	FACT(recv(old, &c, 1, 0) == 1);
	close(sender);
	close(old);
}

int main(void)
{
	for (int connected = 0; connected < 2; connected++) {
		try(AF_INET, connected);
		try(AF_INET6, connected);
	}
	return 0;
}
