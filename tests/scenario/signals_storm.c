/*
 * SIGALRM a thousand times a second, on a small alternate stack, while other
 * threads block every signal: every handler runs whole, no call of the blocked fails.
 *
 * scenario-checkpoints: 10
 */
#include "scenario.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int handled, inside, stop;

static void alarmed(int sig)
{
	char room[512];

	(void)sig;
	SAME(inside++, 0);
	memset(room, handled, sizeof(room));
	__asm__ volatile("" : : "r"(room) : "memory");
	handled++;
	inside--;
}

static void *deaf(void *arg)
{
	const struct timespec moment = {.tv_nsec = 2000000};
	sigset_t all, mask;

	sigfillset(&all);
	SAME(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
	while (!stop) {
		SAME(nanosleep(&moment, NULL), 0);
		SAME(poll(NULL, 0, 1), 0);
		SAME(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
		SAME(sigismember(&mask, SIGUSR2), 1);
		SAME(sigismember(&mask, SIGTERM), 1);
	}
	return arg;
}

int main(void)
{
	static char stack[8192];
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct itimerval every = {{0, 1000}, {0, 1000}};
	struct sigaction sa = {.sa_handler = alarmed, .sa_flags = SA_ONSTACK | SA_RESTART};
	pthread_t t[4];
	int before;

	for (int i = 0; i < 4; i++)
		SAME(pthread_create(&t[i], NULL, deaf, NULL), 0);
	MUST(sigaltstack(&alternate, NULL));
	MUST(sigaction(SIGALRM, &sa, NULL));
	MUST(setitimer(ITIMER_REAL, &every, NULL));
	scenario_wait();
	before = handled;
	while (handled < before + 50)
		pause();
	memset(&every, 0, sizeof(every));
	MUST(setitimer(ITIMER_REAL, &every, NULL));
	stop = 1;
	for (int i = 0; i < 4; i++)
		SAME(pthread_join(t[i], NULL), 0);
	scenario_ok();
}
