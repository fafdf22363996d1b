/*
 * A stopped child with several threads and a handler for SIGCONT: none of them
 * runs, the handler is not called, sleeping calls go on sleeping, and the parent
 * hears nothing. Then it is continued, and all go on.
 *
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4

static struct {
	volatile int beats[THREADS], continued, woken, asleep;
} *child;
static volatile int heard;
static int never[2];

static void on_continue(int sig)
{
	(void)sig;
	child->continued++;
}

static void child_changed(int sig)
{
	(void)sig;
	heard++;
}

static void *beat(void *arg)
{
	for (;; usleep(500))
		child->beats[(long)arg]++;
	return NULL;
}

static void *sleeps(void *arg)
{
	struct pollfd p = { .fd = never[0], .events = POLLIN };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCONT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	child->asleep++;
	if (arg)
		poll(&p, 1, 3600000);
	else
		sleep(3600);
	child->woken++;
	return NULL;
}

static pid_t threaded(void)
{
	struct sigaction sa = { .sa_handler = on_continue, .sa_flags = SA_RESTART };
	pid_t pid = MUST(fork());
	pthread_t t;

	if (pid > 0)
		return pid;
	MUST(prctl(PR_SET_PDEATHSIG, SIGKILL));
	MUST(sigaction(SIGCONT, &sa, NULL));
	for (long i = 0; i < 2; i++)
		SAME(pthread_create(&t, NULL, sleeps, (void *)i), 0);
	for (long i = 1; i < THREADS; i++)
		SAME(pthread_create(&t, NULL, beat, (void *)i), 0);
	beat((void *)0);
	_exit(1);
}

static void beats(int now[THREADS])
{
	for (int i = 0; i < THREADS; i++)
		now[i] = child->beats[i];
}

int main(void)
{
	struct sigaction sa = { .sa_handler = child_changed, .sa_flags = SA_RESTART };
	int before[THREADS], status;
	pid_t pid;

	child = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(child != MAP_FAILED);
	MUST(pipe(never));
	pid = threaded();
	for (int i = 0; i < THREADS; i++)
		while (child->beats[i] == 0 || child->asleep < 2)
			usleep(500);
	usleep(20000);
	MUST(kill(pid, SIGSTOP));
	SAME(waitpid(pid, &status, WUNTRACED), pid);
	usleep(20000);
	MUST(sigaction(SIGCHLD, &sa, NULL));
	beats(before);

	scenario_wait();

	for (int i = 0; i < THREADS; i++)
		SAME(child->beats[i], before[i]);
	SAME(child->continued, 0);
	SAME(heard, 0);
	SAME(waitpid(pid, &status, WUNTRACED | WCONTINUED | WNOHANG), 0);
	MUST(kill(pid, SIGCONT));
	SAME(waitpid(pid, &status, WCONTINUED), pid);
	for (int i = 0; i < THREADS; i++)
		while (child->beats[i] < before[i] + 2)
			usleep(500);
	while (child->continued == 0)
		usleep(500);
	SAME(child->continued, 1);
	SAME(child->woken, 0);
	MUST(kill(pid, SIGKILL));
	SAME(waitpid(pid, &status, 0), pid);
	scenario_ok();
}
