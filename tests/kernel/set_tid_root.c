/* Who has CAP_SYS_ADMIN (or CAP_CHECKPOINT_RESTORE) may choose a pid in the running namespace; a taken one is EEXIST. */
#include "fact.h"
#include <linux/sched.h>

int main(void)
{
	pid_t tid = fork(), old = tid;
	struct clone_args a = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&tid, .set_tid_size = 1};
	long child;

	if (tid == 0)
		_exit(0);
	child = syscall(SYS_clone3, &a, sizeof(a));
	if (child < 0 && errno == EPERM)
		SKIP("clone3 with set_tid");
	FACT(child < 0 && errno == EEXIST); /* a zombie holds its number */
	wait_ok(old);
	child = syscall(SYS_clone3, &a, sizeof(a));
	if (child == 0)
		_exit(getpid() != tid);
	FACT(child == old);
	wait_ok(old);
	return 0;
}
