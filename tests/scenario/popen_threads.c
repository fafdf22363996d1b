/*
 * Threads that run commands at the same time: some by popen(), for which the
 * shim lends an environment after a restart, others with what `environ` leads
 * to meanwhile. Each command is run, and has the variables of the program.
 */
#include "scenario.h"

#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 15

extern char **environ;

static void by_popen(int n)
{
	char command[32], line[64] = "";
	int status;
	FILE *f;

	snprintf(command, sizeof(command), "echo $MARK; exit %d", n);
	f = popen(command, "r");
	CHECK(f != NULL);
	CHECK(fgets(line, sizeof(line), f) != NULL);
	CHECK(strcmp(line, "kept\n") == 0);
	status = pclose(f);
	SAME(status, n << 8);
}

static void by_system(int n)
{
	char command[64];

	snprintf(command, sizeof(command), "[ \"$MARK\" = kept ] && exit %d", n);
	SAME(system(command), n << 8);
}

static void by_spawn(int n)
{
	char command[64], *const argv[] = {"sh", "-c", command, NULL};
	int status;
	pid_t pid;

	snprintf(command, sizeof(command), "[ \"$MARK\" = kept ] && exit %d", n);
	SAME(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, n << 8);
}

static void (*const ways[])(int) = {by_popen, by_popen, by_system, by_spawn};

static void *run(void *way)
{
	for (int n = 0; n < ROUNDS; n++)
		ways[(long)way](n);
	return NULL;
}

static void all_at_once(void)
{
	pthread_t t[4];

	for (long i = 0; i < 4; i++)
		SAME(pthread_create(&t[i], NULL, run, (void *)i), 0);
	for (int i = 0; i < 4; i++)
		SAME(pthread_join(t[i], NULL), 0);
}

int main(void)
{
	char **was;

	SAME(setenv("MARK", "kept", 1), 0);
	was = environ;
	all_at_once();
	CHECK(environ == was);

	scenario_wait();

	all_at_once();
	/* what was lent is taken back; a variable set afterwards stays */
	CHECK(environ == was);
	SAME(setenv("MARK2", "two", 1), 0);
	by_popen(3);
	CHECK(strcmp(getenv("MARK2"), "two") == 0);
	/* emptied: the shim goes along all the same */
	environ = NULL;
	SAME(setenv("MARK", "kept", 1), 0);
	all_at_once();
	CHECK(getenv("MARK") && !getenv("LD_PRELOAD"));
	scenario_ok();
}
