/*
 * 200 threads at once that do what threads do: wait with and without a
 * timeout, hand things to each other, contend for locks, compute in every kind
 * of register, allocate, load libraries, start threads, handle signals. None
 * sees an error, an early end, or another's value. On two processors they starve
 * whoever writes to the disk beside them, under the shim or not: hence the limit.
 *
 * scenario-checkpoints: 3
 * scenario-limit: 600
 */
#include "scenario.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ll
#define EACH 5

static volatile int stop, alarms, usr2;
static __thread long own;
static pthread_mutex_t pi, robust;
static long pi_count, robust_count, robust_died;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

/* --- waiting with a timeout ----------------------------------------------------------------------------------- */

struct limits {
	int ms;
	struct timespec t;
	struct timeval v;
	int64_t begin;
};

static struct limits limits(unsigned long n)
{
	struct limits l = {.ms = 2 + (int)(n * 7 % 30)};

	l.t.tv_nsec = l.ms * MS;
	l.v.tv_usec = l.ms * 1000;
	l.begin = now();
	return l;
}

static void over(const struct limits *l, const char *what)
{
	int64_t took = now() - l->begin;

	if (took < l->ms * MS)
		FAIL("%s: %d ms were over after %lld us, begun at %lld us", what, l->ms, (long long)took / 1000,
		     (long long)l->begin / 1000);
}

static void sleeping(unsigned long n)
{
	struct limits l = limits(n);

	switch (n % 5) {
	case 0:
		SAME(nanosleep(&l.t, NULL), 0);
		break;
	case 1:
		SAME(usleep((useconds_t)l.ms * 1000), 0);
		break;
	case 2:
		SAME(clock_nanosleep(CLOCK_MONOTONIC, 0, &l.t, NULL), 0);
		break;
	case 3:
		SAME(syscall(SYS_nanosleep, &l.t, NULL), 0);
		break;
	case 4:
		SAME(nanosleep(&l.t, &l.t), 0);
		break;
	}
	over(&l, "sleep");
}

static void polling(unsigned long n)
{
	static int ep;
	struct limits l = limits(n);
	struct epoll_event e;

	if (ep == 0)
		ep = MUST(epoll_create1(0));
	switch (n % 6) {
	case 0:
		SAME(poll(NULL, 0, l.ms), 0);
		break;
	case 1:
		SAME(ppoll(NULL, 0, &l.t, NULL), 0);
		break;
	case 2:
		SAME(select(0, NULL, NULL, NULL, &l.v), 0);
		break;
	case 3:
		SAME(pselect(0, NULL, NULL, NULL, &l.t, NULL), 0);
		break;
	case 4:
		SAME(epoll_wait(ep, &e, 1, l.ms), 0);
		break;
	case 5:
		SAME(epoll_pwait2(ep, &e, 1, &l.t, NULL), 0);
		break;
	}
	over(&l, "poll");
}

static void timed(unsigned long n)
{
	static int semaphores = -1, pair[2];
	struct limits l = limits(n);
	struct sembuf down = {0, -1, 0};
	uint32_t word = 0;
	sigset_t set;
	char byte;

	if (n == 0 && __atomic_fetch_add(&own, 0, __ATOMIC_RELAXED) == 0) {
		pthread_mutex_lock(&lock);
		if (semaphores < 0) {
			semaphores = MUST(semget(IPC_PRIVATE, 1, 0600));
			MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
			MUST(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &l.v, sizeof(l.v)));
		}
		pthread_mutex_unlock(&lock);
	}
	switch (n % 5) {
	case 0:
		SAME(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &l.t, NULL, 0), -1);
		SAME(errno, ETIMEDOUT);
		break;
	case 1:
		sigemptyset(&set);
		sigaddset(&set, SIGRTMIN + 5);
		SAME(sigtimedwait(&set, NULL, &l.t), -1);
		SAME(errno, EAGAIN);
		break;
	case 2:
		SAME(semtimedop(semaphores, &down, 1, &l.t), -1);
		SAME(errno, EAGAIN);
		break;
	case 3:
		SAME(recv(pair[0], &byte, 1, 0), -1);
		SAME(errno, EAGAIN);
		return;
	case 4:
		pthread_mutex_lock(&lock);
		clock_gettime(CLOCK_REALTIME, &l.t);
		l.t.tv_nsec += l.ms * MS;
		if (l.t.tv_nsec >= 1000 * MS) {
			l.t.tv_nsec -= 1000 * MS;
			l.t.tv_sec++;
		}
		SAME(pthread_cond_timedwait(&cond, &lock, &l.t), ETIMEDOUT);
		pthread_mutex_unlock(&lock);
		return;
	}
	over(&l, "timed");
}

