/*
 * signal_default.c - children that die of SIGUSR2, ignore it, or inherit it blocked
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scenario.h"

static int status_of(void (*child)(void))
{
	int status;
	pid_t pid = MUST(fork());

	if (pid == 0) {
		child();
		_exit(0);
	}
	SAME(waitpid(pid, &status, 0), pid);
	return status;
}

static void by_raise(void)
{
	raise(SIGUSR2);
}

static void by_unblocking(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR2);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void ignoring(void)
{
	signal(SIGUSR2, SIG_IGN);
	execlp("sh", "sh", "-c", "kill -USR2 $$; exit 3", NULL);
}

static void shell(void)
{
	execlp("sh", "sh", "-c", "kill -USR2 $$; exit 3", NULL);
}

static void trap(void)
{
	execlp("sh", "sh", "-c", "trap 'exit 4' USR2; kill -USR2 $$; exit 3", NULL);
}

static void blocked(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	execlp("sh", "sh", "-c", "kill -USR2 $$; exit 5", NULL);
}

static void all(void)
{
	int status = status_of(by_raise);

	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2);
	status = status_of(by_unblocking);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2);
	status = status_of(shell);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2);
	status = status_of(ignoring);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	status = status_of(trap);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 4);
	status = status_of(blocked);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

int main(void)
{
	all();
	scenario_wait();
	all();
	scenario_ok();
}
