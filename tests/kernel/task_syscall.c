/*
 * /proc/self/task/TID/syscall tells which call a sibling thread is blocked in,
 * with its arguments, stack pointer and program counter, to an ordinary user.
 */
#include "fact.h"
#include <pthread.h>

static int pipe_fd[2];
static volatile int tid;
static char byte;

static void *blocked(void *arg)
{
	tid = (int)syscall(SYS_gettid);
	FACT(read(pipe_fd[0], &byte, 1) == 1);
	return arg;
}

int main(void)
{
	unsigned long nr, fd, buf, n, a3, a4, a5, sp, pc;
	char path[64];
	pthread_t t;

	FACT(pipe(pipe_fd) == 0);
	FACT(pthread_create(&t, NULL, blocked, NULL) == 0);
	while (tid == 0)
		sched_yield();
	wait_blocked_in(getpid(), tid, SYS_read);
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	FACT(sscanf(proc_line(path, "0 "), "%lu %lx %lx %lx %lx %lx %lx %lx %lx", &nr, &fd, &buf, &n, &a3, &a4, &a5, &sp,
		    &pc) == 9);
	FACT(nr == SYS_read && (int)fd == pipe_fd[0] && buf == (unsigned long)&byte && n == 1);
	FACT(((unsigned char *)pc)[-2] == 0x0f && ((unsigned char *)pc)[-1] == 0x05);
	FACT(write(pipe_fd[1], "x", 1) == 1);
	FACT(pthread_join(t, NULL) == 0);
	return 0;
}
