/*
 * stop.h - the stopped world: what quiesce, redo, thread, identity, memory,
 * meet, checkpoint and writer tell each other
 */
#ifndef STOP_H
#define STOP_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "shim.h"
#include "skshim/image.h"
#include "skshim/script.h"
#include "skshim/task.h"

/* --- context.S ---------------------------------------------------------------------------------------------- */

struct context {
	uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip;
};
int context_save(struct context *) __attribute__((returns_twice));
void context_resume(void);
void context_call(void (*fn)(void *), void *arg, void *stack_top);
long context_clone(long flags, void *stack_top, int (*fn)(void *), void *arg);
extern char redo_entry[], redo_call[], redo_after[], redo_polled[], redo_end[], syscall_after[];

/* --- one thread --------------------------------------------------------------------------------------------- */

enum slot_state { SLOT_FREE, SLOT_SIGNALLED, SLOT_PARKED, SLOT_GONE, SLOT_LEFT };
/* REDO: in redo_entry; REST: there, with the bytes that it has not passed on yet. */
enum call_state { CALL_NONE, CALL_AGAIN, CALL_REDO, CALL_REST };

#define SLOT_STACK 12288
#define SLOT_AFFINITY 128     /* bytes: 1024 processors */

/* Signals taken out of the kernel's queue and put back, in a mapping of their own. */
struct waiting {
	siginfo_t *list;
	uint32_t n, room;
};

/* attribute.c: of a thread, of the process; each noted and given back by whom it concerns. */
struct thread_attributes {
	int ioprio, mce, flusher, tsc, speculation[3];
};
void attribute_thread(struct thread_attributes *);
void attribute_thread_restore(const struct thread_attributes *);
void attribute_process(void);
void attribute_process_restore(void);
int attribute_check(void);            /* is it in the tree's namespaces? */

/* apart.c: in what threads of a process may differ. */
#define APART_GROUPS 32
#define APART_PATH 4096
struct apart {
	uint32_t uid[3], gid[3];      /* real, effective, saved */
	uint32_t personality, umask;
	uint32_t ngroups, groups[APART_GROUPS];
	uint64_t groups_sum;          /* hash of all of them, also where they are more */
	char *cwd;                    /* it has a working directory and umask of its own; NULL: it hasn't */
};

struct slot;
void apart_collect(struct slot *);    /* the thread about itself; and given back */
void apart_restore(const struct slot *);
void apart_forget(struct slot *);
int apart_check(struct arena *);      /* the leader: can all differences be given back? */
const struct apart *apart_first(void);
int quiesce_base(void);               /* the thread that says what is all threads': the first; where that has ended, the leader */

/* seccomp.c: filters of the calling thread, counted; given back. */
void seccomp_thread(struct slot *);
void seccomp_restore(struct slot *);
int seccomp_check(void);              /* of all threads: are they known? */
/* keys.c: after a call of syscall() that has worked: its number, first, second and last argument; none that would be lost? */
void keys_note(long nr, long a, long b, long e);
int keys_check(void);
/* rings.c: the descriptor through which an io_uring's memory is mapped, -1 none. */
struct region;
int rings_descriptor(const struct region *);
/* aio.c: a context of io_setup on which nothing is under way. */
struct memory;
int aio_collect(struct arena *, struct memory *, struct region *);
/* wrap_sysv.c: what SEM_UNDO would undo: is all of it known? after a restart it is again. */
struct sembuf;
int undo_done(int rc, int id, const struct sembuf *, size_t n);   /* after an operation: returns rc */
int undo_check(void);
void undo_restore(void);
/* notify.c: message queues that tell when one has come. */
const struct sigevent *notify_of(uint64_t dev, uint64_t ino, int fd, bool registered);
void notify_restore(void);

/*
 * A thread while the world stands. `tid` and `seen_*` are the leader's, the
 * rest is the thread's. Part of the image: a restarted thread goes on from here.
 */
