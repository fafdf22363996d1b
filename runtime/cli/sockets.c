/*
 * sockets.c - names of living sockets, from /proc/PID/net
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "sockets.h"

static struct socket_name *sockets_add(struct socket_table *t, uint64_t ino)
{
	if (ino == 0)
		return NULL;
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 256;
		struct socket_name *names = realloc(t->names, room * sizeof(*names));

		if (names == NULL)
			return NULL;
		t->names = names;
		t->room = room;
	}
	t->names[t->n].ino = ino;
	return &t->names[t->n++];
}

/* "0100007F:1F90" of /proc/net/tcp: the address in the machine's byte order, 4 bytes at a time. */
static void sockets_address(const char *hex, char *out, size_t size)
{
	unsigned words[4], port;
	char host[INET6_ADDRSTRLEN];

	if (sscanf(hex, "%8x%8x%8x%8x:%x", &words[0], &words[1], &words[2], &words[3], &port) == 5)
		snprintf(out, size, "[%s]:%u", inet_ntop(AF_INET6, words, host, sizeof(host)), port);
	else if (sscanf(hex, "%8x:%x", &words[0], &port) == 2)
		snprintf(out, size, "%s:%u", inet_ntop(AF_INET, words, host, sizeof(host)), port);
	else
		snprintf(out, size, "?");
}

static void sockets_inet_line(struct socket_table *t, const char *protocol, const char *line)
{
	char local[64], remote[64], from[80], to[80];
	unsigned state;
	unsigned long ino;
	struct socket_name *s;

	if (sscanf(line, " %*d: %63s %63s %x %*s %*s %*s %*d %*d %lu", local, remote, &state, &ino) != 4)
		return;
	s = sockets_add(t, ino);
	if (s == NULL)
		return;
	sockets_address(local, from, sizeof(from));
	sockets_address(remote, to, sizeof(to));
	if (state == 10 && strncmp(protocol, "tcp", 3) == 0)
		snprintf(s->text, sizeof(s->text), "%.3s %s listening", protocol, from);
	else if (strcmp(strrchr(to, ':'), ":0") == 0)
		snprintf(s->text, sizeof(s->text), "%.3s %s", protocol, from);
	else
		snprintf(s->text, sizeof(s->text), "%.3s %s -> %s", protocol, from, to);
}

static void sockets_unix_line(struct socket_table *t, const char *line)
{
	static const char *const types[] = { "", "stream", "dgram", "", "", "seqpacket" };
	unsigned flags, type;
	unsigned long ino;
	int at = 0;
	struct socket_name *s;
	char name[256];

	if (sscanf(line, "%*s %*s %*s %x %x %*s %lu%n", &flags, &type, &ino, &at) != 3)
		return;
	s = sockets_add(t, ino);
	if (s == NULL)
		return;
	line += at + (line[at] == ' ');
	print_text((struct blob){ line, strcspn(line, "\n") }, name, sizeof(name));
	snprintf(s->text, sizeof(s->text), "unix %s%s%s%s", type < 6 ? types[type] : "?", *name ? " " : "", name,
		 flags & 0x10000 ? " listening" : "");
}

/* The inode is the last of ten columns, of nine for packet. */
static void sockets_other_line(struct socket_table *t, const char *protocol, const char *line)
{
	bool packet = strcmp(protocol, "packet") == 0;
	struct socket_name *s;
	unsigned long ino;

	if (sscanf(line, packet ? "%*s %*s %*s %*s %*s %*s %*s %*s %lu" : "%*s %*s %*s %*s %*s %*s %*s %*s %*s %lu",
		   &ino) != 1)
		return;
	s = sockets_add(t, ino);
	if (s != NULL)
		snprintf(s->text, sizeof(s->text), "%s", protocol);
}

static void sockets_read(struct socket_table *t, int pid, const char *protocol)
{
	char path[64], *line = NULL;
	size_t room = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", pid, protocol);
	f = fopen(path, "re");
	if (f == NULL)
		return;  /* a family this kernel lacks */
	if (getline(&line, &room, f) > 0) {
		while (getline(&line, &room, f) > 0) {
			if (strcmp(protocol, "unix") == 0)
				sockets_unix_line(t, line);
			else if (strcmp(protocol, "netlink") == 0 || strcmp(protocol, "packet") == 0)
				sockets_other_line(t, protocol, line);
			else
				sockets_inet_line(t, protocol, line);
		}
	}
	free(line);
	fclose(f);
}

static int sockets_compare(const void *a, const void *b)
{
	const struct socket_name *x = a, *y = b;

	return (x->ino > y->ino) - (x->ino < y->ino);
}

const struct socket_table *sockets_of(struct socket_table **tables, int pid)
{
	static const char *const protocols[] = { "unix", "tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw",
						 "raw6", "icmp", "icmp6", "netlink", "packet" };
	struct socket_table *t;
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	if (stat(path, &st) != 0)
		return NULL;
	for (t = *tables; t != NULL; t = t->next)
		if (t->netns == st.st_ino)
			return t;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->netns = st.st_ino;
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		sockets_read(t, pid, protocols[i]);
	if (t->n > 0)
		qsort(t->names, t->n, sizeof(t->names[0]), sockets_compare);
	t->next = *tables;
	*tables = t;
	return t;
}

const char *sockets_find(const struct socket_table *t, uint64_t ino)
{
	const struct socket_name key = { .ino = ino };
	const struct socket_name *s = NULL;

	if (t != NULL && t->n > 0)
		s = bsearch(&key, t->names, t->n, sizeof(key), sockets_compare);
	return s ? s->text : NULL;
}

void sockets_free(struct socket_table *tables)
{
	while (tables != NULL) {
		struct socket_table *next = tables->next;

		free(tables->names);
		free(tables);
		tables = next;
	}
}
