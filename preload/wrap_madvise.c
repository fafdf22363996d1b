/*
 * wrap_madvise.c - regions that a fork would not inherit
 *
 * The one thing noted: that there are such at all. See memory.c.
 */
#include <sys/mman.h>

#include "stop.h"

#include "skshim/frozen.h"

SHIM_EXPORT int madvise(void *at, size_t n, int advice)
{
	if (advice == MADV_DONTFORK || advice == MADV_WIPEONFORK)
		__atomic_store_n(&memory_special, 1, __ATOMIC_RELEASE);
	return (int)syscall_result(sys_madvise(at, n, advice));
}
