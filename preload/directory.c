/*
 * directory.c - a checkpoint directory exists whole or not at all
 *
 * Everything is written into .NNNNNN.partial and synced, the manifest last;
 * one rename makes it NNNNNN, another moves the link `latest`. What an earlier
 * crash left half-way is removed before the next one is begun. The umask is
 * the program's and may take rights from the owner, so modes are set apart.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "conduct.h"
#include "skshim/view.h"

#include "skshim/frozen.h"

struct dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* Calls one(dirfd, name, arg) for every entry but . and .. */
static int each_entry(int dirfd, int (*one)(int dirfd, const char *name, void *arg), void *arg)
{
	char buf[4096];
	long n = 0;
	int rc = 0;

	sys_lseek(dirfd, 0, 0);
	while (rc == 0 && (n = sys_getdents64(dirfd, buf, sizeof(buf))) > 0)
		for (long at = 0; rc == 0 && at < n; at += ((struct dirent64 *)(buf + at))->reclen) {
			const char *name = ((struct dirent64 *)(buf + at))->name;

			if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
				continue;
			rc = one(dirfd, name, arg);
		}
	return rc == 0 && n < 0 ? (int)n : rc;
}

static int remove_one(int dirfd, const char *name, void *arg)
{
	(void)arg;
	return sys_unlinkat(dirfd, name, 0);
}

static void remove_checkpoint(int parent, const char *name)
{
	int fd = sys_openat(parent, name, O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0);

	if (fd >= 0) {
		each_entry(fd, remove_one, NULL);
		sys_close(fd);
	}
	sys_unlinkat(parent, name, AT_REMOVEDIR);
}

/* "000012" -> 12, ".000012.partial" -> 12 with *partial; 0 when it is neither. */
static uint32_t number_of(const char *name, bool *partial)
{
	const char *p = name, *end = name + strlen(name);
	uint64_t n = 0;

	*partial = *p == '.';
	if (*partial)
		p++;
	if (!text_number(&p, end, 10, &n) || n == 0 || n > 0xffffffff)
		return 0;
	if (*partial)
		return strcmp(p, ".partial") == 0 ? (uint32_t)n : 0;
	return *p == 0 && end - name >= 6 ? (uint32_t)n : 0;
}

static int highest(int dirfd, const char *name, void *arg)
{
	uint32_t *top = arg;
	bool partial;
	uint32_t n = number_of(name, &partial);

	if (n && partial)
		remove_checkpoint(dirfd, name);
	if (n > *top)
		*top = n;
	return 0;
}

static int make_directory(int dirfd, const char *name)
{
	int rc = sys_mkdirat(dirfd, name, 0700);

	return rc == 0 ? (int)SYS3(__NR_fchmodat, dirfd, name, 0700) : rc;
}

