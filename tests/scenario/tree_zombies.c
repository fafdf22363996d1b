/*
 * Dead ones that others depend on: the first process of a session and of a
 * group have ended and are not waited for, while those they made live on,
 * adopted by a subreaper; a child's dead child; a thread's.
 *
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile struct {
	pid_t leader, group, in_session, in_group, threads;
	int ready, go;
} *board;

static void await(volatile int *word)
{
	while (!*word)
		usleep(1000);
}

static void stay(volatile pid_t *who, volatile pid_t *session, volatile pid_t *group)
{
	*who = getpid();
	await(&board->go);
	_exit((!session || getsid(0) == *session) && getpgrp() == *group ? 7 : 8);
}

static pid_t dead_leader(void)
{
	pid_t pid = MUST(fork());

	if (pid == 0) {
		MUST(setsid());
		board->leader = getpid();
		if (MUST(fork()) == 0)
			stay(&board->in_session, &board->leader, &board->leader);
		await(&board->in_session);
		_exit(1);
	}
	return pid;
}

static pid_t dead_group(void)
{
	pid_t pid = MUST(fork());

	if (pid == 0) {
		MUST(setpgid(0, 0));
		board->group = getpid();
		MUST(prctl(PR_SET_NAME, "group"));
		if (MUST(fork()) == 0)
			stay(&board->in_group, NULL, &board->group);
		await(&board->in_group);
		raise(SIGKILL);
	}
	return pid;
}

static void dies(pid_t pid)
{
	siginfo_t info;

	MUST(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
}

static void is_called(pid_t pid, const char *name)
{
	char path[32], comm[32];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "r");
	CHECK(f && fscanf(f, "%31s", comm) == 1);
	CHECK(strcmp(comm, name) == 0);
	fclose(f);
}

static pid_t with_dead_child(void)
{
	pid_t pid = MUST(fork()), child;
	int status;

	if (pid == 0) {
		child = MUST(fork());
		if (child == 0)
			raise(SIGTERM);
		dies(child);
		board->ready = 1;
		await(&board->go);
		SAME(waitpid(child, &status, 0), child);
		_exit(WTERMSIG(status));
	}
	await(&board->ready);
	return pid;
}

static void *thread(void *arg)
{
	pid_t pid = MUST(fork());
	int status;

	(void)arg;
	if (pid == 0)
		_exit(33);
	dies(pid);
	board->threads = pid;
	await(&board->go);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 33 << 8);
	return NULL;
}

static void ends(pid_t pid, int expected)
{
	int status;

	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, expected);
}

int main(void)
{
	pid_t leader, group, parent;
	pthread_t t;

	board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(board != MAP_FAILED);
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	leader = dead_leader();
	dies(leader);
	group = dead_group();
	dies(group);
	parent = with_dead_child();
	SAME(pthread_create(&t, NULL, thread, NULL), 0);
	await(&board->threads);

	scenario_wait();

	is_called(leader, "tree_zombies");
	is_called(group, "group");
	ends(leader, 1 << 8);
	ends(group, SIGKILL);
	board->go = 1;
	ends(board->in_session, 7 << 8);
	ends(board->in_group, 7 << 8);
	ends(parent, SIGTERM << 8);
	SAME(pthread_join(t, NULL), 0);
	SAME(wait(NULL), -1);
	SAME(errno, ECHILD);
	scenario_ok();
}