/* --- handing over: even threads give, odd ones take what the thread before gave ------------------------------- */

static struct channel {
	sem_t up, down;
	int pipe[2], pair[2], event, queue;
	mqd_t mq;
	uint64_t given, taken;
} channels[EACH];

static void channel_make(struct channel *c)
{
	struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 8};
	char name[64];

	SAME(sem_init(&c->up, 0, 0), 0);
	SAME(sem_init(&c->down, 0, 1), 0);
	MUST(pipe(c->pipe));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, c->pair));
	c->event = MUST(eventfd(0, 0));
	c->queue = MUST(msgget(IPC_PRIVATE, 0600));
	snprintf(name, sizeof(name), "/threads_all.%d.%d", getpid(), (int)(c - channels));
	c->mq = MUST(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr));
	MUST(mq_unlink(name));
}

struct message {
	long type;
	uint64_t v;
};

static void give(struct channel *c, uint64_t v)
{
	struct message m = {1, v};
	uint64_t one = 1;

	switch (v % 6) {
	case 0:
		SAME(write(c->pipe[1], &v, 8), 8);
		break;
	case 1:
		SAME(send(c->pair[1], &v, 8, 0), 8);
		break;
	case 2:
		SAME(write(c->event, &one, 8), 8);
		break;
	case 3:
		MUST(msgsnd(c->queue, &m, 8, 0));
		break;
	case 4:
		MUST(mq_send(c->mq, (char *)&v, 8, 0));
		break;
	case 5:
		SAME(sem_post(&c->up), 0);
		break;
	}
}

static void take(struct channel *c, uint64_t want)
{
	struct timespec far = {now() / 1000 / MS + 2000000000ll, 0};
	struct message m = {0, want};
	uint64_t v = want;

	switch (want % 6) {
	case 0:
		SAME(read(c->pipe[0], &v, 8), 8);
		break;
	case 1:
		SAME(recv(c->pair[0], &v, 8, MSG_WAITALL), 8);
		break;
	case 2:
		SAME(read(c->event, &v, 8), 8);
		SAME(v, 1);
		v = want;
		break;
	case 3:
		SAME(msgrcv(c->queue, &m, 8, 0, 0), 8);
		break;
	case 4:
		SAME(mq_timedreceive(c->mq, (char *)&v, 8, NULL, &far), 8);
		break;
	case 5:
		SAME(sem_wait(&c->up), 0);
		break;
	}
	SAME(v, want);
	SAME(m.v, want);
}

static void *giver(void *arg)
{
	struct channel *c = arg;

	for (uint64_t v = 0; v % 6 != 0 || !stop; v++) {
		give(c, v);
		c->given++;
		SAME(sem_wait(&c->down), 0);
	}
	c->given |= 1ull << 63;
	give(c, 0);
	return NULL;
}

static void *taker(void *arg)
{
	struct channel *c = arg;
	uint64_t v = 0;

	for (;;) {
		if (v % 6 == 0) {
			uint64_t got;

			SAME(read(c->pipe[0], &got, 8), 8);
			if (got == 0 && v != 0)
				break;
			SAME(got, v);
		} else {
			take(c, v);
		}
		v++;
		c->taken++;
		SAME(sem_post(&c->down), 0);
	}
	return NULL;
}

