/*
 * Regions of every kind: anonymous, a private file mapping written to, a shared
 * one, shared anonymous, reservations, code made at run time, brk, advice.
 */
#include "scenario.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB (1ul << 20)

static char *map(size_t n, int prot, int flags, int fd)
{
	char *p = mmap(NULL, n, prot, flags, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* The rights and flags of the region at p, as /proc tells. */
static void region(const void *p, char rights[8], char flags[256])
{
	unsigned long start, end;
	char line[512];
	FILE *f = fopen("/proc/self/smaps", "re");
	int here = 0;

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3)
			here = (unsigned long)p >= start && (unsigned long)p < end;
		else if (here && sscanf(line, "VmFlags: %255[^\n]", flags) == 1)
			break;
	}
	fclose(f);
	CHECK(here);
}

int main(void)
{
	static const unsigned char code[] = {0xb8, 0x67, 0x12, 0x00, 0x00, 0xc3}; /* mov $0x1267, %eax; ret */
	int fd = MUST(open("file", O_RDWR | O_CREAT, 0600));
	char *anon = map(64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	char *reserved = map(1ul << 38, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	char *shared_anon = map(8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	char *jit = map(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	char *private_file, *shared_file, *read_only, rights[8], flags[256];
	struct timespec before, after;
	char *heap = sbrk(3 * (long)MIB);

	for (int i = 0; i < 16384; i++)
		SAME(write(fd, &i, 4), 4);
	private_file = map(65536, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	shared_file = map(65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	read_only = map(65536, PROT_READ, MAP_PRIVATE, fd);
	for (size_t i = 0; i < 64 * MIB; i += 8192)
		anon[i] = (char)(i >> 13);
	strcpy(private_file + 4096, "mine alone");
	strcpy(shared_file + 8192, "everybody's");
	strcpy(shared_anon + 4096, "shared");
	strcpy(heap + 2 * MIB, "heap");
	memcpy(jit, code, sizeof(code));
	MUST(mprotect(jit, 4096, PROT_READ | PROT_EXEC));
	MUST(mprotect(reserved + 10 * MIB, MIB, PROT_READ | PROT_WRITE));
	strcpy(reserved + 10 * MIB + 5000, "in the middle");
	MUST(mprotect(anon + MIB, 4096, PROT_READ));
	MUST(madvise(anon + 2 * MIB, 4096, MADV_DONTFORK));
	anon[2 * MIB] = 'f';
	MUST(madvise(anon + 3 * MIB, 4096, MADV_WIPEONFORK));
	anon[3 * MIB] = 'w';
	clock_gettime(CLOCK_MONOTONIC, &before);
	scenario_wait();
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(after.tv_sec > before.tv_sec || (after.tv_sec == before.tv_sec && after.tv_nsec >= before.tv_nsec));
	anon[2 * MIB] = anon[2 * MIB] == 'f' ? (char)(2 * MIB >> 13) : 'X';
	anon[3 * MIB] = anon[3 * MIB] == 'w' ? (char)(3 * MIB >> 13) : 'X';
	for (size_t i = 0; i < 64 * MIB; i += 4096)
		SAME(anon[i], i % 8192 == 0 ? (char)(i >> 13) : 0);
	CHECK(strcmp(private_file + 4096, "mine alone") == 0);
	CHECK(strcmp(shared_file + 8192, "everybody's") == 0);
	CHECK(memcmp(private_file, shared_file, 4096) == 0 && ((int *)(void *)read_only)[4000] == 4000);
	CHECK(strcmp(shared_anon + 4096, "shared") == 0);
	CHECK(strcmp(heap + 2 * MIB, "heap") == 0);
	CHECK(strcmp(reserved + 10 * MIB + 5000, "in the middle") == 0);
	SAME(((int (*)(void))(void *)jit)(), 0x1267);
	/* A shared mapping still is the file; dropped pages are zeros; brk goes on growing. */
	SAME(pwrite(fd, "new", 3, 8192), 3);
	CHECK(memcmp(shared_file + 8192, "newrybody's", 11) == 0);
	MUST(madvise(anon, 8 * MIB, MADV_DONTNEED));
	SAME(anon[8192], 0);
	CHECK(sbrk((long)MIB) == heap + 3 * MIB);
	heap[3 * MIB + 5] = 1;
	region(anon + MIB, rights, flags);
	CHECK(strcmp(rights, "r--p") == 0);
	region(anon + 2 * MIB, rights, flags);
	CHECK(strstr(flags, "dc") != NULL);
	region(anon + 3 * MIB, rights, flags);
	CHECK(strstr(flags, "wf") != NULL);
	region(reserved, rights, flags);
	CHECK(strcmp(rights, "---p") == 0);
	region(shared_file, rights, flags);
	CHECK(strcmp(rights, "rw-s") == 0);
	region(jit, rights, flags);
	CHECK(strcmp(rights, "r-xp") == 0);
	scenario_ok();
}
