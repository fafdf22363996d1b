/*
 * A child of a process that has made a time namespace has its clocks advanced
 * by the offsets written before, also through the vdso and its moved [vvar]
 * mappings; /proc/PID/stat says start times by the reader's clock.
 */
#include "fact.h"
#include <sys/auxv.h>

#define AHEAD 100000

static unsigned long long start_of(pid_t pid)
{
	char path[64];
	unsigned long long start = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	FACT(f != NULL && fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
				 &start) == 1);
	fclose(f);
	return start;
}

static void move_vvar(void)
{
	unsigned long start[8], end[8], place, low = ~0ul, high = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[256];
	int n = 0;

	while (fgets(line, sizeof(line), maps) != NULL)
		if (strstr(line, "[vdso]") != NULL || strstr(line, "[vvar") != NULL) {
			FACT(n < 8 && sscanf(line, "%lx-%lx", &start[n], &end[n]) == 2);
			low = start[n] < low ? start[n] : low;
			high = end[n] > high ? end[n] : high;
			n++;
		}
	fclose(maps);
	place = (unsigned long)mmap(NULL, high - low, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int back = 0; back < 2; back++)
		for (int i = 0; i < n; i++) {
			unsigned long away = place + start[i] - low, from = back ? away : start[i], to = back ? start[i] : away;

			FACT((unsigned long)mremap((void *)from, end[i] - start[i], end[i] - start[i],
						   MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
		}
}

int main(void)
{
	struct timespec before, vdso, kernel;
	unsigned long long outside;
	int fd, status, told[2];
	pid_t pid;

	if (unshare(0x80 /* CLONE_NEWTIME */) < 0 && unshare(CLONE_NEWUSER | 0x80) < 0)
		SKIP("no time namespace");
	fd = open("/proc/self/timens_offsets", O_WRONLY);
	if (fd < 0 || write(fd, "monotonic 100000 0\nboottime 100000 0\n", 37) != 37)
		SKIP("no offsets of a time namespace");
	close(fd);
	clock_gettime(CLOCK_MONOTONIC, &before);
	FACT(pipe(told) == 0);
	pid = fork();
	if (pid == 0) {
		move_vvar();
		clock_gettime(CLOCK_MONOTONIC, &vdso);
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &kernel);
		FACT(vdso.tv_sec >= before.tv_sec + AHEAD && vdso.tv_sec < before.tv_sec + AHEAD + 100);
		FACT(kernel.tv_sec - vdso.tv_sec <= 1);
		FACT(read(told[0], &outside, sizeof(outside)) == sizeof(outside));
		FACT(start_of(getpid()) == outside + AHEAD * 100ull);
		return 0;
	}
	outside = start_of(pid);
	FACT(write(told[1], &outside, sizeof(outside)) == sizeof(outside));
	FACT(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}
