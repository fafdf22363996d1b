/* kcmp(KCMP_FILE) says whether two numbers are one open file description, and orders different ones. */
#include "fact.h"
#include <linux/kcmp.h>

static long compare(int a, int b)
{
	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, (unsigned long)a, (unsigned long)b);
}

int main(void)
{
	int a = open("/dev/null", O_RDONLY), b = dup(a), c = open("/dev/null", O_RDONLY);

	if (compare(a, b) < 0)
		SKIP("kcmp");
	FACT(compare(a, b) == 0);
	FACT(compare(a, c) == 1 || compare(a, c) == 2);
	FACT(compare(a, c) + compare(c, a) == 3);
	return 0;
}
