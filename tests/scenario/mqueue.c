/*
 * POSIX message queues: messages with priorities in their order, an unlinked
 * queue, one that a child is blocked in, both ends read or write only.
 *
 * scenario-limit: 20
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	struct mq_attr attr = {.mq_maxmsg = 5, .mq_msgsize = 100};
	char name[64], other[64], buf[100];
	unsigned prio;
	mqd_t q, reader, gone, blocked;
	pid_t pid;
	int status;

	snprintf(name, sizeof(name), "/scenario-%d", getpid());
	snprintf(other, sizeof(other), "/scenario-other-%d", getpid());
	q = mq_open(name, O_CREAT | O_EXCL | O_WRONLY, 0640, &attr);
	if (q == (mqd_t)-1)
		scenario_skip("mq_open: %s", strerror(errno));
	reader = MUST(mq_open(name, O_RDONLY | O_NONBLOCK));
	gone = MUST(mq_open(other, O_CREAT | O_EXCL | O_RDWR, 0600, &attr));
	MUST(mq_unlink(other));
	blocked = MUST(mq_open(other, O_CREAT | O_EXCL | O_RDWR, 0600, &attr));
	MUST(mq_send(q, "low", 4, 1));
	MUST(mq_send(q, "high", 5, 30));
	MUST(mq_send(q, "low too", 8, 1));
	MUST(mq_send(q, "", 0, 0));
	MUST(mq_send(gone, "unlinked", 9, 7));
	pid = MUST(fork());
	if (pid == 0) {
		if (mq_receive(blocked, buf, sizeof(buf), &prio) != 6 || strcmp(buf, "hello") != 0 || prio != 3)
			_exit(1);
		_exit(mq_send(q, "done", 5, 2) == 0 ? 0 : 2);
	}
	usleep(100000);

	scenario_wait();

	MUST(mq_getattr(reader, &attr));
	SAME(attr.mq_curmsgs, 4);
	SAME(attr.mq_maxmsg, 5);
	SAME(attr.mq_flags, O_NONBLOCK);
	MUST(mq_getattr(q, &attr));
	SAME(attr.mq_flags, 0);
	MUST(mq_send(blocked, "hello", 6, 3));
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 0);
	SAME(mq_receive(reader, buf, sizeof(buf), &prio), 5);
	CHECK(prio == 30 && strcmp(buf, "high") == 0);
	SAME(mq_receive(reader, buf, sizeof(buf), &prio), 5);
	CHECK(prio == 2 && strcmp(buf, "done") == 0);
	SAME(mq_receive(reader, buf, sizeof(buf), &prio), 4);
	CHECK(prio == 1 && strcmp(buf, "low") == 0);
	SAME(mq_receive(reader, buf, sizeof(buf), &prio), 8);
	SAME(mq_receive(reader, buf, sizeof(buf), &prio), 0);
	SAME(mq_receive(reader, buf, sizeof(buf), &prio), -1);
	SAME(errno, EAGAIN);
	SAME(mq_receive(gone, buf, sizeof(buf), &prio), 9);
	CHECK(prio == 7 && strcmp(buf, "unlinked") == 0);
	SAME(mq_send(reader, "x", 1, 0), -1);
	SAME(errno, EBADF);
	MUST(mq_unlink(name));
	MUST(mq_unlink(other));
	scenario_ok();
}
