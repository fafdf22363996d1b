/*
 * Protection keys: those the program has, one it gave back, one whose memory outlived it, the kernel's own for what may
 * only be executed; and what a thread may do with each.
 *
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

static const char ret = (char)0xc3;

static char *page(void)
{
	char *p = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	p[0] = ret;
	p[1] = 5;
	return p;
}

/* Whether the kernel would find a byte there that this thread may read. */
static bool readable(const char *p)
{
	int both[2];
	bool can;

	MUST(pipe(both));
	can = write(both[1], p, 1) == 1;
	close(both[0]);
	close(both[1]);
	return can;
}

int main(void)
{
	char *executed, *own, *left;

	for (int i = 1; i <= 5; i++)
		if (pkey_alloc(0, 0) != i)
			scenario_skip("no protection keys");
	MUST(pkey_free(2));
	executed = page();
	MUST(mprotect(executed, PAGE, PROT_EXEC));          /* by which the kernel takes 2 */
	own = page();
	MUST(pkey_mprotect(own, PAGE, PROT_EXEC, 5));
	left = page();
	MUST(pkey_mprotect(left, PAGE, PROT_READ, 4));
	MUST(pkey_free(4));
	MUST(pkey_set(3, PKEY_DISABLE_ACCESS));
	MUST(pkey_set(5, PKEY_DISABLE_WRITE));

	scenario_wait();

	((void (*)(void))executed)();
	((void (*)(void))own)();
	CHECK(!readable(executed));
	SAME(left[1], 5);
	SAME(pkey_get(3), PKEY_DISABLE_ACCESS);
	SAME(pkey_get(5), PKEY_DISABLE_WRITE);
	/* the kernel knows its own again */
	MUST(mprotect(executed, PAGE, PROT_READ));
	SAME(executed[1], 5);
	MUST(mprotect(executed, PAGE, PROT_EXEC));
	CHECK(!readable(executed));
	MUST(pkey_mprotect(own, PAGE, PROT_READ, 5));
	SAME(own[1], 5);
	SAME(pkey_mprotect(own, PAGE, PROT_READ, 2), -1);
	SAME(errno, EINVAL);
	SAME(pkey_free(4), -1);
	SAME(pkey_alloc(0, 0), 4);
	SAME(pkey_alloc(0, 0), 6);
	MUST(pkey_free(1));
	SAME(pkey_alloc(0, 0), 1);
	scenario_ok();
}
