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
	bool emulated;           /* by valgrind, in whose process it is a guest; fixed after init */
};
extern struct shim shim;

/* real.c: the next definition of each interposed call, found in the constructor, or at the first call if that comes earlier. */
#include "real.h"

/* carry.c: the tree's shared memory: made by the root, found again by fork and exec. */
int carry_open(void);                    /* init: attaches to SKSHIM_TREE's file (0), or makes one (1); -errno */
const char *carry_root(void);            /* of a program executed in another root directory; else NULL */
const char *carry_name(void);            /* the file's path, what SKSHIM_TREE says */
void carry_leave(void);                  /* this process is about to end: removes the file if it is the last */

/*
 * wrap_exec.c: exec ends all other threads. Whoever makes a checkpoint in this
 * process holds exec off: waits until no thread is on its way into it (one
 * that succeeds ends the caller), then keeps them waiting until released.
 */
void exec_hold(void);
void exec_release(void);
bool exec_held(void);

/* members.c: who belongs to the tree. */
int members_join(void);                  /* claims a slot for shim.pid; also after fork, in the child */
struct member *members_self(void);
bool members_has(int pid);
/* Whether a signal with this si_pid comes from a member, and not from somebody who has the number of one that is gone. */
bool members_sent(int pid);
/* Waits for children that other threads of this process are making; exec_hold() has it that they make no more. */
void members_made(void);
/* How many processes are between fork and their first step under the shim (state BORN); drops those that died there. A leader waits until there are none. */
int members_born(void);

/* signals.c: the program's own signals. */
int signals_init(void);                  /* constructor: take over inherited state, install the handlers of trigger.c */
/* The program's mask as it believes it is, and back: the checkpoint signal's bit stands for ALIAS's. */
uint64_t signals_to_kernel(uint64_t program);
uint64_t signals_to_program(uint64_t kernel);
/*
 * A checkpoint signal that was sent inside the tree: delivers it to the program as if the shim weren't there.
 * Called in trigger's handler, which returns at once, with uc as the kernel made it.
 */
void signals_deliver(siginfo_t *info, ucontext_t *uc);
/* The signal that made this frame was none of the program's: a call that it interrupted is made again. */
void signals_hide(ucontext_t *uc);
/*
 * unblock.c: a thread of this process that doesn't answer. 1: it blocked the checkpoint signal and has been told
 * to unblock it, so that a waiting one is delivered; 0: that is not the reason; or a negative errno.
 */
int signals_unblock(int tid);

/* jail.c: another root directory (chroot). A program executed in one; the tree's own, the tree is new or restored; this process is. */
void jail_executed(const char *root);
void jail_tree(void);
void jail_restored(void);
bool jail_owns_fd(int fd);
bool jail_elsewhere(void);               /* is the root directory another than the tree's? also in a child of vfork */
int jail_check(void);                    /* is it where it is believed to be? */
void jail_look_out(bool outside);        /* paths are outer ones (view.h) while a checkpoint is made */

/* attribute.c: notes the namespaces of the tree's first process. */
void attribute_namespaces(void);

/* seccomp.c: filters. */
void seccomp_init(bool root);            /* constructor: those the process began with */
int seccomp_prctl(unsigned long mode, const void *program);      /* prctl(PR_SET_SECCOMP) of the program */
extern bool seccomp_closed;              /* the handler of the checkpoint signal may not make calls */

/* trigger.c: installs the handler of the checkpoint signal; called by signals_init. */
int trigger_install(void);

/* wrap_altstack.c: living threads have registered the same alternate stack. */
extern uint32_t altstack_shared;

/* ledger.c: entries of tree->lineages. All may be called from any thread and signal handler. */
void ledger_named(int fd, const void *addr, unsigned len);      /* bind */
void ledger_peer(int fd, const void *addr, unsigned len);       /* connect */
void ledger_backlog(int fd, int backlog);
void ledger_option(int fd, int level, int name, const void *val, unsigned len); /* options that can't be read back */
/* A stable copy: 1 found, 0 not. file_anchor is -1 unless this process holds that descriptor and it is the file noted. */
int ledger_find(uint64_t cookie, struct lineage *out);

/* peer.c: SO_PEERPIDFD. Whether the process that SO_PEERCRED tells is the one that has the number now. */
bool peer_lives(const struct probe *, int pid);
/* Behind getsockopt, after a restart: the process itself for the one that stood for it. Gives the result. */
int peer_pidfd(int fd, int rc, void *value, unsigned *len);
void peer_restarted(void);              /* this process was made by a restart */

void ledger_touched(int fd, uint32_t what); /* bits of lineage.touched: its options may differ from a fresh socket's */
void ledger_restarted(void);            /* the process lives again: files of its sockets are followed again */
bool ledger_owns_fd(int fd);             /* a descriptor of the shim's own (anchors): no part of the program */

/* unwind.c: where in the program. Never blocks on the loader lock in a way that can hang a checkpoint. */
int unwind_init(void);
uint32_t unwind_here(uint64_t frames[LINEAGE_FRAMES]);          /* the caller's callers outside libskshim.so */

/*
 * api.c: the program's own hooks (skshim.h). The conductor calls them in each
 * process, in the handler: before anything is stopped (negative: refuse), and
 * when everything runs again. api_after is due for every api_before that returned 0.
 */
int api_before(void);
void api_after(bool restarted);

bool checkpoint_owns_fd(int fd);         /* that, or open for the checkpoint being made */

/* fork.c's duty after a fork, in the child. */
void trigger_forked(void);               /* conductor state of the parent is not the child's */

#endif
