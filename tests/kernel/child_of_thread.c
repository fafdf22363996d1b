/*
 * A child is one of the thread that made it: it is listed under that thread,
 * only that one finds it with __WNOTHREAD, and its parent-death signal comes
 * when that thread ends. Then it belongs to another thread of the process.
 */
#include "fact.h"
#include <pthread.h>

static volatile int pid, step;
static int told[2];

static bool listed(int tid)
{
	char path[64], text[64] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", tid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		SKIP(path);
	FACT(read(fd, text, sizeof(text) - 1) >= 0);
	close(fd);
	return atoi(text) == pid;
}

static void *maker(void *arg)
{
	siginfo_t info;
	sigset_t set;
	int here = fork();

	if (here == 0) {
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		sigprocmask(SIG_BLOCK, &set, NULL);
		prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0);
		FACT(write(told[1], "r", 1) == 1);
		_exit(sigwaitinfo(&set, &info) == SIGUSR1 ? 3 : 1);
	}
	pid = here;
	FACT(read(told[0], &set, 1) == 1);
	FACT(listed(gettid()) && !listed(getpid()));
	FACT(waitpid(-1, NULL, WNOHANG | __WNOTHREAD) == 0);
	step = 1;
	while (step != 2)
		usleep(100);
	return arg;
}

int main(void)
{
	pthread_t t;
	int status;

	FACT(pipe(told) == 0 && pthread_create(&t, NULL, maker, NULL) == 0);
	while (step != 1)
		usleep(100);
	FACT(waitpid(-1, NULL, WNOHANG | __WNOTHREAD) == -1 && errno == ECHILD);
	FACT(waitpid(-1, NULL, WNOHANG) == 0);
	step = 2;
	FACT(waitpid(pid, &status, 0) == pid && status == 3 << 8);
	return 0;
}
