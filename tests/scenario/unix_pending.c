/* Connections that nobody has accepted: in their order, with data, with a name, with the client closed already. */
#include "un.h"

int main(void)
{
	int listener = un_listener(SOCK_STREAM, "@scenario backlog", 10), client[5], server, second;

	for (int i = 0; i < 5; i++) {
		char name[30];

		snprintf(name, sizeof(name), "@scenario client %d", i);
		client[i] = un_bound(SOCK_STREAM, name);
		MUST(un_connect(client[i], "@scenario backlog"));
	}

	scenario_wait();
	CHECK(un_poll(listener) & POLLIN);
	for (int i = 0; i < 5; i++) {
		char name[30];

		snprintf(name, sizeof(name), "@scenario client %d", i);
		server = MUST(accept(listener, NULL, NULL));
		TEXT(un_peer(server), name);
		TEXT(un_peer(client[i]), "@scenario backlog");
		un_send(client[i], name);
		TEXT(un_recv(server), name);
		SAME(un_cred(server).pid, getpid());
	}
	CHECK(!(un_poll(listener) & POLLIN));
	un_meet(listener, SOCK_STREAM, "@scenario backlog", &server, &second);
	scenario_ok();
}
