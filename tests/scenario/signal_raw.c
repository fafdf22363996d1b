/*
 * Signals by syscall(): a mask with every bit, an action of the checkpoint
 * signal, and waiting for it. The program sees what it asked for, and can be
 * checkpointed with everything blocked.
 *
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static volatile sig_atomic_t handled;

static void handler(int sig)
{
	SAME(sig, SIGUSR2);
	handled++;
}

int main(void)
{
	uint64_t all = ~0ull, none = 0, got = 0, usr2 = 1ull << (SIGUSR2 - 1);
	struct timespec now = {0, 0};
	struct action act, was;
	struct sigaction by_libc;
	siginfo_t info;
	sigset_t set;

	by_libc = (struct sigaction){.sa_handler = handler, .sa_flags = SA_RESTART};
	sigaddset(&by_libc.sa_mask, SIGUSR1);
	MUST(sigaction(SIGUSR2, &by_libc, NULL));
	MUST(syscall(SYS_rt_sigaction, SIGUSR2, NULL, &act, sizeof(act.mask)));
	CHECK(act.handler == handler);
	CHECK((act.flags & SA_RESTART) != 0);
	SAME(act.mask, 1ull << (SIGUSR1 - 1));
	act.mask |= usr2;
	act.flags &= ~(unsigned long)SA_RESTART;
	MUST(syscall(SYS_rt_sigaction, SIGUSR2, &act, &was, sizeof(act.mask)));
	CHECK(was.handler == handler);
	MUST(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all)));
	scenario_wait();
	MUST(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &got, sizeof(got)));
	CHECK((got & usr2) != 0);
	MUST(sigprocmask(SIG_BLOCK, NULL, &set));
	SAME(sigismember(&set, SIGUSR2), 1);
	MUST(sigaction(SIGUSR2, NULL, &by_libc));
	CHECK(by_libc.sa_handler == handler);
	SAME(by_libc.sa_flags & SA_RESTART, 0);
	SAME(sigismember(&by_libc.sa_mask, SIGUSR2), 1);
	MUST(kill(getpid(), SIGUSR2));
	SAME(handled, 0);
	MUST(syscall(SYS_rt_sigpending, &got, sizeof(got)));
	SAME(got, usr2);
	SAME(syscall(SYS_rt_sigtimedwait, &usr2, &info, &now, sizeof(usr2)), SIGUSR2);
	SAME(info.si_signo, SIGUSR2);
	SAME(syscall(SYS_rt_sigtimedwait, &usr2, &info, &now, sizeof(usr2)), -1);
	SAME(errno, EAGAIN);
	MUST(kill(getpid(), SIGUSR2));
	SAME(syscall(SYS_rt_sigsuspend, &none, sizeof(none)), -1);
	SAME(errno, EINTR);
	SAME(handled, 1);
	MUST(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none)));
	MUST(kill(getpid(), SIGUSR2));
	SAME(handled, 2);
	scenario_ok();
}
