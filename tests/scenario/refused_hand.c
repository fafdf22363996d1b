/*
 * scenario-refused: is not supported
 * scenario-only: root
 *
 * While another user's process waits for its files to be opened for it, the checkpoint is given up: nobody waits on, and
 * the next one is made.
 */
#include "scenario.h"
#include "api.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
	volatile long beats, longest;        /* between two of them: ms */
} *other;

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void beat(void)
{
	MUST(prctl(PR_SET_PDEATHSIG, SIGKILL));
	MUST(setgid(1000));
	MUST(setuid(1000));
	for (long last = now();; last = now(), other->beats++) {
		usleep(500);
		if (now() - last > other->longest)
			other->longest = now() - last;
	}
}

int main(void)
{
	pid_t pid;
	int refused;

	other = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(other != MAP_FAILED);
	pid = MUST(fork());
	if (pid == 0)
		beat();
	while (!other->beats)
		usleep(500);
	refused = MUST(open("/proc/self/ns/net", O_RDONLY));

	scenario_wait();

	CHECK(other->longest < 5000);
	close(refused);
	SAME(api_checkpoint(), 0);
	CHECK(other->longest < 5000);
	MUST(kill(pid, SIGKILL));
	SAME(waitpid(pid, NULL, 0), pid);
	scenario_ok();
}
