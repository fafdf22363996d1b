/*
 * peeked.h - empty packets that a look at a queue has hidden from the next one
 *
 * A peek with SO_PEEK_OFF marks an empty packet, and later such peeks pass over
 * it (tests/kernel/peek_empty.c). So what a checkpoint saw of a queue that holds
 * empty packets is noted in the tree's memory, and the next look, by another
 * process or in another checkpoint, puts them back where they were: some of the
 * packets at the head may have been received since, and others come behind.
 * Frozen code.
 */
#ifndef SKSHIM_PEEKED_H
#define SKSHIM_PEEKED_H

#include "skshim/arena.h"
#include "skshim/str.h"
#include "skshim/tree.h"

struct peeked {
	uint32_t len, hash;          /* of its bytes and its sender; hash counts for those that aren't empty */
	struct blob detail;          /* of an empty one: what its kind knows of it */
};

uint32_t peeked_hash(uint32_t hash, const void *p, size_t n);
/* What was seen before of the socket's queue: how many packets, 0 nothing, or a negative errno. */
int peeked_load(struct tree *, uint64_t cookie, struct arena *, struct peeked **list);
/* Notes a queue as it is now; one without empty packets is forgotten. False when there is no room for it. */
bool peeked_store(struct tree *, uint64_t cookie, const struct peeked *list, uint32_t n);
/*
 * How many packets at the head of `before` were received since, if `now` is what a later look shows, its first packet
 * by a peek without an offset, which shows the head always: the lowest number that fits and isn't below `from`. That
 * all were received fits always.
 */
uint32_t peeked_received(const struct peeked *before, uint32_t nbefore, const struct peeked *now, uint32_t nnow, uint32_t from);

#endif
