/* scenario-refused: asynchronous I/O (io_setup) is not supported while requests are under way: 2 */
/* A context of asynchronous I/O with requests that don't end by themselves, and a completion: all of it stays. */
#include "scenario.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	struct iocb cb = { .aio_data = 1, .aio_lio_opcode = IOCB_CMD_POLL, .aio_buf = POLLIN }, *list[1] = { &cb };
	struct timespec none = { 0 };
	aio_context_t context = 0;
	struct io_event e;
	int ready[2], later[2];

	MUST(pipe(ready));
	MUST(pipe(later));
	SAME(write(ready[1], "x", 1), 1);
	MUST(syscall(SYS_io_setup, 10, &context));
	cb.aio_fildes = (unsigned)ready[0];
	SAME(syscall(SYS_io_submit, context, 1, list), 1);
	cb.aio_fildes = (unsigned)later[0];
	for (cb.aio_data = 2; cb.aio_data < 4; cb.aio_data++)
		SAME(syscall(SYS_io_submit, context, 1, list), 1);

	scenario_wait();

	SAME(syscall(SYS_io_getevents, context, 1, 1, &e, &none), 1);
	SAME(e.data, 1);
	SAME(syscall(SYS_io_getevents, context, 0, 1, &e, &none), 0);
	SAME(write(later[1], "x", 1), 1);
	for (int left = 2; left; left--) {
		SAME(syscall(SYS_io_getevents, context, 1, 1, &e, NULL), 1);
		CHECK(e.data == 2 || e.data == 3);
	}
	SAME(syscall(SYS_io_getevents, context, 0, 1, &e, &none), 0);
	scenario_ok();
}
