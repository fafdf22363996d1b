/*
 * view.h - paths of a process in another root directory (chroot). Frozen code.
 *
 * An image says where things are seen from the tree's own root directory. A
 * process that has gone into another one reads and opens by other names. While
 * it makes its part of a checkpoint, sys_openat, sys_fstatat and sys_readlinkat
 * take the outer ones: what lies in its root directory is found there, /proc
 * and the directory of the checkpoints by descriptors that were opened before
 * (preload/jail.c), and the rest is told to be out of reach, EACCES.
 */
#ifndef SKSHIM_VIEW_H
#define SKSHIM_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "skshim/arena.h"

#define VIEW_PATH 1024

struct view {
	struct view_fds {
		int32_t proc, dir;       /* -1 none; set by the restart (process_record.view) */
	} fds;
	const char *dir;                 /* the path that fds.dir stands for */
	uint32_t root_len;
	char root[VIEW_PATH];            /* outer path of the root directory; "" it is the tree's */
	uint64_t root_dev, root_ino;
	struct { uint64_t dev, ino; } was[2];    /* what fds led to: the program may close them, and open others */
};
extern struct view view;
/* This thread's absolute paths are outer ones; else only those in /proc are looked at. */
extern __thread bool view_outside;

/* The outer name of what the kernel calls `path` here, of this inode. Others than paths of files stay as they are. */
struct blob view_global(struct arena *, struct blob path, uint64_t dev, uint64_t ino);
/* What an outer path is called here; NULL: it can't be reached by name. */
const char *view_local(const char *path);
/* Is the outer path one that can't be reached from here? */
bool view_hidden(const char *path);

#endif
