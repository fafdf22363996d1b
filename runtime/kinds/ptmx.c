/*
 * ptmx.c - pseudo terminals: the side of the terminal's program
 *
 * The number of a new one is the lowest that is free; programs remember it
 * (/dev/pts/N), so others are opened until it is the old one's turn. Modes
 * and size belong to the pair and are read and set here. What is under way in
 * either direction: ptmx_queue.c.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/sysmacros.h>

#include "tty.h"

#include "skshim/frozen.h"

#define PTMX_TRIES 4096

static const struct field ptmx_fields[] = {
	FIELD_U32(struct ptmx, index),
	FIELD_U32(struct ptmx, flags),
	FIELD_U32(struct ptmx, locked),
	FIELD_U32(struct ptmx, packet),
	FIELD_U32(struct ptmx, exclusive),
	FIELD_U32(struct ptmx, hung_up),
	FIELD_BIN(struct ptmx, termios),
	FIELD_BIN(struct ptmx, winsize),
	FIELD_LIST_ADDED(struct ptmx, input, struct ptmx_line, fields_ptmx_line),
	FIELD_BIN_ADDED(struct ptmx, output),
	FIELD_U32_ADDED(struct ptmx, stopped),
	FIELD_END
};

static bool ptmx_match(const struct probe *p)
{
	return S_ISCHR(p->st.st_mode) && !(p->flags & O_PATH) && p->st.st_rdev == makedev(5, 2);
}

static int ptmx_look(struct collection *c, const struct probe *p, struct ptmx *m)
{
	struct pollfd pfd = { .fd = p->fd };
	int value = 0;
	long rc = tty_settings(c->arena, p->fd, &m->termios, &m->winsize);

	if (rc < 0)
		return (int)rc;
	m->locked = sys_ioctl(p->fd, TIOCGPTLCK, (long)&value) == 0 && value;
	m->packet = sys_ioctl(p->fd, TIOCGPKT, (long)&value) == 0 && value;
	m->exclusive = sys_ioctl(p->fd, TIOCGEXCL, (long)&value) == 0 && value;
	sys_poll(&pfd, 1, 0);
	m->hung_up = pfd.revents & POLLHUP ? 1 : 0;
	return ptmx_queue_collect(c, p, m);
}

static int ptmx_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct ptmx *m = rec;
	unsigned index;
	long rc = sys_ioctl(p->fd, TIOCGPTN, (long)&index);

	if (rc < 0)
		return collection_refuse(c, p, (int)rc, "pseudo terminal");
	m->index = index;
	m->flags = p->flags;
	ptmx_queue_turn(p->fd, index, true);
	rc = ptmx_look(c, p, m);
	ptmx_queue_turn(p->fd, index, false);
	return rc < 0 ? collection_refuse(c, p, (int)rc, "the terminal /dev/pts/%u", index) : 0;
}

int ptmx_slave(int master, uint32_t flags)
{
	int unlock = 0;
	long rc = sys_ioctl(master, TIOCSPTLCK, (long)&unlock);

	if (rc >= 0)
		rc = sys_ioctl(master, TIOCGPTPEER, (long)((flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY | O_CLOEXEC));
	return (int)rc;
}

bool ptmx_known(struct rebuild *r, uint32_t index)
{
	for (uint32_t o = 0; o < rebuild_objects(r); o++)
		if (rebuild_kind(r, o) == &kind_ptmx && ((const struct ptmx *)rebuild_record(r, o))->index == index)
			return true;
	return false;
}

/*
 * A master with the number that is wanted, or the first one when that number
 * is somebody's. Those opened on the way are held until the end, so that the
 * kernel goes on to the next number.
 */
static int ptmx_open(struct rebuild *r, uint32_t wanted, unsigned *index)
{
	int *held = arena_alloc(rebuild_arena(r), (wanted + 1) * sizeof(*held)), fd = -EMFILE;
	uint32_t n = 0;

	if (!held || wanted > PTMX_TRIES)
		return sys_openat(AT_FDCWD, "/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	while (n <= wanted) {
		fd = sys_openat(AT_FDCWD, "/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
		if (fd < 0 || sys_ioctl(fd, TIOCGPTN, (long)index) < 0 || *index == wanted)
			break;
		held[n++] = fd;
		fd = -EMFILE;
		if (*index > wanted)
			break;
	}
	/* Taken: the first that isn't going to be another's. */
	for (uint32_t i = 0; i < n; i++) {
		unsigned at = 0;

		if (fd < 0 && sys_ioctl(held[i], TIOCGPTN, (long)&at) == 0 && (i == n - 1 || !ptmx_known(r, at))) {
			fd = held[i];
			*index = at;
		} else {
			sys_close(held[i]);
		}
	}
	return fd;
}

static int ptmx_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct ptmx *m = rec;
	unsigned index = m->index;
	int fd = ptmx_open(r, m->index, &index), rc = fd, slave;

	if (fd < 0)
		return failed(fd, "pseudo terminal");
	if (index != m->index)
		rebuild_loss(r, obj, "/dev/pts/%u is taken: the terminal is /dev/pts/%u now", m->index, index);
	/* It answers a hang-up only after the other end was open once. */
	if (m->hung_up) {
		slave = ptmx_slave(fd, O_RDWR);
		if (slave >= 0)
			sys_close(slave);
	}
	rc = tty_set(fd, m->termios, m->winsize);
	if (rc < 0) {
		sys_close(fd);
		return failed(rc, "pseudo terminal: its settings");
	}
	return fd;
}

/* All have it open: what is under way, then as it was, locked or not. */
static int ptmx_fill(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct ptmx *m = rec;
	int locked = (int)m->locked, on = 1;
	long rc = ptmx_queue_fill(r, m, fd);

	(void)obj;
	if (rc < 0)
		return failed((int)rc, "pseudo terminal: what was under way in it");
	if (m->packet)
		rc = sys_ioctl(fd, TIOCPKT, (long)&on);
	if (rc >= 0 && m->exclusive)
		rc = sys_ioctl(fd, TIOCEXCL, 0);
	if (rc >= 0)
		rc = sys_ioctl(fd, TIOCSPTLCK, (long)&locked);
	return rc < 0 ? failed((int)rc, "pseudo terminal: its lock") : 0;
}

int ptmx_of(struct rebuild *r, uint32_t index)
{
	for (uint32_t o = 0; o < rebuild_objects(r); o++) {
		int fd;

		if (rebuild_kind(r, o) != &kind_ptmx || ((const struct ptmx *)rebuild_record(r, o))->index != index)
			continue;
		fd = rebuild_fd(r, o);
		if (fd < 0) {
			fd = ptmx_create(r, o, rebuild_record(r, o));
			if (fd >= 0)
				rebuild_give(r, o, fd);
		}
		return fd;
	}
	return -ENOENT;
}

int rebuild_terminal(struct rebuild *r, uint64_t dev)
{
	unsigned group = major(dev);
	int master = group < TTY_PTS || group >= TTY_PTS + 8 ? -ENOENT : ptmx_of(r, (group - TTY_PTS) << 20 | minor(dev));

	return master < 0 ? master : ptmx_slave(master, O_RDWR);
}

const struct kind kind_ptmx = {
	.tag = "ptmx", .size = sizeof(struct ptmx), .fields = ptmx_fields,
	.match = ptmx_match, .collect = ptmx_collect, .create = ptmx_create, .fill = ptmx_fill,
};
