/*
 * In the handler that interrupted poll(), the frame has RAX = -EINTR and the
 * two bytes before RIP are the syscall instruction; moving RIP back over them
 * and putting the call's number into RAX makes the call again, unseen.
 */
#include "fact.h"

static volatile int handled;
static int wake[2];

static void handler(int sig, siginfo_t *info, void *context)
{
	greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
	const unsigned char *pc = (const unsigned char *)r[REG_RIP];

	(void)sig;
	(void)info;
	FACT(r[REG_RAX] == -EINTR);
	FACT(pc[-2] == 0x0f && pc[-1] == 0x05);
	r[REG_RIP] -= 2;
	r[REG_RAX] = SYS_poll;
	handled++;
	FACT(write(wake[1], "x", 1) == 1);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct pollfd p = {.events = POLLIN};
	pid_t pid;
	long rc;

	FACT(pipe(wake) == 0 && sigaction(SIGUSR1, &sa, NULL) == 0);
	pid = fork();
	if (pid == 0) {
		wait_blocked_in(getppid(), getppid(), SYS_poll);
		_exit(kill(getppid(), SIGUSR1) != 0);
	}
	p.fd = wake[0];
	rc = syscall(SYS_poll, &p, 1, 10000);
	FACT(handled == 1);
	FACT(rc == 1 && p.revents == POLLIN);
	wait_ok(pid);
	return 0;
}
