/*
 * trees.h - the trees under the shim, seen from outside
 *
 * The kernel says which process has a tree's shared file mapped; that, and the
 * member table in the file, make a tree. The file belongs to the tree's user:
 * what stands in it is checked before it is believed.
 */
#ifndef TREES_H
#define TREES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "skshim/tree.h"

/* The shared file without the ledger of sockets behind it, which nobody outside needs. */
#define TREES_HEAD offsetof(struct tree, lineages)

/* A process that has a tree's file mapped. */
struct tree_process {
	int pid;                     /* in our pid namespace */
	int tid;                     /* of the thread whose /proc shows it: the first, unless that has ended */
	int inner;                   /* in its own, which is how the tree names it */
	dev_t dev;                   /* of the tree's file */
	ino_t ino;
	char path[PATH_MAX];         /* of the tree's file, in the process's mount namespace */
	uint64_t from, to;           /* where it is mapped */
};

/* 1 and *out filled when the process has a tree's file mapped, 0 when not, negative errno when it can't be told. */
int trees_of_process(int pid, struct tree_process *out);
/* The same for one that has made itself undumpable, so that its maps can't be read: by this user's trees. */
int trees_of_closed(int pid, struct tree_process *out);
/* Opens the file that the process maps. A descriptor or a negative errno with failed() called. */
int trees_open(const struct tree_process *, int flags);
/* True when the head is one this skshim understands; strings are then terminated wherever it is a private copy. */
bool trees_valid(const struct tree *);
/* The member's entry, NULL when the process only has the file mapped (a writer). */
const struct member *trees_member(const struct tree *, int inner);
/* Calls back for every process of /proc that maps a tree's file and may be looked at. */
int trees_each_process(int (*each)(const struct tree_process *, void *arg), void *arg);

#endif
