/*
 * task.h - processes, threads and memory as the image holds them
 *
 * Written by the frozen world, read by the restart and by inspect. Field
 * tables are in runtime/image/tables.c, the format in docs/IMAGE.md.
 */
#ifndef SKSHIM_TASK_H
#define SKSHIM_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "skshim/field.h"

#define IMAGE_VERSION 1
#define TASK_SIGNALS 64

/* Kernel's registers that a signal frame lacks, and what a thread tells the kernel about itself. */
struct thread_record {
	int32_t tid;
	struct blob comm;
	uint64_t resume_sp;       /* stack pointer in the shim's park code; the restorer jumps there (script.h) */
	uint64_t resume_pc;
	uint64_t frame;           /* address of the kernel's signal frame (struct ucontext) */
	uint64_t pc, sp;          /* where the program itself stood, for inspect */
	uint64_t fp;              /* rbp there */
	uint64_t fs_base, gs_base;
	uint64_t clear_tid;       /* PR_GET_TID_ADDRESS */
	uint64_t robust_list, robust_len;
	uint64_t rseq;            /* address, 0: not registered */
	uint32_t rseq_len, rseq_sig;
	int32_t syscall;          /* the call it was in, -1 none */
	uint32_t sched_policy;
	int32_t nice, sched_priority;
	uint64_t sched_runtime, sched_deadline, sched_period, sched_flags;
	struct blob affinity;     /* the kernel's mask */
	uint64_t timerslack;
	uint32_t no_new_privs, seccomp;
	uint64_t cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
	uint32_t securebits, keepcaps, pdeathsig;
	struct list pending;      /* struct siginfo_record: pending for this thread */
};

struct siginfo_record {
	int32_t sig;
	struct blob info;         /* the kernel's 128 bytes */
};

struct sigaction_record {
	uint32_t sig;
	uint64_t handler, flags, restorer, mask;
};

struct timer_record {         /* timer_create */
	int32_t id;
	int32_t clock;            /* clockid_t */
	int32_t notify, signo, tid;
	uint64_t value;           /* sigev_value */
	uint64_t interval_ns, left_ns;   /* left 0: disarmed */
	uint32_t absolute_expired; /* 1: its signal waited; the shim itself lets it run after a restart */
};

struct itimer_record {
	uint64_t interval_us, left_us;
};

struct rlimit_record {
	uint64_t soft, hard;
};

struct fd_record {
	int32_t fd;
	uint32_t cloexec;
	uint32_t obj;             /* FIELD_OBJ */
};

/* An open file description: what is common to all kinds. The kind's own record follows it in the file. */
struct object_record {
	uint32_t obj;             /* FIELD_OBJ: its number in this process */
	struct blob kind;         /* tag */
	uint32_t flags;           /* F_GETFL */
	int32_t owner_type, owner;   /* F_GETOWN_EX; owner 0: none */
	int32_t owner_sig;        /* F_GETSIG */
	uint64_t cookie;          /* sockets */
	int32_t fd;               /* lowest number, for messages */
	struct blob loss;         /* announced loss, "" none */
	uint32_t mode, uid, gid;  /* of a socket's, pipe's or memfd's inode; mode 0: another object, or not known */
};

/* How a region of memory comes back. */
enum vma_content {
	VMA_ANON,                 /* private, its pages are in the image */
	VMA_FILE_PRIVATE,         /* private mapping of a file; pages that differ are in the image */
	VMA_FILE_SHARED,          /* shared mapping of a file; the file has the pages */
	VMA_SHARED,               /* memory of several processes: `shm` says which */
	VMA_VDSO,                 /* [vdso], [vvar], [vvar_vclock]: moved from the running kernel's; pages are in the image for another's */
	VMA_LEDGER,               /* the shim's shared memory: mapped anew */
	VMA_RING,                 /* an io_uring's, through the descriptor whose number is in `file`; its pages are in the image */
	VMA_AIO,                  /* a context's of asynchronous I/O: process_record.aio says what is in it */
};

struct vma_record {
	uint64_t start, end;
	uint32_t prot;            /* PROT_* */
	uint32_t map_flags;       /* MAP_PRIVATE|MAP_SHARED, MAP_GROWSDOWN, MAP_NORESERVE, MAP_HUGETLB.. to give to mmap */
	uint32_t content;         /* enum vma_content */
	uint32_t advice;          /* bits of ADVICE_*, to be given again */
	uint64_t offset;          /* in the file or object */
	uint32_t file;            /* index in the process's files, OBJ_NONE; of VMA_RING a descriptor */
	uint32_t shm;             /* index in the process's shared memory, OBJ_NONE */
	struct blob name;         /* as in /proc/self/maps, or the anon name */
};

