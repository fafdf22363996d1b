/*
 * rings.c - which descriptor a mapping of an io_uring belongs to
 *
 * All rings have one inode, so /proc doesn't tell. Each is mapped for a moment
 * beside the program's own mapping: the right one shows a bit that is changed
 * in it, and changed back. Everybody stands, and a ring on which something is
 * under way is refused anyhow.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>

#include "stop.h"

#include "skshim/frozen.h"

struct dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* A word of the first page (behind it a mapping may be longer than the ring) that nobody uses, or not while nothing is submitted. */
#define SPARE 60

/* Processes that share a ring look at the same time, each by a bit of its own. */
static bool shows(int fd, const struct region *r)
{
	uint64_t size = r->vma.end - r->vma.start;
	const uint32_t *theirs = (const uint32_t *)(r->vma.start + SPARE);
	char *map = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (int64_t)r->vma.offset);
	uint32_t *ours = (uint32_t *)(map + SPARE), bit = 1u << (unsigned)shim.pid % 32, before, after;
	bool same;

	if (sys_is_err(map))
		return false;
	same = ((__atomic_load_n(theirs, __ATOMIC_SEQ_CST) ^ __atomic_load_n(ours, __ATOMIC_SEQ_CST)) & bit) == 0;
	before = __atomic_fetch_xor(ours, bit, __ATOMIC_SEQ_CST);
	after = __atomic_load_n(theirs, __ATOMIC_SEQ_CST);
	__atomic_fetch_xor(ours, bit, __ATOMIC_SEQ_CST);
	sys_munmap(map, size);
	return same && ((before ^ after) & bit);
}

int rings_descriptor(const struct region *r)
{
	char buf[4096], target[40];
	int dir, found = -1;
	long n;

	if (!(r->vma.prot & PROT_READ) || !(r->vma.map_flags & MAP_SHARED) || (uint64_t)r->vma.offset > IORING_OFF_SQES)
		return -1;
	dir = sys_openat(AT_FDCWD, "/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	while (dir >= 0 && found < 0 && (n = sys_getdents64(dir, buf, sizeof(buf))) > 0)
		for (long at = 0; at < n && found < 0; at += ((struct dirent64 *)(buf + at))->reclen) {
			const char *name = ((struct dirent64 *)(buf + at))->name, *p = name;
			long len = sys_readlinkat(dir, name, target, sizeof(target));
			uint64_t fd;

			if (blob_is((struct blob){ target, len > 0 ? (uint64_t)len : 0 }, "anon_inode:[io_uring]") &&
			    text_number(&p, p + strlen(p), 10, &fd) && shows((int)fd, r))
				found = (int)fd;
		}
	if (dir >= 0)
		sys_close(dir);
	return found;
}
