/*
 * restart.h - what the files of skshim-restart tell each other
 *
 *   main      options, and in which order everything happens
 *   clocks    that they don't run backwards
 *   namespace a pid namespace of our own, where the pids can't be had otherwise
 *   address   internet addresses that are others here
 *   plan      records in, decisions out: who is whose child, who has what (pure)
 *   check     can it work? asked before anything is made
 *   rebuild   kernel objects, phase by phase, in the builder
 *   ledger    the tree's shared memory, made anew
 *   tree      the processes, cloned with their old pids
 *   place     descriptors at their numbers
 *   identity  what a process says about itself; cwd: working directories that are gone
 *   memory    regions, as steps; load: what is in them
 *   vdso      the kernel's own code in the program's memory
 *   shm       memory that processes share, sysv: SysV objects
 *   script    the steps and the blob they lie in
 *   wait      the tree runs: exit status
 *   job       signals, stops, the terminal's foreground
 */
#ifndef RESTART_H
#define RESTART_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "skshim/image.h"
#include "skshim/script.h"
#include "skshim/tree.h"

#define EXIT_REFUSED 125
#define INHERIT_MAX 64
#define MOVED_MAX 64

struct inherit {
	int fd;
	const char *key;             /* a number, or a socket's name */
};

/* --map-address OLD=NEW; a scope of 0: whatever it is, or was. */
struct moved {
	int family;
	uint8_t from[16], to[16];    /* 4 bytes of them for IPv4 */
	uint32_t from_scope, to_scope;
	const char *text;
};

struct options {
	bool detach, plan, sockets_only, or_run;
	const char *dir, *pidfile;
	int status_fd;               /* -1 none */
	enum rebuild_policy tcp, unix_external;
	struct inherit inherit[INHERIT_MAX];
	int ninherit;
	struct moved moved[MOVED_MAX];
	int nmoved;
	char **command;              /* behind -- ; NULL none */
};
int options_parse(struct options *, int argc, char **argv);   /* 0, or 1 done (help), or negative: refused */

/* --- address.c ----------------------------------------------------------------------------------------------- */

struct rebuild;
int address_option(struct options *, const char *text);
/* Changes the image's records. */
int address_apply(struct rebuild *);
/* What was changed of an object, for --plan. */
void address_print(const struct rebuild *, uint32_t obj);

/* --- shared between the launcher and the processes it makes; one anonymous shared page ------------------------ */

struct shared {
	struct script_status status; /* first failed step */
	uint32_t failed;             /* a process gave up; its line is printed */
	uint32_t born;               /* processes that exist */
	uint32_t closed;             /* tables of descriptors that several have, from which the restart's own are gone */
	uint32_t placed, linked, armed;      /* that have reached these phases */
	uint32_t gate;               /* the launcher lets them on: 1 all are born, 2 in their groups, 3 linked, 4 have memory */
	uint32_t ready;              /* whose threads stand in the shim again */
	uint32_t go;                 /* 1 run, 2 give up */
	pthread_mutex_t alive;       /* held by the launcher: SCRIPT_LOST */
	char error[ERR_TEXT];        /* the first failure's line */
	int32_t pids[];              /* by plan.list: who was made; the maker */
};
#define SHARED_SIZE 65536ul
#define SHARED_PIDS ((SHARED_SIZE - sizeof(struct shared)) / sizeof(int32_t))

/* --- plan.c -------------------------------------------------------------------------------------------------- */

/*
 * Who has to be made. A dead one ends at once with its status and is left for
 * its parent. A stand-in has the number of a session's or group's first process
 * that is gone, or none in particular; it ends before anybody runs, and what it
 * made belongs to init from then on, as an orphan does.
 */