#define ADVICE_DONTFORK 1u
#define ADVICE_DONTDUMP 2u
#define ADVICE_WIPEONFORK 4u
#define ADVICE_LOCKED 8u
#define ADVICE_HUGEPAGE 16u
#define ADVICE_NOHUGEPAGE 32u
#define ADVICE_MERGEABLE 64u
#define ADVICE_SEQUENTIAL 128u
#define ADVICE_RANDOM 256u
/* A shared mapping through a descriptor that may not write: mprotect can't make it writable. */
#define ADVICE_READONLY 512u
#define ADVICE_SEALED 1024u    /* mseal */
#define ADVICE_ONFAULT 2048u   /* locked, page by page as it is touched */
#define ADVICE_CHANGED 4096u   /* of [vdso]: the program has written into it */
#define ADVICE_DROPPABLE 8192u /* MAP_DROPPABLE: its contents may be zeros at any time */
#define ADVICE_PKEY(advice) ((advice) >> 24)   /* protection key, 0 none */

/*
 * Memory that processes share and no file keeps. Processes that map the same
 * have each a record of it: kind, dev and ino tell that it is one.
 */
enum shared_kind {
	SHARED_ANON,              /* anonymous, a memfd, a file without a name */
	SHARED_NAMED,             /* a file in /dev/shm */
	SHARED_SYSV,              /* shmget: ino is its id */
};

struct shared_record {
	uint32_t kind;            /* enum shared_kind */
	uint64_t dev, ino;
	struct blob name;         /* as in /proc/self/maps, without " (deleted)" */
	uint64_t size;            /* bytes; ANON: as far as this process can tell */
	uint32_t mode, uid, gid;  /* NAMED, SYSV */
	int32_t key;              /* SYSV */
	uint32_t flags;           /* SHARED_* */
};

#define SHARED_REMOVED 1u      /* SYSV: goes with its last attachment (IPC_RMID) */
#define SHARED_LOCKED 2u       /* SYSV: SHM_LOCK */
#define SHARED_HUGE 4u         /* huge pages; SHARED_HUGE_SHIFT() says which */
#define SHARED_HUGE_SHIFT(flags) ((flags) >> 8)

/* Addresses [start, end). */
struct range_record {
	uint64_t start, end;
};

/* A SysV object that no mapping shows; in the record of the process that made the checkpoint. */
enum ipc_type { IPC_MEMORY, IPC_SEMAPHORES, IPC_MESSAGES };
struct ipc_record {
	uint32_t type;            /* enum ipc_type */
	int32_t id, key;
	uint32_t mode, uid, gid;
	uint64_t size;            /* bytes of memory, number of semaphores, bytes a message queue may hold */
	struct blob values;       /* of semaphores, 2 bytes each */
	struct list pieces;       /* struct piece_record: memory that isn't zero; messages in their order */
};
struct piece_record {
	uint64_t at;              /* offset; type of a message */
	struct blob bytes;
};

/* A file that is mapped (or executed): must be the same at restart. */
#define FILE_HASHED (256ul << 20)
struct file_record {
	struct blob path;
	uint64_t dev, ino, size;
	int64_t mtime_ns;
	uint32_t mode;
	struct blob build_id;     /* of an ELF file, "" */
	uint64_t hash;            /* XXH3 64 of its bytes, where it is mapped privately and no bigger than FILE_HASHED; else 0 */
	uint32_t open_flags;      /* O_RDONLY or O_RDWR that a mapping needs */
};

/* Run of pages in the pages file. */
struct run_record {
	uint64_t start;           /* address */
	uint64_t pages;
	uint64_t at;              /* byte offset in the pages file, page-aligned */
	uint64_t hash;            /* XXH3 64 of its bytes */
};

