/*
 * signal_waiters.c - threads that wait for SIGUSR2 in every way there is
 *
 * sigwait, sigwaitinfo, sigsuspend, ppoll, pselect and epoll_pwait with a mask,
 * a signalfd read and polled. All are asleep while the world stands; nobody
 * wakes before the program itself sends the signal.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "scenario.h"

static volatile int sent;
static __thread volatile int taken;

static void on_usr2(int sig)
{
	taken += sig == SIGUSR2;
}

static void usr2(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGUSR2);
}

static void *in_sigwait(void *arg)
{
	sigset_t set;
	int sig = 0;

	usr2(&set);
	SAME(sigwait(&set, &sig), 0);
	SAME(sig, SIGUSR2);
	CHECK(sent);
	return arg;
}

static void *in_sigwaitinfo(void *arg)
{
	siginfo_t info;
	sigset_t set;

	usr2(&set);
	SAME(sigwaitinfo(&set, &info), SIGUSR2);
	SAME(info.si_signo, SIGUSR2);
	CHECK(sent);
	return arg;
}

static void interrupted(int rc)
{
	sigset_t set;

	CHECK(rc == -1 && errno == EINTR);
	CHECK(sent);
	SAME(taken, 1);
	SAME(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
	SAME(sigismember(&set, SIGUSR2), 1);
}

static void *in_sigsuspend(void *arg)
{
	sigset_t none;

	sigemptyset(&none);
	interrupted(sigsuspend(&none));
	return arg;
}

static void *in_ppoll(void *arg)
{
	sigset_t none;

	sigemptyset(&none);
	interrupted(ppoll(NULL, 0, NULL, &none));
	return arg;
}

static void *in_pselect(void *arg)
{
	sigset_t none;

	sigemptyset(&none);
	interrupted(pselect(0, NULL, NULL, NULL, NULL, &none));
	return arg;
}

static void *in_epoll_pwait(void *arg)
{
	int ep = MUST(epoll_create1(EPOLL_CLOEXEC));
	struct epoll_event event;
	sigset_t none;

	sigemptyset(&none);
	interrupted(epoll_pwait(ep, &event, 1, -1, &none));
	return arg;
}

static void *in_read(void *arg)
{
	struct signalfd_siginfo info[2];
	sigset_t set;
	int fd;

	usr2(&set);
	fd = MUST(signalfd(-1, &set, SFD_CLOEXEC));
	SAME(read(MUST(dup(fd)), info, sizeof(info)), sizeof(info[0]));
	SAME(info[0].ssi_signo, SIGUSR2);
	CHECK(sent);
	return arg;
}

static void *in_poll(void *arg)
{
	struct signalfd_siginfo info;
	struct pollfd p = {.events = POLLIN};
	sigset_t set;

	usr2(&set);
	p.fd = MUST(signalfd(-1, &set, SFD_NONBLOCK));
	SAME(poll(&p, 1, -1), 1);
	SAME(read(p.fd, &info, sizeof(info)), sizeof(info));
	SAME(info.ssi_signo, SIGUSR2);
	CHECK(sent);
	return arg;
}

int main(void)
{
	static void *(*const ways[])(void *) = {in_sigwait, in_sigwaitinfo, in_sigsuspend, in_ppoll, in_pselect,
						in_epoll_pwait, in_read, in_poll};
	enum { N = sizeof(ways) / sizeof(ways[0]) };
	struct sigaction act = {.sa_handler = on_usr2, .sa_flags = SA_RESTART};
	pthread_t threads[N];
	sigset_t set;
	int i;

	MUST(sigaction(SIGUSR2, &act, NULL));
	usr2(&set);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	for (i = 0; i < N; i++)
		SAME(pthread_create(&threads[i], NULL, ways[i], NULL), 0);

	scenario_wait();

	sent = 1;
	for (i = 0; i < N; i++) {
		SAME(pthread_kill(threads[i], SIGUSR2), 0);
		SAME(pthread_join(threads[i], NULL), 0);
	}
	SAME(taken, 0);
	scenario_ok();
}