enum actor { ACTOR_PROCESS, ACTOR_DEAD, ACTOR_STANDIN };
struct planned {
	enum actor actor;
	uint32_t process;            /* ACTOR_PROCESS: index in the image; ACTOR_DEAD: its parent's */
	int32_t pid;                 /* 0: any that is free */
	int32_t parent;              /* index in plan.list, -1: the launcher */
	bool session, group;         /* leads a session; leads a process group */
	bool leaves;                 /* the group that it leads, for another, when all are in theirs */
	bool shares_files;           /* the table of descriptors, with who makes it */
	bool follows;                /* another process, with which it shares it, puts the descriptors there */
	bool leads;                  /* it does so, for others too */
	int32_t brother;             /* index of its parent's child that makes it; -1: the parent */
	bool shares_fs;              /* working directory, root and umask, with its parent */
	bool early;                  /* made before its parent has left the session */
	bool adopts;                 /* what its descendants leave becomes its own */
	int32_t pgid;                /* to join, 0: stays in the one it was made in */
	int32_t status;              /* ACTOR_DEAD: as wait() gives it */
	int32_t thread;              /* of the parent, that makes it; 0: its first */
	int exit_signal;
};
struct plan {
	struct planned *list;        /* parents before children; the root before the other processes */
	uint32_t n, nprocesses;
	uint32_t tables;             /* of descriptors, that several processes have */
	uint32_t *owner;             /* by object: index in list of the process that links and arms it */
	int highest_fd;              /* of all processes */
	bool alone;                  /* made by plan_make_alone() */
	bool tables_shared;
	uint32_t leaving;            /* how many leave groups */
	bool any_session;            /* while it is made: whoever leads a session may be born in any */
};
int plan_make(struct plan *, struct image *);
/* For a pid namespace of its own: the session and group that the root was started in are outside, and made anew. */
int plan_make_alone(struct plan *, struct image *);
const struct planned *plan_root(const struct plan *);
void plan_print(const struct plan *, const struct rebuild *);

/* --- check.c ------------------------------------------------------------------------------------------------- */

int check_image(const struct image *);       /* this machine: kernel, processor, mapped files */
int check_running(const struct image *);     /* is the checkpointed program still there? */
int check_init(const struct image *);        /* is none of it the first of a pid namespace? */
int check_pids(const struct image *);        /* are its pids free? */
bool check_may_set_pids(void);

/* --- rebuild.c ----------------------------------------------------------------------------------------------- */

struct script_builder;
struct view_fds;
/* A descriptor that stands above the numbers of the processes that have `obj`, and stays open. */
struct kept {
	uint32_t obj;
	int fd;
};
struct rebuild {
	struct image *image;
	const struct options *options;
	struct arena *arena;
	int *fds;                    /* the builder's, by object */
	bool *told;                  /* a loss was announced */
	bool *in_table;              /* by object: a process has a descriptor of it */
	bool *lent;                  /* by object: it is somebody else's, too, who handed it in */
	bool *stand_in;              /* by object: at 0, 1, 2 it is the launcher's own of that number */
	uint64_t *moved;             /* by object: which of options.moved it had; NULL: nothing is moved */
	struct kept *kept;
	uint32_t nkept;
	bool *taken;                 /* by options.inherit: an object has it */
	char **undo;
	uint32_t nundo;
	int *numbers;                /* link, arm: this process's, by object */
	uint32_t **held;             /* by process, see rebuild_held(); made at the first question */
	struct script_builder *script;
	uint32_t current;
	int launcher_std[3];         /* duplicates of the launcher's 0, 1, 2; -1 closed */
	int32_t *only;               /* by object: the one process that has it, -1 none, -2 several; NULL: there are no processes */
	bool *cloexec;               /* while a process's descriptors get their numbers, by object that was left to it */
	uint64_t *cookies;           /* by object: SO_COOKIE of those that are not here any more, or not yet were */
	struct parking *parking;     /* park.c; NULL: there are numbers enough */
};
int rebuild_begin(struct rebuild *, struct image *, const struct options *, struct arena *);
int rebuild_check(struct rebuild *, const bool *wanted);  /* NULL: all objects */
int rebuild_build(struct rebuild *); /* create, connect, fill */
int rebuild_late(struct rebuild *);
/* What is kept stands above a number, in the order of theirs. */
int rebuild_kept_above(struct rebuild *, int above);
/* In a process: closes those of objects that it doesn't have. */
void rebuild_kept_drop(struct rebuild *);
/* In a process: has all from a number on closed, but what is kept and what the shim has of outside a root directory. */
void rebuild_close_rest(const struct rebuild *, struct script_builder *, int above, const struct view_fds *);
/* The one of an object, -1 when there is none. */
int rebuild_kept_of(const struct rebuild *, uint32_t obj);
int rebuild_some(struct rebuild *, const bool *wanted);   /* the same for some of the objects */
/* In a process: makes what was left to it, with its flags. */
int rebuild_own(struct rebuild *, uint32_t obj, struct own *);
void rebuild_keep_cookie(struct rebuild *, uint32_t obj, int fd);
int rebuild_link(struct rebuild *, const struct plan *, uint32_t who);
/* In the builder, when all stands: nothing may fail behind it. */
int rebuild_ready(struct rebuild *, const bool *wanted);
int rebuild_arm(struct rebuild *, const struct plan *, uint32_t who);
void rebuild_undo(struct rebuild *);
/* Status flags as recorded; part of rebuild_build(). */
int rebuild_set_flags(struct rebuild *, uint32_t obj);

