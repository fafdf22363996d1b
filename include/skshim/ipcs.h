/*
 * ipcs.h - SysV objects of a tree
 *
 * Semaphores, message queues and shared memory that nobody has attached show
 * nowhere in a process, so their ids are noted when they are made. Frozen code.
 */
#ifndef SKSHIM_IPCS_H
#define SKSHIM_IPCS_H

#include "skshim/task.h"
#include "skshim/tree.h"

void ipcs_note(struct tree *, enum ipc_type, int id);
/* Walks the notes from *at = 0 on: true and the next one, false at the end. */
bool ipcs_next(struct tree *, uint32_t *at, enum ipc_type *, int *id);
/* The one that ipcs_next() gave last is no more. */
void ipcs_drop(struct tree *, uint32_t at);

#endif
