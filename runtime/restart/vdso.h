/*
 * vdso.h - what vdso.c and vdso_inside.c tell each other
 */
#ifndef VDSO_H
#define VDSO_H

#include "restart.h"

#define VDSO_PATCH 32                /* bytes at an entry that may be overwritten */

/* Pages of the image's memory at `at`, where they are in the image; zeros elsewhere. */
int vdso_read(const struct image *, const struct image_process *, uint64_t at, char *buf, uint64_t n);
/* Of d->bytes, the code. */
char *vdso_code(const struct vdso *);
/* The system call that a function of this name stands for, 0 none. */
uint32_t vdso_call(struct blob name);
/* Steps: d->bytes at `distance` from the old place. */
void vdso_put(struct script_builder *, const struct vdso *, uint64_t distance);

/* Of another kernel's: finds who stands inside, and makes the old data such that the old code asks the kernel. */
int vdso_inside(struct vdso *, const struct image *, const struct image_process *);
bool vdso_inside_try(const struct vdso *);   /* does it? */
/* Steps: those who stand where entries will be overwritten go on in a second copy. Before d->bytes have jumps. */
int vdso_inside_place(struct script_builder *, const struct vdso *, const struct image *, const struct image_process *);
void vdso_inside_forget(struct vdso *);

#endif
