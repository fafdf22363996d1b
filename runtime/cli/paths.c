/*
 * paths.c - where skshim's own files are
 *
 * Installed, the library is in ../lib of the program's folder; in a build
 * tree both stand in build/.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

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
