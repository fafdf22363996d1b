/*
 * tree.h - the shared memory of a tree: ledger, membership, checkpoint state
 *
 * One file, "skshim-<uid>-<id>" in /dev/shm (or $TMPDIR), mapped MAP_SHARED by
 * every process of the tree, by `skshim checkpoint`/`ps` from outside, and made
 * anew by the restart. Whoever leaves the tree last removes it. Every field
 * says who writes it. All words are changed with atomic operations.
 */
#ifndef SKSHIM_TREE_H
#define SKSHIM_TREE_H

#include <stdint.h>

#include "skshim/err.h"
#include "skshim/lineage.h"

#define TREE_MAGIC 0x31656572744b536bull
#define TREE_MEMBERS 8192
#define TREE_LINEAGES 65536
#define TREE_INDEX 131072    /* a power of two, twice TREE_LINEAGES */
#define TREE_CLAIMS 4096
#define TREE_IPCS 4096
#define TREE_QUEUES 64
#define TREE_QUEUE_ROOM 16360
#define TREE_NAMESPACES 8
#define TREE_DIR 1024
#define MEMBER_FDS 8
#define TREE_PATH 256
#define TREE_PREFIX "skshim-"

/*
 * BORN: a process that is being made, see preload/wrap_process.c. Its pid is
 * minus the number of the thread that makes it until the kernel has given one.
 */
enum member_state {
	MEMBER_FREE, MEMBER_ALIVE, MEMBER_STOPPED, MEMBER_COLLECTED, MEMBER_FORKED, MEMBER_FAILED, MEMBER_BORN
};

/* Why a member has no shim: a checkpoint refuses, with its comm and these words. */
enum shimless {
	SHIMLESS_NO, SHIMLESS_STATIC, SHIMLESS_SETUID, SHIMLESS_FOREIGN, SHIMLESS_UNREADABLE, SHIMLESS_USER,
	SHIMLESS_NAMESPACE, SHIMLESS_SHARED_MEMORY, SHIMLESS_SECCOMP, SHIMLESS_ROOT
};

struct member {
	int32_t pid;                 /* the member: 0 free; claimed by compare and swap */
	uint32_t state;              /* enum member_state; the member, reset by the leader */
	uint64_t start_time;         /* /proc/PID/stat field 22; 0 unknown; its maker's while in state BORN */
	int32_t ppid;
	uint32_t written;            /* enum written of preload/conduct.h; the member and its writer */
	char comm[16];
	uint32_t shimless;           /* enum shimless; whoever starts the program, cleared by its constructor */
	int32_t writer;              /* pid of the process that writes its image, 0 none; the member */
	uint32_t wants;              /* 1: the leader shall open its files for it (hand.c); the member, cleared by the leader */
	uint32_t stop_signal;        /* it stood stopped: by what; see preload/stopped.c */
	uint32_t leaving;            /* 1: the member is in exit(); still answers until it is gone */
	int32_t tid;                 /* of a thread that lives, for whoever looks at it: the first may have ended; the member, when it stands */
	uint32_t left;               /* the last checkpoint of which nothing is open in it any more, as tree->taken; the member */
	int32_t fds[MEMBER_FDS];     /* descriptors of the shim's, plus 1, in a table that others have too; the member (fdtable.c) */
	uint32_t confined;           /* CONFINED_*: what fork and exec pass on and nobody can read back; the member, or who forks it */
};

#define CONFINED_LANDLOCK 1u
#define CONFINED_KEYRING 2u      /* in a session keyring that the tree made */
#define CONFINED_TABLE 8u        /* has shared its table of descriptors; not passed on (fdtable.c) */
#define CONFINED_MEMORY 4u       /* has memory that a fork doesn't inherit as it is: its writer met some that nobody had noted */

struct tree_claim {
	uint64_t state;              /* twice the checkpoint's `taken`, plus 1 when the rest is filled; claimed by compare and swap */
	uint64_t dev, ino, offset, length, kind;
};

struct tree_ipc {
	uint64_t object;             /* 0 free, else its type and id, see ipcs.h; claimed by compare and swap */
};

/* A queue in which there are empty packets that don't show any more, see peeked.h. */
struct tree_queue {
	uint64_t cookie;             /* the socket's, 0 free; claimed by compare and swap */
	uint32_t taken;              /* the checkpoint that looked last */
	uint32_t n, used;            /* packets; bytes of `rows` */
	uint8_t rows[TREE_QUEUE_ROOM];
};

/*
 * Orders, in si_value of a checkpoint signal with si_code SHIM_CODE: what, in the upper half, with an index, or, of ORDER_LEAD,
 * the number in tree.request that it is for, 0 none. A plain signal from outside means ORDER_LEAD, too; but who sent it is told by a number that may have been a member's once.
 */
#define SHIM_CODE (-73)
enum order { ORDER_PARK = 1, ORDER_JOIN, ORDER_LEAD, ORDER_CONTINUE, ORDER_HOLD };

