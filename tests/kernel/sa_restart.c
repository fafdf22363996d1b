/* read() on a pipe under SA_RESTART: the frame is already rewound to the instruction, with the number in RAX. */
#include "fact.h"

static volatile int handled;
static int pipe_fd[2];

static void handler(int sig, siginfo_t *info, void *context)
{
	greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
	const unsigned char *pc = (const unsigned char *)r[REG_RIP];

	(void)sig;
	(void)info;
	FACT(r[REG_RAX] == SYS_read);
	FACT(pc[0] == 0x0f && pc[1] == 0x05);
	handled++;
	FACT(write(pipe_fd[1], "x", 1) == 1);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	char byte = 0;
	pid_t pid;

	FACT(pipe(pipe_fd) == 0 && sigaction(SIGUSR1, &sa, NULL) == 0);
	pid = fork();
	if (pid == 0) {
		wait_blocked_in(getppid(), getppid(), SYS_read);
		_exit(kill(getppid(), SIGUSR1) != 0);
	}
	FACT(syscall(SYS_read, pipe_fd[0], &byte, 1) == 1 && byte == 'x');
	FACT(handled == 1);
	wait_ok(pid);
	return 0;
}
