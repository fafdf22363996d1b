/*
 * sockets.h - names of living sockets, from /proc/PID/net
 */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct socket_name {
	uint64_t ino;                /* as in "socket:[INO]" */
	char text[320];
};

/* All sockets of one network namespace, ascending by inode. */
struct socket_table {
	ino_t netns;
	struct socket_name *names;
	size_t n, room;
	struct socket_table *next;
};

/* The table of the namespace the process is in, made at the first question; NULL when it can't be read. */
const struct socket_table *sockets_of(struct socket_table **tables, int pid);
const char *sockets_find(const struct socket_table *, uint64_t ino);
void sockets_free(struct socket_table *tables);

#endif
