/* inotify: watches keep their numbers and masks; one directory was renamed since. */
#include "scenario.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static union {
	struct inotify_event ev;
	char room[4096];
} got;

int main(void)
{
	int in = MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), file, dir;

	close(MUST(open("file", O_CREAT | O_WRONLY, 0600)));
	MUST(mkdir("dir", 0700));
	for (int i = 0; i < 3; i++) {
		file = MUST(inotify_add_watch(in, "file", IN_OPEN));
		MUST(inotify_rm_watch(in, file));
	}
	file = MUST(inotify_add_watch(in, "file", IN_MODIFY));
	dir = MUST(inotify_add_watch(in, "dir", IN_CREATE | IN_DELETE));
	SAME(file, 4);
	MUST(rename("dir", "renamed"));
	while (read(in, &got, sizeof(got)) > 0)
		;

	scenario_wait();

	SAME(read(in, &got, sizeof(got)), -1);
	SAME(write(open("file", O_WRONLY), "x", 1), 1);
	CHECK(read(in, &got, sizeof(got)) > 0);
	SAME(got.ev.wd, file);
	SAME(got.ev.mask, IN_MODIFY);
	MUST(mkdir("renamed/sub", 0700));
	CHECK(read(in, &got, sizeof(got)) > 0);
	SAME(got.ev.wd, dir);
	CHECK(strcmp(got.ev.name, "sub") == 0);
	MUST(inotify_rm_watch(in, dir));
	CHECK(read(in, &got, sizeof(got)) > 0);
	SAME(got.ev.mask, IN_IGNORED);
	scenario_ok();
}
