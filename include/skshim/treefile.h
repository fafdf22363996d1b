/*
 * treefile.h - the file behind struct tree
 *
 * "skshim-<uid>-<16 hex digits>" in /dev/shm, else in $TMPDIR or /tmp: mode
 * 0600, sparse, mapped shared, with no descriptor kept open. Whoever makes a
 * tree first removes the files of this user's trees in which nobody lives.
 * Frozen code.
 */
#ifndef SKSHIM_TREEFILE_H
#define SKSHIM_TREEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "skshim/tree.h"

/* /proc/PID/stat in short; 0 or a negative errno (-ENOENT: no such process, or no /proc). */
struct treefile_stat {
	char state;              /* 'R', 'S', 'Z', ...; 'Z' when all of its threads have ended */
	bool exiting;            /* on its way out: it still has a pid, and some of its descriptors */
	int32_t ppid;
	uint64_t start_time;
	char comm[16];
};
int treefile_stat(int pid, struct treefile_stat *);
/* Ticks by which a time namespace has moved the start times that the caller reads; treefile_stat() takes them off. */
uint64_t treefile_added_ticks(void);
/* Inode of the caller's pid namespace, 0 without /proc. */
uint64_t treefile_pidns(void);

/*
 * A new, empty tree, mapped: magic, version, size, id, pidns, root_pid (the
 * caller) and path are set. The caller fills the rest, joins its members and
 * then calls treefile_ready(); a tree that is not ready is kept while root_pid
 * lives. `tmpdir` may be NULL. 0 or a negative errno, failed() called.
 */
int treefile_create(const char *tmpdir, struct tree **out);
void treefile_ready(struct tree *);
/*
 * Maps a tree that exists. Refused without a word: another user's (-EACCES,
 * also when it can't be opened), not a tree or damaged (-EINVAL), made by
 * another version (-EPROTO), another pid namespace's (-EXDEV), absent (-ENOENT).
 */
int treefile_attach(const char *path, struct tree **out);
void treefile_detach(struct tree *);
/*
 * Backs part of a mapped tree with memory, before it is touched for the first
 * time: on a full file system this fails, where touching it would end the
 * process with SIGBUS.
 */
bool treefile_populate(const void *from, size_t n);
/* The same once for each piece: `state` is 0 at first, then 1 or (no room) 2. */
bool treefile_backed(uint8_t *state, const void *from, size_t n);
/* Members that are backed from the start, and that are backed together later. */
#define TREEFILE_MEMBERS 64

/* Removes the file; the mappings stay. */
void treefile_remove(struct tree *);

/* Does the process that claimed this member live (zombies don't)? True when that can't be known. */
bool treefile_lives(const struct member *);
/* Does any member but `except` (0: none excepted) live and stay? */
bool treefile_inhabited(const struct tree *, int except);
/* Attaches each of this user's trees in turn; stops when fn returns other than 0 and returns that. */
int treefile_each(const char *tmpdir, int (*fn)(struct tree *, void *arg), void *arg);
/* Removes the files of this user's trees that nobody lives in. Returns how many. */
int treefile_sweep(const char *tmpdir);

#endif
