/*
 * 200 threads blocked in every kind of call: none sees EINTR, none returns
 * before its time, each goes on when its event comes.
 *
 * scenario-checkpoints: 3
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EACH 14

static int pipe_fd[2], pair[2], listener, queue = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t sem;
static int released, waiting;

static void about_to_block(void)
{
	__atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
}

static void *in_cond(void *arg)
{
	pthread_mutex_lock(&lock);
	about_to_block();
	while (!released)
		SAME(pthread_cond_wait(&cond, &lock), 0);
	pthread_mutex_unlock(&lock);
	return arg;
}

static void *in_read(void *arg)
{
	char byte;

	about_to_block();
	SAME(read(pipe_fd[0], &byte, 1), 1);
	return arg;
}

static void *in_poll(void *arg)
{
	struct pollfd p = {.fd = pair[0], .events = POLLIN};

	about_to_block();
	SAME(poll(&p, 1, -1), 1);
	return arg;
}

static void *in_select(void *arg)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pair[0], &set);
	about_to_block();
	SAME(select(pair[0] + 1, &set, NULL, NULL, NULL), 1);
	return arg;
}

static void *in_epoll(void *arg)
{
	struct epoll_event e = {.events = EPOLLIN}, got;
	int ep = MUST(epoll_create1(0));

	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, pair[0], &e));
	about_to_block();
	SAME(epoll_wait(ep, &got, 1, -1), 1);
	return arg;
}

static void *in_poll_timeout(void *arg)
{
	struct pollfd p = {.fd = pair[0], .events = POLLIN};

	about_to_block();
	SAME(poll(&p, 1, 100000), 1);
	return arg;
}

static void *in_accept(void *arg)
{
	about_to_block();
	close(MUST(accept(listener, NULL, NULL)));
	return arg;
}

static void *in_recv_timeout(void *arg)
{
	char byte;

	about_to_block();
	SAME(recv(pair[0], &byte, 1, MSG_PEEK), 1);
	return arg;
}

static void *in_sigtimedwait(void *arg)
{
	struct timespec limit = {100, 0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	about_to_block();
	SAME(sigtimedwait(&set, NULL, &limit), SIGUSR1);
	return arg;
}

static void *in_sem(void *arg)
{
	about_to_block();
	SAME(sem_wait(&sem), 0);
	return arg;
}

static void *in_sem_timeout(void *arg)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 100;
	about_to_block();
	SAME(sem_timedwait(&sem, &limit), 0);
	return arg;
}

static void *in_msgrcv(void *arg)
{
	struct {
		long type;
		char text[8];
	} m;

	about_to_block();
	SAME(msgrcv(queue, &m, sizeof(m.text), 0, 0), 1);
	return arg;
}

static void *in_sleep(void *arg)
{
	struct timespec begin, end, want = {1, 500000000};

	about_to_block();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (!__atomic_load_n(&released, __ATOMIC_SEQ_CST))
		SAME(nanosleep(&want, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	CHECK(end.tv_sec - begin.tv_sec >= 1);
	return arg;
}

int main(void)
{
	static void *(*const kinds[])(void *) = {in_cond, in_read, in_poll, in_select, in_epoll, in_poll_timeout, in_accept,
						 in_recv_timeout, in_sigtimedwait, in_sem, in_sem_timeout, in_sleep, in_msgrcv};
	const int nkinds = (int)(sizeof(kinds) / sizeof(kinds[0]));
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "listener"};
	struct {
		long type;
		char text[1];
	} message = {1, {'x'}};
	struct timeval limit = {100, 0};
	pthread_t threads[EACH * 13];
	sigset_t set;
	int n = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	MUST(pipe(pipe_fd));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	MUST(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	listener = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	MUST(bind(listener, (struct sockaddr *)&a, sizeof(a)));
	MUST(listen(listener, EACH));
	MUST(sem_init(&sem, 0, 0));
	queue = MUST(msgget(IPC_PRIVATE, 0600));
	for (int k = 0; k < nkinds; k++)
		for (int i = 0; i < EACH; i++)
			SAME(pthread_create(&threads[n++], NULL, kinds[k], NULL), 0);
	while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < n)
		sched_yield();
	scenario_wait();
	pthread_mutex_lock(&lock);
	released = 1;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	SAME(write(pair[1], "x", 1), 1);
	for (int i = 0; i < EACH; i++) {
		int fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));

		MUST(connect(fd, (struct sockaddr *)&a, sizeof(a)));
		close(fd);
		SAME(write(pipe_fd[1], "x", 1), 1);
		MUST(sem_post(&sem));
		MUST(sem_post(&sem));
		MUST(msgsnd(queue, &message, 1, 0));
	}
	for (int i = 0; i < n; i++) {
		/* SIGUSR1 is no queue: each of its waiters gets one of its own. */
		if (i >= 8 * EACH && i < 9 * EACH)
			SAME(pthread_kill(threads[i], SIGUSR1), 0);
		SAME(pthread_join(threads[i], NULL), 0);
	}
	MUST(msgctl(queue, IPC_RMID, NULL));
	scenario_ok();
}
