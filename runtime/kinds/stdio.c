/*
 * stdio.c - the launcher's descriptors
 *
 * A terminal, or the other end of a pipe or socket that is outside the tree,
 * is gone or somebody else's by the time of the restart. At the standard
 * numbers the program gets what skshim-restart itself has there.
 */
#include <asm/errno.h>
#include <fcntl.h>

#include "file.h"

#include "skshim/frozen.h"

int stdio_number(const struct collection *c, const struct probe *p)
{
	for (uint32_t i = 0; i < c->nfds && c->fds[i].fd <= 2; i++)
		if (c->fds[i].obj == p->obj)
			return c->fds[i].fd;
	return -1;
}

int stdio_create(struct rebuild *r, int number)
{
	int fd = rebuild_launcher_fd(r, number);
	long rc;

	if (fd < 0)
		return -ENOENT;
	/* Never at 0, 1 or 2 itself: a launcher that was started without one of them would lend it out. */
	rc = sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return (int)rc;
}
