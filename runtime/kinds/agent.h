/*
 * agent.h - doing things under another process's pid (in the builder)
 */
#ifndef KINDS_AGENT_H
#define KINDS_AGENT_H

#include <stdint.h>

#include "skshim/err.h"
#include "skshim/str.h"

/*
 * Runs fn(arg) in a process with this pid, uid and gid that shares memory and
 * descriptors with the caller; pid 0, or one that can't be had: in the caller.
 * Returns what fn returned.
 */
int agent_run(int32_t pid, uint32_t uid, uint32_t gid, int (*fn)(void *), void *arg);
/*
 * Runs fn(arg) in a process with a mount namespace of its own, whose working
 * directory is an empty tmpfs at its first call. -EPERM (or another error)
 * without running it where there is no way to have one.
 */
int agent_private(int (*fn)(void *), void *arg);
/* Ends all agents. To be called before the tree is cloned: they occupy its pids. */
void agents_end(void);

#endif
