/*
 * paths.c - where skshim's own files are
 *
 * Installed, the library is in ../lib of the program's folder; in a build
 * tree both stand in build/. A library elsewhere is looked for where the
 * loader would find it by its plain name.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* One folder of a list; true when it holds the file. */
static bool path_in(const char *folder, int n, const char *name, char *out, size_t size)
{
	char joined[PATH_MAX];

	if (n == 0 || (size_t)snprintf(joined, sizeof(joined), "%.*s/%s", n, folder, name) >= size ||
	    access(joined, R_OK) != 0)
		return false;
	strcpy(out, joined);
	return true;
}

bool path_library(const char *name, char *out, size_t size)
{
	static const char *const system_folders[] = {
		"/usr/local/lib",
		"/usr/local/lib/x86_64-linux-gnu",
		"/usr/lib/x86_64-linux-gnu",
		"/lib/x86_64-linux-gnu",
		"/usr/lib64",
		"/lib64",
		"/usr/lib",
		"/lib",
	};
	const char *folder = getenv("LD_LIBRARY_PATH"), *end;

	if (path_beside(name, out, size))
		return true;
	for (; folder != NULL; folder = *end ? end + 1 : NULL) {
		end = strchrnul(folder, ':');
		if (*folder == '/' && path_in(folder, (int)(end - folder), name, out, size))
			return true;
	}
	for (size_t i = 0; i < sizeof(system_folders) / sizeof(system_folders[0]); i++)
		if (path_in(system_folders[i], (int)strlen(system_folders[i]), name, out, size))
			return true;
	return false;
}

bool path_beside(const char *name, char *out, size_t size)
{
	static const char *const places[] = { "", "../lib/" };
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return false;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL)
		return false;
	slash[1] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char joined[PATH_MAX * 2], real[PATH_MAX];

		snprintf(joined, sizeof(joined), "%s%s%s", self, places[i], name);
		if (realpath(joined, real) == NULL || strlen(real) >= size)
			continue;
		strcpy(out, real);
		return true;
	}
	return false;
}
