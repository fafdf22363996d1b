/*
 * sharing.c - whether another process of the tree has a descriptor too
 *
 * Asked with the world stopped, for the few that must be known to be this
 * process's alone. Reads the others' descriptor tables by name.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>

#include "collect.h"
#include "skshim/probe.h"
#include "skshim/frozen.h"

struct sought {
	const char *text;            /* of the link in /proc/PID/fd */
	size_t len;
	int pid, fd;                 /* where others' links may have that text too, else -1 */
};

static bool is_it(const struct sought *s, int other, const char *number)
{
	const char *end = number + strlen(number);
	uint64_t fd;
	int rc;

	if (s->fd < 0)
		return true;
	if (!text_number(&number, end, 10, &fd))
		return false;
	rc = sys_kcmp(s->pid, other, KCMP_FILE, (unsigned long)s->fd, fd);
	return rc <= 0 && rc != -EBADF; /* one that can't be asked for counts as it */
}

/* Whether a directory /proc/PID/fd has what is sought; errors count as yes. */
static bool has(int dir, const struct sought *s, int other)
{
	_Alignas(8) char buf[8192];
	char link[64];
	long n, at, got;

	while ((n = sys_getdents64(dir, buf, sizeof(buf))) > 0)
		for (at = 0; at < n; at += *(uint16_t *)(buf + at + 16)) {
			if (buf[at + 19] == '.')
				continue;
			got = sys_readlinkat(dir, buf + at + 19, link, sizeof(link));
			if ((size_t)got == s->len && !memcmp(link, s->text, s->len) && is_it(s, other, buf + at + 19))
				return true;
		}
	return n < 0;
}

static bool found_elsewhere(const struct sought *s, int pid)
{
	uint32_t n = __atomic_load_n(&shim.tree->nmembers, __ATOMIC_ACQUIRE), i;
	char path[40];
	bool found = false;

	for (i = 0; i < n && i < TREE_MEMBERS && !found; i++) {
		const struct member *m = &shim.tree->members[i];
		int other = __atomic_load_n(&m->pid, __ATOMIC_ACQUIRE), dir;

		if (other <= 0 || other == pid)
			continue;
		other = m->tid ? m->tid : other;
		text_format(path, sizeof(path), "/proc/%d/fd", other);
		dir = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		if (dir == -ENOENT)
			continue;
		found = dir < 0 || has(dir, s, other);
		if (dir >= 0)
			sys_close(dir);
	}
	return found;
}

bool sharing_alone(int pid, uint64_t ino)
{
	char text[40];
	struct sought s = { .text = text, .fd = -1 };

	s.len = text_format(text, sizeof(text), "socket:[%lu]", (unsigned long)ino);
	return !found_elsewhere(&s, pid);
}

bool sharing_elsewhere(int pid, int fd, const char *link)
{
	struct sought s = { link, strlen(link), pid, fd };

	return found_elsewhere(&s, pid);
}
