/*
 * jail.c - processes that go into another root directory (chroot)
 *
 * What a checkpoint needs of outside has to be there before: /proc, and the
 * directory of the checkpoints. So chroot() takes hold of both, as mounts of
 * their own that belong to no tree (open_tree): through a descriptor of the
 * real ones the program would be able to leave its root directory by "..". Who
 * may chroot mostly may do that as well; else a /proc inside has to do, and a
 * leader outside opens the files.
 *
 * Where a process is is told by the inode of its root directory: one that went
 * elsewhere unseen (by a raw system call, by another process with which it
 * shares its places) is refused by name.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "family.h"
#include "signals.h"
#include "skshim/away.h"
#include "skshim/view.h"
#include "conduct.h"

#include "skshim/frozen.h"

#define NR_OPEN_TREE 428
#define TREE_CLONE 1                 /* OPEN_TREE_CLONE */

int chroot(const char *path);

/* On its way there. */
struct going {
	struct view_fds fds;         /* opened for it */
	char root[VIEW_PATH];
	size_t len;                  /* 0: not known */
};

static int32_t take(const char *path)
{
	long fd = SYS3(NR_OPEN_TREE, AT_FDCWD, path, TREE_CLONE | O_CLOEXEC);
	int high;

	if (fd < 0)
		return -1;
	high = away_move((int)fd);
	sys_close((int)fd);
	return high < 0 ? -1 : high;
}

/* The outer path of a directory that is going to be the root. */
static size_t outer_path(const char *path, char out[VIEW_PATH])
{
	int fd = (int)SYS4(__NR_openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	char link[40], here[VIEW_PATH];
	struct stat by_fd, by_name;
	long n = -1;

	if (fd < 0)
		return 0;
	text_format(link, sizeof(link), "/proc/thread-self/fd/%d", fd);
	n = sys_readlinkat(AT_FDCWD, link, here, sizeof(here) - 1);
	if (n > 0) {
		here[n] = 0;
		if (sys_fstat(fd, &by_fd) < 0 || SYS4(__NR_newfstatat, AT_FDCWD, here, &by_name, 0) < 0 ||
		    by_fd.st_ino != by_name.st_ino || by_fd.st_dev != by_name.st_dev)
			n = -1;      /* removed, or above the root directory */
	}
	sys_close(fd);
	if (n <= 0 || view.root_len + (size_t)n >= VIEW_PATH)
		return 0;
	if (n == 1)
		n = 0;
	memcpy(out, view.root, view.root_len);
	memcpy(out + view.root_len, here, (size_t)n);
	out[view.root_len + (size_t)n] = 0;
	return view.root_len + (size_t)n;
}

static void set_out(struct going *g, const char *path)
{
	g->fds = view.fds;
	g->len = outer_path(path, g->root);
	if (!g->len || sys_view_on)
		return;
	g->fds.proc = take("/proc");
	if (directory_path(shim.tree->dir) == 0)
		g->fds.dir = take(shim.tree->dir);
}

static void give_up(const struct going *g)
{
	if (g->fds.proc >= 0 && g->fds.proc != view.fds.proc)
		sys_close(g->fds.proc);
	if (g->fds.dir >= 0 && g->fds.dir != view.fds.dir)
		sys_close(g->fds.dir);
}

static void look_root(uint64_t *dev, uint64_t *ino)
{
	struct stat st;

	*dev = *ino = 0;
	if (SYS4(__NR_newfstatat, AT_FDCWD, "/", &st, 0) == 0) {
		*dev = st.st_dev;
		*ino = st.st_ino;
	}
}

/* The program may have closed it, and have another at that number. */
static bool follow(int fd, int i, bool note)
{
	struct stat st;
	long flags = fd < 0 ? -EBADF : sys_fcntl(fd, F_GETFL, 0);

	if (flags < 0 || !(flags & O_PATH) || sys_fstat(fd, &st) < 0)
		return false;
	if (note) {
		view.was[i].dev = st.st_dev;
		view.was[i].ino = st.st_ino;
	}
	return view.was[i].dev == st.st_dev && view.was[i].ino == st.st_ino;
}

static void descriptors(bool note)
{
	if (!follow(view.fds.proc, 0, note))
		view.fds.proc = -1;
	if (!follow(view.fds.dir, 1, note))
		view.fds.dir = -1;
}

static void arrive(const struct going *g)
{
	memcpy(view.root, g->root, g->len + 1);
	view.root_len = (uint32_t)g->len;
	view.dir = shim.tree->dir;
	view.fds = g->fds;
	descriptors(true);
	look_root(&view.root_dev, &view.root_ino);
	sys_view_on = true;
}

SHIM_EXPORT int chroot(const char *path)
{
	struct going g;
	bool seen = shim.active && shim.tree && sys_getpid() == shim.pid;    /* no child of vfork */
	bool was_blocked;
	int rc;

	if (!seen)
		return real.chroot(path);
	was_blocked = window_open();     /* a checkpoint would find it half-way */
	set_out(&g, path);
	rc = real.chroot(path);
	if (rc == 0 && g.len)
		arrive(&g);
	else
		give_up(&g);
	window_close(was_blocked);
	return rc;
}

/* syscall(SYS_chroot): see context.S. */
long jail_call(long nr, long path);
long jail_call(long nr, long path)
{
	(void)nr;
	return chroot((const char *)path);
}

bool jail_owns_fd(int fd)
{
	return fd >= 0 && (fd == view.fds.proc || fd == view.fds.dir);
}

void jail_tree(void)
{
	if (!sys_view_on)
		look_root(&shim.tree->root_dev, &shim.tree->root_ino);
}

void jail_restored(void)
{
	view.dir = shim.tree->dir;
	if (!sys_view_on)
		return;
	look_root(&view.root_dev, &view.root_ino);
	descriptors(true);
}

bool jail_elsewhere(void)
{
	uint64_t dev, ino;

	look_root(&dev, &ino);
	return shim.tree->root_ino && (dev != shim.tree->root_dev || ino != shim.tree->root_ino);
}

int jail_check(void)
{
	uint64_t dev, ino;

	look_root(&dev, &ino);
	if (sys_view_on ? dev == view.root_dev && ino == view.root_ino :
			  !shim.tree->root_ino || (dev == shim.tree->root_dev && ino == shim.tree->root_ino))
		return 0;
	return failed(ERR_PLAIN, "pid %d: is in another root directory, and nobody saw how it came there", shim.pid);
}

void jail_look_out(bool outside)
{
	if (outside && sys_view_on)
		descriptors(false);
	view_outside = outside && sys_view_on;
}

/* A program that was executed in there, where /proc, the library and the tree's shared memory are too. */
void jail_executed(const char *root)
{
	size_t n = root ? strlen(root) : 0;

	if (n == 0 || n >= VIEW_PATH)
		return;
	memcpy(view.root, root, n + 1);
	view.root_len = (uint32_t)n;
	view.dir = shim.tree->dir;
	look_root(&view.root_dev, &view.root_ino);
	sys_view_on = true;
}
