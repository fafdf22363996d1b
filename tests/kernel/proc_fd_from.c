/* The position in /proc/self/fd is a number, plus 2: whoever seeks there finds those from that number on, in order. */
#include "fact.h"
#include <dirent.h>

int main(void)
{
	char buf[4096];
	int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY), found[3], n = 0;
	long size;

	FACT(dir >= 0 && dup2(0, 200) == 200 && dup2(0, 300) == 300 && dup2(0, 400) == 400);
	FACT(lseek(dir, 201 + 2, SEEK_SET) == 203);
	while ((size = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0)
		for (long at = 0; at < size; at += *(unsigned short *)(buf + at + 16)) {
			FACT(n < 2);
			found[n++] = atoi(buf + at + 19);
		}
	FACT(n == 2 && found[0] == 300 && found[1] == 400);
	return 0;
}
