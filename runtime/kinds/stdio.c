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

#define STDIO_TCGETS 0x5401ul

uint32_t stdio_numbers(const struct collection *c, const struct probe *p)
{
	uint32_t numbers = 0;

	for (uint32_t i = 0; i < c->nfds && c->fds[i].fd <= 2; i++)
		if (c->fds[i].obj == p->obj)
			numbers |= 1u << c->fds[i].fd;
	return numbers;
}

bool stdio_terminal(int fd)
{
	char termios[64];

	return fd >= 0 && sys_ioctl(fd, STDIO_TCGETS, (long)termios) == 0;
}

/* For a restart that has only one descriptor for an object. */
__attribute__((weak)) void rebuild_stand_in(struct rebuild *r, uint32_t obj)
{
	(void)r;
	(void)obj;
}

int stdio_create(struct rebuild *r, uint32_t obj, uint32_t numbers)
{
	static const int order[] = { 1, 2, 0 };
	int fd = -1, own;

	for (size_t i = 0; i < 3; i++) {
		own = numbers & 1u << order[i] ? rebuild_launcher_fd(r, order[i]) : -1;
		if (own >= 0 && (fd < 0 || (!stdio_terminal(fd) && stdio_terminal(own))))
			fd = own;
	}
	if (fd < 0)
		return -ENOENT;
	rebuild_stand_in(r, obj);
	/* Never at 0, 1 or 2 itself: a launcher that was started without one of them would lend it out. */
	return (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
}
