/*
 * script.h - the steps that turn the launcher's child into the program
 *
 * The restart writes them as data, the restorer (runtime/restorer) performs
 * them when the old address space is gone. Script, restorer code, its stack
 * and all data the steps point to lie in one mapping, the blob, placed where
 * neither the old nor the new layout has anything.
 */
#ifndef SKSHIM_SCRIPT_H
#define SKSHIM_SCRIPT_H

#include <stdint.h>

enum step_op {
	STEP_END,
	STEP_CALL,     /* nr, six arguments; the result must not be an error */
	STEP_TRY,      /* the same, where it doesn't matter (advice) */
	STEP_MAP,      /* mmap with these six arguments; the result must be args[0] */
	STEP_LOAD,     /* address of struct script_load: memory's contents */
	STEP_COPY,     /* from, to, bytes */
	STEP_SPAWN,    /* index in threads: clone3 with the old tid, or one that is parked; the thread jumps to its resume point */
	STEP_POST,     /* adds 1 to the 32-bit word at args[0] and wakes all */
	STEP_AWAIT,    /* waits until the word at args[0] is >= args[1]; exits when that at args[2] is not 0 or args[3] is lost */
	STEP_RESUME,   /* this thread's turn: jumps to threads[args[0]] */
};

struct step {
	uint32_t op;
	uint32_t what;               /* offset in the blob of a text for messages */
	int64_t nr;
	uint64_t args[6];
};

struct script_thread {
	uint64_t pc, sp;             /* resume point in the shim's park code */
	uint64_t fs_base;
	int32_t tid;
	uint32_t state;
	uint64_t stack;              /* while it is parked */
};
/* Not there yet; there since before the script, in restorer(), until its turn has come. */
enum script_thread_state { SCRIPT_TO_BE_MADE, SCRIPT_PARKED, SCRIPT_RESUMED };

/* Where bytes go; of the shape of struct iovec. */
struct script_span {
	uint64_t at, bytes;
};

/* Bytes that stand together in the file, and the huge pages they want: bit i for the block at huge + i * block. */
struct script_part {
	uint64_t offset;
	uint64_t spans;              /* address */
	uint64_t huge, blocks;
	uint32_t nspans, pad;
};

/* Another thread that takes parts, gone before the program's own are made. */
struct script_helper {
	int32_t tid, pad;
	uint64_t stack;              /* its top */
};

/* Parts are taken by whoever is free. The words behind `helpers` are the restorer's. */
struct script_load {
	uint64_t parts, helpers;     /* addresses */
	uint32_t nparts, nhelpers;
	int32_t fd, pad;
	uint64_t block, block_ns;    /* a huge page's size, and how long it may take on the whole (load.c) */
	uint64_t over_ns;            /* a thread that has lost so much by then wants no more of them */
	uint32_t next, slow, done;
	int32_t rc;
};

/*
 * What the restart leaves for the restored shim, at process_record.handover
 * (in the shim's data): written with memory, read by the resumed leader.
 */
/*
 * The launcher holds a robust futex while it builds: however it dies, the
 * kernel says so in this bit of the word, and whoever waits for it gives up.
 */
#define SCRIPT_LOST 0x40000000u

struct handover {
	uint64_t restarted;          /* 1 */
	uint64_t blob, blob_size;    /* to be unmapped by the leader */
	uint64_t ready;              /* address (in the blob) of the word the leader adds 1 to when its threads run */
	uint64_t go;                 /* address (in the blob's shared page) of the word that says all processes may go on: 1 go, 2 give up */
	uint64_t ledger_entries;     /* re-keyed entries in the ledger */
	int64_t monotonic_shift_ns;  /* CLOCK_MONOTONIC now minus what it would be had nothing happened */
	uint64_t drop_caps;          /* 1: threads give up the capabilities the restart's namespace gave them */
	uint64_t alive;              /* address (in the blob's shared page) of the launcher's word, see SCRIPT_LOST; 0 none */
	uint64_t pidns;              /* 1: runs in a pid namespace of the restart's */
};

/* Head of the blob. */
struct script {
	uint64_t base, size;
	uint64_t status;             /* address of struct script_status in a page shared with the launcher */
	uint32_t nsteps, nthreads;
	uint64_t steps, threads;     /* addresses */
	uint64_t stack_top;
	uint32_t parked;             /* counts them as they come */
	uint32_t pad;
};

#define SCRIPT_WHAT 120
struct script_status {
	uint32_t failed;             /* 2: a step failed, the rest is filled; the launcher tells */
	uint32_t step;
	int64_t result;
	int32_t pid;
	char what[SCRIPT_WHAT];      /* the step's text */
};

#endif