/* --- locks ------------------------------------------------------------------------------------------------------ */

static void locking(unsigned long n)
{
	static long file_count;
	static int file = -1;
	int rc;

	switch (n % 3) {
	case 0:
		SAME(pthread_mutex_lock(&pi), 0);
		pi_count++;
		sched_yield();
		SAME(pthread_mutex_unlock(&pi), 0);
		break;
	case 1:
		rc = pthread_mutex_lock(&robust);
		if (rc == EOWNERDEAD) {
			robust_died++;
			SAME(pthread_mutex_consistent(&robust), 0);
			rc = 0;
		}
		SAME(rc, 0);
		robust_count++;
		sched_yield();
		SAME(pthread_mutex_unlock(&robust), 0);
		break;
	case 2:
		pthread_mutex_lock(&lock);
		if (file < 0)
			file = MUST(open("locked", O_RDWR | O_CREAT, 0600));
		pthread_mutex_unlock(&lock);
		rc = MUST(open("locked", O_RDWR));
		MUST(flock(rc, LOCK_EX));
		SAME(__atomic_fetch_add(&file_count, 1, __ATOMIC_SEQ_CST), 0);
		SAME(__atomic_sub_fetch(&file_count, 1, __ATOMIC_SEQ_CST), 0);
		close(rc);
		break;
	}
}

static void *dies(void *arg)
{
	int rc = pthread_mutex_lock(&robust);

	if (rc == EOWNERDEAD)
		SAME(pthread_mutex_consistent(&robust), 0);
	else
		SAME(rc, 0);
	own = 5;
	return arg;
}

static void starting(unsigned long n)
{
	pthread_attr_t attr;
	pthread_t t;
	void *result;

	SAME(pthread_attr_init(&attr), 0);
	SAME(pthread_attr_setstacksize(&attr, 16384), 0);
	SAME(pthread_create(&t, &attr, dies, (void *)n), 0);
	SAME(pthread_join(t, &result), 0);
	SAME((unsigned long)result, n);
	SAME(pthread_attr_destroy(&attr), 0);
	usleep(3000);
}

/* --- computing -------------------------------------------------------------------------------------------------- */

typedef uint64_t lanes __attribute__((vector_size(32)));

__attribute__((target("avx2"), noinline)) static void vectors(unsigned long n)
{
	lanes a = {n, n + 1, n + 2, n + 3}, b = a;
	long double x = 1 + (long double)n / 3, y = x;
	unsigned mode = 0x1f80 | (unsigned)(n % 4) << 13, got;

	__asm__ volatile("ldmxcsr %0" : : "m"(mode));
	errno = (int)n & 0xff;
	for (int i = 0; i < 3000; i++) {
		a = a * 6364136223846793005ull + 1442695040888963407ull;
		x = x * 1.0000001l + 0.1l;
		__asm__ volatile("" : "+x"(a), "+x"(b), "+t"(x), "+m"(y));
		b = b * 6364136223846793005ull + 1442695040888963407ull;
		y = y * 1.0000001l + 0.1l;
	}
	CHECK(a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3]);
	CHECK(x == y);
	__asm__ volatile("stmxcsr %0" : "=m"(got));
	SAME(got & 0x6000, mode & 0x6000);
	SAME(errno, (int)n & 0xff);
	own++;
	SAME(own, n + 1);
}

static void allocating(unsigned long n)
{
	static __thread char *kept[16];
	char **k = &kept[n % 16];
	size_t size = 1 + n * 977 % 70000;

	if (*k != NULL)
		SAME(**k, (char)(n - 16));
	free(*k);
	*k = malloc(size);
	(*k)[size - 1] = (char)n;
	**k = (char)n;
}

