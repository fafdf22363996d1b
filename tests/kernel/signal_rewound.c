/*
 * A call that the kernel has wound back before a handler (SA_RESTART) shows in
 * the frame: RIP at the instruction, RAX the number, RCX behind the
 * instruction, R11 the flags. In sigsuspend the frame's mask is the outer one.
 */
#include "fact.h"

static volatile int rewound, outer;
static int both[2];

static void handler(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	const uint8_t *pc = (const uint8_t *)g[REG_RIP];

	(void)info;
	if (sig == SIGUSR1) {
		FACT(write(both[1], "x", 1) == 1);
		rewound = pc[0] == 0x0f && pc[1] == 0x05 && g[REG_RAX] == SYS_read && g[REG_RCX] == g[REG_RIP] + 2 &&
			  g[REG_R11] == g[REG_EFL];
	} else {
		outer = g[REG_RAX] == -EINTR && sigismember(&((ucontext_t *)context)->uc_sigmask, SIGUSR2) == 1;
	}
}

int main(void)
{
	struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	pid_t pid, parent = getpid();
	sigset_t set;
	char c;

	FACT(sigaction(SIGUSR1, &act, NULL) == 0 && sigaction(SIGUSR2, &act, NULL) == 0 && pipe(both) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	FACT(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	pid = fork();
	if (pid == 0) {
		wait_blocked_in(parent, parent, SYS_read);
		kill(parent, SIGUSR1);
		wait_blocked_in(parent, parent, SYS_rt_sigsuspend);
		kill(parent, SIGUSR2);
		_exit(0);
	}
	FACT(read(both[0], &c, 1) == 1 && rewound);
	sigemptyset(&set);
	FACT(sigsuspend(&set) == -1 && errno == EINTR && outer);
	wait_ok(pid);
	return 0;
}
