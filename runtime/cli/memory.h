/*
 * memory.h - a process's memory, read out of its image
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "skshim/image.h"

struct memory {
	const struct image *image;
	const struct image_process *process;
	int pages;                   /* the pages file, -1 when it has none */
	int *files;                  /* by index in the process's files: a descriptor, -1 not tried, -2 not to be had */
};

int memory_open(struct memory *, const struct image *, const struct image_process *);
void memory_close(struct memory *);
/* All n bytes or a negative errno; failed() is not called. */
int memory_read(struct memory *, uint64_t address, void *buf, size_t n);
/* The region an address lies in, or NULL. */
const struct vma_record *memory_region(const struct memory *, uint64_t address);
/* The file mapped in a region, or NULL. */
const struct file_record *memory_file(const struct memory *, const struct vma_record *);
/* Opens the file if it is still the one that was mapped; else a negative errno. */
int memory_open_file(const struct file_record *);
/* This program's own [vdso], when it is the process's: its address and size; else NULL. */
const void *memory_vdso(const struct image_process *, size_t *size);

#endif
