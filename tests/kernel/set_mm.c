/* PR_SET_MM_MAP works in a user namespace of one's own: brk, argument and environment areas can be put back. */
#include "fact.h"
#include <linux/prctl.h>

static unsigned long stat_field(int n)
{
	char text[2048], *p;
	FILE *f = fopen("/proc/self/stat", "re");

	FACT(fgets(text, sizeof(text), f) != NULL);
	fclose(f);
	p = strrchr(text, ')') + 2;
	for (int i = 3; i < n; i++)
		p = strchr(p, ' ') + 1;
	return strtoul(p, NULL, 10);
}

int main(void)
{
	struct prctl_mm_map m = {.exe_fd = (uint32_t)-1};

	prctl(PR_SET_DUMPABLE, 1);
	if (unshare(CLONE_NEWUSER) != 0)
		SKIP("unshare");
	m.start_code = stat_field(26);
	m.end_code = stat_field(27);
	m.start_stack = stat_field(28);
	m.start_data = stat_field(45);
	m.end_data = stat_field(46);
	m.start_brk = stat_field(47);
	m.arg_start = stat_field(48);
	m.arg_end = stat_field(49);
	m.env_start = stat_field(50);
	m.env_end = stat_field(51);
	m.brk = (uint64_t)(uintptr_t)sbrk(0);
	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof(m), 0) != 0 && errno == EINVAL)
		SKIP("PR_SET_MM_MAP (CONFIG_CHECKPOINT_RESTORE)");
	FACT(prctl(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof(m), 0) == 0);
	m.arg_end = m.arg_start + 1;
	FACT(prctl(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof(m), 0) == 0);
	FACT(stat_field(49) == m.arg_end);
	return 0;
}
