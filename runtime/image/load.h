/*
 * load.h - what the files that load an image tell each other
 */
#ifndef IMAGE_LOAD_H
#define IMAGE_LOAD_H

#include "skshim/image.h"

/* Notes "image DIR: text" for a file or record that isn't what a writer makes; returns -EBADMSG. */
int image_damaged(const struct image *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* check.c: what no hash can tell, since somebody may have made the image on purpose. */
int check_manifest(const struct image *);
int check_process(const struct image *, const struct image_process *);
/* Runs lie inside regions, don't overlap, and cover the pages file. */
int check_runs(const struct image *, const struct image_process *, uint64_t pages_size);
int check_parents(const struct image *);
int check_tables(const struct image *);
int check_objects(const struct image *);

/* pages.c: hashes all runs of all processes, with two threads. */
int pages_verify(const struct image *);

/* hash.c: image_hash() for processors with AVX2. */
uint64_t hash_wide(const void *p, uint64_t n);

/* processes.c: all processes, checked one by one. */
int processes_load(struct image *);

/* --- file.c ------------------------------------------------------------------------------------------------- */

/* Address space for all metadata and what becomes of it. */
uint64_t image_room(const struct image *);
/* What the manifest says of a file, NULL nothing. */
const struct file_sum_record *image_file_sum(const struct image *, const char *name);
/* A metadata file, of the size and hash that the manifest says. */
int image_read_summed(const struct image *, struct arena *, const char *name, struct blob *bytes);
/* Opens a file of the image; refuses links and what is no regular file. */
int image_open(const struct image *, const char *name, uint64_t *size);

#endif
