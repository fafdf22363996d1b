/*
 * kinds_place.h - a directory of the test's own, and the path of it that the shim has noted
 */
#ifndef KINDS_PLACE_H
#define KINDS_PLACE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char where[128];

static void enter(void)
{
	char name[] = "/tmp/kinds_test.XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(name));
	strcpy(where, name);
	ck_assert_int_eq(chdir(name), 0);
}

static void leave(void)
{
	char cmd[200];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", where);
	ck_assert_int_eq(system(cmd), 0);
}

static void put(const char *name, const char *text, int flags)
{
	int fd = open(name, O_WRONLY | O_CREAT | flags, 0644);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Stands in for what the wrapper noted. */
static struct {
	struct stat st;
	char path[256];
} noted;

int watch_path(uint64_t dev, uint64_t ino, char *path, size_t size)
{
	if (!noted.path[0] || dev != noted.st.st_dev || ino != noted.st.st_ino)
		return 0;
	return snprintf(path, size, "%s", noted.path);
}

#endif
