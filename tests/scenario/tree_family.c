/*
 * A family: children that have ended and are not yet waited for, an orphan, a
 * daemon whose session's first process is gone, a group whose first process
 * is. All keep their numbers, parents, sessions and groups; wait() finds each
 * child once, with its status.
 */
#include "scenario.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DAEMON, IN_GROUP, LEADER, CHILD, N };

static struct {
	struct {
		pid_t pid, sid, pgid, ppid;
		int ok;
	} who[N];
	int n;
} *board;
static int gate[2];
static int children;

static void counted(int sig)
{
	(void)sig;
	children++;
}

/* Notes what it is, waits for the end of the pipe, and says whether it is that still. */
static void stand(int i, pid_t born_to, bool orphan)
{
	char c;

	close(gate[1]);
	while (orphan && getppid() == born_to)
		usleep(1000);
	board->who[i].pid = getpid();
	board->who[i].sid = getsid(0);
	board->who[i].pgid = getpgrp();
	board->who[i].ppid = getppid();
	__atomic_add_fetch(&board->n, 1, __ATOMIC_SEQ_CST);
	SAME(read(gate[0], &c, 1), 0);
	SAME(getpid(), board->who[i].pid);
	/* the session that all of this was started in has no number in a pid namespace */
	if (getsid(0) != 0 || i != IN_GROUP)
		SAME(getsid(0), board->who[i].sid);
	SAME(getpgrp(), board->who[i].pgid);
	if (!orphan)
		SAME(getppid(), born_to);
	board->who[i].ok = 1;
	if (i == LEADER)
		SAME(wait(NULL), board->who[CHILD].pid);
	_exit(9);
}

static pid_t start(void (*fn)(void))
{
	pid_t pid = MUST(fork());

	if (pid == 0) {
		fn();
		_exit(0);
	}
	return pid;
}

static void daemonise(void)
{
	pid_t me = getpid();

	MUST(setsid());
	if (MUST(fork()) == 0)
		stand(DAEMON, me, true);
}

static void lead_and_go(void)
{
	pid_t me = getpid();

	MUST(setpgid(0, 0));
	if (MUST(fork()) == 0)
		stand(IN_GROUP, me, true);
}

static void lead(void)
{
	pid_t me = getpid(), above = getppid();

	MUST(setsid());
	if (MUST(fork()) == 0) {
		MUST(setpgid(0, 0));
		stand(CHILD, me, false);
	}
	stand(LEADER, above, false);
}

static void give_five(void)
{
	_exit(5);
}

static void be_killed(void)
{
	raise(SIGTERM);
}

static void stop_core(void)
{
	raise(SIGKILL);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = counted, .sa_flags = SA_RESTART };
	pid_t five, killed, cored, leader;
	siginfo_t info;
	int status;

	board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(board != MAP_FAILED);
	MUST(pipe(gate));
	five = start(give_five);
	killed = start(be_killed);
	cored = start(stop_core);
	MUST(waitid(P_PID, (id_t)five, &info, WEXITED | WNOWAIT));
	MUST(waitid(P_PID, (id_t)killed, &info, WEXITED | WNOWAIT));
	MUST(waitid(P_PID, (id_t)cored, &info, WEXITED | WNOWAIT));
	MUST(waitpid(start(daemonise), &status, 0));
	MUST(waitpid(start(lead_and_go), &status, 0));
	leader = start(lead);
	while (__atomic_load_n(&board->n, __ATOMIC_SEQ_CST) < N)
		usleep(1000);
	MUST(sigaction(SIGCHLD, &sa, NULL));

	scenario_wait();

	SAME(children, 0);
	SAME(waitpid(five, &status, WNOHANG), five);
	SAME(status, 5 << 8);
	SAME(waitpid(killed, &status, WNOHANG), killed);
	SAME(status, SIGTERM);
	MUST(waitid(P_PID, (id_t)cored, &info, WEXITED | WNOHANG | WNOWAIT));
	SAME(info.si_pid, cored);
	SAME(info.si_code, CLD_KILLED);
	SAME(info.si_status, SIGKILL);
	SAME(waitpid(cored, &status, WNOHANG), cored);
	SAME(waitpid(-1, &status, WNOHANG), 0);
	MUST(kill(board->who[DAEMON].pid, 0));
	SAME(getsid(board->who[DAEMON].pid), board->who[DAEMON].sid);
	SAME(getpgid(board->who[IN_GROUP].pid), board->who[IN_GROUP].pgid);
	close(gate[1]);
	SAME(waitpid(leader, &status, 0), leader);
	SAME(status, 9 << 8);
	for (int i = 0; i < N; i++) {
		for (int k = 0; k < 5000 && !board->who[i].ok; k++)
			usleep(1000);
		CHECK(board->who[i].ok);
	}
	SAME(children, 1);
	SAME(waitpid(-1, &status, 0), -1);
	SAME(errno, ECHILD);
	scenario_ok();
}
