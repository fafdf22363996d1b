/*
 * agent.h - doing things under another process's pid (in the builder)
 */
#ifndef KINDS_AGENT_H
#define KINDS_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "skshim/err.h"
#include "skshim/str.h"

/* For whom it stands. */
struct agent_id {
	int32_t pid;                 /* 0: nobody, the caller will do */
	uint32_t uid, gid;
	struct blob groups;          /* 4 bytes each; p NULL: the caller's */
};
bool agent_same(const struct agent_id *, const struct agent_id *);
/*
 * Runs fn(arg) in a process with this pid and these ids that shares memory and
 * descriptors with the caller; where the pid can't be had: in the caller.
 * Returns what fn returned.
 */
int agent_run(const struct agent_id *, int (*fn)(void *), void *arg);
/*
 * Runs fn(arg) in a process with a mount namespace of its own, whose working
 * directory is an empty tmpfs at its first call. -EPERM (or another error)
 * without running it where there is no way to have one.
 */
int agent_private(int (*fn)(void *), void *arg);
/* Ends those of a pid (not 0): no process has it then. */
void agent_end(int32_t pid);
/* Ends all agents. To be called before the tree is cloned: they occupy its pids. */
void agents_end(void);

#endif
