/*
 * file.c - names and inodes
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/vfs.h>

#include "agent.h"
#include "file.h"

#include "skshim/frozen.h"

#define FILE_DELETED " (deleted)"

struct blob file_name(const struct probe *p, bool *deleted)
{
	const size_t tail = sizeof(FILE_DELETED) - 1;
	struct blob name = p->path;

	/* A name may end so by itself: the link count decides, but for files that were linked again elsewhere. */
	*deleted = name.n > tail && memcmp((const char *)name.p + name.n - tail, FILE_DELETED, tail) == 0;
	if (*deleted && p->st.st_nlink > 0) {
		struct stat st;

		if (sys_fstatat(AT_FDCWD, name.p, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == p->st.st_ino &&
		    st.st_dev == p->st.st_dev)
			*deleted = false;
	}
	if (*deleted)
		name.n -= tail;
	return name;
}

const char *file_text(struct rebuild *r, struct blob name)
{
	return arena_blob(rebuild_arena(r), name.p, name.n).p;
}

int file_reopen(int fd, int flags)
{
	char path[40];

	text_format(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
	return sys_openat(AT_FDCWD, path, flags | O_CLOEXEC | O_NOCTTY, 0);
}

static bool in_group(uint32_t gid)
{
	uint32_t groups[256];
	long n = SYS2(__NR_getgroups, sizeof(groups) / sizeof(groups[0]), groups); /* of more none counts */
	bool found = gid == (uint32_t)SYS0(__NR_getegid);

	while (n-- > 0)
		found |= groups[n] == gid;
	return found;
}

int file_permit(const char *path, uint32_t add, uint32_t *mode)
{
	struct stat st;

	/* no sys_fstatat: the path is one of this process's root directory */
	if (SYS4(__NR_newfstatat, AT_FDCWD, path, &st, 0) < 0 || st.st_uid != (uint32_t)SYS0(__NR_geteuid))
		return -EACCES;
	/* a change of the mode by an owner who isn't in the file's group takes S_ISGID away for good */
	if (st.st_mode & S_ISGID && !in_group(st.st_gid))
		return -EACCES;
	*mode = st.st_mode & 07777;
	return (int)SYS3(__NR_fchmodat, AT_FDCWD, path, *mode | add);
}

void file_forbid(const char *path, uint32_t mode)
{
	(void)SYS3(__NR_fchmodat, AT_FDCWD, path, mode);
}

/* The program had it open already when its mode was changed. */
static int file_open_forbidden(const char *path, int flags)
{
	int place = sys_openat(AT_FDCWD, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0), fd = -EACCES;
	char name[40];
	struct stat st;
	uint32_t mode;

	if (place < 0)
		return fd;
	text_format(name, sizeof(name), "/proc/thread-self/fd/%d", place);
	if (sys_fstat(place, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) &&
	    file_permit(name, S_IRUSR | S_IWUSR, &mode) == 0) {
		fd = file_reopen(place, flags);
		file_forbid(name, mode);
	}
	sys_close(place);
	return fd;
}

int file_open(const char *path, int flags)
{
	int fd = path ? sys_openat(AT_FDCWD, path, flags, 0) : -ENOMEM;

	return fd == -EACCES ? file_open_forbidden(path, flags) : fd;
}

int file_open_flags(uint32_t flags)
{
	const uint32_t keep = O_ACCMODE | O_APPEND | O_DIRECT | O_NOATIME | O_SYNC | O_DSYNC;

	return (int)(flags & keep) | O_CLOEXEC | O_NOCTTY;
}

bool file_pseudo(int fd)
{
	static const uint32_t magics[] = {
		0x9fa0,     /* proc */
		0x62656572, /* sysfs */
		0x27e0eb,   /* cgroup */
		0x63677270, /* cgroup2 */
		0x64626720, /* debugfs */
		0x74726163, /* tracefs */
		0x73636673, /* securityfs */
		0x62656570, /* configfs */
		0xcafe4a11, /* bpf */
		0x6e736673, /* nsfs */
		0x19800202, /* mqueue */
	};
	struct statfs fs;

	if (SYS2(__NR_fstatfs, fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if ((uint32_t)fs.f_type == magics[i])
			return true;
	return false;
}

/* Whether the process whose file it is lives: the same inode has its name. */
static bool file_process_lives(const struct probe *p, struct blob name)
{
	char path[256];
	struct stat st;

	if (name.n >= sizeof(path))
		return true;
	memcpy(path, name.p, name.n);
	path[name.n] = 0;
	return sys_fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == p->st.st_ino;
}

int file_of_process(struct collection *c, const struct probe *p, struct blob name, uint32_t *own)
{
	const char *at = (const char *)name.p + sizeof("/proc/") - 1, *end = (const char *)name.p + name.n;
	uint64_t pid, tid;

	if (!blob_starts(name, "/proc/") || !text_number(&at, end, 10, &pid))
		return 0;
	*own = FILE_OWN;
	if (pid != (uint64_t)c->pid && !file_process_lives(p, name)) {
		*own = FILE_OWN_GONE;
		return 0;
	}
	if (pid != (uint64_t)c->pid && (!c->member || !c->member((int)pid)))
		return collection_refuse(c, p, -EOPNOTSUPP, "%.*s is of a process outside: close it", (int)name.n,
					 (const char *)name.p);
	/* threads come last of all */
	if (blob_starts((struct blob){ at, (uint64_t)(end - at) }, "/task/")) {
		at += sizeof("/task/") - 1;
		if (text_number(&at, end, 10, &tid) && tid != pid)
			return collection_refuse(c, p, -EOPNOTSUPP, "%.*s is of a thread and not supported: close it",
						 (int)name.n, (const char *)name.p);
	}
	return 0;
}

struct file_gone {
	int pid, flags;
	const char *path;
};

static int file_open_gone(void *arg)
{
	const struct file_gone *g = arg;

	/* where the number can't be had it is somebody else's */
	return sys_getpid() == g->pid ? sys_openat(AT_FDCWD, g->path, g->flags, 0) : -ESRCH;
}

int file_create_own(struct blob name, uint32_t own, uint32_t flags)
{
	const char *at = (const char *)name.p + sizeof("/proc/") - 1;
	char path[256];
	struct file_gone g = { 0, file_open_flags(flags) | (int)(flags & (O_DIRECTORY | O_PATH)), path };
	struct agent_id who = { .uid = (uint32_t)SYS0(__NR_geteuid), .gid = (uint32_t)SYS0(__NR_getegid) };
	uint64_t pid = 0;
	int fd = -ENOENT;

	if (own == FILE_OWN_GONE && name.n < sizeof(path) && blob_starts(name, "/proc/") &&
	    text_number(&at, (const char *)name.p + name.n, 10, &pid)) {
		memcpy(path, name.p, name.n);
		path[name.n] = 0;
		g.pid = (int)pid;
		who.pid = g.pid;
		fd = agent_run(&who, file_open_gone, &g);
		agent_end(g.pid);
	}
	if (fd < 0)
		fd = sys_openat(AT_FDCWD, flags & O_DIRECTORY ? "/" : "/dev/null", g.flags & ~O_DIRECT, 0);
	return fd;
}

int file_give_way(struct rebuild *r, int own, int fd)
{
	int self = sys_getpid(), rc = 0;
	uint64_t slots = 0;
	struct blob status;
	long cloexec;

	if (arena_read_file(rebuild_arena(r), AT_FDCWD, "/proc/self/status", &status) == 0)
		text_field(status, "FDSize:", 10, &slots);
	/* its lowest number last, for the others are known by it */
	for (int n = (int)slots > fd ? (int)slots - 1 : fd; rc >= 0 && n >= fd; n--) {
		cloexec = n == own ? -EBADF : sys_fcntl(n, F_GETFD, 0);
		if (cloexec < 0 || (n != fd && sys_kcmp(self, self, KCMP_FILE, (unsigned long)fd, (unsigned long)n) != 0))
			continue;
		rc = sys_dup3(own, n, cloexec & FD_CLOEXEC ? O_CLOEXEC : 0);
	}
	sys_close(own);
	return rc < 0 ? rc : 0;
}

int file_link_own(struct rebuild *r, const char *path, uint32_t flags, uint64_t pos, int fd)
{
	int how = file_open_flags(flags) | (int)(flags & (O_DIRECTORY | O_PATH)) | (flags & O_PATH ? O_NOFOLLOW : 0);
	int own = path ? sys_openat(AT_FDCWD, path, how, 0) : -ENOMEM, rc;
	int64_t at = 0;

	if (own < 0)
		return failed(own, "%s", path ? path : "file name");
	if (pos)
		at = sys_lseek(own, (int64_t)pos, SEEK_SET);
	rc = at < 0 ? (int)at : 0;
	if (rc == 0 && !(flags & O_PATH))
		rc = (int)sys_fcntl(own, F_SETFL, (long)(flags & O_NONBLOCK));
	if (rc < 0)
		sys_close(own);
	else
		rc = file_give_way(r, own, fd);
	return rc < 0 ? failed(rc, "%s", path) : 0;
}

int64_t file_mtime(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

int file_reachable(struct collection *c, const struct probe *p, struct blob name)
{
	struct stat st;
	/* The bytes behind the name are " (deleted)" or the terminating zero. */
	int rc = *((const char *)name.p + name.n) == 0 ? sys_fstatat(AT_FDCWD, name.p, &st, AT_SYMLINK_NOFOLLOW) : -ENOENT;

	if (rc == 0 && st.st_ino == p->st.st_ino && st.st_dev == p->st.st_dev)
		return 0;
	/* What may not be looked at may all the same be there at the restart, which asks again. */
	if (rc == -EACCES)
		return 0;
	return collection_refuse(c, p, -EOPNOTSUPP,
				 "%.*s is not what its name leads to: it is hidden by a mount or in another mount namespace",
				 (int)name.n, (const char *)name.p);
}

/* Length of the directory part of an absolute name, 1 for the root. */
static size_t file_directory(const char *name, size_t n)
{
	while (n > 1 && name[n - 1] != '/')
		n--;
	return n > 1 ? n - 1 : 1;
}

struct blob file_other_name(struct arena *arena, struct blob name, const struct stat *want)
{
	_Alignas(8) char buf[8192];
	struct blob found = { NULL, 0 }, dir = arena_blob(arena, name.p, file_directory(name.p, name.n));
	int fd = dir.p ? sys_openat(AT_FDCWD, dir.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) : -ENOMEM;
	struct stat st;
	long n, at;

	if (fd < 0)
		return found;
	while (!found.p && (n = sys_getdents64(fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n && !found.p; at += *(uint16_t *)(buf + at + 16)) {
			const char *entry = buf + at + 19;

			if (*(uint64_t *)(buf + at) != want->st_ino || sys_fstatat(fd, entry, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			    st.st_dev != want->st_dev || st.st_ino != want->st_ino)
				continue;
			found = arena_format(arena, "%s%s%s", (const char *)dir.p, dir.n > 1 ? "/" : "", entry);
		}
	}
	sys_close(fd);
	return found;
}

struct blob file_open_name(struct collection *c, uint64_t dev, uint64_t ino, bool *nameless)
{
	*nameless = false;
	for (uint32_t i = 0; i < c->nprobes; i++) {
		const struct probe *p = &c->probes[i];
		struct blob name;
		struct stat st;
		bool deleted;

		if (p->st.st_dev != dev || p->st.st_ino != ino || !(S_ISREG(p->st.st_mode) || S_ISDIR(p->st.st_mode)))
			continue;
		name = file_name(p, &deleted);
		if (!deleted && blob_starts(name, "/") && sys_fstatat(AT_FDCWD, name.p, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_ino == ino && st.st_dev == dev)
			return name;
		*nameless = *nameless || !(p->flags & O_PATH);
	}
	return (struct blob){ NULL, 0 };
}

int file_nearest_directory(const char *path)
{
	char dir[4096];
	size_t n = strlen(path);
	int fd = -ENAMETOOLONG;

	if (n >= sizeof(dir))
		return fd;
	memcpy(dir, path, n + 1);
	do {
		n = file_directory(dir, n);
		dir[n] = 0;
		fd = sys_openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	} while (fd < 0 && n > 1);
	return fd;
}

/*
 * Objects by inode, in lists of equal hash. Made at the first question by the
 * builder, which has one image.
 */
static struct {
	const char *of; /* base of the rebuild's arena, which the lists are in */
	uint32_t *head, *next;
	uint32_t mask;
} inodes;

struct inode_head {
	uint64_t dev, ino;
};

static const struct inode_head *inode_of(struct rebuild *r, uint32_t obj)
{
	const struct kind *k = rebuild_kind(r, obj);

	if (!k || !k->fields[0].name || !k->fields[1].name || strlen(k->fields[0].name) != 3 ||
	    memcmp(k->fields[0].name, "dev", 3) != 0 || memcmp(k->fields[1].name, "ino", 4) != 0 || k->fields[0].offset != 0 ||
	    k->fields[1].offset != 8 || k->fields[0].type != FIELD_U64_T || k->fields[1].type != FIELD_U64_T)
		return NULL;
	return rebuild_record(r, obj);
}

static uint32_t inode_slot(uint64_t dev, uint64_t ino)
{
	uint64_t h = (ino * 0x9e3779b97f4a7c15ull) ^ (dev * 0xc2b2ae3d27d4eb4full);

	return (uint32_t)(h >> 32) & inodes.mask;
}

static int inodes_begin(struct rebuild *r)
{
	uint32_t n = rebuild_objects(r), size = 16, i;
	const struct inode_head *at;

	while (size < n)
		size *= 2;
	inodes.head = arena_alloc(rebuild_arena(r), size * sizeof(uint32_t));
	inodes.next = arena_alloc(rebuild_arena(r), (n + 1) * sizeof(uint32_t));
	if (!inodes.head || !inodes.next)
		return -ENOMEM;
	inodes.mask = size - 1;
	for (i = 0; i < size; i++)
		inodes.head[i] = OBJ_NONE;
	for (i = n; i-- > 0;) {
		uint32_t *head;

		at = inode_of(r, i);
		if (!at)
			continue;
		head = &inodes.head[inode_slot(at->dev, at->ino)];
		inodes.next[i] = *head;
		*head = i;
	}
	inodes.of = rebuild_arena(r)->base;
	return 0;
}

uint32_t file_same_inode(struct rebuild *r, uint64_t dev, uint64_t ino, uint32_t after)
{
	const struct inode_head *at;
	uint32_t obj;

	if (inodes.of != rebuild_arena(r)->base && inodes_begin(r) < 0)
		return OBJ_NONE;
	obj = after == OBJ_NONE ? inodes.head[inode_slot(dev, ino)] : inodes.next[after];
	for (; obj != OBJ_NONE; obj = inodes.next[obj]) {
		at = inode_of(r, obj);
		if (at->dev == dev && at->ino == ino)
			return obj;
	}
	return OBJ_NONE;
}

const void *file_next_record(struct rebuild *r, const struct kind *kind, uint64_t dev, uint64_t ino, struct file_record_at *at)
{
	const void *rec;

	if (at->obj == OBJ_NONE)
		at->process = UINT32_MAX;
	for (;;) {
		if (at->process != UINT32_MAX && at->process + 1 < rebuild_processes(r)) {
			at->process++;
		} else {
			do
				at->obj = file_same_inode(r, dev, ino, at->obj);
			while (at->obj != OBJ_NONE && rebuild_kind(r, at->obj) != kind);
			if (at->obj == OBJ_NONE)
				return NULL;
			at->process = 0;
		}
		rec = rebuild_held(r, at->process, at->obj);
		if (rec)
			return rec;
	}
}
