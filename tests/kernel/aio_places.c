/*
 * How many requests of a context of io_setup are under way shows in how many more it takes: all its places, but for what is left of
 * whole batches, once each processor's stock is used. And what that leaves in its memory can be taken out again.
 */
#include "fact.h"

#include <linux/aio_abi.h>

#define OURS 0x5eed

struct ring {
	unsigned id, nr, head, tail, magic, compat, incompat, header;
	struct io_event events[];
};

static aio_context_t context;

static int submit(struct iocb *cb)
{
	return (int)syscall(SYS_io_submit, context, 1, &cb);
}

static int possible(void)
{
	char text[64] = "", *p;
	int fd = open("/sys/devices/system/cpu/possible", O_RDONLY);

	FACT(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	p = strrchr(text, '-');
	return atoi(p ? p + 1 : text) + 1;
}

static unsigned under_way(struct iocb *nothing)
{
	struct ring *r = (void *)context;
	unsigned all = r->nr - 1, batch = all / ((unsigned)possible() * 4), taken = 0, kept = 0;
	struct io_event real[8];
	cpu_set_t own, one;

	FACT(sched_getaffinity(0, sizeof(own), &own) == 0);
	for (int cpu = 0; cpu < possible(); cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one) < 0)
			continue;
		while (submit(nothing) == 1)
			taken++;
		FACT(errno == EAGAIN);
	}
	FACT(sched_setaffinity(0, sizeof(own), &own) == 0);
	for (unsigned at = r->head; at != r->tail; at = (at + 1) % r->nr)
		if (r->events[at].data != OURS)
			real[kept++] = r->events[at];
	r->head = (r->tail + r->nr - kept) % r->nr;
	for (unsigned i = 0; i < kept; i++)
		r->events[(r->head + i) % r->nr] = real[i];
	return all - (batch ? all % batch : 0) - taken - kept;
}

int main(void)
{
	struct iocb poll = { .aio_data = 7, .aio_lio_opcode = IOCB_CMD_POLL, .aio_buf = POLLIN };
	struct iocb nothing = { .aio_data = OURS, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (unsigned)open("/dev/null", O_RDONLY) };
	struct timespec none = { 0 };
	struct io_event got;
	int p[2];

	FACT(pipe(p) == 0);
	poll.aio_fildes = (unsigned)p[0];
	if (syscall(SYS_io_setup, 50, &context) < 0)
		SKIP("io_setup");
	FACT(under_way(&nothing) == 0);
	FACT(submit(&poll) == 1 && submit(&poll) == 1);
	FACT(under_way(&nothing) == 2);
	FACT(under_way(&nothing) == 2);
	FACT(syscall(SYS_io_getevents, context, 0, 1, &got, &none) == 0);
	FACT(write(p[1], "x", 1) == 1);
	FACT(under_way(&nothing) == 0);
	for (int i = 0; i < 2; i++)
		FACT(syscall(SYS_io_getevents, context, 1, 1, &got, &none) == 1 && got.data == 7 && got.obj == (uintptr_t)&poll);
	FACT(syscall(SYS_io_getevents, context, 0, 1, &got, &none) == 0);
	FACT(under_way(&nothing) == 0);
	return 0;
}