/* Phases of one checkpoint; the leader moves tree.phase, the members wait on it. */
enum tree_phase { PHASE_IDLE, PHASE_STOP, PHASE_COLLECT, PHASE_FORK, PHASE_GO };

enum tree_result { RESULT_NONE, RESULT_RUNNING, RESULT_COMPLETE, RESULT_FAILED };

struct tree {
	uint64_t magic;
	uint32_t version;
	uint32_t ready;              /* 1: the creator has filled the head */
	uint64_t size;
	uint64_t id;
	uint64_t pidns;              /* inode of the pid namespace the pids are of */
	uint64_t outer;              /* of the one that made it for this tree (skshim-restart), 0: none did */
	int32_t root_pid;
	uint32_t signal;             /* number of the checkpoint signal */
	uint32_t after_exit;         /* 0 continue, 1 exit */
	uint32_t after_code;
	uint32_t keep;
	uint32_t generation;
	uint64_t youngest;           /* start time of the process that the restart made last; each of them, before it runs */
	uint32_t log_level;
	uint32_t backtrace;
	uint32_t files_written;      /* contents of files open for writing are carried, too */
	uint64_t files_most;         /* bytes of one file that an image carries; 0: as many as without a word of the user's */
	char dir[TREE_DIR];          /* SKSHIM_DIR, absolute */
	char log_path[TREE_DIR];
	char shim_path[TREE_DIR];    /* libskshim.so, for LD_PRELOAD of programs with a cleaned environment */
	char preload[TREE_DIR];      /* LD_PRELOAD as the root had it */
	char path[TREE_PATH];        /* this file; what SKSHIM_TREE says */
	uint32_t filters;            /* of seccomp, under which the tree was started */
	uint64_t namespaces[TREE_NAMESPACES];  /* inodes, of those the tree's first process began in; 0 unknown */
	uint64_t root_dev, root_ino; /* the root directory of the tree's first process */
	uint32_t unregistered;       /* processes that found no free slot: a checkpoint must refuse */

	/* A checkpoint: `leader` is claimed by compare and swap from 0; see preload/meet.c */
	int32_t leader;
	uint32_t phase;              /* futex */
	uint32_t stop_after;         /* asked for by `skshim checkpoint --stop`; cleared by the leader */
	uint32_t request;            /* counts checkpoints asked for; the leader takes its number */
	uint32_t result_seq;         /* futex: number of the last checkpoint that ended */
	uint32_t result;             /* enum tree_result of that one */
	uint32_t taken;              /* number of the request being served; the leader */
	uint32_t again;              /* a signal came while one was being made: the writer asks anew when done */
	uint32_t ending;             /* 1: this checkpoint is the tree's end (--stop, SKSHIM_AFTER=exit); the leader, before PHASE_GO */
	uint32_t reapers;            /* child subreapers that are none while the writers are made; futex */
	uint32_t tables_shared;      /* 1: some process has shared its table of descriptors */
	uint32_t told;               /* 1: result_text is taken by the first process that failed */
	uint32_t number;             /* of the directory being written */
	int32_t writer;              /* the leader's writer: `leader` is held until it is done, or dead; the leader, the writer */
#define WRITER_COMING (-1)           /* it is being forked */
	uint32_t progress_done, progress_all;  /* MiB written, to be written */
	char result_dir[TREE_DIR];
	char result_text[ERR_TEXT];

	uint32_t nmembers;           /* high-water mark */
	uint32_t nlineages;          /* entries in use, roughly */
	struct member members[TREE_MEMBERS];

	/* The ledger, see lineages.h: which entries are taken, and where a cookie's entry is. */
	uint32_t lineage_hint;
	uint32_t lineage_sweep;      /* entries in use at which the dead ones are looked for; 0: not yet set */
	int32_t lineage_sweeper;     /* pid of the process that does; claimed by compare and swap */
	uint8_t lineage_ready[TREE_LINEAGES / 64];     /* 64 entries each: 0 not yet backed by memory, 1 ready, 2 no room */
	uint8_t lineage_index_ready[TREE_INDEX / 1024]; /* the same for a page of the index */
	uint64_t lineage_used[TREE_LINEAGES / 64];
	uint32_t lineage_index[TREE_INDEX];
	struct lineage lineages[TREE_LINEAGES];

	/* Which process writes the pages of a piece of shared memory; see preload/shared.c. Backed at the first use. */
	uint8_t claims_ready;
	struct tree_claim claims[TREE_CLAIMS];

	/* SysV objects that processes of the tree made; see base/ipcs.h. */
	uint8_t ipcs_ready;
	uint32_t ipcs_lost;          /* found no free slot: a checkpoint must refuse */
	struct tree_ipc ipcs[TREE_IPCS];

	/* Queues with empty packets, each backed at its first use; see base/peeked.c. */
	uint8_t queues_ready[TREE_QUEUES];
	struct tree_queue queues[TREE_QUEUES];
};

#endif
