/*
 * process_vm_readv tells a process that has ended (ESRCH), waited for or not,
 * from one that lives (EFAULT where nothing is mapped; EPERM where the caller
 * may not look), and needs no descriptor.
 */
#include "fact.h"
#include <sys/uio.h>
#include <sys/wait.h>

static int asked(int pid)
{
	char got;
	struct iovec here = {&got, 1}, there = {NULL, 1};

	return process_vm_readv(pid, &here, 1, &there, 1, 0) < 0 ? errno : 0;
}

int main(void)
{
	int pid = fork(), go[2];
	siginfo_t info;

	FACT(pid >= 0);
	if (pid == 0)
		_exit(0);
	FACT(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
	FACT(asked(pid) == ESRCH);
	FACT(waitpid(pid, NULL, 0) == pid);
	FACT(asked(pid) == ESRCH);
	FACT(pipe(go) == 0);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &info, 1) == 1);
	}
	FACT(asked(pid) == EFAULT);
	if (geteuid() != 0)
		FACT(asked(1) == EPERM || asked(1) == ESRCH);
	close(go[1]);
	FACT(waitpid(pid, NULL, 0) == pid);
	return 0;
}
