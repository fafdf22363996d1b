/*
 * fact.h - a fact about the kernel that skshim's code relies on
 *
 * Each program shows one, without any code of skshim's: 0 it holds, 1 it does
 * not, 77 this machine does not let us look.
 */
#ifndef FACT_H
#define FACT_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define FACT(cond) \
	do { \
		if (!(cond)) { \
			printf("%s:%d: not so: %s (errno %d: %s)\n", __FILE__, __LINE__, #cond, errno, strerror(errno)); \
			exit(1); \
		} \
	} while (0)
#define SKIP(why) \
	do { \
		printf("skipped: %s: %s\n", why, strerror(errno)); \
		exit(77); \
	} while (0)

/* A line of a /proc file that starts with `key`; "" when there is none. */
__attribute__((unused)) static const char *proc_line(const char *path, const char *key)
{
	static char line[512];
	FILE *f = fopen(path, "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, key, strlen(key)) == 0) {
			fclose(f);
			return line;
		}
	if (f != NULL)
		fclose(f);
	return "";
}

/* /proc/self/task/TID/wchan or state would race; this asks until the thread sleeps in call `nr`. */
__attribute__((unused)) static void wait_blocked_in(int pid, int tid, long nr)
{
	char path[64], want[16];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	snprintf(want, sizeof(want), "%ld ", nr);
	for (int i = 0; i < 1000000; i++) {
		if (strlen(proc_line(path, want)) > 0)
			return;
		sched_yield();
	}
	FACT(!"the thread blocks in its call");
}

/* waitpid that must see a child end with status 0. */
__attribute__((unused)) static void wait_ok(pid_t pid)
{
	int status;

	FACT(waitpid(pid, &status, 0) == pid);
	FACT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif
