/*
 * lineage.h - what the shim saw of a socket's life
 *
 * Written by the interposers into the ledger, read when collecting, carried in
 * the image as it is. A hint: the kernel decides what exists.
 */
#ifndef SKSHIM_LINEAGE_H
#define SKSHIM_LINEAGE_H

#include <stddef.h>
#include <stdint.h>

#define LINEAGE_FRAMES 16
#define LINEAGE_ADDR 128     /* sizeof(struct sockaddr_storage) */
#define LINEAGE_PATH 256
#define LINEAGE_NOTES 1024
#define TOUCHED_ANY 1u
#define PEER_WAS_GONE (-1)

enum lineage_part { LINEAGE_PART_NONE, LINEAGE_PART_BOUND, LINEAGE_PART_PEER, LINEAGE_PART_NOTES, LINEAGE_PART_BACKLOG };
enum lineage_origin { LINEAGE_UNKNOWN, LINEAGE_SOCKET, LINEAGE_PAIR, LINEAGE_ACCEPT, LINEAGE_ADOPTED };

/*
 * One socket. Lives in memory shared by the tree, so it holds no pointers.
 * `cookie` is the key (SO_COOKIE); 0 is an entry that is free or not yet filled. The thread that creates
 * the socket fills the entry before it publishes the cookie; later changes are
 * made by whichever thread makes the call that is noted, under `seq` (odd while
 * being written; a reader that meets an odd number does without what `part`
 * names).
 */
struct lineage {
	uint64_t cookie;
	uint32_t seq;
	uint32_t part;               /* enum lineage_part: what is being written while seq is odd */
	uint32_t origin;             /* enum lineage_origin */
	uint32_t error;              /* errno that a restart has made wait, until the next connect; 0 none */
	int32_t pid, tid;            /* who made it */
	int64_t when;                /* CLOCK_REALTIME, nanoseconds */
	char program[16];            /* its name then */
	uint64_t mate;               /* cookie of the socketpair's other end, or 0 */
	uint64_t listener;           /* cookie of the listener it was accepted from, or 0 */
	int32_t family, type, protocol;
	int32_t backlog;             /* as given to listen, -1 never */
	uint32_t nframes;
	uint64_t frames[LINEAGE_FRAMES]; /* return addresses, innermost first, in pid's address space */
	int32_t peer_process;            /* who SO_PEERCRED tells where the restart made the socket, or PEER_WAS_GONE; 0: the kernel knows */
	uint32_t touched;                /* options that were set on it, or may have been: a bit each (lineages_touch()), or TOUCHED_ANY */
	uint32_t bound_len, peer_len;    /* 0: never */
	uint8_t bound[LINEAGE_ADDR];     /* exactly as given to bind */
	uint8_t peer[LINEAGE_ADDR];      /* exactly as given to connect */
	/* Directory against which a relative unix name was bound (or else connected to), and the socket file made. */
	uint64_t cwd_dev, cwd_ino;
	uint64_t file_dev, file_ino;
	int32_t file_anchor;             /* number of an O_PATH descriptor of the file in pid, -1 none */
	uint32_t cwd_len, file_len;
	char file[LINEAGE_PATH];         /* where the restart put the socket file, which has no anchor then; file_len 0: not told */
	char cwd[LINEAGE_PATH];
	/*
	 * Options that can't be read back, as a row of {u32 level, u32 name, u32 len, bytes padded to 4};
	 * notes_lost counts those that had no room.
	 */
	uint32_t notes_len, notes_lost;
	uint8_t notes[LINEAGE_NOTES];
};

/* Of an entry, without the room for notes that it doesn't have. */
static inline size_t lineage_size(const struct lineage *l)
{
	return offsetof(struct lineage, notes) + (l->notes_len < LINEAGE_NOTES ? l->notes_len : LINEAGE_NOTES);
}

#endif
