/*
 * wrap_namespace.c - going into other namespaces
 *
 * Of a process that did, a checkpoint asks where each of its threads is
 * (attribute.c). Where the next children will be in another pid namespace, the
 * number that they see is not the one by which the tree knows them: they are
 * none of its members.
 */
#include <linux/sched.h>

#include "family.h"
#include "signals.h"

#include "skshim/frozen.h"

int unshare(int flags);
int setns(int fd, int type);

bool namespace_moved, namespace_of_children;

static uint64_t pid_namespace(void)
{
	char text[64];
	const char *s = text + sizeof("pid:[") - 1;
	uint64_t ino = 0;
	long n = sys_readlinkat(-100, "/proc/thread-self/ns/pid_for_children", text, sizeof(text));

	return n > (long)sizeof("pid:[") && text_number(&s, text + n, 10, &ino) ? ino : 0;
}

static void moved(void)
{
	__atomic_store_n(&namespace_moved, true, __ATOMIC_RELEASE);
	if (shim.active && shim.tree && pid_namespace() != shim.tree->pidns)
		__atomic_store_n(&namespace_of_children, true, __ATOMIC_RELEASE);
}

SHIM_EXPORT int unshare(int flags)
{
	int rc = real.unshare(flags);

	if (rc == 0 && (flags & ~(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM)))
		moved();
	return rc;
}

SHIM_EXPORT int setns(int fd, int type)
{
	int rc = real.setns(fd, type);

	if (rc == 0)
		moved();
	return rc;
}

/* syscall() of the two: see context.S. */
long namespace_call(long nr, long a, long b);
long namespace_call(long nr, long a, long b)
{
	return nr == __NR_unshare ? unshare((int)a) : setns((int)a, (int)b);
}
