/*
 * What a process has by prctl and its like: names, slack, dumpable, subreaper,
 * huge pages, personality, oom score, umask, limits, no_new_privs, the word at a parent's death.
 */
#include "scenario.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif

__attribute__((format(scanf, 2, 0))) static int number_of(const char *path, const char *format)
{
	int n = -1;
	FILE *f = fopen(path, "r");

	CHECK(f && fscanf(f, format, &n) == 1);
	fclose(f);
	return n;
}

static void verify(int merge, int tsc)
{
	struct rlimit r;
	char name[16];
	int v;

	MUST(prctl(PR_GET_NAME, name));
	CHECK(strcmp(name, "another name") == 0);
	SAME(prctl(PR_GET_TIMERSLACK), 123456);
	SAME(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	SAME(prctl(PR_GET_DUMPABLE), 0);
	MUST(prctl(PR_GET_CHILD_SUBREAPER, &v));
	SAME(v, 1);
	SAME(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	MUST(prctl(PR_GET_PDEATHSIG, &v));
	SAME(v, SIGWINCH);
	SAME(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_EARLY);
	SAME(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0), merge);
	MUST(prctl(PR_GET_TSC, &v));
	SAME(v, tsc);
	SAME(personality(0xffffffff), ADDR_NO_RANDOMIZE);
	SAME(umask(027), 027);
	MUST(getrlimit(RLIMIT_STACK, &r));
	SAME(r.rlim_cur, 4 << 20);
	MUST(getrlimit(RLIMIT_NOFILE, &r));
	SAME(r.rlim_cur, 200);
	SAME(r.rlim_max, 300);
	MUST(getrlimit(RLIMIT_CORE, &r));
	SAME(r.rlim_cur, 0);
	MUST(getrlimit(RLIMIT_FSIZE, &r));
	SAME(r.rlim_cur, 4096);       /* less than the image has */
	SAME(r.rlim_max, 1 << 30);
	MUST(getrlimit(RLIMIT_MEMLOCK, &r));
	SAME(r.rlim_cur, 4096);
}

int main(void)
{
	struct rlimit stack = {4 << 20, 8 << 20}, files = {200, 300}, core = {0, 0}, size = {4096, 1 << 30}, lock = {4096, 4096};
	int merge, oom, tsc, fd;

	fd = MUST(open("/proc/self/oom_score_adj", O_WRONLY));
	MUST(write(fd, "333", 3));
	close(fd);
	fd = MUST(open("/proc/self/coredump_filter", O_WRONLY));
	MUST(write(fd, "0x17", 4));
	close(fd);
	oom = number_of("/proc/self/oom_score_adj", "%d");
	MUST(prctl(PR_SET_NAME, "another name"));
	MUST(prctl(PR_SET_TIMERSLACK, 123456));
	MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(prctl(PR_SET_PDEATHSIG, SIGWINCH));
	MUST(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
	MUST(prctl(PR_SET_TSC, PR_TSC_ENABLE));
	prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
	merge = prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0);
	MUST(prctl(PR_GET_TSC, &tsc));
	MUST(personality(ADDR_NO_RANDOMIZE));
	umask(027);
	MUST(setrlimit(RLIMIT_STACK, &stack));
	MUST(setrlimit(RLIMIT_NOFILE, &files));
	MUST(setrlimit(RLIMIT_CORE, &core));
	MUST(setrlimit(RLIMIT_FSIZE, &size));
	MUST(setrlimit(RLIMIT_MEMLOCK, &lock));
	MUST(prctl(PR_SET_DUMPABLE, 0));
	verify(merge, tsc);
	scenario_wait();
	verify(merge, tsc);
	MUST(prctl(PR_SET_DUMPABLE, 1));
	SAME(number_of("/proc/self/oom_score_adj", "%d"), oom);
	SAME(number_of("/proc/self/coredump_filter", "%x"), 0x17);
	scenario_ok();
}
