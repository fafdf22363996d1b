/*
 * Two ends that closed in the same moment are both in TIME_WAIT and hold each other's address. A connect that chooses
 * its own port takes the place of one after net.ipv4.tcp_tw_reuse_delay, and its SYN ends the other.
 */
#include "fact.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

static char bytes[65536];

static bool can_bind(const struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	bool can;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	can = bind(fd, (const void *)a, sizeof(*a)) == 0;
	close(fd);
	return can;
}

/* Full, so that the end of the stream can't be sent yet. */
static void fill(int fd)
{
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	FACT(errno == EAGAIN && shutdown(fd, SHUT_WR) == 0);
}

static void drain(int fd)
{
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		;
	FACT(n == 0);
}

/* Both are on their way: what left first meets the other's. */
static void close_both(int a, int b)
{
	fill(a);
	fill(b);
	drain(a);
	drain(b);
	close(a);
	close(b);
}

int main(void)
{
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } }, client;
	socklen_t len = sizeof(server);
	int listener = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), again, s, rc;
	uint32_t port, range;
	time_t end = time(NULL) + 10;

	FACT(bind(listener, (void *)&server, sizeof(server)) == 0 && listen(listener, 1) == 0);
	FACT(getsockname(listener, (void *)&server, &len) == 0);
	FACT(connect(c, (void *)&server, sizeof(server)) == 0);
	len = sizeof(client);
	s = accept(listener, (void *)&client, &len);
	FACT(s >= 0);
	close(listener);
	close_both(c, s);
	FACT(!can_bind(&server) && !can_bind(&client));

	port = ntohs(client.sin_port);
	range = port << 16 | port;
	do {
		again = socket(AF_INET, SOCK_STREAM, 0);
		if (setsockopt(again, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)) != 0)
			SKIP("IP_LOCAL_PORT_RANGE");
		rc = connect(again, (void *)&server, sizeof(server));
		if (rc != 0 && errno == EADDRNOTAVAIL)
			sched_yield();
		else
			break;
		close(again);
	} while (time(NULL) < end);
	FACT(rc != 0 && errno == ECONNREFUSED);
	close(again);
	FACT(can_bind(&server) && can_bind(&client));
	return 0;
}
