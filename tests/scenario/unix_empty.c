/* scenario-steps: ggkgkg */
/* Empty packets, which a look at the queue shows only once: seen by several processes, received one by one, sent anew. */
#include "un.h"

/* A queue of packets that are all alike, and what is in it, by first letters; '.' is empty. */
static struct {
	int end[2];
	char in[64];
} alike;

static void put(const char *text)
{
	un_send(alike.end[0], text);
	strcat(alike.in, *text ? text : ".");
}

static void take(void)
{
	TEXT(un_recv(alike.end[1]), alike.in[0] == '.' ? "" : "x");
	memmove(alike.in, alike.in + 1, strlen(alike.in));
}

/* Behind each checkpoint some are received and others sent. */
static void turn(int n)
{
	put("");
	for (int i = 0; i < n % 4; i++)
		take();
	put(n % 2 ? "x" : "");
	put("");
}

static void named(int to, const char *const *senders, int n)
{
	for (int i = 0; i < n; i++)
		un_datagram(to, i % 3 == 1 ? "full" : "", senders[i]);
	TEXT(un_recv(to), "EAGAIN");
}

int main(void)
{
	static const char *const senders[] = { "@scenario one", "two", "@scenario one", "two", "two", "@scenario one" };
	int seq[2], dgram[2], held[2], to = un_bound(SOCK_DGRAM, "to"), listener, client, server, n = 0, status;
	int one = un_bound(SOCK_DGRAM, "@scenario one"), two = un_bound(SOCK_DGRAM, "two");
	pid_t child;
	char c;

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, seq));
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram));
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, alike.end));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, held));
	for (int i = 0; i < 6; i++) {
		un_send(seq[0], i % 2 ? "" : "full");
		un_send(dgram[0], "");
		put("");
		un_send_to(senders[i][0] == '@' ? one : two, i % 3 == 1 ? "full" : "", "to");
	}
	close(two);
	unlink("two");
	/* the program's own look hides the head as well */
	SAME(recv(dgram[1], &c, 1, MSG_PEEK), 0);
	listener = un_listener(SOCK_SEQPACKET, "@scenario pending", 3);
	client = un_connected(SOCK_SEQPACKET, "@scenario pending");
	un_send(client, "");
	un_send(client, "full");
	un_send(client, "");
	child = MUST(fork());
	if (child == 0) {
		close(held[0]);
		SAME(read(held[1], &c, 1), 0);
		_exit(0);
	}
	close(held[1]);

	scenario_ready();
	while (scenario_turn())
		turn(n++);
	for (int i = 0; i < 6; i++) {
		TEXT(un_recv(seq[1]), i % 2 ? "" : "full");
		TEXT(un_recv(dgram[1]), "");
	}
	TEXT(un_recv(seq[1]), "EAGAIN");
	TEXT(un_recv(dgram[1]), "EAGAIN");
	named(to, senders, 6);
	while (alike.in[0])
		take();
	TEXT(un_recv(alike.end[1]), "EAGAIN");
	server = MUST(accept(listener, NULL, NULL));
	TEXT(un_recv(server), "");
	TEXT(un_recv(server), "full");
	TEXT(un_recv(server), "");
	TEXT(un_recv(server), "EAGAIN");
	close(held[0]);
	SAME(waitpid(child, &status, 0), child);
	SAME(status, 0);
	scenario_ok();
}
