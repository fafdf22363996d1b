/* The memory of an io_uring is shared with the kernel, which keeps its own counters: requests that do nothing bring them to any number. */
#include "fact.h"

#include <linux/io_uring.h>

int main(void)
{
	struct io_uring_params p = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 4, &p);
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	size_t size;
	char *ring;

	if (fd < 0)
		SKIP("io_uring_setup");
	size = p.cq_off.cqes + p.cq_entries * sizeof(*cqes);
	if (size < p.sq_off.array + 4 * sizeof(unsigned))
		size = p.sq_off.array + 4 * sizeof(unsigned);
	ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, 4 * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	FACT(ring != MAP_FAILED && (void *)sqes != MAP_FAILED);
	cqes = (struct io_uring_cqe *)(ring + p.cq_off.cqes);
	for (unsigned at = 1; at <= 1001; at++) {
		memset(&sqes[0], 0, sizeof(sqes[0]));
		((unsigned *)(ring + p.sq_off.array))[(at - 1) & 3] = 0;
		*(volatile unsigned *)(ring + p.sq_off.tail) = at;
		FACT(syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
		FACT(*(volatile unsigned *)(ring + p.sq_off.head) == at && *(volatile unsigned *)(ring + p.cq_off.tail) == at);
		*(volatile unsigned *)(ring + p.cq_off.head) = at;
	}
	/* the kernel goes by its own counter, not by what stands in the memory */
	*(volatile unsigned *)(ring + p.cq_off.tail) = 7;
	*(volatile unsigned *)(ring + p.sq_off.head) = 7;
	sqes[0].user_data = 42;
	((unsigned *)(ring + p.sq_off.array))[1001 & 3] = 0;
	*(volatile unsigned *)(ring + p.sq_off.tail) = 1002;
	FACT(syscall(SYS_io_uring_enter, fd, 1, 0, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	FACT(*(volatile unsigned *)(ring + p.sq_off.head) == 1002 && *(volatile unsigned *)(ring + p.cq_off.tail) == 1002);
	FACT(cqes[1001 & (p.cq_entries - 1)].user_data == 42);
	return 0;
}
