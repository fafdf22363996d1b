/*
 * file.h - what the kinds that have an inode share
 */
#ifndef FILE_H
#define FILE_H

#include "skshim/kind.h"

/* --- file.c: names and inodes --------------------------------------------------------------------------------- */

/* The name without the kernel's " (deleted)"; *deleted says whether it was there. */
struct blob file_name(const struct probe *, bool *deleted);
/* A name from a record, terminated; NULL when out of memory. */
const char *file_text(struct rebuild *, struct blob name);
/* Another description of the same inode: opens /proc/thread-self/fd/N. */
int file_reopen(int fd, int flags);
/* By name, also where a mode that changed behind the program's open forbids it to its owner. */
int file_open(const char *path, int flags);
/*
 * The owner of a file whose mode forbids something to him gives himself leave to: 0 and the mode to be given back with
 * file_forbid(), or a negative errno. Who watches it is told of both (IN_ATTRIB).
 */
int file_permit(const char *path, uint32_t add, uint32_t *mode);
void file_forbid(const char *path, uint32_t mode);
/* The flags of F_GETFL that have to be given to open(); the status flags come later (rebuild_flags). */
int file_open_flags(uint32_t flags);
/* On a file system of the kernel's own (proc, sysfs, cgroup ...), where inode, size and times mean nothing. */
bool file_pseudo(int fd);
/*
 * Files of /proc that tell of a process of the tree are opened, by each process that has them, when all live again; of one
 * that is gone, by another that has its number for a moment. Those of a process outside are refused: it may be gone
 * at any time.
 */
enum file_own { FILE_OWN = 1, FILE_OWN_GONE };
int file_of_process(struct collection *, const struct probe *, struct blob name, uint32_t *own);
/* What stands there until file_link_own() in each process, or for good. */
int file_create_own(struct blob name, uint32_t own, uint32_t flags);
int file_link_own(struct rebuild *, const char *path, uint32_t flags, uint64_t pos, int fd);
/* The description that the builder made and this process has at `fd`, its lowest number, gives way to `own` at all its numbers. */
int file_give_way(struct rebuild *, int own, int fd);
/* Whether it may have another name although the one it was opened by is gone: finds that in the same directory. */
struct blob file_other_name(struct arena *, struct blob name, const struct stat *);
/* A name that leads to it by which this process has it open, else none; *nameless: it has it open without a name. */
struct blob file_open_name(struct collection *, uint64_t dev, uint64_t ino, bool *nameless);
/* Directory of `path`, or of the nearest one above that is there: an O_PATH descriptor. */
int file_nearest_directory(const char *path);
int64_t file_mtime(const struct stat *);
/* Refuses what its name does not lead to: another mount lies over it, it is in another mount namespace. */
int file_reachable(struct collection *, const struct probe *, struct blob name);

/*
 * The first object of the image (in the order of numbers) with
 * this device and inode, then the one after `after`; OBJ_NONE when there is
 * none. Only records that begin with `dev` and `ino` are found.
 */
uint32_t file_same_inode(struct rebuild *, uint64_t dev, uint64_t ino, uint32_t after);
/*
 * The records of an inode that all processes have: what one of them carries for all need not be in the lowest's. The first
 * time obj is OBJ_NONE; NULL at the end.
 */
struct file_record_at {
	uint32_t obj, process;
};
const void *file_next_record(struct rebuild *, const struct kind *, uint64_t dev, uint64_t ino, struct file_record_at *);

/* --- contents.c: what is in a file that has no name ------------------------------------------------------------ */

/* A piece of a sparse file: its bytes, or where the image has them (IMAGE_CONTENTS). */
struct extent {
	uint64_t at;
	struct blob bytes;
	uint64_t size, where;    /* where 0: bytes */
};
extern const struct field fields_extent[];

/*
 * Reads what isn't a hole, and isn't carried as mapped memory. 1: another process of the tree carries it; -EFBIG: more than
 * an image carries; -EBADF: it can't be read without breaking its lease. Tells nothing.
 */
int contents_collect(struct collection *, const struct probe *, bool all, struct list *extents);
/* Into a file that is as long: what a record of this process says. */
int contents_write(struct rebuild *, uint32_t process, int fd, uint64_t size, const struct list *extents);
/* What an image carries at most, for messages: "64 MiB". */
const char *contents_most(const struct collection *, char text[32]);
/* Whether another description of this inode with a lower number in this process carries the contents. */
bool contents_elsewhere(const struct collection *, const struct probe *);

/* --- lock.c: POSIX, OFD and flock locks ------------------------------------------------------------------------- */

struct lock {
	uint32_t owner;          /* enum lock_owner */
	uint32_t write;          /* 1: exclusive */
	uint64_t start, end;     /* end: the last byte, UINT64_MAX to the end of the file */
};
enum lock_owner { LOCK_POSIX, LOCK_OFD, LOCK_FLOCK, LOCK_LEASE };
extern const struct field fields_lock[];

/* From the "lock:" lines of fdinfo. Refuses leases that are being broken. */
int lock_collect(struct collection *, const struct probe *, struct list *locks);
/* Takes them again: all, or those that belong to the process and not to the description. */
int lock_link(const char *name, const struct list *locks, int fd, bool only_posix);
/* In settle: POSIX locks once more, for the memory has been put back meanwhile. */
int lock_settle(struct rebuild *, const struct list *locks, int fd);
/* Whether this process has POSIX locks through it. */
bool lock_posix(const struct probe *);
/* Whether it has a lease that opening the file anew would break. */
bool lock_write_lease(const struct probe *);

/* --- stdio.c: the launcher's descriptors ------------------------------------------------------------------------- */

/* Which of 0, 1, 2 this description stands at in the process: bit n for number n. */
uint32_t stdio_numbers(const struct collection *, const struct probe *);
/*
 * A copy of one of the launcher's descriptors for an object that stood at `numbers`: a terminal if there is one, else
 * where output goes. -ENOENT when it has none. At the numbers themselves the object gets the launcher's own.
 */
int stdio_create(struct rebuild *, uint32_t obj, uint32_t numbers);
bool stdio_terminal(int fd);

#endif
