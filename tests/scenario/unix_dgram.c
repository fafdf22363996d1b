/* Datagram sockets: each waiting packet's sender, senders that are gone, one-way, mutual, to oneself, to a dead peer, whose name another has. */
#include "un.h"

static const char *const names[] = { "@scenario heir", "heir" };
static int heir[2], loyal[2];

/* A peer is gone and its name is another's, who has got something. */
static void make_heir(int i)
{
	int fd = un_bound(SOCK_DGRAM, names[i]);

	loyal[i] = un_socket(SOCK_DGRAM);
	MUST(un_connect(loyal[i], names[i]));
	close(fd);
	unlink(names[i]);
	heir[i] = un_bound(SOCK_DGRAM, names[i]);
	un_send_to(heir[i], "own", names[i]);
}

static void verify_heir(int i)
{
	TEXT(un_peer(loyal[i]), names[i]);
	TEXT(un_name(heir[i]), names[i]);
	SAME(send(loyal[i], "x", 1, MSG_NOSIGNAL), -1);
	SAME(errno, ECONNREFUSED);
	TEXT(un_peer(loyal[i]), "ENOTCONN");
	un_datagram(heir[i], "own", names[i]);
	TEXT(un_recv(heir[i]), "EAGAIN");
}

int main(void)
{
	int inbox = un_bound(SOCK_DGRAM, "inbox"), a = un_bound(SOCK_DGRAM, "@scenario a"), b = un_bound(SOCK_DGRAM, "b");
	int nobody = un_socket(SOCK_DGRAM), self = un_bound(SOCK_DGRAM, "@scenario self"), orphan = un_socket(SOCK_DGRAM);
	int fd, pair[2];
	struct stat st;

	un_send_to(a, "from a", "inbox");
	un_send_to(nobody, "from nobody", "inbox");
	un_send_to(b, "from b", "inbox");
	fd = un_bound(SOCK_DGRAM, "gone");
	un_send_to(fd, "from one that is gone", "inbox");
	close(fd);
	unlink("gone");
	fd = un_bound(SOCK_DGRAM, "@scenario gone");
	un_send_to(fd, "from another", "inbox");
	close(fd);
	un_send_to(a, "", "inbox");
	MUST(un_connect(nobody, "inbox"));
	MUST(un_connect(inbox, "@scenario a"));
	MUST(un_connect(a, "inbox"));
	MUST(un_connect(self, "@scenario self"));
	for (int i = 0; i < 30; i++)
		un_send(self, "myself");
	fd = un_bound(SOCK_DGRAM, "target");
	MUST(un_connect(orphan, "target"));
	close(fd);
	unlink("target");
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	un_send(pair[0], "last");
	close(pair[0]);
	make_heir(0);
	make_heir(1);

	scenario_wait();
	verify_heir(0);
	verify_heir(1);
	un_datagram(inbox, "from a", "@scenario a");
	un_datagram(inbox, "from nobody", "-");
	un_datagram(inbox, "from b", "b");
	un_datagram(inbox, "from one that is gone", "gone");
	un_datagram(inbox, "from another", "@scenario gone");
	un_datagram(inbox, "", "@scenario a");
	TEXT(un_recv(inbox), "EAGAIN");
	CHECK(stat("gone", &st) < 0 && stat("target", &st) < 0);
	TEXT(un_peer(nobody), "inbox");
	TEXT(un_peer(inbox), "@scenario a");
	TEXT(un_peer(a), "inbox");
	TEXT(un_peer(b), "ENOTCONN");
	for (int i = 0; i < 30; i++)
		un_datagram(self, "myself", "@scenario self");
	TEXT(un_recv(self), "EAGAIN");
	un_send(a, "again");
	un_datagram(inbox, "again", "@scenario a");
	SAME(send(nobody, "x", 1, MSG_NOSIGNAL), -1);
	SAME(errno, EPERM);
	TEXT(un_peer(orphan), "target");
	SAME(send(orphan, "x", 1, MSG_NOSIGNAL), -1);
	SAME(errno, ECONNREFUSED);
	TEXT(un_recv(pair[1]), "last");
	SAME(send(pair[1], "x", 1, MSG_NOSIGNAL), -1);
	SAME(errno, ECONNREFUSED);
	scenario_ok();
}
