/*
 * view.c - paths of a process in another root directory
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "skshim/sys.h"
#include "skshim/str.h"
#include "skshim/view.h"

#include "skshim/frozen.h"

#define DELETED " (deleted)"

bool sys_view_on;
struct view view = { .fds = { -1, -1 } };
__thread bool view_outside;

/* What is left of `path` below `dir`; NULL: it isn't. */
static const char *below(const char *path, const char *dir, size_t n)
{
	if (strlen(path) < n || memcmp(path, dir, n) != 0 || (path[n] && path[n] != '/'))
		return NULL;
	return path + n;
}

int sys_view_at(int *dirfd, const char **path)
{
	const char *rest = below(*path, "/proc", 5);

	if (rest && view.fds.proc >= 0) {
		*dirfd = view.fds.proc;
		*path = *rest ? rest + 1 : ".";
		return 0;
	}
	if (rest || !view_outside || **path != '/')
		return 0;
	rest = view.dir && view.fds.dir >= 0 ? below(*path, view.dir, strlen(view.dir)) : NULL;
	if (rest) {
		*dirfd = view.fds.dir;
		*path = *rest ? rest + 1 : ".";
		return 0;
	}
	rest = view_local(*path);
	if (!rest)
		return -EACCES;
	*path = rest;
	return 0;
}

bool view_hidden(const char *path)
{
	int dirfd = AT_FDCWD;

	return sys_view_on && sys_view_at(&dirfd, &path) < 0;
}

const char *view_local(const char *path)
{
	const char *rest = below(path, view.root, view.root_len);

	return rest && !*rest ? "/" : rest;
}

/* The kernel's names of what has none begin with a slash too. */
static bool no_file(struct blob path)
{
	static const char *const names[] = { "/memfd:", "/dev/zero (deleted)", "/SYSV", "/anon_hugepage", "/[aio]", "/secretmem", "/proc/" };
	const char *p = path.p;

	if (path.n == 0 || p[0] != '/')
		return true;
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (blob_starts(path, names[i]))
			return true;
	return false;
}

/* Does a name lead to the inode, or, where it was removed, its directory somewhere? */
static bool is_here(struct arena *a, struct blob path, uint64_t dev, uint64_t ino)
{
	struct blob copy = arena_blob(a, path.p, path.n);
	size_t n = copy.n, tail = sizeof(DELETED) - 1;
	struct stat st;
	char *end = (char *)(uintptr_t)copy.p;

	if (!copy.p)
		return false;
	if (SYS4(__NR_newfstatat, AT_FDCWD, copy.p, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return st.st_dev == dev && st.st_ino == ino;
	if (n < tail || memcmp(end + n - tail, DELETED, tail) != 0)
		return false;
	while (n > 1 && end[n - 1] != '/')
		n--;
	end[n > 1 ? n - 1 : 1] = 0;
	return SYS4(__NR_newfstatat, AT_FDCWD, copy.p, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

struct blob view_global(struct arena *a, struct blob path, uint64_t dev, uint64_t ino)
{
	if (!sys_view_on || !view.root_len || no_file(path) || !is_here(a, path, dev, ino))
		return path;
	if (path.n == 1)
		return (struct blob){ view.root, view.root_len };
	return arena_format(a, "%s%.*s", view.root, (int)path.n, (const char *)path.p);
}
