/*
 * ptmx_queue.c - what is under way in a pseudo terminal
 *
 * Typed and not yet read, written and not yet seen: the kernel lets nobody
 * look, so while the tree stands all is read and put back, through the master
 * and a description of the other end of our own. The line discipline must not
 * see the same byte twice as what it was: bytes go back without echo, signals
 * and editing, lines with their ends, a line that isn't complete as one that
 * still can be edited. Processes that share a master take turns by a lock.
 *
 * Bytes that were written reach the reader by a worker of the kernel's, which
 * a read that finds nothing waits for (tests/kernel/pty_flush.c). For a line
 * the output is stopped by a character before the bytes and started by one
 * behind them: when it runs again, they have arrived.
 *
 * A terminal whose other end nobody has opened yet is left alone: to close it
 * again would be a hang-up.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/sysmacros.h>

#include "tty.h"

#include "skshim/frozen.h"

#define QUEUE_READ 8192
#define QUEUE_TRIES 2000             /* of a millisecond: that long a worker of the kernel's may take */
#define QUEUE_DISCIPLINE 4095
#define QUEUE_SHORT 3500             /* bytes that a line discipline takes without a reader */
#define QUEUE_PIECE 1792             /* TTY_BUFFER_PAGE: what one buffer of the kernel's holds */
#define QUEUE_LOCK (1ll << 40)       /* where nobody locks */
#define STOP_CHAR 0x13
#define START_CHAR 0x11
#define QUOTE_CHAR 0x16
#define END_CHAR 0x04

enum { LINE_OPEN, LINE_ENDED, LINE_EOF };
enum { STOPPED_NOT, STOPPED_BY_CALL, STOPPED_BY_KEY };

const struct field fields_ptmx_line[] = {
	FIELD_U32(struct ptmx_line, end),
	FIELD_BIN(struct ptmx_line, bytes),
	FIELD_END
};

static bool ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return sys_poll(&p, 1, 0) > 0 && (p.revents & events);
}

/* Waits for the output to run (true) or to stand still. */
static bool await_output(int slave, bool runs)
{
	int tries = QUEUE_TRIES;

	while (ready(slave, POLLOUT) != runs && tries-- > 0)
		sys_poll(NULL, 0, 1);
	return tries > 0;
}

/* --- looking -------------------------------------------------------------------------------------------------- */

/* Reads until nothing is there; each read of complete lines gives one. */
static int take_input(struct arena *a, int slave, const struct termios2 *t, bool lines, struct list *list, uint32_t *room)
{
	char *buf = arena_alloc(a, QUEUE_READ);
	long n;

	if (!buf)
		return -ENOMEM;
	while ((n = sys_read(slave, buf, QUEUE_READ)) > 0 || (n == 0 && lines)) {
		struct ptmx_line *l = list->items;

		if (list->n == *room) {
			*room = *room * 2 + 16;
			l = arena_alloc(a, *room * sizeof(*l));
			if (!l)
				return -ENOMEM;
			if (list->n)
				memcpy(l, list->items, list->n * sizeof(*l));
			list->items = l;
		}
		l += list->n++;
		l->bytes = arena_blob(a, buf, (uint64_t)n);
		l->end = LINE_OPEN;
		if (lines)
			l->end = n > 0 && (buf[n - 1] == '\n' || (buf[n - 1] && (buf[n - 1] == (char)t->c_cc[VEOL] ||
					   buf[n - 1] == (char)t->c_cc[VEOL2]))) ? LINE_ENDED : LINE_EOF;
		if (!l->bytes.p && n > 0)
			return -ENOMEM;
	}
	return n == -EAGAIN || n == 0 ? 0 : (int)n;
}

static int set(int slave, const struct termios2 *t)
{
	return (int)sys_ioctl(slave, (unsigned long)TCSETS2, (long)t);
}

/* In the order in which the kernel has them: the complete lines, then what is left. */
static int look_input(struct arena *a, int slave, const struct termios2 *t, struct ptmx *m)
{
	bool lines = t->c_lflag & ICANON;
	uint32_t room = 0;
	struct termios2 raw = *t;
	int rc = take_input(a, slave, t, lines, &m->input, &room);

	if (rc < 0 || !lines)
		return rc;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	rc = set(slave, &raw);
	return rc < 0 ? rc : take_input(a, slave, t, false, &m->input, &room);
}