/* One process. */
struct process_record {
	int32_t pid, ppid, pgid, sid;
	uint32_t session_gone, group_gone;   /* 1: no process has that number any more */
	int32_t tty_pgrp;         /* of the controlling terminal, 0 none */
	uint64_t tty_dev;
	uint64_t start_time;      /* /proc/PID/stat field 22: tells this incarnation from another */
	struct blob comm, exe, cmdline, cwd, root;   /* paths as seen from the tree's root directory */
	uint32_t exe_file;        /* index in files */
	uint32_t umask, dumpable, subreaper, personality;
	uint32_t thp_disable;
	int32_t oom_score_adj;
	uint32_t ruid, euid, suid, fsuid, rgid, egid, sgid, fsgid;
	struct blob groups;       /* gid_t of the machine, 4 bytes each */
	struct blob rlimits;      /* RLIM_NLIMITS times soft, hard: 8 bytes each */
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	struct blob auxv;
	struct blob vdso_build_id;
	int32_t leader_tid;       /* the thread that ran the checkpoint */
	struct list itimers;      /* 3 struct itimer_record */
	struct list sigactions;   /* struct sigaction_record, of signals that aren't default */
	struct list timers;       /* struct timer_record */
	struct list pending;      /* struct siginfo_record, of the process */
	struct list threads;      /* struct thread_record */
	struct list fds;          /* struct fd_record, ascending */
	struct list vmas;         /* struct vma_record, ascending */
	struct list files;        /* struct file_record */
	uint64_t handover;        /* address in the shim where the restart leaves struct handover (script.h) */
	uint64_t ledger;          /* address of the ledger's mapping */
	uint64_t ledger_size;
	struct list shared;       /* struct shared_record */
	struct list guards;       /* struct range_record: MADV_GUARD_INSTALL, ascending */
	struct list ipc;          /* struct ipc_record */
	uint64_t cwd_dev, cwd_ino;
	uint32_t cwd_mode;
	uint32_t fs_of;           /* pid of the parent, where working directory, root and umask are one with its (CLONE_FS); 0 */
	uint32_t first_ended;     /* 1: the thread that had the pid has ended, others go on: no thread_record has that tid */
	uint32_t first_status;    /* then: as wait() gives it when the others have ended one by one */
	uint32_t files_of;        /* pid of the process whose fds are this one's too: they have one table (CLONE_FILES); 0 */
	uint32_t pkeys;           /* protection keys that the program has: bit n for n */
	uint32_t pkey_exec;       /* the one by which the kernel forbids reading what may only be executed, 0 none */
	uint64_t view;            /* in another root directory (root): address in the shim of struct view_fds (view.h); else 0 */
	uint64_t born_ns;         /* CLOCK_REALTIME when it was forked, as it saw it; 0 not seen: before it executed its program */
	struct list aio;          /* struct aio_record */
};

/* A context of asynchronous I/O (io_setup). */
struct aio_record {
	uint64_t start;           /* of its region */
	struct blob events;       /* struct io_event: completions that nobody has taken, the oldest first */
};
#define AIO_EVENT 32u         /* bytes of one, and of what stands in front of them */

/* One member of one shared object: which process's number stands for it. */
struct member_record {
	uint32_t process;         /* index in the manifest */
	uint32_t obj;             /* that process's number */
	uint32_t global;          /* the image's */
};

struct file_sum_record {
	struct blob name;
	uint64_t size;
	uint64_t hash;            /* XXH3 64 of the whole file; 0 for pages files, whose runs have hashes */
};

struct dead_record {           /* a process that has exited and is not yet waited for */
	int32_t pid, ppid, pgid, sid;
	int32_t status;            /* as wait() gives it */
	uint32_t parent_tid;       /* as in pid_record */
	uint32_t exit_signal;
	struct blob comm;          /* its name, "" not known */
};

/* The checkpoint as a whole. */
struct manifest_record {
	uint32_t version;
	struct blob arch, release, host, boot_id;
	int64_t realtime_ns, monotonic_ns, boottime_ns;
	uint32_t page_size, xsave_size;
	uint64_t xcr0;
	struct blob cpu;           /* /proc/cpuinfo flags */
	int32_t root_pid;
	uint32_t generation;       /* how often this tree was restarted before */
	uint32_t stopped;          /* the tree ended with this checkpoint (--stop) */
	/* how the tree was set up: see tree.h */
	uint32_t signal, after_exit, after_code, keep, log_level, backtrace, files_written;
	uint64_t files_most;       /* 0: 64 MiB */
	struct blob checkpoint_dir, log_path, shim_path, preload;
	struct blob command;       /* the root's command line, words separated by zeros */
	struct list processes;     /* struct pid_record, the root first */
	struct list dead;
	struct list members;       /* struct member_record */
	uint32_t objects;          /* global object numbers are 0..objects-1 */
	struct list files;         /* struct file_sum_record: every other file of the directory */
};

struct pid_record {
	int32_t pid;
	uint32_t parent_tid;       /* the thread of its parent whose child it is; 0: the first, or nobody knows */
	uint32_t exit_signal;      /* what that is sent when it ends, plus 1; 0: SIGCHLD */
};

extern const struct field fields_thread[], fields_siginfo[], fields_sigaction[], fields_timer[], fields_itimer[],
	fields_fd[], fields_object[], fields_vma[], fields_shared[], fields_range[], fields_ipc[], fields_piece[], fields_file[], fields_run[], fields_process[], fields_aio[], fields_member[],
	fields_file_sum[], fields_dead[], fields_manifest[], fields_pid[], fields_lineage[];

#endif
