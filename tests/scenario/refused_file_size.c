/*
 * scenario-refused: File too large
 *
 * A program that may write small files only (the hard RLIMIT_FSIZE), with memory that is written while it stands: it does
 * not get the signal of who writes more.
 */
#include "scenario.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define SIZE (4 << 20)

int main(void)
{
	struct rlimit small = { 1 << 20, 1 << 20 };
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigset_t waits;

	CHECK(p != MAP_FAILED);
	memset(p, 'x', SIZE);
	MUST(setrlimit(RLIMIT_FSIZE, &small));

	scenario_wait();

	MUST(sigpending(&waits));
	CHECK(!sigismember(&waits, SIGXFSZ));
	CHECK(p[0] == 'x' && p[SIZE - 1] == 'x');
	scenario_ok();
}
