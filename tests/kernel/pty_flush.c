/* A read of a terminal that finds nothing first waits until all that was typed has arrived; settings don't change what has. */
#include "fact.h"

#include <termios.h>

int main(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	struct termios t;
	char buf[64];

	FACT(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK);
	FACT(slave >= 0 && tcgetattr(slave, &t) == 0);
	t.c_lflag &= ~(tcflag_t)ECHO;
	FACT(tcsetattr(slave, TCSANOW, &t) == 0);
	for (int i = 0; i < 2000; i++) {
		/* "b" is erased by the line discipline, if it sees this before the settings change */
		FACT(write(master, "ab\x7f", 3) == 3);
		FACT(read(slave, buf, sizeof(buf)) == -1 && errno == EAGAIN);
		t.c_lflag &= ~(tcflag_t)ICANON;
		FACT(tcsetattr(slave, TCSANOW, &t) == 0);
		FACT(read(slave, buf, sizeof(buf)) == 1 && buf[0] == 'a');
		t.c_lflag |= ICANON;
		FACT(tcsetattr(slave, TCSANOW, &t) == 0);
	}
	return 0;
}
