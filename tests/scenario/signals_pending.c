/*
 * Signals that wait: for the process and for one thread, standard and
 * real-time ones, several of a number, from kill, sigqueue, tgkill and a
 * child's end. Each comes with what its sender said, in the order it came.
 */
#include "scenario.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QUEUED 40

static pthread_barrier_t meet;
static pid_t child;

static void expect(int sig, int code, pid_t pid, int value)
{
	const struct timespec none = { 0, 0 };
	siginfo_t info;
	sigset_t one;

	memset(&info, 0, sizeof(info));
	sigemptyset(&one);
	sigaddset(&one, sig);
	/* libc's own would say SI_USER for SI_TKILL */
	if (syscall(SYS_rt_sigtimedwait, &one, &info, &none, 8) != sig)
		FAIL("signal %d (%d) is not there", sig, value);
	SAME(info.si_signo, sig);
	SAME(info.si_code, code);
	SAME(info.si_pid, pid);
	SAME(info.si_uid, getuid());
	if (code == SI_QUEUE)
		SAME(info.si_value.sival_int, value);
	if (sig == SIGCHLD)
		SAME(info.si_status, value);
}

static void none_left(void)
{
	sigset_t set;

	sigpending(&set);
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sigismember(&set, sig) == 1)
			FAIL("signal %d is there once more", sig);
}

/* Its own signals wait for it alone. */
static void *thread(void *arg)
{
	pid_t tid = (pid_t)syscall(SYS_gettid);
	union sigval v = { .sival_int = 77 };

	(void)arg;
	SAME(pthread_sigqueue(pthread_self(), SIGRTMIN + 3, v), 0);
	v.sival_int = 78;
	SAME(pthread_sigqueue(pthread_self(), SIGRTMIN + 3, v), 0);
	MUST(syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
	pthread_barrier_wait(&meet);
	pthread_barrier_wait(&meet);
	/* a thread's own come before the process's of that number */
	expect(SIGUSR1, SI_TKILL, getpid(), 0);
	expect(SIGRTMIN + 3, SI_QUEUE, getpid(), 77);
	expect(SIGRTMIN + 3, SI_QUEUE, getpid(), 78);
	pthread_barrier_wait(&meet);
	return NULL;
}

int main(void)
{
	pthread_t t;
	union sigval v;
	siginfo_t info;
	sigset_t all;
	int status;

	sigfillset(&all);
	SAME(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
	pthread_barrier_init(&meet, NULL, 2);
	SAME(pthread_create(&t, NULL, thread, NULL), 0);
	pthread_barrier_wait(&meet);
	child = MUST(fork());
	if (child == 0) {
		v.sival_int = 12345;
		MUST(sigqueue(getppid(), SIGRTMIN + 5, v));
		_exit(42);
	}
	MUST(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
	MUST(kill(getpid(), SIGUSR1));
	MUST(kill(getpid(), SIGTERM));
	for (int i = 0; i < QUEUED; i++) {
		v.sival_int = i;
		MUST(sigqueue(getpid(), SIGRTMIN + 2, v));
		v.sival_int = 1000 + i;
		MUST(sigqueue(getpid(), SIGRTMIN + 3, v));
	}
	MUST(syscall(SYS_tgkill, getpid(), getpid(), SIGHUP));

	scenario_wait();

	pthread_barrier_wait(&meet);
	pthread_barrier_wait(&meet);
	expect(SIGHUP, SI_TKILL, getpid(), 0);
	expect(SIGUSR1, SI_USER, getpid(), 0);
	expect(SIGTERM, SI_USER, getpid(), 0);
	expect(SIGRTMIN + 5, SI_QUEUE, child, 12345);
	for (int i = 0; i < QUEUED; i++) {
		expect(SIGRTMIN + 2, SI_QUEUE, getpid(), i);
		expect(SIGRTMIN + 3, SI_QUEUE, getpid(), 1000 + i);
	}
	expect(SIGCHLD, CLD_EXITED, child, 42);
	SAME(waitpid(child, &status, 0), child);
	SAME(status, 42 << 8);
	none_left();
	SAME(pthread_join(t, NULL), 0);
	scenario_ok();
}
