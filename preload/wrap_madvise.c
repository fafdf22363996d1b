/*
 * wrap_madvise.c - regions that a fork would not inherit, guard regions, locks to come
 *
 * Noted is only that there are such at all, see memory.c; and mlockall's
 * MCL_FUTURE, which the kernel shows nowhere and a fork doesn't inherit.
 */
#include <sys/mman.h>

#include "stop.h"

#include "skshim/frozen.h"

#define MADV_GUARD_INSTALL_ 102

SHIM_EXPORT int madvise(void *at, size_t n, int advice)
{
	if (advice == MADV_DONTFORK || advice == MADV_WIPEONFORK)
		__atomic_store_n(&memory_special, 1, __ATOMIC_RELEASE);
	if (advice == MADV_GUARD_INSTALL_)
		__atomic_store_n(&memory_guarded, 1, __ATOMIC_RELEASE);
	return (int)syscall_result(sys_madvise(at, n, advice));
}

/* Flags of the last mlockall with MCL_FUTURE, by the process. */
static uint64_t future;

SHIM_EXPORT int mlockall(int flags)
{
	int rc = (int)SYS1(__NR_mlockall, flags);

	if (rc == 0)
		__atomic_store_n(&future, flags & MCL_FUTURE ? (uint64_t)shim.pid << 32 | (uint32_t)(flags & ~MCL_CURRENT) : 0,
				 __ATOMIC_RELEASE);
	return (int)syscall_result(rc);
}

SHIM_EXPORT int munlockall(void)
{
	int rc = (int)SYS0(__NR_munlockall);

	if (rc == 0)
		__atomic_store_n(&future, 0, __ATOMIC_RELEASE);
	return (int)syscall_result(rc);
}

static bool locks(void)
{
	return __atomic_load_n(&future, __ATOMIC_ACQUIRE) >> 32 == (uint32_t)shim.pid;
}

/* Or all of the arena would get pages when it is reserved. */
void memory_fill_later(bool later)
{
	if (locks() && !(future & MCL_ONFAULT))
		SYS1(__NR_mlockall, (uint32_t)future | (later ? MCL_ONFAULT : 0));
}

void memory_restored(void)
{
	if (locks() && SYS1(__NR_mlockall, (uint32_t)future) < 0)
		log_line(LOG_WARN, "pid %d: memory mapped from now on is not locked", shim.pid);
}
