/* Empty datagrams, which a look at the queue shows only once: received one by one between the checkpoints, and sent anew. */
/* scenario-steps: ggkggk */
#include "net.h"

static struct {
	int fd;
	char in[64];                 /* what waits, by first letters; '.' is empty */
} queue[2];

static void put(int i, const char *text)
{
	struct name own = net_own(queue[i].fd);

	SAME(sendto(queue[i].fd, text, strlen(text), 0, &own.any, own.len), (long)strlen(text));
	strcat(queue[i].in, *text ? text : ".");
}

static void take(int i)
{
	char c = 0;

	SAME(recv(queue[i].fd, &c, 1, MSG_DONTWAIT), queue[i].in[0] != '.');
	CHECK(queue[i].in[0] == '.' || queue[i].in[0] == c);
	memmove(queue[i].in, queue[i].in + 1, strlen(queue[i].in));
}

int main(void)
{
	static const char *const ips[] = { "127.0.0.1", "::1" };
	int n = 0;

	for (int i = 0; i < 2; i++) {
		struct name own = net_name(ips[i], 0);

		queue[i].fd = MUST(socket(own.any.sa_family, SOCK_DGRAM, 0));
		MUST(bind(queue[i].fd, &own.any, own.len));
		for (int k = 0; k < 12; k++)
			put(i, "");
	}
	scenario_ready();
	while (scenario_turn()) {
		n++;
		for (int i = 0; i < 2; i++) {
			take(i);
			take(i);
			put(i, n % 2 ? "" : "x");
		}
	}
	for (int i = 0; i < 2; i++) {
		while (queue[i].in[0])
			take(i);
		net_empty(queue[i].fd);
	}
	scenario_ok();
}
