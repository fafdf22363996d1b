/*
 * Programs started in every way: execle with an empty environment, env -i,
 * posix_spawn, vfork, system, popen, a daemon that forks twice, one that closes
 * all descriptors it finds. Each is in the tree, says its word afterwards,
 * and its parent finds its status.
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What all of them run: announces itself by a file, waits for another, says a word, ends with a status. */
static const char *run(int n, const char *word)
{
	static char text[8][256];

	snprintf(text[n], sizeof(text[n]), ": >up.%d; while [ ! -e go ]; do sleep 0.01; done; echo %s%s >said.%d; exit %d",
		 n, n == 5 ? "through the pipe; echo " : "", word, n, 10 + n);
	return text[n];
}

static bool exists(const char *fmt, int n)
{
	char path[32];

	snprintf(path, sizeof(path), fmt, n);
	return access(path, F_OK) == 0;
}

static void await_file(const char *fmt, int n)
{
	for (int k = 0; k < 10000 && !exists(fmt, n); k++)
		usleep(1000);
	if (!exists(fmt, n))
		FAIL("%d has not come", n);
}

static void said(int n, const char *word)
{
	char path[32], text[64] = "";
	FILE *f;

	await_file("said.%d", n);
	snprintf(path, sizeof(path), "said.%d", n);
	for (int k = 0; k < 5000 && text[0] == '\0'; k++) {
		f = fopen(path, "re");
		CHECK(f != NULL);
		if (fgets(text, sizeof(text), f) == NULL)
			usleep(1000);
		fclose(f);
	}
	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, word) != 0)
		FAIL("%d said '%s', not '%s'", n, text, word);
}

static void *in_system(void *arg)
{
	*(int *)arg = system(run(3, "system"));
	return NULL;
}

static void daemonised(void)
{
	if (MUST(fork()) != 0)
		return;
	if (fork() != 0)
		_exit(0);
	setsid();
	if (fork() != 0)
		_exit(0);
	execl("/bin/sh", "sh", "-c", run(6, "daemon"), (char *)NULL);
	_exit(127);
}

static pid_t without_descriptors(char **environment)
{
	pid_t pid = MUST(fork());

	if (pid != 0)
		return pid;
	for (int fd = 0; fd < 1024; fd++)
		close(fd);
	MUST(open("/dev/null", O_RDWR));
	MUST(dup(0));
	MUST(dup(0));
	execle("/bin/sh", "sh", "-c", run(7, "closer"), (char *)NULL, environment);
	_exit(127);
}

int main(void)
{
	char *empty[] = { NULL }, *spawn_args[] = { "sh", "-c", NULL, NULL };
	extern char **environ;
	pid_t bare, cleaned, spawned, vforked, closer, popened_waits;
	int status, by_system;
	pthread_t thread;
	char line[64] = "";
	FILE *p;

	bare = MUST(fork());
	if (bare == 0) {
		execle("/bin/sh", "sh", "-c", run(0, "execle"), (char *)NULL, empty);
		_exit(127);
	}
	cleaned = MUST(fork());
	if (cleaned == 0) {
		execlp("env", "env", "-i", "A=b", "sh", "-c", run(1, "env"), (char *)NULL);
		_exit(127);
	}
	spawn_args[2] = (char *)run(2, "spawned");
	SAME(posix_spawn(&spawned, "/bin/sh", NULL, NULL, spawn_args, environ), 0);
	SAME(pthread_create(&thread, NULL, in_system, &by_system), 0);
	const char *text = run(4, "vfork");

	vforked = vfork();
	if (vforked == 0) {
		execl("/bin/sh", "sh", "-c", text, (char *)NULL);
		_exit(127);
	}
	p = popen(run(5, "popen"), "re");
	CHECK(p != NULL);
	daemonised();
	closer = without_descriptors(empty);
	for (int n = 0; n < 8; n++)
		await_file("up.%d", n);
	popened_waits = MUST(waitpid(-1, &status, 0));
	CHECK(popened_waits > 0);
	SAME(status, 0);

	scenario_wait();

	SAME(close(MUST(open("go", O_WRONLY | O_CREAT, 0600))), 0);
	SAME(waitpid(bare, &status, 0), bare);
	SAME(WEXITSTATUS(status), 10);
	SAME(waitpid(cleaned, &status, 0), cleaned);
	SAME(WEXITSTATUS(status), 11);
	SAME(waitpid(spawned, &status, 0), spawned);
	SAME(WEXITSTATUS(status), 12);
	SAME(pthread_join(thread, NULL), 0);
	SAME(WEXITSTATUS(by_system), 13);
	SAME(waitpid(vforked, &status, 0), vforked);
	SAME(WEXITSTATUS(status), 14);
	CHECK(fgets(line, sizeof(line), p) != NULL);
	CHECK(strcmp(line, "through the pipe\n") == 0);
	SAME(WEXITSTATUS(pclose(p)), 15);
	SAME(waitpid(closer, &status, 0), closer);
	SAME(WEXITSTATUS(status), 17);
	said(0, "execle");
	said(1, "env");
	said(2, "spawned");
	said(3, "system");
	said(4, "vfork");
	said(5, "popen");
	said(6, "daemon");
	said(7, "closer");
	SAME(waitpid(-1, &status, 0), -1);
	SAME(errno, ECHILD);
	scenario_ok();
}