/* --- park.c -------------------------------------------------------------------------------------------------- */

#define REBUILD_PARKED (-2)          /* in rebuild.fds: sent ahead to its process */
#define REBUILD_LEFT (-3)            /* its process makes it */

int park_begin(struct rebuild *);
int park_end(struct rebuild *);      /* all that is parked can be taken */
/* In a process: its parking place goes above its numbers, the others' are closed. */
int park_keep(struct rebuild *, uint32_t process, int above);
/* Hands over what waits for it: take(arg, object, descriptor). */
int park_take(struct rebuild *, uint32_t process, int (*take)(void *, uint32_t, int), void *arg);

/* --- ledger.c ------------------------------------------------------------------------------------------------ */

struct old_cookie;
struct ledger {
	struct tree *tree;
	uint32_t entries;
	struct old_cookie *old;      /* the image's sockets, by the cookies they had */
};
/* `outer` is the launcher's pid namespace when the tree gets one of its own, else 0. */
int ledger_make(struct ledger *, struct image *, const struct rebuild *, uint64_t outer);
/* In a process, whose descriptors are at their numbers: the sockets that it has made itself. */
int ledger_own(struct ledger *, struct image *, const struct rebuild *, uint32_t process);
void ledger_remove(struct ledger *);

/* --- script.c ------------------------------------------------------------------------------------------------ */

/* The blob while it is being written: in ordinary memory, to be copied to `base`. */
struct script_builder {
	uint64_t base, size;         /* where it will be */
	char *memory;                /* size bytes, here */
	uint64_t used;               /* data, growing up from the front */
	struct step *steps;
	uint32_t nsteps, room;
	int rc;
};
/* Finds a hole of `size` bytes that neither this process nor the image uses. */
uint64_t script_hole(const struct image_process *, uint64_t size);
int script_begin(struct script_builder *, const struct image_process *, uint64_t size);
uint64_t script_room(struct script_builder *, size_t n);                 /* n bytes of 0: address in the blob, 0 full */
uint64_t script_put(struct script_builder *, const void *p, size_t n);   /* the same, with these bytes */
void script_step(struct script_builder *, const char *what, enum step_op op, int64_t nr, uint64_t a, uint64_t b, uint64_t c,
		 uint64_t d, uint64_t e, uint64_t f);
#define SCRIPT_CALL(s, what, nr, a, b, c, d, e) \
	script_step(s, what, STEP_CALL, nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), 0)
/* Copies the blob to its place, with a view of the head of the tree's file, and jumps into it. Does not return but on failure. */
int script_run(struct script_builder *, struct shared *shared, struct tree *, const struct script_thread *threads, uint32_t nthreads);
void script_print(const struct script_builder *);
extern const char script_text_none[];

/* --- shm.c, sysv.c ---------------------------------------------------------------------------------------------- */

