/*
 * Bytes under way in a pseudo terminal: lines typed with their ends, a line
 * half typed, quoted characters, cbreak and raw input, output that is waiting
 * or stopped, an end already closed, a master in two processes.
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

struct pair {
	int master, slave;
	struct termios t;
};

static struct pair make(void)
{
	struct pair p = { .master = MUST(posix_openpt(O_RDWR | O_NOCTTY)) };
	char name[64];

	MUST(grantpt(p.master));
	MUST(unlockpt(p.master));
	SAME(ptsname_r(p.master, name, sizeof(name)), 0);
	p.slave = MUST(open(name, O_RDWR | O_NOCTTY));
	MUST(tcgetattr(p.slave, &p.t));
	return p;
}

static void settle(struct pair *p)
{
	MUST(tcsetattr(p->slave, TCSANOW, &p->t));
}

static void put(int fd, const char *text, size_t n)
{
	SAME(write(fd, text, n), n);
}

/* One read gives exactly this; "" and 0: the end. */
static void expect(int fd, const char *text, size_t n)
{
	char buf[512];
	ssize_t got = read(fd, buf, sizeof(buf));

	if (got != (ssize_t)n || memcmp(buf, text, n) != 0)
		FAIL("read gave %zd bytes, not %zu of '%s'", got, n, text);
}

static void expect_none(int fd)
{
	char c;

	MUST(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
	SAME(read(fd, &c, 1), -1);
	SAME(errno, EAGAIN);
}

static void settings_kept(const struct pair *p)
{
	struct termios t;

	MUST(tcgetattr(p->slave, &t));
	SAME(t.c_iflag, p->t.c_iflag);
	SAME(t.c_oflag, p->t.c_oflag);
	SAME(t.c_lflag, p->t.c_lflag);
	CHECK(memcmp(t.c_cc, p->t.c_cc, sizeof(t.c_cc)) == 0);
}

int main(void)
{
	struct pair lines = make(), cbreak = make(), raw = make(), stopped = make(), held = make(), gone = make();
	char hello[] = "hello", all[256];
	int status, go[2];
	char name[64];
	pid_t child;

	lines.t.c_lflag &= ~(tcflag_t)ECHO;
	lines.t.c_cc[VEOL] = ';';
	settle(&lines);
	put(lines.master, "one\ntwo;\x04" "end\x04" "q\x16\x04q\n\x16\x03 par", 24);
	cbreak.t.c_lflag &= ~(tcflag_t)ICANON;
	settle(&cbreak);
	put(cbreak.master, "typed\r", 6);
	cfmakeraw(&raw.t);
	raw.t.c_cc[VMIN] = 3;
	settle(&raw);
	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	put(raw.master, all, 256);
	put(raw.slave, all, 256);
	put(stopped.slave, "before\n", 7);
	MUST(tcflow(stopped.slave, TCOOFF));
	put(held.slave, "held\n", 5);
	put(held.master, "\x13", 1);
	put(gone.slave, "last words\n", 11);
	close(gone.slave);
	MUST(pipe(go));
	child = MUST(fork());
	if (child == 0) {
		close(go[1]);
		_exit(read(go[0], all, 1) == 1 && write(lines.master, "t", 1) == 1 ? 0 : 1);
	}

	scenario_wait();

	put(go[1], "x", 1);
	SAME(waitpid(child, &status, 0), child);
	SAME(status, 0);
	expect(lines.slave, "one\n", 4);
	expect(lines.slave, "two;", 4);
	expect(lines.slave, "", 0);
	expect(lines.slave, "end", 3);
	expect(lines.slave, "q\x04q\n", 4);
	put(lines.master, "tx\x7f\n", 4);
	expect(lines.slave, "\x03 partt\n", 8);
	expect_none(lines.slave);
	expect_none(lines.master);
	settings_kept(&lines);
	expect(cbreak.slave, "typed\n", 6);
	expect(cbreak.master, "typed\r\n", 7);
	settings_kept(&cbreak);
	expect(raw.slave, all, 256);
	expect(raw.master, all, 256);
	settings_kept(&raw);
	expect(stopped.master, "before\r\n", 8);
	MUST(fcntl(stopped.slave, F_SETFL, O_NONBLOCK));
	SAME(write(stopped.slave, "x", 1), -1);
	SAME(errno, EAGAIN);
	MUST(tcflow(stopped.slave, TCOON));
	put(stopped.slave, hello, 5);
	expect(stopped.master, "hello", 5);
	expect(held.master, "held\r\n", 6);
	MUST(fcntl(held.slave, F_SETFL, O_NONBLOCK));
	SAME(write(held.slave, "x", 1), -1);
	put(held.master, "\x11", 1);
	MUST(fcntl(held.slave, F_SETFL, 0));
	put(held.slave, hello, 5);
	expect(held.master, "hello", 5);
	expect(gone.master, "last words\r\n", 12);
	SAME(read(gone.master, all, 1), -1);
	SAME(errno, EIO);
	SAME(ptsname_r(gone.master, name, sizeof(name)), 0);
	gone.slave = MUST(open(name, O_RDWR | O_NOCTTY));
	settings_kept(&gone);
	scenario_ok();
}
