/* A pseudo terminal with both ends in the process: number, modes, size, packet mode, exclusive use. */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

int main(void)
{
	int master = MUST(posix_openpt(O_RDWR | O_NOCTTY)), slave, other, closed = MUST(posix_openpt(O_RDWR | O_NOCTTY)), on = 1;
	struct winsize ws = { .ws_row = 33, .ws_col = 77 }, got;
	struct termios t;
	char name[64], text[64];

	MUST(grantpt(master));
	MUST(unlockpt(master));
	MUST(unlockpt(closed));
	SAME(ptsname_r(closed, name, sizeof(name)), 0);
	close(MUST(open(name, O_RDWR | O_NOCTTY)));
	SAME(ptsname_r(master, name, sizeof(name)), 0);
	slave = MUST(open(name, O_RDWR | O_NOCTTY));
	other = MUST(open(name, O_RDONLY | O_NOCTTY | O_NONBLOCK));
	MUST(tcgetattr(slave, &t));
	t.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
	t.c_cc[VINTR] = 7;
	MUST(tcsetattr(slave, TCSANOW, &t));
	MUST(ioctl(slave, TIOCSWINSZ, &ws));
	MUST(ioctl(master, TIOCPKT, &on));
	MUST(ioctl(slave, TIOCEXCL));

	scenario_wait();

	SAME(ptsname_r(master, text, sizeof(text)), 0);
	CHECK(strcmp(text, name) == 0);
	MUST(tcgetattr(other, &t));
	SAME(t.c_lflag & (ICANON | ECHO), 0);
	SAME(t.c_cc[VINTR], 7);
	MUST(ioctl(master, TIOCGWINSZ, &got));
	SAME(got.ws_row, 33);
	SAME(got.ws_col, 77);
	SAME(write(slave, "out", 3), 3);
	SAME(read(master, text, sizeof(text)), 4);
	CHECK(memcmp(text, "\0out", 4) == 0);
	SAME(write(master, "in", 2), 2);
	SAME(read(other, text, sizeof(text)), 2);
	SAME(read(closed, text, 1), -1);
	SAME(errno, EIO);
	MUST(ioctl(master, TIOCGEXCL, &on));
	SAME(on, 0);
	MUST(ioctl(other, TIOCGEXCL, &on));
	SAME(on, 1);
	MUST(ioctl(other, TIOCNXCL));
	MUST(open(name, O_RDWR | O_NOCTTY));
	scenario_ok();
}
