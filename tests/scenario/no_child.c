/*
 * Whoever writes the image is not seen: no SIGCHLD, nothing for wait(), no
 * child of a subreaper, no fork handler run, no descriptor left over.
 *
 * scenario-checkpoints: 5
 */
#include "scenario.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int chld, forks;

static void handler(int sig)
{
	(void)sig;
	chld++;
}

static void forked(void)
{
	forks++;
}

static int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	CHECK(d != NULL);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

int main(void)
{
	int fds = descriptors();

	MUST(signal(SIGCHLD, handler) == SIG_ERR ? -1 : 0);
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	SAME(pthread_atfork(forked, forked, forked), 0);
	scenario_wait();
	SAME(wait(NULL), -1);
	SAME(errno, ECHILD);
	SAME(waitpid(-1, NULL, __WALL | WNOHANG), -1);
	SAME(errno, ECHILD);
	SAME(chld, 0);
	SAME(forks, 0);
	SAME(descriptors(), fds);
	scenario_ok();
}
