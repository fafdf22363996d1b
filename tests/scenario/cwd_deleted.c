/* A working directory that was removed, and one that was removed with its parent: what readlink and getcwd say. */
#include "scenario.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

static void gone(const char *was)
{
	char now[512] = "", buf[512];

	MUST(readlink("/proc/self/cwd", now, sizeof(now) - 1));
	if (strcmp(was, now) != 0)
		FAIL("the working directory was %s, is %s", was, now);
	CHECK(getcwd(buf, sizeof(buf)) == NULL);
	SAME(errno, ENOENT);
	SAME(open("file", O_CREAT | O_WRONLY, 0600), -1);
	SAME(errno, ENOENT);
}

int main(void)
{
	char was[512] = "", childs[512] = "", root[512], path[600];
	struct stat st;
	int go[2], status;
	pid_t pid;
	char c;

	CHECK(getcwd(root, sizeof(root)) != NULL);
	MUST(pipe(go));
	MUST(mkdir("one", 0700));
	MUST(mkdir("deep", 0700));
	MUST(mkdir("deep/er", 0700));
	pid = MUST(fork());
	if (pid == 0) {
		close(go[1]);
		MUST(chdir("deep/er"));
		MUST(rmdir("../er"));
		snprintf(path, sizeof(path), "%s/deep", root);
		MUST(rmdir(path));
		MUST(readlink("/proc/self/cwd", childs, sizeof(childs) - 1));
		SAME(read(go[0], &c, 1), 0);
		gone(childs);
		_exit(4);
	}
	MUST(chdir("one"));
	MUST(rmdir("../one"));
	MUST(readlink("/proc/self/cwd", was, sizeof(was) - 1));
	while (access(root, F_OK) != 0 || (snprintf(path, sizeof(path), "%s/deep", root) && access(path, F_OK) == 0))
		usleep(1000);

	scenario_wait();

	gone(was);
	MUST(stat(".", &st));
	SAME(st.st_nlink, 0);
	snprintf(path, sizeof(path), "%s/one", root);
	SAME(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/deep", root);
	SAME(access(path, F_OK), -1);
	close(go[1]);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 4 << 8);
	scenario_ok();
}
