/*
 * Sixty thousand mappings: private ones, and pieces of one memfd in a row, each
 * with its own bytes. Collecting and restarting take a time in proportion.
 *
 * scenario-limit: 60
 */
#include "scenario.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define N 30000ul

int main(void)
{
	int fd = MUST(memfd_create("pieces", 0));
	char *shared, *private = mmap(NULL, 2 * N * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(private != MAP_FAILED);
	MUST(ftruncate(fd, (off_t)(N * PAGE)));
	shared = mmap(NULL, N * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(shared != MAP_FAILED);
	for (unsigned long i = 0; i < N; i++) {
		/* backwards, so that no two are one region */
		char *p = mmap(shared + i * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)((N - 1 - i) * PAGE));

		CHECK(p == shared + i * PAGE);
	}
	for (unsigned long i = 0; i < N; i += 50)
		memcpy(shared + i * PAGE, &i, sizeof(i));
	for (unsigned long i = 0; i + 1 < N; i += 2) {
		MUST(mprotect(private + i * PAGE, PAGE, PROT_READ | PROT_WRITE));
		memcpy(private + i * PAGE, &i, sizeof(i));
	}
	scenario_wait();
	for (unsigned long i = 0; i + 1 < N; i += 2)
		SAME(memcmp(private + i * PAGE, &i, sizeof(i)), 0);
	for (unsigned long i = 0; i < N; i += 50) {
		unsigned long there;

		SAME(memcmp(shared + i * PAGE, &i, sizeof(i)), 0);
		SAME(pread(fd, &there, sizeof(there), (off_t)((N - 1 - i) * PAGE)), sizeof(there));
		SAME(there, i);
	}
	scenario_ok();
}
