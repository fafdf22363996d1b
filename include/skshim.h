/*
 * skshim.h - for programs that know they are checkpointed
 *
 * No program needs this: checkpoints are asked for from outside. One that uses
 * it needs not be linked with the library; without the shim the functions are
 * absent, so ask first:
 *
 *	if (skshim_is_active && skshim_is_active())
 *		rc = skshim_checkpoint();
 */
#ifndef SKSHIM_H
#define SKSHIM_H

#ifdef __cplusplus
extern "C" {
#endif

#pragma weak skshim_is_active
#pragma weak skshim_checkpoint
#pragma weak skshim_error
#pragma weak skshim_restarts
#pragma weak skshim_hooks

/* 1: this process belongs to a tree that can be checkpointed. */
int skshim_is_active(void);

/*
 * Makes a checkpoint of the whole tree and waits until it is on disk. Returns
 *   0   it is complete, the program goes on
 *   1   this is the restarted program, brought back from that checkpoint
 *  -1   it could not be made (skshim_error() says why); the program goes on
 * Not to be called in a signal handler, nor with a lock held that a hook wants.
 */
int skshim_checkpoint(void);

/* One line about the last checkpoint that failed, "" when none did. */
const char *skshim_error(void);

/* How often this tree was restarted so far; 0 in its first life. -1 without the shim. */
int skshim_restarts(void);

/*
 * Functions called in this process around every checkpoint, in the order in
 * which they were given (`before` in the opposite one). They run in a signal
 * handler, while the process's other threads still run (before) or run again
 * (after, restarted): only what a signal handler may do is allowed. A child made
 * by fork has its parent's hooks. Any of the pointers may be NULL.
 */
struct skshim_hooks {
	int (*before)(void *arg);         /* other than 0: not now; the checkpoint fails */
	void (*after)(void *arg);         /* the program goes on, also when the checkpoint failed */
	void (*restarted)(void *arg);     /* this is the restarted program */
	void *arg;
};

/* Copies *hooks. Returns 0, or -1 when there are 16 already. */
int skshim_hooks(const struct skshim_hooks *hooks);

#ifdef __cplusplus
}
#endif

#endif
