/*
 * wrap_syscall.c - the public edge of calls made without libc's wrapper
 */
#include <errno.h>

#include "stop.h"
#include "wait.h"

/* The one place in frozen code that sets errno, for the program's own calls. */
static int *program_errno(void)
{
	return &errno;
}

#include "skshim/frozen.h"

long syscall_result(long rc)
{
	if (rc < 0 && rc >= -4095) {
		*program_errno() = (int)-rc;
		return -1;
	}
	return rc;
}

/* Called by syscall() in context.S. */
long syscall_failed(long rc)
{
	return syscall_result(rc);
}

bool wait_stolen(long rc)
{
	return rc < 0 && *program_errno() == EINTR &&
	       (__atomic_load_n(&trigger_stopping, __ATOMIC_SEQ_CST) || __atomic_load_n(&trigger_owed, __ATOMIC_SEQ_CST));
}
