/*
 * scenario-refused: user namespace
 *
 * A program that was executed in a user namespace of its own, as `unshare -r` does: it stays in the tree.
 */
#include "scenario.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void put(const char *path, const char *text)
{
	int fd = MUST(open(path, O_WRONLY));

	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

int main(int argc, char **argv)
{
	char uid[40], gid[40];

	if (argc == 1) {
		snprintf(uid, sizeof(uid), "7 %d 1", geteuid());
		snprintf(gid, sizeof(gid), "7 %d 1", getegid());
		MUST(unshare(CLONE_NEWUSER));
		put("/proc/self/setgroups", "deny");
		put("/proc/self/uid_map", uid);
		put("/proc/self/gid_map", gid);
		execl("/proc/self/exe", argv[0], "inside", NULL);
		FAIL("exec");
	}
	SAME(getuid(), 7);
	scenario_wait();
	scenario_ok();
}
