/*
 * Rings on which nothing is under way: completions not yet read, entries not
 * yet submitted, registered buffers, files and an eventfd, one that is watched
 * by epoll, one for one thread only, one shared with a child, one with a child
 * that has the same table of descriptors; a worker of the kernel's that is still
 * there.
 */
#include "scenario.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SINGLE_ISSUER (1u << 12)
#define DEFER_TASKRUN (1u << 13)

struct ring {
	int fd;
	char *ring;
	struct io_uring_params p;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static unsigned *word(const struct ring *r, unsigned at)
{
	return (unsigned *)(void *)(r->ring + at);
}

static bool make(struct ring *r, unsigned entries, unsigned flags)
{
	memset(r, 0, sizeof(*r));
	r->p.flags = flags;
	r->fd = (int)syscall(SYS_io_uring_setup, entries, &r->p);
	if (r->fd < 0)
		return false;
	r->ring = mmap(NULL, r->p.sq_off.array + r->p.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		       IORING_OFF_SQ_RING);
	r->sqes = mmap(NULL, r->p.sq_entries * sizeof(*r->sqes), PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQES);
	CHECK(r->ring != MAP_FAILED && (void *)r->sqes != MAP_FAILED);
	r->cqes = (struct io_uring_cqe *)(void *)(r->ring + r->p.cq_off.cqes);
	return true;
}

static struct io_uring_sqe *prepare(struct ring *r, unsigned op, int fd, uint64_t data)
{
	unsigned tail = *word(r, r->p.sq_off.tail), i = tail & (r->p.sq_entries - 1);

	memset(&r->sqes[i], 0, sizeof(r->sqes[i]));
	r->sqes[i].opcode = (uint8_t)op;
	r->sqes[i].fd = fd;
	r->sqes[i].user_data = data;
	word(r, r->p.sq_off.array)[i] = i;
	__atomic_store_n(word(r, r->p.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	return &r->sqes[i];
}

static void submit(struct ring *r, int n)
{
	SAME(syscall(SYS_io_uring_enter, r->fd, n, 0, 0, NULL, 8), n);
}

static int completed(struct ring *r, uint64_t data)
{
	unsigned head = *word(r, r->p.cq_off.head);
	struct io_uring_cqe e;

	while (__atomic_load_n(word(r, r->p.cq_off.tail), __ATOMIC_ACQUIRE) == head)
		syscall(SYS_io_uring_enter, r->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 8);
	e = r->cqes[head & (r->p.cq_entries - 1)];
	__atomic_store_n(word(r, r->p.cq_off.head), head + 1, __ATOMIC_RELEASE);
	SAME(e.user_data, data);
	return e.res;
}

static void nothing(struct ring *r, unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		prepare(r, IORING_OP_NOP, -1, i);
		submit(r, 1);
		SAME(completed(r, i), 0);
	}
}

/* A child that has it mapped, and its descriptor in the table of its parent's. */
static struct {
	struct ring ring;
	int go[2];
	char stack[65536] __attribute__((aligned(16)));
} table;

static int in_table(void *arg)
{
	char c;

	(void)arg;
	SAME(read(table.go[0], &c, 1), 1);
	prepare(&table.ring, IORING_OP_NOP, -1, 88);
	submit(&table.ring, 1);
	return 3;
}

static char buffers[2][4096] __attribute__((aligned(4096)));

int main(void)
{
	struct iovec v[2] = { { buffers[0], 4096 }, { buffers[1], 4096 } };
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = 3 };
	int file = MUST(open("file", O_RDWR | O_CREAT, 0600)), told = MUST(eventfd(0, EFD_NONBLOCK)), ep = MUST(epoll_create1(0));
	int files[3] = { file, -1, file }, go[2], status;
	struct ring plain, fixed, single, shared;
	struct io_uring_sqe *e;
	char text[16] = "";
	uint64_t count;
	pid_t child, other;

	if (!make(&plain, 8, 0))
		scenario_skip("no io_uring here");
	SAME(write(file, "contents", 8), 8);
	e = prepare(&plain, IORING_OP_READ, file, 7);
	e->flags = IOSQE_ASYNC;
	e->addr = (uintptr_t)text;
	e->len = sizeof(text);
	submit(&plain, 1);
	SAME(completed(&plain, 7), 8);
	nothing(&plain, 99);
	for (unsigned i = 0; i < 3; i++)
		prepare(&plain, IORING_OP_NOP, -1, 50 + i);
	submit(&plain, 3);
	prepare(&plain, IORING_OP_NOP, -1, 53);
	CHECK(make(&fixed, 64, 0));
	MUST(syscall(SYS_io_uring_register, fixed.fd, IORING_REGISTER_BUFFERS, v, 2));
	MUST(syscall(SYS_io_uring_register, fixed.fd, IORING_REGISTER_FILES, files, 3));
	MUST(syscall(SYS_io_uring_register, fixed.fd, IORING_REGISTER_EVENTFD, &told, 1));
	if (!make(&single, 1024, SINGLE_ISSUER | DEFER_TASKRUN))
		CHECK(make(&single, 1024, 0));
	nothing(&single, 5);
	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, single.fd, &ev));
	CHECK(make(&shared, 4, 0));
	MUST(pipe(go));
	child = MUST(fork());
	if (child == 0) {
		if (read(go[0], text, 1) == 1) {
			prepare(&shared, IORING_OP_NOP, -1, 77);
			submit(&shared, 1);
		}
		_exit(0);
	}
	CHECK(make(&table.ring, 4, 0));
	MUST(pipe(table.go));
	other = MUST(clone(in_table, table.stack + sizeof(table.stack), CLONE_FILES | SIGCHLD, NULL));

	scenario_wait();

	for (unsigned i = 0; i < 3; i++)
		SAME(completed(&plain, 50 + i), 0);
	submit(&plain, 1);
	SAME(completed(&plain, 53), 0);
	nothing(&plain, 40);
	e = prepare(&fixed, IORING_OP_READ_FIXED, 2, 5);
	e->flags = IOSQE_FIXED_FILE;
	e->addr = (uintptr_t)buffers[1];
	e->len = 4096;
	e->buf_index = 1;
	submit(&fixed, 1);
	SAME(completed(&fixed, 5), 8);
	CHECK(memcmp(buffers[1], "contents", 8) == 0);
	SAME(read(told, &count, 8), 8);
	SAME(count, 1);
	SAME(epoll_wait(ep, &ev, 1, 0), 0);
	prepare(&single, IORING_OP_NOP, -1, 9);
	submit(&single, 1);
	SAME(epoll_wait(ep, &ev, 1, 5000), 1);
	SAME(completed(&single, 9), 0);
	SAME(write(go[1], "x", 1), 1);
	SAME(waitpid(child, &status, 0), child);
	SAME(completed(&shared, 77), 0);
	SAME(write(table.go[1], "x", 1), 1);
	SAME(waitpid(other, &status, 0), other);
	SAME(status, 3 << 8);
	SAME(completed(&table.ring, 88), 0);
	scenario_ok();
}
