/*
 * lineages.h - the table of struct lineage in a tree
 *
 * Entries are given out densely, lowest first, so that the file grows only with
 * the sockets that live; a hash index of small words leads from a cookie to its
 * entry. All operations are lock-free and async-signal-safe, and a process that
 * dies inside one of them costs at most an entry. Frozen code.
 */
#ifndef SKSHIM_LINEAGES_H
#define SKSHIM_LINEAGES_H

#include <stdbool.h>

#include "skshim/tree.h"

/* An entry for the caller to fill (its contents are old ones but for cookie 0); NULL when all are taken or the file system is full. */
struct lineage *lineages_claim(struct tree *);
/* The entry is complete: others may find it by this cookie. Gives the entry back and returns false when the index has no room. */
bool lineages_publish(struct tree *, struct lineage *, uint64_t cookie);
/* The entry of a cookie, NULL when unknown. It may be freed at any time: copy it with lineages_copy(). */
struct lineage *lineages_lookup(struct tree *, uint64_t cookie);
/* A stable copy (lineage_size() of it); what is being written at this moment is left out. False when it is no longer this cookie's. */
bool lineages_copy(const struct lineage *, uint64_t cookie, struct lineage *out);
/* Drops an entry that still belongs to this cookie. */
void lineages_free(struct tree *, struct lineage *, uint64_t cookie);
/* The first published entry at or after number *at, which is moved behind it; NULL at the end. */
struct lineage *lineages_next(struct tree *, uint32_t *at);

/* The bit that an option has in lineage.touched; 0: none, since every socket is asked for it. */
uint32_t lineages_touch(int level, int name);

/* Writers of one part of a published entry. begin returns the ticket for end. */
uint32_t lineages_begin(struct lineage *, enum lineage_part part);
void lineages_end(struct lineage *, uint32_t ticket);

#endif
