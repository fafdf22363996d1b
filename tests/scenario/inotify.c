/*
 * inotify: watches keep their numbers and masks; one directory was renamed since, a file that is open was deleted, another
 * moved to another directory. Where events waited something waits still: they, or the word that some were lost.
 */
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
	int in = MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), file, dir, gone, moved, deleted, away, unread = MUST(inotify_init1(0));

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
	gone = MUST(open("gone", O_CREAT | O_RDWR, 0600));
	moved = MUST(open("moved", O_CREAT | O_RDWR, 0600));
	deleted = MUST(inotify_add_watch(in, "gone", IN_MODIFY | IN_DELETE_SELF));
	away = MUST(inotify_add_watch(in, "moved", IN_MODIFY));
	MUST(unlink("gone"));
	MUST(rename("moved", "renamed/moved"));
	MUST(inotify_add_watch(unread, "renamed", IN_CREATE));
	MUST(mkdir("renamed/one", 0700));
	while (read(in, &got, sizeof(got)) > 0)
		;

	scenario_wait();

	SAME(read(in, &got, sizeof(got)), -1);
	CHECK(read(unread, &got, sizeof(got)) >= (ssize_t)sizeof(got.ev));
	CHECK(got.ev.mask == (IN_CREATE | IN_ISDIR) || got.ev.mask == IN_Q_OVERFLOW);
	MUST(mkdir("renamed/two", 0700));
	CHECK(read(unread, &got, sizeof(got)) > 0);
	CHECK(strcmp(got.ev.name, "two") == 0);
	CHECK(read(in, &got, sizeof(got)) > 0);
	SAME(write(gone, "x", 1), 1);
	CHECK(read(in, &got, sizeof(got)) > 0);
	SAME(got.ev.wd, deleted);
	SAME(got.ev.mask, IN_MODIFY);
	SAME(write(moved, "x", 1), 1);
	CHECK(read(in, &got, sizeof(got)) > 0);
	SAME(got.ev.wd, away);
	MUST(close(gone));
	CHECK(read(in, &got, sizeof(got)) > 0);
	SAME(got.ev.wd, deleted);
	SAME(got.ev.mask, IN_DELETE_SELF);
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
