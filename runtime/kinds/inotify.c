/*
 * inotify.c - watched files and directories
 *
 * fdinfo tells the inode that is watched and its mask, but no path. That was
 * noted when the watch was added (preload/wrap_inotify.c), and holds if the
 * same inode is still there, or beside it under another name; where it isn't,
 * the program may have it open, or the file's handle finds it, which the kernel
 * allows only the privileged. One that was deleted is watched through the
 * descriptor that keeps it.
 *
 * Numbers of watches go up by one: the ones between are taken and given back.
 * Watches are added late, when nothing more is made that they would tell of.
 *
 * Events that nobody has read can't be looked at, and are lost at a restart. So
 * that the program hears of it, its queue has run over then: it is filled
 * until the kernel says so (IN_Q_OVERFLOW), and emptied down to that word.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "file.h"

#include "skshim/frozen.h"

#define INOTIFY_MASK (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT)
#define INOTIFY_HANDLE 128
/* Watches that may lie between two that live, before it is called a broken image. */
#define INOTIFY_GAP (16u << 20)
/* Events that are made to let a queue run over; it may be set to hold more (fs.inotify.max_queued_events). */
#define INOTIFY_EVENTS (1u << 20)

struct inotify_watch {
	int32_t wd;
	uint32_t mask;
	uint64_t dev, ino;
	struct blob path;        /* empty: a deleted file or directory that the process has open */
};

struct inotify {
	uint32_t pending;        /* bytes of events not read */
	struct list watches;
};

static const struct field inotify_watch_fields[] = {
	FIELD_I32(struct inotify_watch, wd),
	FIELD_U32(struct inotify_watch, mask),
	FIELD_U64(struct inotify_watch, dev),
	FIELD_U64(struct inotify_watch, ino),
	FIELD_STR(struct inotify_watch, path),
	FIELD_END
};

static const struct field inotify_fields[] = {
	FIELD_U32(struct inotify, pending),
	FIELD_LIST(struct inotify, watches, struct inotify_watch, inotify_watch_fields),
	FIELD_END
};

static bool inotify_match(const struct probe *p)
{
	return blob_is(p->path, "anon_inode:inotify") || blob_is(p->path, "anon_inode:[inotify]");
}

static bool inotify_value(struct blob line, const char *key, int base, uint64_t *value)
{
	const char *p = line.p, *end = p + line.n;
	size_t n = strlen(key);

	for (; p + n <= end; p++)
		if (memcmp(p, key, n) == 0) {
			p += n;
			return text_number(&p, end, base, value);
		}
	return false;
}

static bool inotify_is(const char *path, const struct inotify_watch *w)
{
	struct stat st;

	return sys_fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == w->ino && st.st_dev == w->dev;
}

/* Root of a mount of this device, to open a handle with. */
static int inotify_mount(struct collection *c, uint64_t dev)
{
	struct blob text, line;
	char want[32], path[4096];
	int fd = -ENOENT;

	text_format(want, sizeof(want), " %u:%u ", major(dev), minor(dev));
	if (arena_read_file(c->arena, AT_FDCWD, "/proc/thread-self/mountinfo", &text) < 0)
		return fd;
	while (fd < 0 && text_line(&text, &line)) {
		const char *p = line.p, *end = p + line.n;
		size_t n = strlen(want), len = 0;

		while (p + n < end && memcmp(p, want, n) != 0)
			p++;
		if (p + n >= end)
			continue;
		/* "MAJ:MIN ROOT POINT" */
		for (p += n; p < end && *p != ' '; p++)
			;
		for (p++; p < end && *p != ' ' && len < sizeof(path) - 1; p++)
			path[len++] = *p;
		path[len] = 0;
		fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	}
	return fd;
}

static uint32_t inotify_hex(char ch)
{
	return ch >= '0' && ch <= '9' ? (uint32_t)(ch - '0') : ch >= 'a' && ch <= 'f' ? (uint32_t)(ch - 'a' + 10) : 16;
}

/* "fhandle-bytes:8 fhandle-type:1 f_handle:064006006122c98b", the type in hexadecimal. */
static struct blob inotify_by_handle(struct collection *c, struct blob line, const struct inotify_watch *w)
{
	struct {
		uint32_t bytes;
		int32_t type;
		uint8_t handle[INOTIFY_HANDLE];
	} h = { 0 };
	struct blob none = { NULL, 0 };
	uint64_t bytes = 0, type = 0;
	const char *p = line.p, *end = p + line.n, key[] = "f_handle:";
	char path[4096], own[40];
	int mount, fd;
	long n;

