/*
 * family.h - what the files about processes and sockets tell each other
 *
 * init, carry, members, ledger, unwind and the wrappers of sockets, processes
 * and exec.
 */
#ifndef FAMILY_H
#define FAMILY_H

#include "shim.h"

/* --- members.c ---------------------------------------------------------------------------------------------- */

/*
 * The window: the checkpoint signal is blocked in the kernel while a process is
 * made or another program is put into this one. open returns whether it was
 * blocked already, which close wants back.
 */
bool window_open(void);
void window_close(bool was_blocked);

/* wrap_namespace.c: a thread of this process may be in other namespaces; its next children will be in another pid namespace. */
extern bool namespace_moved, namespace_of_children;

/* fdtable.c: this process has shared its table of descriptors; before a child is made that will have it; in one that hasn't; in a new tree. */
extern bool fdtable_shared;
void fdtable_share(void);
void fdtable_alone(void);
void fdtable_joined(void);

/* A new process between the call that makes it and its first step under the shim; see wrap_process.c. */
struct birth {
	struct member *slot;         /* NULL: no room, or no tree */
	int32_t token;               /* what slot->pid holds until the kernel has given a number */
	bool was_blocked, counted;
	bool foreign;                /* it will be in another pid namespace */
	bool shares_table;           /* of descriptors */
};
void birth_begin(struct birth *);
/* Parent: the call failed (pid < 0), or made `pid` (0: not known). */
void birth_parent(struct birth *, int pid);
/* Child with memory of its own: becomes a member, forgets what belongs to the parent. */
void birth_child(struct birth *);
/* Parent: the child will never load the shim. Before birth_parent(). */
void birth_shimless(struct birth *, enum shimless why, const char *comm);

/* The slot of a process, NULL when it is no member. */
struct member *members_find(int pid);
/* A new slot for `pid` in state BORN; NULL when there is no room. */
struct member *members_claim(int pid, int ppid);
void members_release(struct member *m, int pid);

/* --- carry.c ------------------------------------------------------------------------------------------------ */

/* Environments up to this size are made without mapping memory (which a vfork child could not give back). */
#define CARRY_VARS 384
#define CARRY_TEXT 2048

struct carried {
	char *const *envp;           /* to be given to the call */
	char *vars[CARRY_VARS];
	char text[CARRY_TEXT];
	void *map;
	size_t size;
};
enum carry_how { CARRY_SHIM, CARRY_NOTHING, CARRY_WITHOUT };

/* The environment for another program: with the shim, as it is, or without the shim. */
void carry_pack(struct carried *, char *const envp[], enum carry_how how);
void carry_unpack(struct carried *);
/* The value of a variable, NULL when there is none. */
const char *carry_getenv(char *const envp[], const char *name);

/* lend.c: `environ` has what the shim needs while a call of libc's runs. False: it had, lend_end() isn't called. */
bool lend_begin(void);
void lend_end(void);
void lend_forked(void);                  /* the child: other threads' calls are not here */

/* --- wrap_exec.c -------------------------------------------------------------------------------------------- */

/* What will happen when `path` is executed. */
struct target {
	bool found;                  /* false: the call will fail */
	bool shim;                   /* the program will load the shim */
	bool strip;                  /* its loader must not even see the shim */
	enum shimless why;
	char comm[16];
};
void target_look(struct target *, int dirfd, const char *path, int flags);
/* As execvp would search; path[] gets what was found. */
void target_search(struct target *, const char *file);
void exec_forked(void);                  /* in the child */

/* --- ledger.c ----------------------------------------------------------------------------------------------- */

void ledger_socket(int fd, int family, int type, int protocol);
void ledger_pair(const int fd[2], int family, int type, int protocol);
void ledger_unanchor(void);              /* gives up the descriptors that follow socket files, for good */
uint64_t ledger_adopt(int fd); /* perhaps a socket that nobody noted; its cookie, 0 where it is none */
void ledger_accepted(int fd, int listener_fd);
uint64_t ledger_cookie(int fd);          /* SO_COOKIE, 0 when fd is no socket */
/* An option that can't be read back was taken away again: drops the note of (level, name) that begins with val. */
void ledger_drop_option(int fd, int level, int name, const void *val, unsigned len);

/* --- ledger_clean.c ----------------------------------------------------------------------------------------- */

void clean_maybe(void);                  /* before each new entry: drops entries of closed sockets when there are many */
extern int32_t clean_sweeper;            /* the thread that blocks the checkpoint signal while it does so, 0 none */
int64_t clean_now(void);                 /* CLOCK_REALTIME ns */
uint32_t clean_fds(void);                /* numbers below this may be open here; 0 unknown */
void clean_forked(void);                 /* in the child */
int64_t clean_born(void);                /* CLOCK_REALTIME of that, 0: this process's program was executed */
void clean_shared(void);                 /* in the parent: what is open now may live on in a child */

/* --- unwind.c ----------------------------------------------------------------------------------------------- */

void unwind_forked(void);
/* What is used of libunwind, without its header: the types are unwind.c's business. */
struct unwinder {
	int (*getcontext)(void *context);
	int (*init_local)(void *cursor, void *context);
	int (*step)(void *cursor);
	int (*get_reg)(void *cursor, int reg, uint64_t *value);
};
#define UNWIND_GETCONTEXT "_Ux86_64_getcontext"
#define UNWIND_INIT_LOCAL "_ULx86_64_init_local"
#define UNWIND_STEP "_ULx86_64_step"
#define UNWIND_GET_REG "_ULx86_64_get_reg"
/* init.c: loads libunwind. Ordinary context only. False when it is missing. */
bool unwind_load(struct unwinder *);

#endif