static int look_output(struct arena *a, int master, bool packet, struct ptmx *m)
{
	uint64_t n = 0, room = 0;
	char *all = NULL;
	int waiting;
	long rc;

	while (ready(master, POLLIN) && sys_ioctl(master, TIOCINQ, (long)&waiting) == 0 && waiting > 0) {
		if (room - n < QUEUE_READ) {
			char *more = arena_alloc(a, room = room * 2 + 2 * QUEUE_READ);

			if (!more)
				return -ENOMEM;
			if (n)
				memcpy(more, all, n);
			all = more;
		}
		rc = sys_read(master, all + n, room - n);
		if (rc < 0)
			return (int)rc;
		/* in packet mode a zero stands before the bytes */
		if (packet && rc > 0)
			memmove(all + n, all + n + 1, (size_t)--rc);
		n += (uint64_t)rc;
	}
	m->output = (struct blob){ all, n };
	return 0;
}

/* --- putting back ----------------------------------------------------------------------------------------------- */

/* More than the line discipline takes stays before it: then what fits must have arrived. */
static void await_input(int reader, uint64_t n)
{
	int now, tries = QUEUE_TRIES;

	do
		if (sys_ioctl(reader, TIOCINQ, (long)&now) < 0 || (uint64_t)now >= n || now >= QUEUE_SHORT)
			return;
	while (sys_poll(NULL, 0, 1) == 0 && tries-- > 0);
}

/* What the last buffer of the kernel's takes when there is no more room: a terminal that was full to the brim. */
static long put_last(int fd, const char *p, uint64_t n)
{
	long flags = sys_fcntl(fd, F_GETFL, 0), rc;

	sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	rc = sys_write(fd, p, n < QUEUE_PIECE ? n : QUEUE_PIECE);
	sys_fcntl(fd, F_SETFL, flags);
	return rc;
}

/*
 * The master is the program's and may block, and its flags are looked at by whoever shares it, so they stay as they are.
 * A piece that fits one of the kernel's buffers goes out whole as soon as there is room for a byte. As much must fit as
 * was there, so when that is more than the line discipline takes the pieces leave nothing of a buffer empty.
 */
static int put_bytes(int fd, const char *p, uint64_t n)
{
	uint64_t done = 0;
	int tries = QUEUE_TRIES;

	while (done < n) {
		uint64_t piece = n > QUEUE_DISCIPLINE ? 256 : QUEUE_PIECE, left = n - done;
		long rc = ready(fd, POLLOUT) ? sys_write(fd, p + done, left < piece ? left : piece) : -EAGAIN;
		if (rc == -EAGAIN && tries-- > 0) {
			sys_poll(NULL, 0, 1);
			if (QUEUE_TRIES - tries > 50 && n - done <= 2 * QUEUE_PIECE)
				rc = put_last(fd, p + done, n - done);
			if (rc == -EAGAIN)
				continue;
		}
		if (rc < 0)
			return (int)rc;
		done += (uint64_t)rc;
	}
	return 0;
}

/* One line as it has to be typed. */
static uint64_t encode_line(const struct ptmx_line *l, const struct termios2 *t, char *out)
{
	const char *p = l->bytes.p;
	uint64_t n = 0;

	for (uint64_t i = 0; i < l->bytes.n; i++) {
		unsigned char c = (unsigned char)p[i];
		bool last = l->end == LINE_ENDED && i + 1 == l->bytes.n;

		if (!last && c && (c == '\n' || c == STOP_CHAR || c == START_CHAR || c == QUOTE_CHAR || c == t->c_cc[VEOF] ||
				   c == t->c_cc[VEOL] || c == t->c_cc[VEOL2]))
			out[n++] = QUOTE_CHAR;
		out[n++] = (char)c;
	}
	if (l->end == LINE_EOF)
		out[n++] = (char)t->c_cc[VEOF];
	return n;
}