	if (!inotify_value(line, "fhandle-bytes:", 16, &bytes) || !inotify_value(line, "fhandle-type:", 16, &type) ||
	    bytes > INOTIFY_HANDLE)
		return none;
	while (p + sizeof(key) - 1 < end && memcmp(p, key, sizeof(key) - 1) != 0)
		p++;
	p += sizeof(key) - 1;
	for (uint64_t i = 0; i < bytes && p + 1 < end; i++, p += 2)
		h.handle[i] = (uint8_t)(inotify_hex(p[0]) << 4 | inotify_hex(p[1]));
	h.bytes = (uint32_t)bytes;
	h.type = (int32_t)type;
	mount = inotify_mount(c, w->dev);
	if (mount < 0)
		return none;
	fd = (int)SYS3(__NR_open_by_handle_at, mount, &h, O_PATH | O_CLOEXEC);
	sys_close(mount);
	if (fd < 0)
		return none;
	text_format(own, sizeof(own), "/proc/thread-self/fd/%d", fd);
	n = sys_readlinkat(AT_FDCWD, own, path, sizeof(path) - 1);
	sys_close(fd);
	if (n <= 0)
		return none;
	path[n] = 0;
	return inotify_is(path, w) ? arena_blob(c->arena, path, (size_t)n) : none;
}

static int inotify_path(struct collection *c, const struct probe *p, struct blob line, struct inotify_watch *w)
{
	char path[4096];
	struct stat st = { .st_dev = w->dev, .st_ino = w->ino };
	int n = c->watch_path ? c->watch_path(w->dev, w->ino, path, sizeof(path)) : 0;
	bool nameless = false;

	if (n > 0 && inotify_is(path, w))
		w->path = arena_blob(c->arena, path, (size_t)n);
	if (n > 0 && !w->path.p)
		w->path = file_other_name(c->arena, (struct blob){ path, (uint64_t)n }, &st);
	if (!w->path.p)
		w->path = file_open_name(c, w->dev, w->ino, &nameless);
	if (!w->path.p && nameless) {
		w->path = BLOB("");
		return 0;
	}
	if (!w->path.p)
		w->path = inotify_by_handle(c, line, w);
	if (!w->path.p)
		return collection_refuse(c, p, -EOPNOTSUPP,
					 "inotify: watch %d is for %s, which was moved or deleted: remove the watch", w->wd,
					 n > 0 ? path : "a file that was never named");
	return 0;
}

static int inotify_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct inotify *in = rec;
	struct inotify_watch *items;
	struct blob text = p->fdinfo, line;
	uint64_t wd, mask, dev;
	uint32_t n = 0;
	int pending = 0, rc;

	while (text_line(&text, &line))
		n += blob_starts(line, "inotify wd:");
	items = arena_alloc(c->arena, n * sizeof(*items));
	if (!items)
		return collection_refuse(c, p, -ENOMEM, "inotify: %u watches", n);
	in->watches.items = items;
	for (text = p->fdinfo; text_line(&text, &line);) {
		struct inotify_watch *w = &items[in->watches.n];

		if (!blob_starts(line, "inotify wd:"))
			continue;
		if (!inotify_value(line, "wd:", 16, &wd) || !inotify_value(line, "ino:", 16, &w->ino) ||
		    !inotify_value(line, "sdev:", 16, &dev) || !inotify_value(line, "mask:", 16, &mask))
			return collection_refuse(c, p, -EINVAL, "inotify: fdinfo says \"%.*s\"", (int)line.n, (const char *)line.p);
		w->wd = (int32_t)wd;
		w->mask = (uint32_t)mask & INOTIFY_MASK;
		w->dev = makedev((unsigned)(dev >> 20), (unsigned)(dev & 0xfffff));
		rc = inotify_path(c, p, line, w);
		if (rc < 0)
			return rc;
		in->watches.n++;
	}
	if (sys_ioctl(p->fd, FIONREAD, (long)&pending) == 0 && pending > 0) {
		in->pending = (uint32_t)pending;
		collection_loss(c, p, "inotify: %d bytes of events that nobody has read are lost at a restart: the queue has run over then",
				pending);
	}
	return 0;
}

/* Ascending numbers, since that is how the kernel gives them. fdinfo lists the newest first. */
static struct inotify_watch *inotify_sorted(struct inotify *in)
{
	struct inotify_watch *w = in->watches.items, swap;

	for (uint32_t gap = in->watches.n / 2; gap; gap /= 2)
		for (uint32_t i = gap; i < in->watches.n; i++)
			for (uint32_t j = i; j >= gap && w[j - gap].wd > w[j].wd; j -= gap) {
				swap = w[j];
				w[j] = w[j - gap];
				w[j - gap] = swap;
			}
	return w;
}

