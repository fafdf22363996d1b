/*
 * When a process's first thread has ended and others go on, /proc/self shows no
 * memory or descriptors any more and kcmp knows nothing by the pid; by the
 * number of a thread that lives, and under /proc/thread-self, all is there.
 */
#include "fact.h"
#include <linux/kcmp.h>
#include <pthread.h>
#include <sys/uio.h>

static bool shows(const char *path)
{
	char text[256];
	int fd = open(path, O_RDONLY);
	bool some = fd >= 0 && read(fd, text, sizeof(text)) > 0;

	if (fd >= 0)
		close(fd);
	return some;
}

static void *other(void *arg)
{
	char byte = 1, got = 0;
	struct iovec here = {&got, 1}, there = {&byte, 1};
	int pid = getpid(), tid = gettid();

	while (shows("/proc/self/maps"))
		usleep(100);
	FACT(shows("/proc/thread-self/maps"));
	FACT(access("/proc/self/fd/0", F_OK) != 0 && access("/proc/thread-self/fd/0", F_OK) == 0);
	FACT(syscall(SYS_kcmp, pid, pid, KCMP_FILE, 0, 0) == -1 && errno == EBADF);
	FACT(syscall(SYS_kcmp, tid, tid, KCMP_FILE, 0, 0) == 0);
	FACT(process_vm_readv(pid, &here, 1, &there, 1, 0) == -1);
	FACT(process_vm_readv(tid, &here, 1, &there, 1, 0) == 1);
	exit(got == 1 ? 0 : 1);
	return arg;
}

int main(void)
{
	pthread_t t;

	FACT(pthread_create(&t, NULL, other, NULL) == 0);
	pthread_exit(NULL);
}