static uint64_t encode_input(const struct ptmx *m, const struct termios2 *t, char *out)
{
	const struct ptmx_line *l = m->input.items;
	uint64_t n = 0;

	for (uint32_t i = 0; i < m->input.n; i++) {
		if (t->c_lflag & ICANON) {
			n += encode_line(&l[i], t, out + n);
		} else if (l[i].bytes.n) {
			memcpy(out + n, l[i].bytes.p, l[i].bytes.n);
			n += l[i].bytes.n;
		}
	}
	return n;
}

static int put_input(struct arena *a, int master, int slave, const struct ptmx *m, const struct termios2 *t)
{
	const struct ptmx_line *l = m->input.items;
	uint64_t room = 0, n;
	bool mark;
	char *out;
	int rc = 0;

	for (uint32_t i = 0; i < m->input.n; i++)
		room += 2 * l[i].bytes.n + 1;
	if (!room)
		return 0;
	out = arena_alloc(a, room + 2);
	if (!out)
		return -ENOMEM;
	n = encode_input(m, t, out);
	mark = (t->c_lflag & ICANON) && n <= QUEUE_SHORT;
	if (mark) {
		rc = put_bytes(master, &(char){ STOP_CHAR }, 1);
		mark = rc == 0 && await_output(slave, false);
		out[n++] = START_CHAR;
	}
	if (rc == 0)
		rc = put_bytes(master, out, n);
	if (rc == 0 && mark)
		await_output(slave, true);
	else if (rc == 0)
		await_input(slave, n);
	return rc;
}

/* With nothing under way: all that the record has, and the settings `t` behind it. The output must run. */
static int put_back(struct arena *a, int master, int slave, const struct ptmx *m, const struct termios2 *t)
{
	struct termios2 quiet = *t;
	int rc, late;

	quiet.c_iflag = t->c_lflag & ICANON ? IXON : t->c_iflag & IXON;
	quiet.c_oflag &= ~(tcflag_t)OPOST;
	quiet.c_lflag = t->c_lflag & ICANON ? ICANON | IEXTEN : 0;
	if (t->c_lflag & ICANON) {
		quiet.c_cc[VERASE] = quiet.c_cc[VKILL] = quiet.c_cc[VWERASE] = quiet.c_cc[VREPRINT] = 0;
		quiet.c_cc[VLNEXT] = QUOTE_CHAR;
		quiet.c_cc[VSTART] = START_CHAR;
		quiet.c_cc[VSTOP] = STOP_CHAR;
		if (!quiet.c_cc[VEOF])
			quiet.c_cc[VEOF] = END_CHAR;
	} else {
		quiet.c_cc[VMIN] = 1;
		quiet.c_cc[VTIME] = 0;
	}
	rc = set(slave, &quiet);
	if (rc == 0)
		rc = put_input(a, master, slave, m, &quiet);
	if (rc == 0)
		rc = put_bytes(slave, m->output.p, m->output.n);
	late = set(slave, t);
	if (rc == 0)
		rc = late;
	if (rc == 0 && m->stopped == STOPPED_BY_CALL)
		rc = (int)sys_ioctl(slave, TCXONC, TCOOFF);
	if (rc == 0 && m->stopped == STOPPED_BY_KEY) {
		rc = put_bytes(master, (const char *)&t->c_cc[VSTOP], 1);
		await_output(slave, false);
	}
	return rc;
}

/* Output that stands still takes nothing back: it is let run, and *m says how it had been stopped. */
static int let_run(int master, int slave, const struct termios2 *t, struct ptmx *m)
{
	int rc;

	if (ready(slave, POLLOUT))
		return 0;
	sys_ioctl(slave, TCXONC, TCOON);
	m->stopped = STOPPED_BY_CALL;
	if (ready(slave, POLLOUT))
		return 0;
	if (!(t->c_iflag & IXON) || !t->c_cc[VSTART] || !t->c_cc[VSTOP])
		return -EAGAIN;
	m->stopped = STOPPED_BY_KEY;
	rc = put_bytes(master, (const char *)&t->c_cc[VSTART], 1);
	return rc == 0 && !await_output(slave, true) ? -EAGAIN : rc;
}

