/*
 * A read that the program's own alarm shall interrupt is interrupted, though
 * the signal may have come while the world stood; other threads aren't.
 *
 * scenario-checkpoints: 8
 */
#include "scenario.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define WORKERS 8

static int quiet[2];
static volatile sig_atomic_t alarms, wound_back;

/* Without SA_RESTART the kernel ends a read with EINTR; it never makes it again. */
static void handler(int sig, siginfo_t *info, void *context)
{
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	const unsigned char *pc = (const unsigned char *)g[REG_RIP];

	(void)sig;
	(void)info;
	if (pc[0] == 0x0f && pc[1] == 0x05 && g[REG_RCX] == g[REG_RIP] + 2 && g[REG_RAX] == SYS_read)
		wound_back++;
	alarms++;
}

static void *in_read(void *arg)
{
	char byte;

	SAME(read(quiet[0], &byte, 1), 1);
	return arg;
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	pthread_t workers[WORKERS];
	char byte;
	sigset_t set, old;
	int empty[2];

	MUST(pipe(quiet));
	MUST(pipe(empty));
	MUST(sigaction(SIGALRM, &sa, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	SAME(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	for (int i = 0; i < WORKERS; i++)
		SAME(pthread_create(&workers[i], NULL, in_read, NULL), 0);
	SAME(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	scenario_ready();
	for (int i = 0; !scenario_go() || i < 50; i++) {
		/* one signal only: were it lost, the wait would never end */
		struct itimerval once = {{0, 0}, {0, 2000 + i % 7 * 500}}, often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
		struct pollfd p = {.fd = empty[0], .events = POLLIN};
		int before = alarms;

		SAME(pthread_sigmask(SIG_SETMASK, &set, NULL), 0);
		MUST(setitimer(ITIMER_REAL, &once, NULL));
		SAME(ppoll(&p, 1, NULL, &old), -1);
		SAME(errno, EINTR);
		SAME(alarms, before + 1);
		SAME(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
		MUST(setitimer(ITIMER_REAL, &often, NULL));
		SAME(read(empty[0], &byte, 1), -1);
		SAME(errno, EINTR);
		MUST(setitimer(ITIMER_REAL, &never, NULL));
	}
	/* the moment before the handler's return, in which the kernel itself would do it, may be met once, not again and again */
	if (wound_back > 1)
		FAIL("%d reads were made again behind the alarm", (int)wound_back);
	for (int i = 0; i < WORKERS; i++)
		SAME(write(quiet[1], "x", 1), 1);
	for (int i = 0; i < WORKERS; i++)
		SAME(pthread_join(workers[i], NULL), 0);
	scenario_ok();
}
