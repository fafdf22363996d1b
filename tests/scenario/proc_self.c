/* /proc/self right after: exe, cmdline, environ, auxv, comm, maps of stack, heap and vdso. */
#include "scenario.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static ssize_t slurp(const char *path, char *buf, size_t n)
{
	int fd = MUST(open(path, O_RDONLY));
	ssize_t got = 0, rc;

	while ((rc = read(fd, buf + got, n - (size_t)got)) > 0)
		got += rc;
	close(fd);
	return got;
}

int main(void)
{
	static const char *const files[] = {"cmdline", "environ", "auxv", "comm", "oom_score_adj", "limits", "personality"};
	static char before[7][16384], after[16384], path[64];
	static char line_before[8][256], line[256];
	static const char *const names[] = {"[heap]", "[stack]", "[vdso]"};
	char exe[256] = "", now[256] = "";
	ssize_t n[7];
	FILE *f;

	prctl(PR_SET_NAME, "another name");
	for (int i = 0; i < 7; i++) {
		snprintf(path, sizeof(path), "/proc/self/%s", files[i]);
		n[i] = slurp(path, before[i], sizeof(before[i]));
	}
	MUST(readlink("/proc/self/exe", exe, sizeof(exe) - 1));
	for (int i = 0; i < 3; i++) {
		f = fopen("/proc/self/maps", "re");
		while (fgets(line, sizeof(line), f) != NULL)
			if (strstr(line, names[i]) != NULL)
				strcpy(line_before[i], line);
		fclose(f);
	}
	scenario_wait();
	for (int i = 0; i < 7; i++) {
		snprintf(path, sizeof(path), "/proc/self/%s", files[i]);
		SAME(slurp(path, after, sizeof(after)), n[i]);
		if (memcmp(before[i], after, (size_t)n[i]) != 0)
			FAIL("/proc/self/%s is not what it was", files[i]);
	}
	MUST(readlink("/proc/self/exe", now, sizeof(now) - 1));
	CHECK(strcmp(exe, now) == 0);
	for (int i = 0; i < 3; i++) {
		bool found = false;

		f = fopen("/proc/self/maps", "re");
		while (fgets(line, sizeof(line), f) != NULL)
			if (strstr(line, names[i]) != NULL)
				found = strncmp(line, line_before[i], 13) == 0 || i == 1;
		fclose(f);
		if (!found)
			FAIL("%s is not where it was", names[i]);
	}
	scenario_ok();
}
