/*
 * [vdso] and the [vvar*] mappings before it can be moved one by one, keeping
 * their distances; the clock read through the moved code still works.
 */
#include "fact.h"
#include <sys/auxv.h>

struct range {
	unsigned long start, end;
};

int main(void)
{
	struct range v[8], vdso = {0, 0};
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long first = ~0ul, last = 0, place;
	struct timespec a, b;
	char line[256];
	int n = 0;

	while (fgets(line, sizeof(line), maps) != NULL)
		if (strstr(line, "[vdso]") != NULL || strstr(line, "[vvar") != NULL) {
			FACT(n < 8 && sscanf(line, "%lx-%lx", &v[n].start, &v[n].end) == 2);
			if (strstr(line, "[vdso]") != NULL)
				vdso = v[n];
			first = v[n].start < first ? v[n].start : first;
			last = v[n].end > last ? v[n].end : last;
			n++;
		}
	fclose(maps);
	FACT(n >= 2 && vdso.start == getauxval(AT_SYSINFO_EHDR));
	clock_gettime(CLOCK_MONOTONIC, &a); /* libc has looked the function up already: it will call the old place */
	place = (unsigned long)mmap(NULL, last - first, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Away and back: what libc remembers is right again, and ran from mappings that were moved twice. */
	for (int back = 0; back < 2; back++)
		for (int i = 0; i < n; i++) {
			unsigned long from = back ? place + v[i].start - first : v[i].start;
			unsigned long to = back ? v[i].start : place + v[i].start - first;

			FACT((unsigned long)mremap((void *)from, v[i].end - v[i].start, v[i].end - v[i].start,
						   MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
		}
	clock_gettime(CLOCK_MONOTONIC, &b);
	FACT(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
	return 0;
}
