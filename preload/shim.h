/*
 * shim.h - what the files of the library tell each other
 *
 * All of it is frozen code but init.c and real.c.
 */
#ifndef SHIM_H
#define SHIM_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "skshim/arena.h"
#include "skshim/err.h"
#include "skshim/kind.h"
#include "skshim/lineage.h"
#include "skshim/sys.h"
#include "skshim/tree.h"

/*
 * The program's own use of the checkpoint signal is moved to this one: a
 * program that blocks, ignores, waits for or handles SIGUSR2 does so to
 * ALIAS in the kernel, and sees SIGUSR2. __libc_current_sigrtmax() is
 * interposed so that no program takes it for its own.
 */
#define SHIM_ALIAS 64
/* Interposed calls and the public API; everything else is hidden. */
#define SHIM_EXPORT __attribute__((visibility("default")))
#define SHIM_BIT(sig) (1ull << ((sig) - 1))

struct shim {
	bool active;             /* false: SKSHIM_* absent parts, or a program we must not touch */
	int signal;              /* the checkpoint signal; fixed after init */
	int pid;                 /* this process as the shim knows it; changes in a fork's child */
	struct tree *tree;       /* the shared memory; NULL before init */
	uint64_t base, end;      /* where libskshim.so is mapped */
};
extern struct shim shim;

/* real.c: the next definition of each interposed call, found in the constructor, or at the first call if that comes earlier. */
#include "real.h"

/* carry.c: the tree's shared memory: made by the root, found again by fork and exec. */
int carry_open(void);                    /* init: attach to SKSHIM_TREE's file, or make one. 0 or -errno */
const char *carry_name(void);            /* "skshim-..." the file's name, for the environment of an exec */
void carry_leave(void);                  /* this process ends or leaves: frees its member, removes the file if last */
/* The environment for an exec of `path` from the program's own envp: LD_PRELOAD and SKSHIM_TREE put in. Frozen: memory from mmap; NULL when nothing has to change. */
char **carry_environment(const char *path, char *const envp[]);

/* members.c: who belongs to the tree. */
int members_join(void);                  /* claims a slot for shim.pid; also after fork, in the child */
struct member *members_self(void);
bool members_has(int pid);

/* signals.c: the program's own signals. */
int signals_init(void);                  /* constructor: take over inherited state, install the handlers of trigger.c */
/* The program's mask as it believes it is, and back: the checkpoint signal's bit stands for ALIAS's. */
uint64_t signals_to_kernel(uint64_t program);
uint64_t signals_to_program(uint64_t kernel);
/*
 * A checkpoint signal that was sent inside the tree: delivers it to the program as if the shim weren't there.
 * Called in trigger's handler, which returns at once, with uc as the kernel made it. True: the program sees an
 * interruption, uc is as it must be. False: it must not notice, and a call that shows -EINTR has to be made again.
 */
bool signals_deliver(siginfo_t *info, ucontext_t *uc);

/* trigger.c: installs the handler of the checkpoint signal; called by signals_init. */
int trigger_install(void);

/* ledger.c: entries of tree->lineages. All may be called from any thread and signal handler. */
void ledger_created(int fd, enum lineage_origin origin, int mate_fd, int listener_fd);
void ledger_named(int fd, const void *addr, unsigned len);      /* bind */
void ledger_peer(int fd, const void *addr, unsigned len);       /* connect */
void ledger_backlog(int fd, int backlog);
void ledger_option(int fd, int level, int name, const void *val, unsigned len); /* options that can't be read back */
/* A stable copy; false when unknown. */
int ledger_find(uint64_t cookie, struct lineage *out);          /* 1 found, 0 not */

bool ledger_owns_fd(int fd);             /* a descriptor of the shim's own (anchors): no part of the program */

/* unwind.c: where in the program. Never blocks on the loader lock in a way that can hang a checkpoint. */
int unwind_init(void);
uint32_t unwind_here(uint64_t frames[LINEAGE_FRAMES]);          /* the caller's callers outside libskshim.so */

/* fork.c's duty after a fork, in the child. */
void trigger_forked(void);               /* conductor state of the parent is not the child's */

#endif
