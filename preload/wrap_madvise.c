/*
 * wrap_madvise.c - regions that a fork would not inherit, guard regions
 *
 * The one thing noted: that there are such at all. See memory.c.
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