/* Memory that processes share. */
struct shm {
	const struct shared_record *rec;
	const struct ipc_record *ipc;  /* SysV memory that nobody has attached */
	uint64_t size;
	uint32_t regions;            /* that are of it, in all processes */
	bool direct;                 /* anonymous, one region: that process maps and reads it itself */
	bool made;                   /* to be removed if the restart fails */
	bool empty;                  /* nothing old is in it */
	bool sealed;                 /* may not be written, its descriptor came with contents */
	int fd, readonly;            /* above all numbers of the tree; -1 none */
	char *map;                   /* in the builder, while it is filled */
};
struct shms {
	struct shm *list;
	uint32_t n;
	uint32_t **of;               /* by process and that one's number: position in list */
};
int shm_plan(struct shms *, struct image *);
/* Before anything is checked: files in /dev/shm that are open and gone. */
int shm_early(struct shms *, struct image *);
int shm_make(struct shms *, const struct rebuild *, int above);   /* in the builder, behind rebuild_build() */
void shm_done(struct shms *);
void shm_undo(struct shms *);
const struct shm *shm_of(const struct shms *, uint32_t process, uint32_t number);
int sysv_memory(struct shm *);       /* found or made */
/* Some of the image's SysV objects are gone: without privilege they come back in an IPC namespace only. */
/* Semaphores and message queues, found or made, with what was in them; all are noted in the new tree. */
int sysv_make(const struct shms *, const struct image *, struct tree *);
void sysv_undo(void);
bool sysv_missing(const struct shms *, const struct image *);
/* What is left of them outside that namespace goes. */
void sysv_leave(const struct shms *, const struct image *);

/* --- vdso.c --------------------------------------------------------------------------------------------------- */

#define VDSO_REGIONS 8
#define VDSO_LARGEST (1ul << 20)
struct vdso_own {                    /* the running kernel's */
	char name[32];
	uint64_t at, size, parked;
};
/* The kernel's code and data in one process. */
struct vdso {
	struct vdso_own own[VDSO_REGIONS];
	uint64_t own_size;           /* of all */
	uint64_t spare;              /* free addresses behind the parked */
	bool other;                  /* the image's is not the running kernel's */
	const struct vma_record *region;     /* [vdso] in the image, NULL none */
	/* where they matter: the image's regions, code and data; bytes NULL: they are not in the image */
	const struct vma_record *old[VDSO_REGIONS];
	int nold;
	uint64_t start, size;
	char *bytes;
	uint64_t *inside;            /* addresses of words that hold a program counter inside */
	uint32_t ninside, room_inside;
};
int vdso_check(const struct image *, uint32_t process);
int vdso_begin(struct vdso *, const struct image *, uint32_t process);
void vdso_end(struct vdso *);
/* Steps: first out of the way, then, when memory is there, to where the program knows it. */
void vdso_park(struct script_builder *, struct vdso *, uint64_t at);
int vdso_place(struct script_builder *, struct image *, uint32_t process, struct vdso *);

/* --- load.c ---------------------------------------------------------------------------------------------------- */

#define LOAD_HELPERS 3               /* threads beside the process's own, at most */

/* A process's memory, while its regions are walked. */
struct load {
	struct script_part *parts;   /* their spans as positions in the list */
	struct script_span *spans;
	uint32_t nparts, nspans, room_parts, room_spans;
	uint64_t part_bytes, bytes;  /* of the last part; of all */
};
/* Pages by address; first run that ends behind an address. */
void load_sort_runs(struct image_process *);
uint32_t load_run_at(const struct list *runs, uint64_t at);
/* The region's pages; `huge`: it may have huge pages. */
int load_region(struct load *, const struct vma_record *, const struct list *runs, bool huge);
/* Processes with so much memory that helpers are worth while; how many this one gets. */
uint32_t load_large(const struct image *);
uint32_t load_helpers(const struct load *, uint32_t large);
/* The step that reads it all from fd. The helpers' tids are nobody's. */
int load_step(struct load *, struct script_builder *, int fd, const int32_t *tids, uint32_t n);
void load_end(struct load *);

/* --- memory.c, identity.c, place.c ---------------------------------------------------------------------------- */

/* Steps that unmap everything, map the regions, read the pages, set the kernel's idea of the layout. */
struct memory_source {
	int pages;                   /* the file they are read from */
	uint32_t large;              /* load_large() */
	const int32_t *tids;         /* LOAD_HELPERS of them, nobody's */
	const struct ledger *ledger;
	const struct shms *shms;
};
int memory_script(struct script_builder *, struct image *, uint32_t process, int above, const struct memory_source *,
		  struct vdso *, uint64_t parking);
