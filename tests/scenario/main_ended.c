/*
 * The first thread has ended, by pthread_exit() or a system call, and others go
 * on: it stays as a zombie with the process's pid, and its status is the
 * process's when all have ended one by one. The others keep what they have:
 * descriptors, timers, children, signals that wait for the process.
 *
 * scenario-checkpoints: 2
 */
#include "scenario.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_t first;
static pid_t child, early, other_tid;
static int fd, go[2], released, alarms, told[2], expected;
static volatile int end;

static char state_of(int tid)
{
	char path[64], text[512] = "", *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	CHECK(f && fgets(text, sizeof(text), f));
	fclose(f);
	p = strrchr(text, ')');
	return p[2];
}

static void await_state(int tid, char state)
{
	while (state_of(tid) != state)
		usleep(500);
}

static void on_alarm(int sig)
{
	(void)sig;
	__atomic_add_fetch(&alarms, 1, __ATOMIC_SEQ_CST);
}

/* A process without its first thread, for which nobody but its parent will ask. */
static void *last(void *arg)
{
	char c;

	await_state(getpid(), 'Z');
	MUST(write(told[1], "t", 1));
	SAME(read(go[0], &c, 1), 0);
	syscall(SYS_exit, 9);
	return arg;
}

static pid_t headless(void)
{
	pthread_t t;
	pid_t pid;
	char c;

	MUST(pipe(go));
	pid = MUST(fork());

	if (pid == 0) {
		close(go[1]);
		close(released);
		SAME(pthread_create(&t, NULL, last, NULL), 0);
		syscall(SYS_exit, 7);
	}
	SAME(read(told[0], &c, 1), 1);
	return pid;
}

static void *sleeper(void *arg)
{
	other_tid = gettid();
	while (!end)
		usleep(1000);
	return arg;
}

static void *body(void *arg)
{
	struct sigaction act = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval every = {{0, 20000}, {0, 20000}};
	int status, before;
	pthread_t t;
	sigset_t set;
	siginfo_t info;
	char name[16], text[64] = "";
	FILE *f;

	SAME(pthread_join(first, NULL), 0);
	await_state(getpid(), 'Z');
	/* made by a process that has no first thread any more */
	child = headless();
	SAME(pthread_create(&t, NULL, sleeper, NULL), 0);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	MUST(prctl(PR_SET_NAME, "body", 0, 0, 0));
	/* both threads block them: they wait for the process */
	kill(getpid(), SIGUSR1);
	sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 42});
	SAME(lseek(fd, 0, SEEK_CUR), 4);

	scenario_wait();

	CHECK(getpid() != gettid());
	SAME(state_of(getpid()), 'Z');
	SAME(lseek(fd, 0, SEEK_CUR), 4);
	before = __atomic_load_n(&alarms, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&alarms, __ATOMIC_SEQ_CST) < before + 3)
		usleep(1000);
	MUST(prctl(PR_GET_NAME, name, 0, 0, 0));
	CHECK(!strcmp(name, "body"));
	f = fopen("/proc/self/comm", "r");
	CHECK(f && fgets(text, sizeof(text), f) && !strcmp(text, "was-first\n"));
	fclose(f);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	SAME(sigwaitinfo(&set, &info), SIGUSR1);
	SAME(info.si_code, SI_USER);
	SAME(info.si_pid, getpid());
	sigaddset(&set, SIGRTMIN);
	SAME(sigwaitinfo(&set, &info), SIGRTMIN);
	SAME(info.si_value.sival_int, 42);
	end = 1;
	SAME(pthread_join(t, NULL), 0);
	SAME(waitpid(child, &status, WNOHANG), 0);
	SAME(waitpid(early, &status, WNOHANG), 0);
	close(go[1]);
	close(released);
	SAME(waitpid(child, &status, 0), child);
	SAME(status, expected);
	SAME(waitpid(early, &status, 0), early);
	SAME(status, expected);
	scenario_ok();
	return arg;
}

int main(void)
{
	sigset_t set;
	pthread_t t;

	fd = MUST(open("file", O_RDWR | O_CREAT, 0600));
	SAME(write(fd, "0123", 4), 4);
	released = -1;
	MUST(pipe(told));
	/* which thread's status counts depends on the kernel */
	early = headless();
	close(go[1]);
	SAME(waitpid(early, &expected, 0), early);
	early = headless();
	released = go[1];
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	MUST(prctl(PR_SET_NAME, "was-first", 0, 0, 0));
	first = pthread_self();
	SAME(pthread_create(&t, NULL, body, NULL), 0);
	pthread_exit(NULL);
}