struct slot {
	int32_t tid;
	uint32_t state;               /* futex word */
	struct context context;
	ucontext_t *frame;
	/* what /proc said before the signal was sent */
	int32_t seen_nr;              /* -1: it was running */
	uint64_t seen_pc;
	int64_t asleep_since;         /* CLOCK_MONOTONIC ns, 0 unknown */
	uint64_t seen_switches;       /* how often it had gone to sleep by then */
	uint64_t seen_rest;           /* where a sleep writes what is left, 0 nowhere; and what the program had there */
	struct __kernel_timespec rest_was;
	/* the interrupted call */
	uint32_t call;                /* enum call_state */
	int32_t nr;
	uint32_t was_restarted;       /* the kernel has already wound it back */
	uint32_t truly;               /* a signal of the program's has interrupted it as well */
	uint32_t how;                 /* enum redo_how */
	int64_t stopped_at;           /* CLOCK_MONOTONIC ns: when the world was stopped */
	int64_t looked_at;            /* and when the call had been interrupted */
	int64_t left;                 /* ns left of its relative timeout when the world was stopped, -1 none */
	/* what the frame lacks */
	char comm[16];
	uint64_t fs_base, gs_base, clear_tid, robust_list, robust_len, rseq, timerslack;
	uint32_t rseq_len;
	uint32_t sched_policy, sched_priority;
	int32_t nice;
	uint64_t sched_flags, sched_runtime, sched_deadline, sched_period;
	uint32_t affinity_len;
	uint8_t affinity[SLOT_AFFINITY];
	uint32_t no_new_privs, seccomp, securebits, keepcaps, pdeathsig;
	uint32_t fsuid, fsgid;       /* mostly the effective ones */
	uint64_t cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
	struct thread_attributes attributes;
	struct apart apart;
	int32_t filters;              /* seccomp's that are the tree's own, negative: the kernel doesn't say; see seccomp.c */
	bool filters_known;
	struct filter *filter;        /* the newest of them */
	struct waiting pending;       /* signals for this thread alone */
	char scratch[2048];
	char stack[SLOT_STACK] __attribute__((aligned(16)));
};

/* thread.c: a thread about itself; both run in the thread concerned. */
int thread_collect(struct slot *);
void thread_restore(struct slot *);
/* While this thread looks into /proc it must be who the process is; thread_fsids_back() undoes it. */
void thread_fsids_raise(const struct slot *);
void thread_fsids_back(const struct slot *);
void thread_leave_rseq(const struct slot *);
void thread_requeue(const struct waiting *, bool process);
void thread_forget(struct waiting *);
/*
 * The leader thread, when the whole tree stands: a child that ended, or another process that sent something, after this
 * one stood, left a signal that the first look didn't see. A thread that may not look, see take_shared(), sees ends only.
 */
void thread_look_again(struct slot *);
/*
 * late_timer.c: interval timers whose signals wait. The leader notes them when all signals have been looked at; after a
 * restart each thread takes those signals out of what it queues again, and the leader, behind all, lets the timers run.
 */
struct timer_record;
void late_timer_note(struct timer_record *, uint32_t n);
void late_timer_take(struct waiting *);
void late_timer_arm(void);
/* Masks of waiting signals: of this thread alone, of the process. */
int thread_pending_masks(struct slot *, uint64_t *own, uint64_t *shared);
/* A signal of this set that waits for the process shall be this thread's. False when there is none. */
bool thread_keep(uint64_t which);
/* A timer that has run out: its signal goes into the image where it came after the first thread had looked. */
void thread_add_late(const siginfo_t *);
void thread_to_record(struct arena *, const struct slot *, struct thread_record *);

/* redo.c: the call that our signal interrupted. */
/* The leader, before the signal, of a call that the thread sleeps in: does it matter since when? */
bool redo_before(struct slot *, const uint64_t args[6]);
void redo_look(struct slot *);        /* when parked: which call, how much of its timeout is left */
void redo_claim(struct slot *, uint64_t others);  /* in the thread: signals for the process may be its, but for `others` */
/* A call is made again: not; unless a handler without SA_RESTART comes, as the kernel does it; unless any comes. */
enum redo_how { REDO_NOT, REDO_RESTARTS, REDO_ALWAYS };
/* Before leaving: `stood` ns have passed that the program shall not notice. */
enum redo_how redo_apply(struct slot *, int64_t stood);
void redo_settle(ucontext_t *, enum redo_how, uint64_t others);  /* the last thing before the handler returns */

