/*
 * Who has left a session or a group that others stayed in: a child and its
 * child, born before their parent began a session of its own; the same below
 * two that did, of which the upper is an orphan; a group whose leader has gone
 * into another one.
 */
#include "scenario.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum who { FIRST, LEAVER, ITS_CHILD, ITS_GRANDCHILD, ORPHAN, ORPHANS, BELOW, LEADER, FOLLOWER, ALL };

static volatile struct {
	struct place {
		pid_t pid, ppid, sid, pgid;
	} was[ALL];
	int up[ALL], placed[ALL], orphaned, told, same[ALL], looked[ALL], end;
} *board;

static void await(volatile int *word)
{
	while (!*word)
		usleep(1000);
}

static struct place look(void)
{
	return (struct place){getpid(), getppid(), getsid(0), getpgrp()};
}

/* From here on it stays as it is. */
static void stay(enum who me)
{
	struct place now;

	board->placed[me] = 1;
	await(&board->orphaned);
	now = look();
	board->was[me].pid = now.pid;
	board->was[me].ppid = now.ppid;
	board->was[me].sid = now.sid;
	board->was[me].pgid = now.pgid;
	board->up[me] = 1;
	await(&board->told);
	now = look();
	/* who takes orphans may be another afterwards */
	board->same[me] = now.pid == board->was[me].pid && (me == ORPHAN || now.ppid == board->was[me].ppid) &&
			  now.sid == board->was[me].sid && now.pgid == board->was[me].pgid;
	board->looked[me] = 1;
	await(&board->end);
	_exit(0);
}

static void leaves_session(void)
{
	if (MUST(fork()) == 0) {
		if (MUST(fork()) == 0)
			stay(ITS_GRANDCHILD);
		await(&board->placed[ITS_GRANDCHILD]);
		stay(ITS_CHILD);
	}
	await(&board->placed[ITS_CHILD]);
	MUST(setsid());
	stay(LEAVER);
}

static void orphan(void)
{
	if (MUST(fork()) == 0) {
		if (MUST(fork()) == 0)
			stay(BELOW);
		await(&board->placed[BELOW]);
		MUST(setsid());
		stay(ORPHANS);
	}
	await(&board->placed[ORPHANS]);
	MUST(setsid());
	stay(ORPHAN);
}

static void leaves_group(void)
{
	pid_t group = getpgrp();

	MUST(setpgid(0, 0));
	if (MUST(fork()) == 0)
		stay(FOLLOWER);
	await(&board->placed[FOLLOWER]);
	MUST(setpgid(0, group));
	stay(LEADER);
}

static void first(void)
{
	pid_t middle;

	MUST(setsid());
	if (MUST(fork()) == 0)
		leaves_session();
	if (MUST(fork()) == 0)
		leaves_group();
	middle = MUST(fork());
	if (middle == 0) {
		if (MUST(fork()) == 0)
			orphan();
		await(&board->placed[ORPHAN]);
		_exit(0);
	}
	MUST(waitpid(middle, NULL, 0));
	stay(FIRST);
}

int main(void)
{
	board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(board != MAP_FAILED);
	if (MUST(fork()) == 0)
		first();
	for (int i = 0; i < ALL; i++)
		await(&board->placed[i]);
	board->orphaned = 1;
	for (int i = 0; i < ALL; i++)
		await(&board->up[i]);
	SAME(board->was[BELOW].sid, board->was[FIRST].pid);
	SAME(board->was[ITS_GRANDCHILD].sid, board->was[FIRST].pid);
	SAME(board->was[FOLLOWER].pgid, board->was[LEADER].pid);
	SAME(board->was[LEADER].pgid, board->was[FIRST].pid);

	scenario_wait();

	for (int i = 0; i < ALL; i++)
		SAME(getsid(board->was[i].pid), board->was[i].sid);
	SAME(kill(-board->was[LEADER].pid, 0), 0);
	board->told = 1;
	for (int i = 0; i < ALL; i++)
		await(&board->looked[i]);
	for (int i = 0; i < ALL; i++)
		CHECK(board->same[i]);
	board->end = 1;
	SAME(waitpid(board->was[FIRST].pid, NULL, 0), board->was[FIRST].pid);
	scenario_ok();
}