static void loading(unsigned long n)
{
	static const char *const names[] = {"libm.so.6", "libresolv.so.2", "libutil.so.1", "libanl.so.1"};
	void *h = dlopen(names[n % 4], RTLD_NOW | RTLD_LOCAL);

	CHECK(h != NULL);
	SAME(dlclose(h), 0);
	SAME(sched_getcpu() >= 0, 1);
}

static void signalling(unsigned long n)
{
	int before = usr2;

	(void)n;
	SAME(pthread_kill(pthread_self(), SIGUSR2), 0);
	CHECK(usr2 > before);
	usleep(1000);
}

/* --- all of it -------------------------------------------------------------------------------------------------- */

static void (*const works[])(unsigned long) = {
	sleeping, polling, timed, locking, vectors, allocating, loading, starting, signalling,
	sleeping, polling, timed, locking, vectors, allocating, sleeping, polling, timed, locking,
	sleeping, polling, timed, sleeping, polling, timed, sleeping, polling, timed, sleeping, polling, timed,
	sleeping, polling, timed, sleeping, polling, timed,
};
enum { WORKS = sizeof(works) / sizeof(*works) };

static void *worker(void *arg)
{
	char alternate[16384];
	stack_t ss = {.ss_sp = alternate, .ss_size = sizeof(alternate)};

	MUST(sigaltstack(&ss, NULL));
	for (unsigned long n = 0; !stop; n++) {
		(*(void (*const *)(unsigned long))arg)(n);
		if (n % 4 == 3)
			usleep(5000);
	}
	ss.ss_flags = SS_DISABLE;
	MUST(sigaltstack(&ss, NULL));
	return NULL;
}

static void alarmed(int sig)
{
	(void)sig;
	alarms++;
}

static void told(int sig)
{
	SAME(sig, SIGUSR2);
	__atomic_add_fetch(&usr2, 1, __ATOMIC_SEQ_CST);
}

static void mutexes(void)
{
	pthread_mutexattr_t attr;

	SAME(pthread_mutexattr_init(&attr), 0);
	SAME(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT), 0);
	SAME(pthread_mutex_init(&pi, &attr), 0);
	SAME(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_NONE), 0);
	SAME(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST), 0);
	SAME(pthread_mutex_init(&robust, &attr), 0);
}

int main(void)
{
	struct sigaction on_alarm = {.sa_handler = alarmed, .sa_flags = SA_RESTART};
	struct sigaction on_usr2 = {.sa_handler = told, .sa_flags = SA_RESTART | SA_ONSTACK};
	struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
	pthread_t threads[2 * EACH + WORKS * EACH];
	sigset_t set, old;
	int n = 0;

	MUST(sigaction(SIGALRM, &on_alarm, NULL));
	MUST(sigaction(SIGUSR2, &on_usr2, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGRTMIN + 5);
	MUST(sigprocmask(SIG_BLOCK, &set, &old));
	mutexes();
	for (int i = 0; i < EACH; i++) {
		channel_make(&channels[i]);
		SAME(pthread_create(&threads[n++], NULL, giver, &channels[i]), 0);
		SAME(pthread_create(&threads[n++], NULL, taker, &channels[i]), 0);
		for (int k = 0; k < WORKS; k++)
			SAME(pthread_create(&threads[n++], NULL, worker, (void *)&works[k]), 0);
	}
	MUST(sigprocmask(SIG_SETMASK, &old, NULL));
	MUST(setitimer(ITIMER_REAL, &often, NULL));
	scenario_ready();
	for (int before = alarms; !scenario_go() || alarms == before;)
		pause();
	MUST(setitimer(ITIMER_REAL, &never, NULL));
	stop = 1;
	while (n > 0)
		SAME(pthread_join(threads[--n], NULL), 0);
	for (int i = 0; i < EACH; i++) {
		SAME(channels[i].given & ~(1ull << 63), channels[i].taken);
		MUST(msgctl(channels[i].queue, IPC_RMID, NULL));
	}
	scenario_ok();
}
