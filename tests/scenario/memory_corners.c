/*
 * Guard regions, also in a locked region; locked memory; a region that grows
 * down; a reservation of half the address space; a private mapping of a
 * shared file's memory.
 *
 * scenario-limit: 30
 */
#include "scenario.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#define PAGE 4096ul

static sigjmp_buf back;

static void fault(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

static bool guarded(volatile char *p)
{
	if (sigsetjmp(back, 1))
		return true;
	(void)*p;
	return false;
}

static char *map(size_t n, int prot, int flags)
{
	char *p = mmap(NULL, n, prot, MAP_ANONYMOUS | flags, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static int has_flag(const void *at, const char *flag)
{
	unsigned long start, end;
	char line[512];
	int here = 0, found = 0;
	FILE *f = fopen("/proc/self/smaps", "re");

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = (unsigned long)at >= start && (unsigned long)at < end;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	fclose(f);
	return found;
}

int main(void)
{
	char *p = map(64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), *locked, *down, *huge, *shared;
	char *sealed;
	bool seals, future = false, guards = madvise(p + 3 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL) == 0;

	signal(SIGSEGV, fault);
	memset(p, 'p', 3 * PAGE);
	memset(p + 5 * PAGE, 'q', PAGE);
	if (guards)
		MUST(madvise(p + 20 * PAGE, PAGE, MADV_GUARD_INSTALL));
	locked = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	strcpy(locked, "locked");
	MUST(mlock(locked, 2 * PAGE));
	down = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_GROWSDOWN);
	strcpy(down, "down");
	huge = map(1ul << 45, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
	MUST(mprotect(huge + (1ul << 44), PAGE, PROT_READ | PROT_WRITE));
	strcpy(huge + (1ul << 44), "far in");
	shared = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	strcpy(shared + PAGE, "shared");
	if (guards && madvise(shared + 4 * PAGE, PAGE, MADV_GUARD_INSTALL) < 0)
		CHECK(errno == EINVAL);

	sealed = map(PAGE, PROT_READ, MAP_PRIVATE);
	seals = syscall(462 /* mseal */, sealed, PAGE, 0) == 0;

	future = mlockall(MCL_FUTURE) == 0;

	scenario_wait();

	if (seals)
		SAME(munmap(sealed, PAGE), -1);
	if (future)
		CHECK(has_flag(map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), " lo"));
	if (guards) {
		CHECK(guarded(p + 3 * PAGE) && guarded(p + 4 * PAGE + 100) && guarded(p + 20 * PAGE));
		CHECK(!guarded(p + 19 * PAGE));
		MUST(madvise(p + 20 * PAGE, PAGE, 103 /* MADV_GUARD_REMOVE */));
		p[20 * PAGE] = 1;
	}
	CHECK(p[3 * PAGE - 1] == 'p' && p[5 * PAGE] == 'q' && p[6 * PAGE] == 0);
	CHECK(strcmp(locked, "locked") == 0 && has_flag(locked, " lo") && !has_flag(locked + 3 * PAGE, " lo"));
	CHECK(strcmp(down, "down") == 0 && has_flag(down, " gd"));
	CHECK(strcmp(huge + (1ul << 44), "far in") == 0 && guarded(huge));
	CHECK(strcmp(shared + PAGE, "shared") == 0);
	scenario_ok();
}