/* Makes the directories on the way, like mkdir -p, 0700. */
int directory_path(const char *path)
{
	char part[TREE_DIR];
	size_t n = strlen(path);
	int rc = 0;

	if (n >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= n; i++) {
		if (i < n && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		rc = make_directory(AT_FDCWD, part);
		if (rc < 0 && rc != -EEXIST) {
			struct stat st;

			/* a directory above may not be ours to make in, and need not be */
			if (sys_fstatat(AT_FDCWD, part, &st, 0) < 0)
				return rc;
		}
	}
	return 0;
}

static int failed_at(int rc, const char *dir, const char *name)
{
	if (rc == -EACCES || rc == -EPERM)
		return failed(rc, "%s: pid %d runs as uid %u, which may not write there (SKSHIM_DIR says where)", dir, shim.pid,
			      (unsigned)SYS0(__NR_geteuid));
	return failed(rc, "%s/%s", dir, name);
}

int directory_begin(void)
{
	char name[32];
	uint32_t top = 0;
	int rc;

	work.parent = work.partial = -1;
	/* of one in another root directory it was made before */
	rc = sys_view_on ? 0 : directory_path(shim.tree->dir);
	if (view_hidden(shim.tree->dir))
		return failed(ERR_PLAIN, "pid %d can't reach %s: it has another root directory (chroot)", shim.pid, shim.tree->dir);
	if (rc == 0)
		rc = work.parent = sys_openat(AT_FDCWD, shim.tree->dir, O_DIRECTORY | O_CLOEXEC, 0);
	if (rc < 0)
		return failed_at(rc, shim.tree->dir, "");
	rc = each_entry(work.parent, highest, &top);
	if (rc < 0)
		return failed(rc, "the checkpoint directory %s", shim.tree->dir);
	shim.tree->number = top + 1;
	text_format(name, sizeof(name), ".%06u.partial", shim.tree->number);
	rc = make_directory(work.parent, name);
	if (rc < 0)
		return failed_at(rc, shim.tree->dir, name);
	rc = work.partial = sys_openat(work.parent, name, O_DIRECTORY | O_CLOEXEC, 0);
	if (rc >= 0)
		rc = directory_open(work.partial, shim.pid, work.files);
	return rc < 0 ? failed(rc, "%s/%s", shim.tree->dir, name) : 0;
}

static const char *const part_names[FILES] = { IMAGE_TASK, IMAGE_RUNS, IMAGE_PAGES, ".%d.keys" };

/* On failure none is left open. */
int directory_open(int dirfd, int pid, int files[FILES])
{
	char name[IMAGE_NAME_MAX];

	for (int i = 0; i < FILES; i++) {
		text_format(name, sizeof(name), part_names[i], pid);
		files[i] = sys_openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (files[i] < 0) {
			int rc = files[i];

			while (i-- > 0)
				sys_close(files[i]);
			return rc;
		}
		SYS2(__NR_fchmod, files[i], 0600);
	}
	return 0;
}

int directory_join(void)
{
	char path[TREE_DIR + 32];
	int fd, rc;

	text_format(path, sizeof(path), "%s/.%06u.partial", shim.tree->dir, shim.tree->number);
	fd = sys_openat(AT_FDCWD, path, O_DIRECTORY | O_CLOEXEC, 0);
	rc = fd < 0 ? fd : directory_open(fd, shim.pid, work.files);
	if (fd >= 0)
		sys_close(fd);
	if (rc < 0)
		for (int i = 0; i < FILES; i++)
			work.files[i] = -1;
	if (rc == -EACCES || rc == -EPERM)
		return hand_take(work.files);
	if (fd == -ENOENT)
		return failed(ERR_PLAIN, "pid %d can't reach %s: it has another root directory (chroot), or that was removed", shim.pid,
			      path);
	return rc < 0 ? failed(rc, "%s", path) : 0;
}

void directory_abandon(int parent, uint32_t number)
{
	char name[32];

	text_format(name, sizeof(name), ".%06u.partial", number);
	if (work.partial >= 0)           /* there may be no number left to open it by */
		each_entry(work.partial, remove_one, NULL);
	remove_checkpoint(parent, name);
}

int directory_put(int fd, const char *name, const struct encode *e)
{
	uint64_t at = 0;
	int rc = e->rc;

	if (rc >= 0 && e->n > pages_limit())
		rc = -EFBIG;
	while (rc >= 0 && at < e->n) {
		rc = (int)sys_write(fd, e->p + at, e->n - at);
		if (rc == -EINTR)
			rc = 0;
		at += rc > 0 ? (uint64_t)rc : 0;
	}
	if (rc >= 0)
		rc = sys_fsync(fd);
	return rc < 0 ? failed(rc, "%s", name) : 0;
}

struct prune {
	uint32_t below;              /* complete ones with a smaller number go */
};

static int prune_one(int dirfd, const char *name, void *arg)
{
	struct prune *p = arg;
	bool partial;
	uint32_t n = number_of(name, &partial);

	if (n && !partial && n < p->below)
		remove_checkpoint(dirfd, name);
	return 0;
}

struct newest {
	uint32_t n[64];              /* descending */
	uint32_t count, keep;
};

static int newest_one(int dirfd, const char *name, void *arg)
{
	struct newest *w = arg;
	bool partial;
	uint32_t n = number_of(name, &partial), i;

	(void)dirfd;
	if (!n || partial)
		return 0;
	for (i = w->count; i > 0 && w->n[i - 1] < n; i--)
		if (i < w->keep)
			w->n[i] = w->n[i - 1];
	if (i < w->keep)
		w->n[i] = n;
	if (w->count < w->keep)
		w->count++;
	return 0;
}

/* Complete checkpoints beyond `keep` go, the oldest first; more than 64 are never counted. */
static void prune(int parent, uint32_t keep)
{
	struct newest w = { .keep = keep < 64 ? keep : 64 };
	struct prune p;

	if (!keep || keep > 64)
		return;
	each_entry(parent, newest_one, &w);
	if (w.count < w.keep)
		return;
	p.below = w.n[w.count - 1];
	each_entry(parent, prune_one, &p);
}

int directory_commit(int parent, int partial, uint32_t number, uint32_t keep)
{
	char from[32], to[16];
	int rc;

	text_format(from, sizeof(from), ".%06u.partial", number);
	text_format(to, sizeof(to), "%06u", number);
	rc = sys_fsync(partial);
	if (rc == 0)
		rc = sys_renameat2(parent, from, parent, to, 1 /* RENAME_NOREPLACE */);
	if (rc == -EINVAL)       /* a file system without the flag */
		rc = sys_renameat2(parent, from, parent, to, 0);
	if (rc < 0)
		return failed(rc, "%s -> %s", from, to);
	rc = sys_fsync(parent);
	if (rc < 0) {
		sys_renameat2(parent, to, parent, from, 0);     /* absent, as it is said to be */
		return failed(rc, "%s", shim.tree->dir);
	}
	sys_unlinkat(parent, ".latest", 0);
	rc = sys_symlinkat(to, parent, ".latest");
	if (rc == 0)
		rc = sys_renameat2(parent, ".latest", parent, "latest", 0);
	if (rc < 0) {        /* it leads to an earlier one still, which then stays */
		log_line(LOG_WARN, "%s/latest: %s", shim.tree->dir, text_error(rc));
		keep = 0;
	}
	sys_fsync(parent);
	prune(parent, keep);
	return 0;
}
