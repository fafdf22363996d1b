/*
 * peek.h - a process's memory, read out of its image
 */
#ifndef PEEK_H
#define PEEK_H

#include <stdbool.h>
#include <stdint.h>

#include "skshim/image.h"

struct peek {
	const struct image *image;
	const struct image_process *process;
	int pages;                   /* the pages file, -1 when it has none */
	struct run_record *runs;     /* of the process, by address: in the image the most written come first */
	int *files;                  /* by index in the process's files: a descriptor, -1 not tried, -2 not to be had */
};

int peek_open(struct peek *, const struct image *, const struct image_process *);
void peek_close(struct peek *);
/* All n bytes or a negative errno; failed() is not called. */
int peek_read(struct peek *, uint64_t address, void *buf, size_t n);
/* The region an address lies in, or NULL. */
const struct vma_record *peek_region(const struct peek *, uint64_t address);
/* The file mapped in a region, or NULL. */
const struct file_record *peek_file(const struct peek *, const struct vma_record *);
/* Opens the file if it is still the one that was mapped; else a negative errno. */
int peek_open_file(const struct file_record *);
/* This program's own [vdso], when it is the process's: its address and size; else NULL. */
const void *peek_vdso(const struct image_process *, size_t *size);

#endif
