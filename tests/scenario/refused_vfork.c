/*
 * scenario-refused: neither executes a program nor ends
 *
 * A child by vfork that waits: of a child's first thread, and of another thread of the first process. The others are not
 * held up for long, and a checkpoint is made once it has ended.
 */
#include "scenario.h"
#include "api.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST 15000                           /* ms; it is named after 3000 */

static int go[2];
static volatile long beats, longest;

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void *beat(void *arg)
{
	for (long last = now();; last = now(), beats++) {
		usleep(500);
		if (now() - last > longest)
			longest = now() - last;
	}
	return arg;
}

/* Until it is told. */
static void *vforks(void *arg)
{
	pid_t pid = vfork();
	char c;

	if (pid == 0) {
		if (read(go[0], &c, 1) == 1)
			_exit(3);
		_exit(4);
	}
	return arg;
}

int main(void)
{
	pthread_t beater, other;
	int status;
	pid_t pid;

	MUST(pipe(go));
	pid = MUST(fork());
	if (pid == 0) {
		MUST(prctl(PR_SET_PDEATHSIG, SIGKILL));
		vforks(NULL);
		CHECK(wait(&status) > 0 && status == 3 << 8);
		_exit(5);
	}
	SAME(pthread_create(&beater, NULL, beat, NULL), 0);
	while (!beats)
		usleep(500);

	scenario_wait();

	CHECK(longest < MOST);
	SAME(write(go[1], "g", 1), 1);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 5 << 8);
	SAME(pthread_create(&other, NULL, vforks, NULL), 0);
	usleep(20000);
	SAME(api_checkpoint(), -1);
	CHECK(longest < MOST);
	SAME(write(go[1], "g", 1), 1);
	SAME(pthread_join(other, NULL), 0);
	SAME(wait(&status) > 0, 1);
	SAME(status, 3 << 8);
	SAME(api_checkpoint(), 0);
	scenario_ok();
}
