/* mq_notify: by a signal with its value, while the queue is empty and while messages wait; none any more; no signal at all. */
#include "scenario.h"

#include <errno.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile int told, value;

static void tell(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	told += info->si_code == SI_MESGQ;
	value = info->si_value.sival_int;
}

static mqd_t make(int which)
{
	struct mq_attr at = { .mq_maxmsg = 4, .mq_msgsize = 16 };
	char name[32];
	mqd_t q;

	snprintf(name, sizeof(name), "/notify-%d-%d", getpid(), which);
	q = MUST(mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &at));
	MUST(mq_unlink(name));
	return q;
}

static void await(int count, int what)
{
	for (int i = 0; i < 5000 && told < count; i++)
		usleep(1000);
	SAME(told, count);
	SAME(value, what);
}

int main(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 31 };
	struct sigaction sa = { .sa_sigaction = tell, .sa_flags = SA_SIGINFO | SA_RESTART };
	mqd_t empty = make(0), full = make(1), given_up = make(2), quiet = make(3);
	char b[16];
	unsigned prio;

	MUST(sigaction(SIGRTMIN + 1, &sa, NULL));
	MUST(mq_notify(empty, &ev));
	MUST(mq_send(full, "one", 3, 1));
	MUST(mq_send(full, "two", 3, 2));
	ev.sigev_value.sival_int = 32;
	MUST(mq_notify(full, &ev));
	MUST(mq_notify(given_up, &ev));
	MUST(mq_notify(given_up, NULL));
	ev.sigev_notify = SIGEV_NONE;
	MUST(mq_notify(quiet, &ev));

	scenario_wait();

	SAME(told, 0);
	MUST(mq_send(empty, "x", 1, 0));
	await(1, 31);
	SAME(mq_receive(full, b, 16, &prio), 3);
	SAME(prio, 2);
	MUST(mq_send(full, "x", 1, 0));
	SAME(mq_receive(full, b, 16, &prio), 3);
	SAME(mq_receive(full, b, 16, &prio), 1);
	SAME(told, 1);
	MUST(mq_send(full, "y", 1, 0));
	await(2, 32);
	ev.sigev_notify = SIGEV_SIGNAL;
	MUST(mq_notify(given_up, &ev));
	SAME(mq_notify(quiet, &ev), -1);
	SAME(errno, EBUSY);
	scenario_ok();
}
