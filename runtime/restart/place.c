/*
 * place.c - descriptors at their numbers
 *
 * The process has inherited every object of the builder's at any number. First
 * all that it needs is moved above its highest number, then each goes to its
 * places, then everything else is closed but what we still need ourselves,
 * which stands above as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "restart.h"

int place_above(int fd, int above)
{
	int high;

	if (fd < 0 || fd >= above)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, above);
	if (high < 0) {
		high = failed(-errno, "a descriptor above %d (RLIMIT_NOFILE)", above);
		close(fd);
		return high;
	}
	close(fd);
	return high;
}

int place_descriptors(struct rebuild *rb, uint32_t process, int above)
{
	const struct image_process *p = &rb->image->processes[process];
	const struct fd_record *f = p->task->fds.items;
	int *high = malloc((rb->image->nobjects + 1) * sizeof(*high));
	int standard[3], rc = 0;

	rb->numbers = malloc((rb->image->nobjects + 1) * sizeof(*rb->numbers));
	if (!high || !rb->numbers)
		return failed(-ENOMEM, "pid %d: memory for its descriptors", p->task->pid);
	for (uint32_t i = 0; i < rb->image->nobjects; i++)
		high[i] = rb->numbers[i] = -1;
	for (uint32_t i = 0; i < p->task->fds.n; i++) {
		int fd = rb->fds[f[i].obj];

		if (high[f[i].obj] >= 0)
			continue;
		if (fd < 0)
			return failed(-EBADF, "pid %d fd %d: was not made", p->task->pid, f[i].fd);
		high[f[i].obj] = fd >= above ? fd : fcntl(fd, F_DUPFD_CLOEXEC, above);
		if (high[f[i].obj] < 0)
			return failed(-errno, "pid %d: a descriptor above %d (RLIMIT_NOFILE)", p->task->pid, above);
	}
	/* A program's terminal that is the launcher's business: each standard number has the launcher's own. */
	for (int i = 0; i < 3; i++)
		standard[i] = rb->launcher_std[i] < 0 ? -1 : fcntl(rb->launcher_std[i], F_DUPFD_CLOEXEC, above);
	close_range(0, (unsigned)above - 1, 0);
	for (uint32_t i = 0; i < p->task->fds.n; i++) {
		bool own = f[i].fd <= 2 && rb->stand_in[f[i].obj] && standard[f[i].fd] >= 0;

		if (dup3(own ? standard[f[i].fd] : high[f[i].obj], f[i].fd, f[i].cloexec ? O_CLOEXEC : 0) < 0)
			rc = failed(-errno, "pid %d fd %d", p->task->pid, f[i].fd);
		if (rb->numbers[f[i].obj] < 0)
			rb->numbers[f[i].obj] = f[i].fd;
	}
	for (uint32_t i = 0; i < rb->image->nobjects; i++) {
		if (high[i] >= 0)
			close(high[i]);
		else if (rb->fds[i] >= above)
			close(rb->fds[i]);
	}
	for (int i = 0; i < 3; i++)
		if (standard[i] >= 0)
			close(standard[i]);
	free(high);
	return rc;
}
