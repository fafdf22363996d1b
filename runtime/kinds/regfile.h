/*
 * regfile.h - what regfile.c and regfile_find.c tell each other
 */
#ifndef REGFILE_H
#define REGFILE_H

#include "file.h"

struct regfile {
	uint64_t dev, ino;
	struct blob path;
	uint64_t size, pos;
	int64_t mtime_ns;
	uint32_t mode, uid, gid;
	uint32_t flags;
	uint32_t deleted;        /* 1: no name; extents has its bytes, unless another object of this inode does */
	uint32_t pseudo;         /* 1: procfs and the like */
	uint32_t own;            /* below /proc/PID: enum file_own */
	uint32_t going_on;       /* 1: the tree went on after this checkpoint */
	uint32_t hashed;
	uint32_t standard;       /* which of 0, 1, 2 it stood at, a bit each */
	uint64_t hash;           /* of `size` bytes, when hashed */
	uint64_t born;           /* when the inode was made, ns; 0 the file system doesn't tell */
	uint32_t carried;        /* enum regfile_carried: it has a name, and its bytes are in the image all the same */
	struct list extents;
	struct list locks;
};

enum regfile_carried { REGFILE_NOT_CARRIED, REGFILE_CARRIED, REGFILE_CARRIED_ELSEWHERE /* perhaps: by another object of this inode */ };

extern const struct kind kind_regfile;

uint64_t regfile_born(int fd);
/* Hash of the first `size` bytes; 1, or 0 when they aren't in memory (nowait) or can't be read. */
int regfile_hash(int fd, uint64_t size, bool nowait, uint64_t *hash);
/*
 * Opens the file that the program knew, by its name, or by the one it was given since. A negative errno, told, when it
 * is not there any more, or isn't what it was; -ENOENT, not told, when it is gone and in the image.
 */
int regfile_find(struct rebuild *, uint32_t obj, const struct regfile *, bool *lent);
/* The record that carries the bytes of this inode, and the process whose it is; NULL when none does. */
const struct regfile *regfile_carrier(struct rebuild *, const struct regfile *, uint32_t *process);

#endif
