/*
 * probe.h - looking at a process's descriptors (frozen)
 */
#ifndef SKSHIM_PROBE_H
#define SKSHIM_PROBE_H

#include "skshim/kind.h"

/* Calls `each` with the number of every descriptor that the program has. */
int probe_numbers(struct collection *, uint64_t (*each)(int fd));
/* Whether no other process of the tree has a socket (sharing.c). */
bool sharing_alone(int pid, uint64_t ino);
/* Whether another process has this description, whose link in /proc/PID/fd is `link`. */
bool sharing_elsewhere(int pid, int fd, const char *link);
/* Lists this process's descriptors, finds which numbers are one description, fills fds and probes. */
int probe_all(struct collection *, int (*lineage_of)(uint64_t cookie, struct lineage *out));

#endif
