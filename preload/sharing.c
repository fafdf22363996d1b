/*
 * sharing.c - whether another process of the tree has a socket too
 *
 * Asked with the world stopped, for the few sockets that must be known to be
 * this process's alone. Reads the others' descriptor tables by name.
 */
#include <asm/errno.h>
#include <fcntl.h>

#include "collect.h"
#include "skshim/probe.h"
#include "skshim/frozen.h"

/* Whether a directory /proc/PID/fd has a link with that text; errors count as yes. */
static bool has(int dir, const char *text, size_t len)
{
	_Alignas(8) char buf[8192];
	char link[64];
	long n, at, got;

	while ((n = sys_getdents64(dir, buf, sizeof(buf))) > 0)
		for (at = 0; at < n; at += *(uint16_t *)(buf + at + 16)) {
			if (buf[at + 19] == '.')
				continue;
			got = sys_readlinkat(dir, buf + at + 19, link, sizeof(link));
			if ((size_t)got == len && !memcmp(link, text, len))
				return true;
		}
	return n < 0;
}

bool sharing_alone(int pid, uint64_t ino)
{
	uint32_t n = __atomic_load_n(&shim.tree->nmembers, __ATOMIC_ACQUIRE), i;
	char text[40], path[40];
	size_t len = text_format(text, sizeof(text), "socket:[%lu]", (unsigned long)ino);
	bool found = false;

	for (i = 0; i < n && i < TREE_MEMBERS && !found; i++) {
		const struct member *m = &shim.tree->members[i];
		int other = __atomic_load_n(&m->pid, __ATOMIC_ACQUIRE), dir;

		if (other <= 0 || other == pid)
			continue;
		text_format(path, sizeof(path), "/proc/%d/fd", m->tid ? m->tid : other);
		dir = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		if (dir == -ENOENT)
			continue;
		found = dir < 0 || has(dir, text, len);
		if (dir >= 0)
			sys_close(dir);
	}
	return !found;
}
