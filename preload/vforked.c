/*
 * vforked.c - threads that wait for a child which has their memory (vfork, posix_spawn)
 *
 * Such a thread takes no signal before the child executes a program or ends,
 * and so doesn't stop. Mostly that is a matter of microseconds; a child that
 * does neither is named, instead of being waited for as long as any other.
 */
#include <fcntl.h>
#include <linux/sched.h>

#include "conduct.h"
#include "skshim/away.h"
#include "skshim/treefile.h"

#include "skshim/frozen.h"

static long read_file(int pid, int tid, const char *name, char *buf, size_t room)
{
	char path[64];
	long n;
	int fd;

	text_format(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	fd = away_open(path, O_CLOEXEC);
	if (fd < 0)
		return fd;
	n = sys_read(fd, buf, room);
	sys_close(fd);
	return n;
}

/* Does it wait so now? The flags of clone3() are not looked up: nobody sleeps in it for another reason. */
static bool waits(int pid, int tid)
{
	struct treefile_stat st;
	uint64_t nr, flags;
	char text[256];
	const char *p = text;
	long n;

	if (treefile_stat(tid, &st) < 0 || st.state != 'D')
		return false;
	n = read_file(pid, tid, "syscall", text, sizeof(text));
	if (n <= 0 || !text_number(&p, text + n, 10, &nr))
		return false;
	if (nr != __NR_clone)
		return nr == __NR_vfork || nr == __NR_clone3;
	return p + 3 < text + n && (p += 3, text_number(&p, text + n, 16, &flags)) && (flags & CLONE_VFORK);
}

/* The child that it made last. */
static int child_of(int pid, int tid)
{
	char text[256];
	const char *p = text;
	long n = read_file(pid, tid, "children", text, sizeof(text));
	uint64_t child = 0;

	while (n > 0 && p < text + n)
		if (!text_number(&p, text + n, 10, &child))
			p++;
	return (int)child;
}

int vforked_too_long(int pid, int tid, int64_t *since)
{
	if (!waits(pid, tid))
		*since = 0;
	else if (!*since)
		*since = stop_now();
	else if (stop_now() - *since > VFORKED_LIMIT)
		return failed(ERR_PLAIN, "pid %d: thread %d waits for its child by vfork, pid %d, which neither executes a program nor ends", pid,
			      tid, child_of(pid, tid));
	return 0;
}
