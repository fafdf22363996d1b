/*
 * scenario-refused: io_uring is not supported with requests under way
 *
 * A read that waits for its bytes goes on waiting.
 */
#include "scenario.h"

#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	struct io_uring_params p = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 4, &p), pipes[2];
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *e;
	char *ring, text[8] = "";

	if (fd < 0)
		scenario_skip("no io_uring here");
	ring = mmap(NULL, p.sq_off.array + p.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	CHECK(ring != MAP_FAILED && (void *)sqes != MAP_FAILED);
	MUST(pipe(pipes));
	sqes[0] = (struct io_uring_sqe){ .opcode = IORING_OP_READ, .fd = pipes[0], .addr = (uintptr_t)text, .len = sizeof(text), .user_data = 5 };
	*(unsigned *)(void *)(ring + p.sq_off.tail) = 1;
	SAME(syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 8), 1);
	scenario_wait();
	SAME(write(pipes[1], "abc", 3), 3);
	SAME(syscall(SYS_io_uring_enter, fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 8), 0);
	e = (struct io_uring_cqe *)(void *)(ring + p.cq_off.cqes);
	SAME(e->user_data, 5);
	SAME(e->res, 3);
	CHECK(memcmp(text, "abc", 3) == 0);
	scenario_ok();
}
