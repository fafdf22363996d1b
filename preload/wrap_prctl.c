/*
 * wrap_prctl.c - the checkpoint signal as a parent's last word
 *
 * PR_SET_PDEATHSIG: the kernel sends it in the parent's name when the parent
 * is gone, so it could not be told from a request for a checkpoint.
 * PR_SET_SECCOMP: seccomp.c.
 */
#include <stdarg.h>
#include <sys/prctl.h>

#include "signals.h"

#include "skshim/frozen.h"

#define EINVAL_ 22

SHIM_EXPORT int prctl(int op, ...)
{
	unsigned long a, b, c, d;
	va_list ap;
	int rc;

	va_start(ap, op);
	a = va_arg(ap, unsigned long);
	b = va_arg(ap, unsigned long);
	c = va_arg(ap, unsigned long);
	d = va_arg(ap, unsigned long);
	va_end(ap);
	if (op == PR_SET_PDEATHSIG && signals_moved) {
		if (a == SHIM_ALIAS)
			return signals_errno(EINVAL_);
		if (a == (unsigned long)signals_moved)
			a = SHIM_ALIAS;
	}
	if (op == PR_SET_SECCOMP)
		return seccomp_prctl(a, (const void *)b);
	rc = real.prctl(op, a, b, c, d);
	if (rc == 0 && op == PR_GET_PDEATHSIG && signals_moved && *(int *)a == SHIM_ALIAS)
		*(int *)a = signals_moved;
	return rc;
}
