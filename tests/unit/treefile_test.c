/*
 * treefile_test.c - the file behind struct tree
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "skshim/treefile.h"

#include "unit.h"

static struct tree *make(void)
{
	struct tree *t;

	ck_assert_int_eq(treefile_create(NULL, &t), 0);
	return t;
}

static void member(struct tree *t, int slot, int pid)
{
	struct treefile_stat st;

	ck_assert_int_eq(treefile_stat(pid, &st), 0);
	t->members[slot].pid = pid;
	t->members[slot].start_time = st.start_time;
	t->members[slot].state = MEMBER_ALIVE;
	if (t->nmembers <= (uint32_t)slot)
		t->nmembers = (uint32_t)slot + 1;
}

START_TEST(create_and_attach)
{
	struct tree *t = make(), *again;
	struct stat st;

	ck_assert_int_eq(stat(t->path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(st.st_size, sizeof(*t));
	ck_assert_int_lt(st.st_blocks * 512, 256 * 1024);
	ck_assert_int_eq(t->root_pid, getpid());
	ck_assert_int_eq(treefile_attach(t->path, &again), 0);
	again->keep = 17;
	ck_assert_uint_eq(t->keep, 17);
	treefile_detach(again);
	treefile_remove(t);
	ck_assert_int_eq(treefile_attach(t->path, &again), -ENOENT);
	treefile_detach(t);
}
END_TEST

START_TEST(refuses)
{
	struct tree *t = make(), *again;
	char path[TREE_PATH + 8], own[TREE_PATH];
	uint64_t pidns = t->pidns;

	strcpy(own, t->path);
	ck_assert_int_eq(treefile_attach("", &again), -EINVAL);
	ck_assert_int_eq(treefile_attach("relative", &again), -EINVAL);
	ck_assert_int_eq(treefile_attach("/etc/passwd", &again), -EINVAL);
	ck_assert_int_eq(treefile_attach("/dev/shm/skshim-4000000000-0123456789abcdef", &again), -ENOENT);
	snprintf(path, sizeof(path), "%sx", t->path);
	ck_assert_int_eq(treefile_attach(path, &again), -EINVAL);
	t->pidns = 1;
	ck_assert_int_eq(treefile_attach(t->path, &again), -EXDEV);
	t->pidns = pidns;
	t->version++;
	ck_assert_int_eq(treefile_attach(t->path, &again), -EPROTO);
	t->version--;
	t->magic++;
	ck_assert_int_eq(treefile_attach(t->path, &again), -EINVAL);
	t->magic--;
	ck_assert_int_eq(chmod(t->path, 0644), 0);
	ck_assert_int_eq(treefile_attach(t->path, &again), -EINVAL);
	ck_assert_int_eq(chmod(t->path, 0600), 0);
	ck_assert_int_eq(truncate(own, 4096), 0);
	ck_assert_int_eq(treefile_attach(own, &again), -EPROTO);
	unlink(own);
	/* a link of the right name, to a tree that is right */
	snprintf(path, sizeof(path), "%.*s0000000000000000", (int)strlen(own) - 16, own);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_int_eq(treefile_attach(path, &again), -EINVAL);
	unlink(path);
}
END_TEST

START_TEST(renamed)
{
	struct tree *t = make(), *again;
	char path[TREE_PATH];

	snprintf(path, sizeof(path), "%.*s0000000000000001", (int)strlen(t->path) - 16, t->path);
	ck_assert_int_eq(rename(t->path, path), 0);
	ck_assert_int_eq(treefile_attach(path, &again), -EINVAL);
	unlink(path);
}
END_TEST

START_TEST(inhabited)
{
	struct tree *t = make();
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	ck_assert(!treefile_inhabited(t, 0));
	member(t, 0, getpid());
	ck_assert(treefile_inhabited(t, 0));
	ck_assert(!treefile_inhabited(t, getpid()));
	member(t, 2, pid);
	ck_assert(treefile_inhabited(t, getpid()));
	t->members[2].leaving = 1;
	ck_assert(!treefile_inhabited(t, getpid()));
	t->members[2].leaving = 0;
	/* the number is somebody else's now */
	t->members[2].start_time++;
	ck_assert(!treefile_inhabited(t, getpid()));
	t->members[2].start_time--;
	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT);
	ck_assert(!treefile_inhabited(t, getpid()));
	waitpid(pid, NULL, 0);
	ck_assert(!treefile_inhabited(t, getpid()));
	treefile_remove(t);
}
END_TEST

START_TEST(born_lives_with_its_maker)
{
	struct tree *t = make();

	t->nmembers = 1;
	t->members[0].pid = -1;
	t->members[0].ppid = getpid();
	ck_assert(treefile_lives(&t->members[0]));
	t->members[0].ppid = 0x3fffffff;
	ck_assert(!treefile_lives(&t->members[0]));
	treefile_remove(t);
}
END_TEST

START_TEST(sweeps)
{
	struct tree *live = make(), *dead = make(), *unfinished = make();
	struct stat st;

	member(live, 0, getpid());
	treefile_ready(live);
	dead->nmembers = 1;
	dead->members[0].pid = 0x3fffffff;
	treefile_ready(dead);
	unfinished->root_pid = getpid();
	ck_assert_int_ge(treefile_sweep(NULL), 1);
	ck_assert_int_eq(stat(live->path, &st), 0);
	ck_assert_int_eq(stat(unfinished->path, &st), 0);
	ck_assert_int_lt(stat(dead->path, &st), 0);
	unfinished->root_pid = 0x3fffffff;
	treefile_sweep(NULL);
	ck_assert_int_lt(stat(unfinished->path, &st), 0);
	treefile_remove(live);
}
END_TEST

START_TEST(stat_with_a_hard_name)
{
	struct treefile_stat st, own;

	ck_assert_int_eq(treefile_stat(0, &own), 0);
	prctl(PR_SET_NAME, ") R 1 (");
	ck_assert_int_eq(treefile_stat(getpid(), &st), 0);
	ck_assert_str_eq(st.comm, ") R 1 (");
	ck_assert_int_eq(st.ppid, getppid());
	ck_assert_uint_eq(st.start_time, own.start_time);
	ck_assert_int_eq(st.state, 'R');
	ck_assert_int_eq(treefile_stat(0x3fffffff, &st), -ENOENT);
}
END_TEST

UNIT_MAIN("treefile", create_and_attach, refuses, renamed, inhabited, born_lives_with_its_maker, sweeps, stat_with_a_hard_name)
