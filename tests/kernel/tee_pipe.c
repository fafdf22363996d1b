/* tee() copies a pipe's contents and leaves them there, packet borders of O_DIRECT included. */
#include "fact.h"

int main(void)
{
	int a[2], b[2];
	char buf[64];

	FACT(pipe2(a, O_DIRECT) == 0 && pipe2(b, O_DIRECT) == 0);
	FACT(write(a[1], "one", 3) == 3 && write(a[1], "three", 5) == 5);
	FACT(tee(a[0], b[1], 4096, SPLICE_F_NONBLOCK) == 8);
	FACT(read(b[0], buf, 64) == 3 && read(b[0], buf, 64) == 5);
	FACT(read(a[0], buf, 64) == 3 && memcmp(buf, "one", 3) == 0);
	FACT(read(a[0], buf, 64) == 5 && memcmp(buf, "three", 5) == 0);
	return 0;
}
