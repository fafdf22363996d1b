/*
 * Children made by syscall(): fork, clone and clone3 with memory of their own,
 * one that is its maker's sibling, one that executes a program with an empty environment.
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORK, CLONE, CLONE3, SIBLING, EXEC, N };

static volatile struct {
	pid_t sibling;
	int go;
} *board;

static void stay(int status)
{
	while (!board->go)
		usleep(1000);
	_exit(status);
}

static pid_t make(int how, pid_t me)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)"read x; exit 24", NULL }, *none[] = { NULL };
	long pid;

	if (how == CLONE)
		pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	else if (how == CLONE3)
		pid = syscall(SYS_clone3, &args, sizeof(args));
	else
		pid = syscall(SYS_fork);
	MUST(pid);
	if (pid == 0 && how == SIBLING) {
		pid = MUST(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0));
		if (pid == 0)
			stay(getppid() == me ? 30 : 31);
		board->sibling = (pid_t)pid;
	}
	if (pid == 0 && how == EXEC) {
		syscall(SYS_execve, "/bin/sh", argv, none);
		_exit(1);
	}
	if (getpid() != me)
		stay(20 + how);
	return (pid_t)pid;
}

int main(void)
{
	pid_t pids[N], me = getpid();
	int in[2], status;

	board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(board != MAP_FAILED);
	MUST(pipe2(in, O_CLOEXEC));
	MUST(dup2(in[0], 0));
	for (int how = 0; how < N; how++)
		pids[how] = make(how, me);
	while (!board->sibling)
		usleep(1000);
	/* asked for what it knows */
	SAME(syscall(SYS_clone3, NULL, 0), -1);
	SAME(errno, EINVAL);

	scenario_wait();

	for (int how = 0; how < N; how++)
		SAME(waitpid(pids[how], &status, WNOHANG), 0);
	board->go = 1;
	close(in[1]);
	for (int how = 0; how < N; how++) {
		SAME(waitpid(pids[how], &status, 0), pids[how]);
		SAME(status, (20 + how) << 8);
	}
	SAME(waitpid(board->sibling, &status, 0), board->sibling);
	SAME(status, 30 << 8);
	scenario_ok();
}
