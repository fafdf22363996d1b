/* Bit 61 of /proc/self/pagemap: a page of a file. Clear after a private mapping was written: that page is ours. */
#include "fact.h"

static uint64_t entry(const volatile void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t e = 0;

	FACT(pread(fd, &e, 8, (off_t)((uintptr_t)p / 4096 * 8)) == 8);
	close(fd);
	return e;
}

int main(void)
{
	int self = open("/proc/self/exe", O_RDONLY);
	volatile char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, self, 0);
	char sum = p[0];

	FACT((entry(p) >> 63) == 1 && (entry(p) >> 61 & 1) == 1);
	p[0] = sum;
	FACT((entry(p) >> 63) == 1 && (entry(p) >> 61 & 1) == 0);
	return 0;
}
