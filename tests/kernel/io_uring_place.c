/* An io_uring's memory is mapped at no address that is asked for (Linux 6.5 and newer), but where all else is taken. */
#include "fact.h"

#include <linux/io_uring.h>

int main(void)
{
	struct io_uring_params p = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 4, &p);
	char *where = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *ring;

	if (fd < 0)
		SKIP("io_uring_setup");
	FACT(where != MAP_FAILED);
	/* the highest place is taken first */
	for (char *p4k = NULL; p4k == NULL || p4k > where;) {
		p4k = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		FACT(p4k != MAP_FAILED);
	}
	FACT(munmap(where + 8192, 4096) == 0);
	ring = mmap(where + 8192, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, IORING_OFF_SQ_RING);
	if (ring == MAP_FAILED) {
		FACT(errno == EINVAL);
		ring = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	}
	FACT(ring == where + 8192);
	FACT(*(volatile unsigned *)(ring + p.sq_off.ring_mask) == p.sq_entries - 1);
	return 0;
}