/* --- one process -------------------------------------------------------------------------------------------- */

/* quiesce.c: all threads of this process stand in park(), the caller (the leader) goes on. */
struct quiesce {
	struct slot *slots;
	uint32_t nslots, room;
	uint32_t leader;              /* index of the caller's slot */
	uint32_t go;                  /* futex: GO_FIRST: the process's first thread leaves; GO_ALL: all do */
	uint64_t first_takes;         /* signals for the process that its first thread doesn't block: the kernel prefers it */
	uint32_t restored;            /* after a restart: threads that have set themselves up again */
	uint32_t left;                /* threads that have left park() */
	int64_t stopped_at;           /* CLOCK_MONOTONIC ns */
	int64_t stood;                /* ns the program shall not notice, set before go */
	struct waiting shared;        /* signals for the process, see quiesce_looks() */
	bool first_ended;             /* the process's first thread has, and others go on */
};
enum { GO_NOT, GO_FIRST, GO_ALL };
extern struct quiesce quiesce;
extern struct handover handover;
/*
 * trigger.c: from when this process is asked until its threads run again. A
 * signal for the process wakes one thread, and another may take it: the first
 * finds its call ended with EINTR and no handler run. Some calls the kernel
 * makes again in that case; the wrappers of the others do (wait_stolen), for
 * who runs meanwhile has not been stopped yet.
 */
extern uint32_t trigger_stopping;
extern uint32_t trigger_owed;         /* asked again, by a signal that some thread takes when its handler ends */

int quiesce_stop(ucontext_t *uc);     /* 0 or negative errno; on failure everything runs again */
void quiesce_release(void);           /* all other threads leave; waits until they have */
enum redo_how quiesce_finish(void);   /* nearly the last thing before the leader's handler returns; frees the slots */
enum redo_how quiesce_park(uint32_t index, ucontext_t *uc);  /* in the handler of an ordered thread */
bool quiesce_looks(const struct slot *);
/* Calls one() for every thread of /proc/PID/task; the number of them, or a negative errno, which is not told. */
int quiesce_each_thread(const char *path, int (*one)(int tid, void *arg), void *arg);
bool stopped_continued(void);         /* stopped.c: this process stood stopped, and goes on for this checkpoint */
extern uint64_t trigger_held;         /* trigger.c: what a thread of such a process waits for until it is parked */
bool quiesce_first_ended(void);       /* now */
uint64_t quiesce_others(void);        /* signals for the process that its first thread may take, not this one */
/* After a restart: waits until every thread has set itself up again. */
void quiesce_wait_restored(void);

/*
 * vforked.c: a thread that doesn't stop: negative, and told, when it has waited for a child by vfork for too long. *since
 * is the caller's, 0 at first.
 */
#define VFORKED_LIMIT 3000000000ll
int vforked_too_long(int pid, int tid, int64_t *since);

void quiesce_order(siginfo_t *info, enum order order, uint32_t index);
void quiesce_order_again(void);       /* in a thread that was ordered to stop, and has not got that */

/* identity.c: the process about itself. */
int identity_collect(struct arena *, struct process_record *);
/* After a restart: what must be done from inside (subreaper and the like are the restart's). */

/* memory.c: regions. */
struct region {
	struct vma_record vma;
	bool skip;                    /* the shim's own, not part of the image */
	bool copied;                  /* its pages are written while the world stands */
	bool embed;                   /* all its pages go into the image, also those a file backs */
	bool named;                   /* shared memory: a file in /dev/shm */
	bool nameless;                /* of a file that has no name, or another one */
	uint64_t offset;              /* in the file, as maps says */
	bool guarded;                 /* may have guard regions inside */
	uint64_t dev, ino;
	uint64_t page_size;           /* where smaps was read, else 0 */
	struct blob path;
};
/* Shared memory of a process, found by what it is. */
struct shared_list {
	struct shared_record *items;
	uint32_t n;
	uint32_t *index;              /* hashed: position + 1, 0 free */
	uint32_t size;                /* a power of two */
};
struct memory {
	struct region *regions;
	uint32_t n, room;
	struct shared_list shared;
	bool flagged;                 /* VmFlags are known */
	const struct region **by_offset;   /* shared ones by memory and offset; made by shared_covers() */
	uint32_t nby_offset;
	struct range_record *guards;
	uint32_t nguards, room_guards;
	struct aio_record *aio;
	uint32_t naio;
};

