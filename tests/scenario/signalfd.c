/* A signalfd, with a signal pending in it, and one that is waited for. */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int main(void)
{
	struct signalfd_siginfo got;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 5);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	fd = MUST(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	MUST(sigqueue(getpid(), SIGRTMIN + 5, (union sigval){ .sival_int = 55 }));

	scenario_wait();

	SAME(read(fd, &got, sizeof(got)), sizeof(got));
	SAME(got.ssi_signo, SIGRTMIN + 5);
	SAME(got.ssi_int, 55);
	SAME(read(fd, &got, sizeof(got)), -1);
	SAME(errno, EAGAIN);
	MUST(raise(SIGUSR1));
	SAME(read(fd, &got, sizeof(got)), sizeof(got));
	SAME(got.ssi_signo, SIGUSR1);
	scenario_ok();
}