static void inotify_drop(int fd, uint32_t keep)
{
	char drop[4096];
	int waiting;

	while (sys_ioctl(fd, FIONREAD, (long)&waiting) == 0 && (uint32_t)waiting > keep)
		if (sys_read(fd, drop, (uint32_t)waiting - keep < sizeof(drop) ? (uint32_t)waiting - keep : sizeof(drop)) <= 0)
			break;
}

static bool inotify_by_descriptor(struct rebuild *r, const struct inotify_watch *w, char own[40])
{
	for (uint32_t o = OBJ_NONE; (o = file_same_inode(r, w->dev, w->ino, o)) != OBJ_NONE;) {
		if ((rebuild_flags(r, o) & O_PATH) || rebuild_fd(r, o) < 0)
			continue;
		text_format(own, 40, "/proc/self/fd/%d", rebuild_fd(r, o));
		return true;
	}
	return false;
}

/* Adds a watch under its number. What can't be watched any more uses its number up: 1. */
static int inotify_add(struct rebuild *r, uint32_t obj, int fd, const struct inotify_watch *w)
{
	const char *path = file_text(r, w->path);
	uint32_t mask = w->mask | IN_DONT_FOLLOW;
	char own[40];
	bool lost;
	long wd = -1;

	if (!path)
		return -ENOMEM;
	lost = *path && !inotify_is(path, w);
	if (!*path) {
		lost = !inotify_by_descriptor(r, w, own);
		path = lost ? "a deleted file" : own;
		mask = w->mask;
	}
	if (lost)
		rebuild_loss(r, obj, "inotify: %s was moved, deleted or replaced: watch %d is gone", path, w->wd);
	for (uint32_t i = 0; i < INOTIFY_GAP; i++) {
		wd = SYS3(__NR_inotify_add_watch, fd, lost ? "/" : path, lost ? IN_DELETE_SELF : mask);
		if (wd < 0 || wd >= w->wd)
			break;
		SYS2(__NR_inotify_rm_watch, fd, wd);
		if (i % 1024 == 1023)
			inotify_drop(fd, 0);
	}
	if (wd < 0)
		return failed((int)wd, "inotify: %s", path);
	if (wd != w->wd)
		return failed(-EINVAL, "inotify: watch %d of %s", w->wd, path);
	return lost ? 1 : 0;
}

/* Reading and writing a file of our own in turns: the same event twice would be one. */
static int inotify_run_over(int fd)
{
	int memfd = (int)sys_memfd_create("events", MFD_CLOEXEC), before = -1, now = 0, file, wd;
	char path[40], byte = 0;

	/* the first description of it tells nothing (Linux 6.14) */
	file = memfd < 0 ? memfd : file_reopen(memfd, O_RDWR);
	if (memfd >= 0)
		sys_close(memfd);
	if (file < 0)
		return file;
	text_format(path, sizeof(path), "/proc/self/fd/%d", file);
	wd = (int)SYS3(__NR_inotify_add_watch, fd, path, IN_ACCESS | IN_MODIFY);
	for (uint32_t i = 0; wd >= 0 && i < INOTIFY_EVENTS && now != before; i++) {
		sys_pwrite(file, &byte, 1, 0);
		sys_pread(file, &byte, 1, 0);
		/* the kernel counts them one by one */
		if (i % 1024 != 1023)
			continue;
		before = now;
		if (sys_ioctl(fd, FIONREAD, (long)&now) < 0)
			break;
	}
	/* the queue is full, so this is not told */
	if (wd >= 0)
		SYS2(__NR_inotify_rm_watch, fd, wd);
	sys_close(file);
	inotify_drop(fd, now == before ? sizeof(struct inotify_event) : 0);
	return wd < 0 ? wd : 0;
}

static int inotify_create(struct rebuild *r, uint32_t obj, void *rec)
{
	int fd = (int)SYS1(__NR_inotify_init1, IN_CLOEXEC | IN_NONBLOCK);

	(void)r, (void)obj, (void)rec;
	return fd < 0 ? failed(fd, "inotify") : fd;
}

static int inotify_fill(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct inotify_watch *w = inotify_sorted(rec);
	struct inotify *in = rec;
	int rc = 0;

	for (uint32_t i = 0; rc >= 0 && i < in->watches.n; i++) {
		rc = inotify_add(r, obj, fd, &w[i]);
		/* Given up at once: a later one may need the same stand-in. */
		if (rc == 1)
			SYS2(__NR_inotify_rm_watch, fd, w[i].wd);
	}
	inotify_drop(fd, 0);
	if (rc >= 0 && in->pending)
		rc = inotify_run_over(fd);
	return rc < 0 ? failed(rc, "inotify") : 0;
}

const struct kind kind_inotify = {
	.tag = "inotify", .size = sizeof(struct inotify), .fields = inotify_fields,
	.match = inotify_match, .collect = inotify_collect, .create = inotify_create, .fill = inotify_fill,
};
