/*
 * A tree in which no process may make another when the checkpoint comes: the
 * first, a child with memory of its own to write, and one that may after all.
 *
 * scenario-only: user
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE (8 << 20)

static void limit(int most)
{
	struct rlimit l;

	MUST(getrlimit(RLIMIT_NPROC, &l));
	l.rlim_cur = most ? (rlim_t)most : l.rlim_max;
	MUST(setrlimit(RLIMIT_NPROC, &l));
}

static char *filled(char what)
{
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	memset(p, what, SIZE);
	return p;
}

static void is(const char *p, char what)
{
	for (int i = 0; i < SIZE; i += 512)
		SAME(p[i], what);
}

static pid_t child(char what, int most, int from, int to)
{
	pid_t pid = MUST(fork());
	char *p, c;

	if (pid > 0)
		return pid;
	limit(most);
	p = filled(what);
	SAME(write(to, "r", 1), 1);
	SAME(read(from, &c, 1), 1);
	is(p, what);
	_exit(what);
}

int main(void)
{
	int go[2], ready[2], status;
	pid_t may_not, may;
	char *p = filled('a'), text[2];

	MUST(pipe(go));
	MUST(pipe(ready));
	may_not = child('b', 1, go[0], ready[1]);
	may = child('c', 0, go[0], ready[1]);
	for (int i = 0; i < 2; i++)
		SAME(read(ready[0], text, 1), 1);
	limit(1);
	SAME(fork(), -1);
	SAME(errno, EAGAIN);

	scenario_wait();

	is(p, 'a');
	SAME(write(go[1], "gg", 2), 2);
	SAME(waitpid(may_not, &status, 0), may_not);
	SAME(status, 'b' << 8);
	SAME(waitpid(may, &status, 0), may);
	SAME(status, 'c' << 8);
	SAME(fork(), -1);
	SAME(errno, EAGAIN);
	limit(0);
	may = MUST(fork());
	if (may == 0)
		_exit(0);
	SAME(waitpid(may, &status, 0), may);
	scenario_ok();
}
