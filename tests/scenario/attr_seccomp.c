/*
 * Filters of system calls: two, one above the other, installed by prctl() and by
 * seccomp(); one kills whoever makes a call that the program doesn't need but
 * a checkpoint does. Threads and children have them too.
 */
#include "scenario.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR offsetof(struct seccomp_data, nr)
#define NEVER(call, what) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), BPF_STMT(BPF_RET | BPF_K, what)

static int go;

static void verify(void)
{
	errno = 0;
	SAME(syscall(SYS_getppid), -1);
	SAME(errno, EXDEV);
	SAME(syscall(SYS_sched_getparam, 0, NULL), -1);
	SAME(errno, EBADE);
	CHECK(syscall(SYS_gettid) > 0);
}

static void *body(void *arg)
{
	while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST))
		usleep(1000);
	verify();
	return arg;
}

int main(void)
{
	struct sock_filter first[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
		NEVER(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_filter second[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
		NEVER(SYS_sched_getparam, SECCOMP_RET_ERRNO | EBADE),
		NEVER(SYS_readlinkat, SECCOMP_RET_KILL_PROCESS),
		NEVER(SYS_kcmp, SECCOMP_RET_KILL_PROCESS),
		NEVER(SYS_tgkill, SECCOMP_RET_KILL_PROCESS),
		NEVER(SYS_rt_tgsigqueueinfo, SECCOMP_RET_KILL_PROCESS),
		NEVER(SYS_rt_sigpending, SECCOMP_RET_KILL_PROCESS),
		NEVER(SYS_sched_getattr, SECCOMP_RET_KILL_PROCESS),
		NEVER(SYS_capget, SECCOMP_RET_KILL_PROCESS),
		NEVER(SYS_get_robust_list, SECCOMP_RET_KILL_PROCESS),
		NEVER(SYS_getdents64, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog one = {sizeof(first) / sizeof(*first), first}, two = {sizeof(second) / sizeof(*second), second};
	pthread_t t;
	pid_t pid;
	int status;

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &one));
	SAME(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL), -1);
	SAME(errno, EFAULT);
	MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &two));
	verify();
	SAME(pthread_create(&t, NULL, body, NULL), 0);
	scenario_wait();
	SAME(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), SECCOMP_MODE_FILTER);
	verify();
	__atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
	SAME(pthread_join(t, NULL), 0);
	pid = MUST(fork());
	if (pid == 0) {
		verify();
		_exit(7);
	}
	SAME(MUST(waitpid(pid, &status, 0)), pid);
	SAME(status, 7 << 8);
	/* what is forbidden still kills */
	pid = MUST(fork());
	if (pid == 0) {
		syscall(SYS_kcmp, 0, 0, 0, 0, 0);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	scenario_ok();
}
