/*
 * tty.c - terminals: the side that programs read and write
 *
 * Where the tree has the master too, its other end is opened. A terminal from
 * outside is the launcher's business: the program gets the launcher's own
 * descriptor, or, at other numbers, whichever of the launcher's is a terminal.
 * A tree that was in the foreground finds the modes it had set (an editor's
 * raw mode), one in the background never set any and finds the launcher's.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "tty.h"

#include "skshim/frozen.h"

#define TTY_SIG_BLOCK 0
#define TTY_SIG_SETMASK 2
#define TTY_TTOU 22

struct tty {
	struct blob path;
	uint64_t rdev;
	int32_t index;           /* of a pseudo terminal, -1: another terminal */
	uint32_t flags;
	uint32_t standard;       /* bits: which of 0, 1, 2 it stands at */
	uint32_t controlling;    /* opened as /dev/tty */
	uint32_t hung_up;
	uint32_t foreground;     /* the process was in its foreground group */
	uint32_t exclusive;      /* TIOCEXCL, of one whose master is in the tree */
	struct blob termios, winsize;
};

static const struct field tty_fields[] = {
	FIELD_STR(struct tty, path),
	FIELD_U64(struct tty, rdev),
	FIELD_I32(struct tty, index),
	FIELD_U32(struct tty, flags),
	FIELD_U32(struct tty, standard),
	FIELD_U32(struct tty, controlling),
	FIELD_U32(struct tty, hung_up),
	FIELD_U32(struct tty, foreground),
	FIELD_BIN(struct tty, termios),
	FIELD_BIN(struct tty, winsize),
	FIELD_U32_ADDED(struct tty, exclusive),
	FIELD_END
};

static bool tty_match(const struct probe *p)
{
	unsigned dev = major(p->st.st_rdev);
	char termios[TTY_TERMIOS];

	if (!S_ISCHR(p->st.st_mode) || (p->flags & O_PATH))
		return false;
	/* Pseudo terminals also after a hang-up, when they answer nothing any more. */
	return (dev >= TTY_PTS && dev < TTY_PTS + 8) || sys_ioctl(p->fd, (unsigned long)TCGETS2, (long)termios) == 0;
}

int tty_settings(struct arena *arena, int fd, struct blob *termios, struct blob *winsize)
{
	char t[TTY_TERMIOS], w[TTY_WINSIZE];
	long rc = sys_ioctl(fd, (unsigned long)TCGETS2, (long)t);

	if (rc < 0)
		return (int)rc;
	rc = sys_ioctl(fd, TIOCGWINSZ, (long)w);
	if (rc < 0)
		return (int)rc;
	*termios = arena_blob(arena, t, sizeof(t));
	*winsize = arena_blob(arena, w, sizeof(w));
	return termios->p && winsize->p ? 0 : -ENOMEM;
}

int tty_set(int fd, struct blob termios, struct blob winsize)
{
	uint64_t ttou = 1ull << (TTY_TTOU - 1), old;
	long rc = 0;

	/* From the background this stops a process, unless it doesn't hear it. */
	sys_rt_sigprocmask(TTY_SIG_BLOCK, &ttou, &old);
	if (termios.n == TTY_TERMIOS)
		rc = sys_ioctl(fd, (unsigned long)TCSETS2, (long)termios.p);
	if (rc >= 0 && winsize.n == TTY_WINSIZE)
		rc = sys_ioctl(fd, TIOCSWINSZ, (long)winsize.p);
	sys_rt_sigprocmask(TTY_SIG_SETMASK, &old, NULL);
	return (int)rc;
}

static int tty_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct tty *t = rec;
	unsigned dev = major(p->st.st_rdev);
	bool deleted;
	int group = 0, value = 0;

	t->path = file_name(p, &deleted);
	t->rdev = p->st.st_rdev;
	t->flags = p->flags;
	t->standard = stdio_numbers(c, p);
	t->index = -1;
	if (dev >= TTY_PTS && dev < TTY_PTS + 8)
		t->index = (int32_t)((dev - TTY_PTS) << 20 | minor(p->st.st_rdev));
	t->controlling = dev == 5 && minor(p->st.st_rdev) == 0;
	if (tty_settings(c->arena, p->fd, &t->termios, &t->winsize) < 0)
		t->hung_up = 1;
	if (t->controlling) {
		unsigned index;

		/* Which terminal /dev/tty was then: of ours, or the launcher's. */
		if (sys_ioctl(p->fd, TIOCGDEV, (long)&index) == 0 && major(index) >= TTY_PTS && major(index) < TTY_PTS + 8)
			t->index = (int32_t)((major(index) - TTY_PTS) << 20 | minor(index));
	}
	t->exclusive = sys_ioctl(p->fd, TIOCGEXCL, (long)&value) == 0 && value;
	t->foreground = sys_ioctl(p->fd, TIOCGPGRP, (long)&group) == 0 && group == (int)SYS1(__NR_getpgid, 0);
	return 0;
}

/* A terminal whose master is gone: one is made for it, and goes again. */
static int tty_hung_up(const struct tty *t)
{
	int master = sys_openat(AT_FDCWD, "/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0), fd;

	if (master < 0)
		return master;
	fd = ptmx_slave(master, t->flags);
	sys_close(master);
	return fd;
}

/* The launcher's: at the same number, or any that is a terminal, or its controlling one. */
static int tty_outside(struct rebuild *r, uint32_t obj, const struct tty *t)
{
	int fd = stdio_create(r, obj, t->standard), launcher;

	for (int i = 0; fd < 0 && i <= 2; i++) {
		launcher = rebuild_launcher_fd(r, i);
		if (stdio_terminal(launcher))
			fd = file_reopen(launcher, (int)(t->flags & O_ACCMODE));
	}
	if (fd < 0)
		fd = sys_openat(AT_FDCWD, "/dev/tty", (int)(t->flags & O_ACCMODE) | O_NOCTTY | O_CLOEXEC, 0);
	if (fd < 0) {
		rebuild_loss(r, obj, "the terminal %.*s is outside and the launcher has none: it is /dev/null now",
			     (int)t->path.n, (const char *)t->path.p);
		fd = sys_openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
	}
	if (fd >= 0 && t->foreground && stdio_terminal(fd))
		tty_set(fd, t->termios, (struct blob){ NULL, 0 });
	return fd;
}

static int tty_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct tty *t = rec;
	int master = t->index >= 0 ? ptmx_of(r, (uint32_t)t->index) : -ENOENT, fd;

	if (master >= 0)
		fd = ptmx_slave(master, t->flags);
	else if (master != -ENOENT)
		fd = master;
	else if (t->hung_up && t->standard == 0)
		fd = tty_hung_up(t);
	else
		fd = tty_outside(r, obj, t);
	return fd < 0 ? failed(fd, "terminal %.*s", (int)t->path.n, (const char *)t->path.p) : fd;
}

/* When all have it open that may. */
static int tty_link(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct tty *t = rec;
	long rc = 0;

	(void)obj;
	if (t->exclusive && t->index >= 0 && ptmx_known(r, (uint32_t)t->index))
		rc = sys_ioctl(fd, TIOCEXCL, 0);
	return rc < 0 ? failed((int)rc, "terminal %.*s: exclusive use", (int)t->path.n, (const char *)t->path.p) : 0;
}

const struct kind kind_tty = {
	.tag = "tty", .size = sizeof(struct tty), .fields = tty_fields,
	.match = tty_match, .collect = tty_collect, .create = tty_create, .link = tty_link,
};