/* Opens the files that regions need; numbers stay above the image's. Behind them those of the same files for who may only read. */
int memory_files(struct image *, uint32_t process, int above, int **fds);
int identity_credentials(const struct process_record *);
int identity_thread(const struct process_record *);   /* what each thread has of it */
int identity_restore(struct image *, const struct planned *);        /* before the script */
int identity_script(struct script_builder *, const struct process_record *);   /* behind memory */
/* Behind the threads: timers, and a program may have forbidden itself more processes (RLIMIT_NPROC). */
int identity_script_threads_made(struct script_builder *, const struct process_record *);
/*
 * jail.c: root directories that aren't ours: are they there? In a process, behind its memory: descriptors for the shim;
 * changes the root directory.
 */
int jail_there(const struct image *);
void jail_descriptors(struct script_builder *, const struct process_record *, const char *dir, int above, struct view_fds *);
void jail_enter(struct script_builder *, const struct process_record *);
/* Deleted working directories: in the builder, behind rebuild_build(); in a process, behind its root directory; in the builder. */
int cwd_make(const struct rebuild *, int above);
int cwd_enter(const struct process_record *);
void cwd_done(void);
int place_descriptors(struct rebuild *, uint32_t process, int above);
int place_none(struct rebuild *);    /* another process does */
/* Closes many, of which most follow each other: all but the last row at once; -1 ends it. Begins with zeros. */
struct closing {
	int from, to;
};
void place_close(struct closing *, int fd);
/* Moves a descriptor of our own above the image's numbers. */
int place_above(int fd, int above);

/* --- tree.c, wait.c, namespace.c ------------------------------------------------------------------------------- */

struct launch {
	struct image *image;
	struct options *options;
	struct plan plan;
	struct rebuild rebuild;
	struct ledger ledger;
	struct shms shms;
	struct shared *shared;
	bool namespace;              /* we are the init of a pid namespace of our own */
	uint64_t outer;              /* then: inode of the launcher's */
	int root;                    /* pid of the tree's root as we see it */
	uint32_t large;              /* load_large() */
	uint64_t mask;               /* signals that were blocked when we were started */
};
/* makers.c: threads that make children, in a process: begun first of all; children by one; all become who they are; into the blob. */
int makers_begin(struct launch *, uint32_t who);
int makers_child(uint32_t who, int32_t tid);
int makers_identity(const struct process_record *);
bool makers_has(int32_t tid);
void makers_park(const struct script *, uint64_t code);
int pid_lingers(int32_t pid, int32_t *tries);   /* behind EEXIST of clone3: shall it be tried again? */
int tree_make(struct launch *, uint32_t who);   /* 0 in the maker; the new process goes its own way */
int tree_start(struct launch *);     /* all processes stand in the shim, waiting for go */
void tree_go(struct launch *);
void tree_kill(struct launch *);
/* command.c: --or-run without an image, --sockets-only; do not return but on failure, with the exit status */
int command_run(const struct options *);
int command_with_sockets(struct launch *);
/* clocks.c: seconds by which the machine's clocks have to be advanced for the tree; 0: not. */
struct clocks {
	int64_t monotonic, boottime;
};
struct clocks clocks_needed(const struct image *);
/* The children made from here on have them; a failure is told, and nothing more. */
int clocks_enter(struct clocks);
/* In a user, pid, mount and (ipc) IPC namespace of our own: fn(arg) runs as its init, its result is returned. */
int namespace_run(int (*fn)(void *), void *arg, bool ipc, struct clocks, int *init_pid);
int wait_tree(struct launch *);      /* until the root ends; its status as a shell has it */
int wait_child(int pid);             /* for the launcher outside a namespace */
/* job.c, in this order: the launcher; the tree's ancestor, which may be another process; behind tree_go(): that one, and the launcher */
void job_look(const struct options *);
void job_begin(const struct launch *);
void job_run(const struct launch *, int tell);
void job_stopped(int sig);
void job_ended(void);
void job_follow(const struct launch *, int root, int told);
void status_line(const struct options *, const char *text);
void status_end(const struct options *);       /* nothing more comes: the reader sees the end */

#endif
