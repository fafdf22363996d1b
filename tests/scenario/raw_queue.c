/*
 * Packets that wait in the queues of raw and ping sockets, seen by more than one: each has its own once.
 *
 * scenario-only: root
 */
#include "net.h"

#include <netinet/ip.h>
#include <netinet/ip_icmp.h>

#define PROTOCOL 253         /* for experiments */

static int raw(int protocol)
{
	return MUST(socket(AF_INET, SOCK_RAW, protocol));
}

static void got(int fd, const char *text, int head)
{
	char packet[2048];
	ssize_t n;

	CHECK(net_poll(fd, POLLIN, 2000) & POLLIN);
	n = MUST(recv(fd, packet, sizeof(packet), MSG_DONTWAIT));
	SAME(n, head + (long)strlen(text));
	CHECK(!memcmp(packet + head, text, strlen(text)));
}

static void ping(int fd, const char *text)
{
	struct {
		struct icmphdr h;
		char text[32];
	} request = { .h = { .type = ICMP_ECHO } };
	struct name to = net_name("127.0.0.1", 0);

	strcpy(request.text, text);
	MUST(sendto(fd, &request, sizeof(request.h) + strlen(text), 0, &to.any, to.len));
}

int main(void)
{
	int a = raw(PROTOCOL), b = raw(PROTOCOL), from = raw(PROTOCOL), range, echo, id;
	int six = MUST(socket(AF_INET6, SOCK_RAW, PROTOCOL)), six_from = MUST(socket(AF_INET6, SOCK_RAW, PROTOCOL));
	struct name to = net_name("127.0.0.1", 0), to6 = net_name("::1", 0), away = net_name("127.0.0.77", 0);

	MUST(connect(from, &away.any, away.len)); /* so it gets none of these */
	MUST(sendto(from, "raw", 3, 0, &to.any, to.len));
	MUST(sendto(six_from, "six", 3, 0, &to6.any, to6.len));
	range = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY);
	if (range < 0 || write(range, "0 1000", 6) != 6)
		scenario_skip("no ping sockets here");
	close(range);
	echo = MUST(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	ping(echo, "pong");
	id = net_port(echo);
	CHECK(net_poll(echo, POLLIN, 2000) & POLLIN);

	scenario_wait();

	got(a, "raw", sizeof(struct iphdr));
	got(b, "raw", sizeof(struct iphdr));
	net_empty(a);
	net_empty(b);
	got(six, "six", 0);
	net_empty(six);
	got(six_from, "six", 0); /* its own */
	net_empty(six_from);
	got(echo, "pong", sizeof(struct icmphdr));
	net_empty(echo);
	SAME(net_port(echo), id);
	ping(echo, "again");
	got(echo, "again", sizeof(struct icmphdr));
	MUST(sendto(from, "more", 4, 0, &to.any, to.len));
	got(a, "more", sizeof(struct iphdr));
	got(b, "more", sizeof(struct iphdr));
	scenario_ok();
}
