/*
 * MADV_DONTNEED gives zeros on anonymous memory but the file's bytes on a
 * private file mapping: memory must not be restored by mapping the image.
 */
#include "fact.h"

int main(void)
{
	int self = open("/proc/self/exe", O_RDONLY);
	char *anon = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *file = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, self, 0);

	anon[1] = 'x';
	file[1] = 'x';
	FACT(madvise(anon, 4096, MADV_DONTNEED) == 0 && anon[1] == 0);
	FACT(madvise(file, 4096, MADV_DONTNEED) == 0 && file[1] == 'E');
	return 0;
}
