/*
 * scenario-refused: not now
 *
 * A program whose own hook says no: a process that nobody may look at stays such a one, and one that was stopped stays
 * stopped, without a word to its parent.
 */
#include "scenario.h"
#include "api.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	volatile int beats, asked, dumpable;
} *child;
static volatile int heard;

static int not_now(void *arg)
{
	(void)arg;
	child->asked++;
	return 1;
}

static void child_changed(int sig)
{
	(void)sig;
	heard++;
}

int main(void)
{
	struct sigaction sa = { .sa_handler = child_changed, .sa_flags = SA_RESTART };
	int status, beats;
	pid_t pid;

	child = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(child != MAP_FAILED);
	pid = MUST(fork());
	if (pid == 0) {
		SAME(api_before(not_now), 0);
		MUST(prctl(PR_SET_DUMPABLE, 0));
		for (;; usleep(500)) {
			child->dumpable = prctl(PR_GET_DUMPABLE);
			child->beats++;
		}
	}
	while (!child->beats)
		usleep(500);
	MUST(kill(pid, SIGSTOP));
	SAME(waitpid(pid, &status, WUNTRACED), pid);
	usleep(20000);
	MUST(sigaction(SIGCHLD, &sa, NULL));
	beats = child->beats;

	scenario_wait();

	SAME(child->asked, 1);
	SAME(child->beats, beats);
	SAME(heard, 0);
	SAME(waitpid(pid, &status, WUNTRACED | WCONTINUED | WNOHANG), 0);
	MUST(kill(pid, SIGCONT));
	SAME(waitpid(pid, &status, WCONTINUED), pid);
	for (beats = child->beats + 2; child->beats < beats;)
		usleep(500);
	SAME(child->dumpable, 0);
	MUST(kill(pid, SIGKILL));
	SAME(waitpid(pid, &status, 0), pid);
	scenario_ok();
}
