/* Files and directories of /proc: the process's own, and the system's. */
#include "scenario.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	int status = MUST(open("/proc/self/status", O_RDONLY | O_CLOEXEC)), mem = MUST(open("/proc/meminfo", O_RDONLY));
	int maps = MUST(open("/proc/self/maps", O_RDONLY)), net = MUST(open("/proc/net/dev", O_RDONLY));
	DIR *dir = opendir("/proc/self/fd");
	char got[4096], want[64];
	bool found = false;

	CHECK(dir != NULL);
	SAME(read(status, got, 6), 6);
	scenario_wait();
	SAME(fcntl(status, F_GETFD), FD_CLOEXEC);
	SAME(lseek(status, 0, SEEK_CUR), 6);
	MUST(lseek(status, 0, SEEK_SET));
	got[MUST(read(status, got, sizeof(got) - 1))] = 0;
	snprintf(want, sizeof(want), "\nPid:\t%d\n", getpid());
	CHECK(strstr(got, want) != NULL);
	got[MUST(read(mem, got, sizeof(got) - 1))] = 0;
	CHECK(strstr(got, "MemTotal") != NULL);
	CHECK(MUST(read(maps, got, sizeof(got))) > 0);
	CHECK(MUST(read(net, got, sizeof(got))) > 0);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		found = found || atoi(e->d_name) == dirfd(dir);
	CHECK(found);
	scenario_ok();
}