/* --- both ways ---------------------------------------------------------------------------------------------------- */

/* Has the other end been open in this process, or as somebody's controlling terminal? */
static bool was_opened(const struct collection *c, int master, const struct ptmx *m)
{
	unsigned dev = TTY_PTS + (m->index >> 20), number = m->index & 0xfffff;
	int session;

	for (uint32_t i = 0; i < c->nprobes; i++)
		if (S_ISCHR(c->probes[i].st.st_mode) && !(c->probes[i].flags & O_PATH) &&
		    c->probes[i].st.st_rdev == makedev(dev, number))
			return true;
	return sys_ioctl(master, TIOCGSID, (long)&session) == 0;
}

static int look(struct collection *c, int master, int slave, struct ptmx *m)
{
	struct termios2 t;
	int on = (int)m->packet, off = 0, rc = (int)sys_ioctl(slave, (unsigned long)TCGETS2, (long)&t), late;

	if (rc < 0 || (t.c_lflag & EXTPROC))
		return rc < 0 ? rc : -EOPNOTSUPP;
	rc = m->hung_up ? 0 : look_input(c->arena, slave, &t, m);
	if (rc >= 0)
		rc = look_output(c->arena, master, m->packet, m);
	if (m->packet)
		sys_ioctl(master, TIOCPKT, (long)&off);
	late = let_run(master, slave, &t, m);
	if (late == 0)
		late = put_back(c->arena, master, slave, m, &t);
	if (m->packet)
		sys_ioctl(master, TIOCPKT, (long)&on);
	return rc < 0 ? rc : late;
}

long ptmx_queue_turn(int master, uint32_t index, bool mine)
{
	struct flock turn = { .l_type = mine ? F_WRLCK : F_UNLCK, .l_start = QUEUE_LOCK + index, .l_len = 1 };

	return sys_fcntl(master, F_SETLKW, (long)&turn);
}

int ptmx_queue_collect(struct collection *c, const struct probe *p, struct ptmx *m)
{
	uint64_t both = 1ull << 20 | 1ull << 21 /* SIGTTIN, SIGTTOU */, old;
	int slave = -ENOENT, waiting = 0, rc;

	sys_ioctl(p->fd, TIOCINQ, (long)&waiting);
	/* A state that waits to be told would be told to us. */
	if (!m->locked && !(m->packet && ready(p->fd, POLLPRI)) && (m->hung_up ? waiting > 0 : was_opened(c, p->fd, m)))
		slave = ptmx_slave(p->fd, O_RDWR | O_NONBLOCK);
	if (slave == -EBUSY) {
		/* the program has it for itself (TIOCEXCL), and we are no administrator */
		collection_loss(c, p, "the terminal /dev/pts/%u is in exclusive use: what is under way in it is lost at a restart", m->index);
		return 0;
	}
	if (slave < 0) {
		if (waiting > 0)
			collection_loss(c, p, "%d bytes that the terminal /dev/pts/%u has written and nobody has read are lost at a restart",
					waiting, m->index);
		return 0;
	}
	sys_rt_sigprocmask(0 /* SIG_BLOCK */, &both, &old);
	rc = look(c, p->fd, slave, m);
	sys_close(slave);
	sys_rt_sigprocmask(2 /* SIG_SETMASK */, &old, NULL);
	if (rc == -EOPNOTSUPP || rc == -EIO) {
		collection_loss(c, p, "what is under way in the terminal /dev/pts/%u can't be looked at, it is lost at a restart", m->index);
		rc = 0;
	}
	return rc;
}

int ptmx_queue_fill(struct rebuild *r, const struct ptmx *m, int fd)
{
	int slave, rc;

	if (m->input.n == 0 && m->output.n == 0 && m->stopped == STOPPED_NOT)
		return 0;
	slave = ptmx_slave(fd, O_RDWR | O_NONBLOCK);
	if (slave < 0)
		return slave;
	rc = put_back(rebuild_arena(r), fd, slave, m, m->termios.p);
	sys_close(slave);
	return rc;
}