/* shared.c */
bool shared_sysv(const struct region *);
bool shared_named(struct blob path);
bool shared_renamed(struct arena *, struct region *);   /* its first name is gone, but it has another: path is that */
int shared_begin(struct arena *, struct shared_list *, uint32_t regions);
int shared_add(struct arena *, struct shared_list *, struct region *);   /* sets vma.shm */
int shared_end(struct shared_list *, const struct memory *);             /* what ends before its mapping does */
/* Are these bytes of a file mapped shared, so that they are written as pages? May say no where it is hard to tell. */
bool shared_covers(struct arena *, struct memory *, uint64_t dev, uint64_t ino, uint64_t start, uint64_t end);
/* Private mappings of files that come back as shared memory, or behind a descriptor, shall be of those. */
struct collection;
int shared_privates(struct arena *, struct memory *, const struct collection *);
/* The first in the tree to claim what is in this file. */
bool shared_claim_file(uint64_t dev, uint64_t ino);
/* 1: this process writes the region's pages; 0: another does; or a negative errno. */
int shared_claim(const struct shared_list *, const struct region *);

int memory_collect(struct arena *, struct memory *, uint64_t skip_start, uint64_t skip_end);
/* In the writer, first of all: gives up SysV memory. */
int memory_detach(struct arena *, struct memory *);
/* In the writer: VmFlags from its own smaps, files of the regions. */
int memory_finish(struct arena *, struct memory *, struct process_record *);

extern uint32_t memory_special;       /* regions exist that fork doesn't inherit as they are */
void memory_fill_later(bool later);   /* mlockall: while the shim has memory of its own */
void memory_restored(void);           /* after a restart: mlockall again */
extern uint32_t memory_guarded;       /* guard regions exist */

/* sysv.c: the tree's SysV objects that no mapping shows; the leader's. */
int sysv_collect(struct arena *, struct process_record *);

/* wrap_syscall.c: a raw result as libc gives it. */
long syscall_result(long rc);
long syscall_failed(long rc);

/* writer.c: pages and metadata to disk. */
struct pages {
	int fd;                       /* the pages file */
	int pagemap;                  /* /proc/thread-self/pagemap */
	int mem;                      /* /proc/thread-self/mem */
	uint64_t at;                  /* bytes written */
	uint64_t limit;               /* and most that may be */
	struct run_record *runs;
	uint32_t nruns, room;
	void *bounce;                 /* 64 KiB for unreadable regions */
	struct tree *tree;            /* progress, or NULL */
	uint32_t swap;                /* 0 not yet known, 1 nothing is swapped out, 2 something is */
	bool guards_unknown;          /* PAGEMAP_SCAN doesn't know guard regions */
	uint64_t carried;             /* where the next bytes of a file go */
};
int pages_begin(struct arena *, struct pages *, int fd);
/* RLIMIT_FSIZE. Who writes beyond it gets SIGXFSZ, which would find the program when its thread goes on: it isn't tried. */
uint64_t pages_limit(void);
/* Guard regions inside, appended to the list of all. */
int pages_guards(struct arena *, struct pages *, struct memory *, const struct region *);
int pages_write(struct arena *, struct pages *, const struct region *);
/* Bytes of an open file, in runs from address *where on. */
int pages_carry(struct arena *, struct pages *, int fd, uint64_t at, uint64_t n, uint64_t *where);

/* checkpoint.c: the conductor; in a handler, on the shim's stack. */
void checkpoint_lead(ucontext_t *uc);
void checkpoint_join(ucontext_t *uc);

int64_t stop_now(void);               /* CLOCK_MONOTONIC ns */

#endif
