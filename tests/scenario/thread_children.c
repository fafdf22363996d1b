/*
 * Children belong to the thread that made them: waits with __WNOTHREAD, and the
 * parent-death signal when that thread ends. And children that send their parent
 * another signal than SIGCHLD when they end, or none: they are waited for
 * with __WCLONE.
 *
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALL (WNOHANG | __WALL | __WNOTHREAD)

static int end[2], told[2];
static unsigned char ready, step;
static pid_t follower, silent, loud, zombie, of_first, under;

static void await_step(int n)
{
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&step, __ATOMIC_SEQ_CST) < n)
		usleep(1000);
}

/* Ends when everybody has closed the other side. */
static int until_end(int status)
{
	char c;

	close(end[1]);
	SAME(read(end[0], &c, 1), 0);
	_exit(status);
}

static pid_t make(int sig, int status)
{
	pid_t pid = MUST(syscall(SYS_clone, sig, 0, 0, 0, 0));

	if (pid == 0)
		until_end(status);
	return pid;
}

/* Says when the thread that made it has ended. */
static pid_t make_follower(void)
{
	pid_t pid = MUST(fork());
	siginfo_t info;
	sigset_t set;

	if (pid)
		return pid;
	close(end[1]);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	MUST(prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
	SAME(write(told[1], "r", 1), 1);
	SAME(sigwaitinfo(&set, &info), SIGUSR1);
	SAME(write(told[1], "d", 1), 1);
	_exit(3);
}

static void *first_maker(void *arg)
{
	siginfo_t info;
	int status;

	follower = make_follower();
	zombie = MUST(fork());
	if (zombie == 0)
		_exit(9);
	MUST(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT));
	await_step(1);
	SAME(waitpid(zombie, &status, ALL), zombie);
	SAME(status, 9 << 8);
	SAME(waitpid(-1, &status, ALL), 0);
	return arg;
}

static void *second_maker(void *arg)
{
	int status;

	silent = make(0, 4);
	loud = make(SIGRTMIN, 5);
	await_step(2);
	errno = 0;
	SAME(waitpid(-1, &status, WNOHANG | __WNOTHREAD), -1);
	SAME(errno, ECHILD);
	SAME(waitpid(silent, &status, __WCLONE | __WNOTHREAD), silent);
	SAME(status, 4 << 8);
	SAME(waitpid(loud, &status, __WCLONE | __WNOTHREAD), loud);
	SAME(status, 5 << 8);
	return arg;
}

/* The end of `loud` has been told. */
static void await_loud(void)
{
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	SAME(sigwaitinfo(&set, &info), SIGRTMIN);
	SAME(info.si_pid, loud);
	SAME(info.si_code, CLD_EXITED);
	__atomic_store_n(&step, 2, __ATOMIC_SEQ_CST);
}

/* A process whose thread has children, below a thread. */
static void *third_maker(void *arg)
{
	pthread_t t;
	int status;
	char c;

	under = MUST(fork());
	if (under == 0) {
		__atomic_store_n(&ready, 0, __ATOMIC_SEQ_CST);
		SAME(pthread_create(&t, NULL, second_maker, NULL), 0);
		while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < 1)
			usleep(1000);
		SAME(write(told[1], "u", 1), 1);
		close(end[1]);
		SAME(read(end[0], &c, 1), 0);
		await_loud();
		SAME(pthread_join(t, NULL), 0);
		_exit(6);
	}
	await_step(2);
	SAME(waitpid(under, &status, __WNOTHREAD), under);
	SAME(status, 6 << 8);
	return arg;
}

int main(void)
{
	pthread_t t[3];
	sigset_t set;
	int status;
	char c;

	MUST(pipe(end));
	MUST(pipe(told));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	SAME(pthread_create(&t[0], NULL, first_maker, NULL), 0);
	SAME(read(told[0], &c, 1), 1);
	SAME(pthread_create(&t[2], NULL, third_maker, NULL), 0);
	SAME(read(told[0], &c, 1), 1);
	SAME(pthread_create(&t[1], NULL, second_maker, NULL), 0);
	of_first = make(SIGCHLD, 7);
	while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < 3)
		usleep(1000);

	scenario_wait();

	SAME(waitpid(-1, &status, ALL), 0);
	SAME(waitpid(follower, &status, WNOHANG), 0);
	__atomic_store_n(&step, 1, __ATOMIC_SEQ_CST);
	SAME(pthread_join(t[0], NULL), 0);
	SAME(read(told[0], &c, 1), 1);
	SAME(c, 'd');
	SAME(waitpid(follower, &status, 0), follower);
	SAME(status, 3 << 8);
	close(end[1]);
	SAME(waitpid(of_first, &status, __WNOTHREAD), of_first);
	SAME(status, 7 << 8);
	await_loud();
	SAME(pthread_join(t[1], NULL), 0);
	SAME(pthread_join(t[2], NULL), 0);
	scenario_ok();
}
