/*
 * away.c - descriptors of the shim's own that outlive a checkpoint
 *
 * They lie where a program looks last: from AWAY_FLOOR on, where its limit
 * leaves room behind that (a table of descriptors costs memory up to the
 * highest); else above the limit that it believes in; else, where the hard limit
 * allows no more, at the limit's upper end.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "skshim/away.h"
#include "skshim/sys.h"

#include "skshim/frozen.h"

int away_move(int fd)
{
	struct rlimit64 limit, raised;
	int to;

	if (sys_prlimit(0, RLIMIT_NOFILE, NULL, &limit) < 0)
		return -EINVAL;
	if (limit.rlim_cur >= AWAY_FLOOR + AWAY_ROOM)
		return (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, AWAY_FLOOR);
	raised = limit;
	raised.rlim_cur = limit.rlim_cur + AWAY_ROOM < limit.rlim_max ? limit.rlim_cur + AWAY_ROOM : limit.rlim_max;
	if (raised.rlim_cur > limit.rlim_cur && sys_prlimit(0, RLIMIT_NOFILE, &raised, NULL) == 0) {
		to = (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, (long)limit.rlim_cur);
		sys_prlimit(0, RLIMIT_NOFILE, &limit, NULL);
		return to;
	}
	return limit.rlim_cur > 2 * AWAY_ROOM ? (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, (long)(limit.rlim_cur - AWAY_ROOM)) : -EMFILE;
}
