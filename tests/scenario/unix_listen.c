/* Listeners by path and abstract, what they accepted, clients with and without a name, a listener that is gone. */
#include "un.h"

int main(void)
{
	int path = un_listener(SOCK_STREAM, "listener", 5), abstract = un_listener(SOCK_SEQPACKET, "@scenario listener", 3);
	int client, server, named, for_named, packets, for_packets, late, early, for_early, second, fd;
	struct sockaddr_un a;
	socklen_t len;
	struct stat st;

	MUST(chmod("listener", 0640));
	un_meet(path, SOCK_STREAM, "listener", &client, &server);
	un_send(client, "to server");
	un_send(server, "to client");
	named = un_bound(SOCK_STREAM, "client");
	MUST(un_connect(named, "listener"));
	for_named = MUST(accept(path, NULL, NULL));
	packets = un_bound(SOCK_SEQPACKET, "@scenario client");
	MUST(un_connect(packets, "@scenario listener"));
	for_packets = MUST(accept(abstract, NULL, NULL));
	fd = un_listener(SOCK_STREAM, "twice", 1);
	un_meet(fd, SOCK_STREAM, "twice", &early, &for_early);
	close(fd);
	unlink("twice");
	second = un_listener(SOCK_STREAM, "twice", 1);
	late = un_socket(SOCK_STREAM);
	len = un_addr("@", &a) - 1;
	MUST(bind(late, (struct sockaddr *)&a, sizeof(a.sun_family)));
	(void)len;
	char automatic[140];
	snprintf(automatic, sizeof(automatic), "%s", un_name(late));

	scenario_wait();
	TEXT(un_name(path), "listener");
	TEXT(un_name(server), "listener");
	TEXT(un_peer(client), "listener");
	TEXT(un_name(client), "-");
	TEXT(un_peer(server), "-");
	TEXT(un_peer(path), "ENOTCONN");
	TEXT(un_recv(server), "to server");
	TEXT(un_recv(client), "to client");
	MUST(stat("listener", &st));
	SAME(st.st_mode & 0777, 0640);
	TEXT(un_name(named), "client");
	TEXT(un_peer(for_named), "client");
	TEXT(un_peer(for_packets), "@scenario client");
	TEXT(un_name(for_packets), "@scenario listener");
	TEXT(un_name(early), "-");
	TEXT(un_peer(early), "twice");
	TEXT(un_name(for_early), "twice");
	TEXT(un_name(late), automatic);
	un_send(for_early, "old");
	TEXT(un_recv(early), "old");
	SAME(un_cred(server).pid, getpid());
	SAME(un_cred(client).pid, getpid());
	un_meet(path, SOCK_STREAM, "listener", &client, &server);
	un_meet(abstract, SOCK_SEQPACKET, "@scenario listener", &client, &server);
	un_meet(second, SOCK_STREAM, "twice", &client, &server);
	scenario_ok();
}
