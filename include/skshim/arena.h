/*
 * arena.h - memory given out in one direction, given back all at once
 *
 * One reservation of address space, touched as it is used. In frozen code the
 * reservation is made while the world stands, and its range left out of the image.
 */
#ifndef SKSHIM_ARENA_H
#define SKSHIM_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "skshim/str.h"

struct arena {
	char *base;
	size_t used;
	size_t size;     /* bytes reserved */
};

/* Reserves up to `size` bytes (less where RLIMIT_AS is small). 0 or -ENOMEM. */
int arena_begin(struct arena *, size_t size);
void arena_end(struct arena *);
/* Gives back what was not used. */
void arena_trim(struct arena *);

/* Zeroed memory aligned to 16, or NULL when the reservation is spent. */
void *arena_alloc(struct arena *, size_t n);
void *arena_copy(struct arena *, const void *p, size_t n);
/* A copy with a terminating zero behind it that is not counted. p is NULL on failure. */
struct blob arena_blob(struct arena *, const void *p, size_t n);
struct blob arena_format(struct arena *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Reads a whole file of unknown size (/proc): 0 or a negative errno. Tells nothing: its absence may be no failure. A zero follows that isn't counted. */
int arena_read_file(struct arena *, int dirfd, const char *path, struct blob *out);

#endif
