/*
 * In a user and pid namespace of one's own any pid may be chosen with
 * clone3(set_tid), also for a thread (CLONE_THREAD), by an ordinary user.
 */
#include "fact.h"
#include <linux/sched.h>

static volatile int running;

static void thread(void)
{
	running = (int)syscall(SYS_gettid);
	syscall(SYS_exit, 0);
}

/* The thread starts on an empty stack, so it must not return to anybody. */
static long clone_as(pid_t tid, uint64_t flags, void *stack)
{
	struct clone_args a = {.flags = flags, .exit_signal = stack != NULL ? 0 : SIGCHLD,
			       .set_tid = (uint64_t)(uintptr_t)&tid, .set_tid_size = 1,
			       .stack = (uint64_t)(uintptr_t)stack, .stack_size = stack != NULL ? 65536 : 0};
	long rc;

	if (stack == NULL)
		return syscall(SYS_clone3, &a, sizeof(a));
	__asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tcall *%3\n1:"
			 : "=a"(rc)
			 : "D"(&a), "S"(sizeof(a)), "r"(thread), "a"(SYS_clone3)
			 : "rcx", "r11", "memory");
	return rc;
}

int main(void)
{
	pid_t pid;

	if (geteuid() == 0 && syscall(SYS_setresuid, 1000, 1000, 1000) != 0)
		SKIP("become an ordinary user");
	prctl(PR_SET_DUMPABLE, 1);
	if (unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0)
		SKIP("unshare");
	pid = fork();
	if (pid == 0) {
		static char stack[65536] __attribute__((aligned(16)));
		long child = clone_as(31313, 0, NULL);

		if (child == 0)
			_exit(getpid() != 31313 || getppid() != 1);
		FACT(child == 31313);
		wait_ok(31313);
		FACT(clone_as(4711, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
			      stack) == 4711);
		while (running == 0)
			sched_yield();
		FACT(running == 4711);
		_exit(0);
	}
	wait_ok(pid);
	return 0;
}
