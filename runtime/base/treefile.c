/*
 * treefile.c - the file behind struct tree
 *
 * No process keeps a descriptor of it: programs that close everything they
 * find, or that list /proc/self/fd, shall not meet it. Its path, in the
 * environment, is how an executed program finds it again, so whatever that path
 * leads to is checked like any other input.
 *
 * Who sweeps may meet a tree that is just being made: until `ready` is set it
 * belongs to root_pid, and before that is set, to the last minute.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "skshim/away.h"
#include "skshim/str.h"
#include "skshim/sys.h"
#include "skshim/treefile.h"
#include "skshim/frozen.h"

#define PF_EXITING 0x4          /* include/linux/sched.h */
#define TREE_VERSION 5
#define ID_DIGITS 16
#define UNFINISHED_SECONDS 60

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct dirent_kernel {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static uint32_t my_uid(void)
{
	return (uint32_t)SYS0(__NR_geteuid);
}

/*
 * Ticks that a time namespace adds to the start times we read, and that are
 * taken off again: those inside and outside must mean the same. 0 in the
 * machine's own (PROC_TIME_INIT_INO). Remembered: nothing is told when the
 * process's first thread has ended.
 */
uint64_t treefile_added_ticks(void)
{
	static const char own[] = "time:[4026531834]", name[] = "boottime";
	static struct {
		char space[32];
		uint64_t ticks;
	} known;
	char text[256], space[32] = "";
	const char *p;
	bool minus;
	uint64_t value = 0;
	long n = sys_readlinkat(AT_FDCWD, "/proc/thread-self/ns/time", space, sizeof(space) - 1);
	int fd;

	if (n <= 0 || (n == sizeof(own) - 1 && !memcmp(space, own, sizeof(own) - 1)))
		return 0;
	if (!memcmp(space, known.space, sizeof(space)))
		return known.ticks;
	fd = sys_openat(AT_FDCWD, "/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	n = sys_read(fd, text, sizeof(text) - 1);
	sys_close(fd);
	if (n < 0)
		return 0;
	text[n] = 0;
	for (p = text; p < text + n && memcmp(p, name, sizeof(name) - 1) != 0 && p + sizeof(name) < text + n; p++)
		;
	for (p += sizeof(name) - 1; p < text + n && *p == ' '; p++)
		;
	minus = *p == '-';
	p += minus;
	if (p >= text + n || !text_number(&p, text + n, 10, &value))
		return 0;
	known.ticks = (minus ? -value : value) * 100;
	memcpy(known.space, space, sizeof(space));
	return known.ticks;
}

int treefile_stat(int pid, struct treefile_stat *st)
{
	char path[32], buf[1024];
	const char *p, *end, *open;
	uint64_t value;
	long n;
	int fd, field;

	if (pid == 0)
		text_format(path, sizeof(path), "/proc/self/stat");
	else
		text_format(path, sizeof(path), "/proc/%d/stat", pid);
	fd = away_open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fd;
	n = sys_read(fd, buf, sizeof(buf) - 1);
	sys_close(fd);
	if (n <= 0)
		return n ? (int)n : -ESRCH;
	buf[n] = 0;
	/* The name may hold anything, ") " included: the last parenthesis ends it. */
	for (end = buf + n; end > buf && *end != ')'; end--)
		;
	for (open = buf; open < end && *open != '('; open++)
		;
	if (end == buf || end + 4 > buf + n)
		return -EINVAL;
	memset(st, 0, sizeof(*st));
	memcpy(st->comm, open + 1, (size_t)(end - open - 1) < sizeof(st->comm) - 1 ? (size_t)(end - open - 1)
										 : sizeof(st->comm) - 1);
	st->state = end[2];
	p = end + 3;
	for (field = 4; field <= 22; field++) {
		bool minus;

		while (*p == ' ')
			p++;
		minus = *p == '-';
		p += minus;
		if (!text_number(&p, buf + n, 10, &value))
			return -EINVAL;
		if (field == 4)
			st->ppid = (int32_t)value;
		if (field == 9)
			st->exiting = value & PF_EXITING;
		/* only the first thread has ended */
		if (field == 20 && value > 1 && st->state == 'Z')
			st->state = 'S';
	}
	st->start_time = value - treefile_added_ticks();
	return 0;
}

uint64_t treefile_pidns(void)
{
	struct stat st;

	return sys_fstatat(AT_FDCWD, "/proc/thread-self/ns/pid", &st, 0) < 0 ? 0 : st.st_ino;
}

/* --- attaching ---------------------------------------------------------------------------------------------- */

/* "skshim-<uid>-<16 hex>": whose it is. */
static bool name_of(const char *name, uint64_t *uid)
{
	const char *p = name + sizeof(TREE_PREFIX) - 1, *end = name + strlen(name);

	if (memcmp(name, TREE_PREFIX, strlen(name) < sizeof(TREE_PREFIX) - 1 ? strlen(name) + 1 : sizeof(TREE_PREFIX) - 1) != 0)
		return false;
	if (!text_number(&p, end, 10, uid) || p == end || *p++ != '-' || end - p != ID_DIGITS)
		return false;
	for (; p < end; p++)
		if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f')))
			return false;
	return true;
}

static bool name_is_ours(const char *name)
{
	uint64_t uid;

	return name_of(name, &uid) && uid == my_uid();
}

static int map(int fd, struct tree **out)
{
	void *p = sys_mmap(NULL, sizeof(struct tree), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (sys_is_err(p))
		return (int)(long)p;
	*out = p;
	return 0;
}

/* The file's own facts are checked before it is mapped: a shorter one would end the reader with SIGBUS. */
static int attach(const char *path, struct tree **out, struct stat *st)
{
	int fd = sys_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0), rc;

	*out = NULL;
	if (fd < 0)
		return fd == -ELOOP ? -EINVAL : fd == -EPERM ? -EACCES : fd;
	rc = sys_fstat(fd, st);
	if (rc == 0 && st->st_uid != my_uid())
		rc = -EACCES;
	else if (rc == 0 && (!S_ISREG(st->st_mode) || (st->st_mode & 077)))
		rc = -EINVAL;
	else if (rc == 0 && st->st_size != (int64_t)sizeof(struct tree))
		rc = -EPROTO;
	if (rc == 0)
		rc = map(fd, out);
	sys_close(fd);
	if (rc < 0)
		return rc;
	if ((*out)->magic != TREE_MAGIC)
		rc = -EINVAL;
	else if ((*out)->version != TREE_VERSION || (*out)->size != sizeof(struct tree))
		rc = -EPROTO;
	else if (strlen(path) >= TREE_PATH || memcmp((*out)->path, path, strlen(path) + 1) != 0)
		rc = -EINVAL;
	if (rc < 0) {
		treefile_detach(*out);
		*out = NULL;
	}
	return rc;
}

int treefile_attach(const char *path, struct tree **out)
{
	const char *name = path, *p;
	struct stat st;
	uint64_t uid;
	int rc;

	*out = NULL;
	if (*path != '/')
		return -EINVAL;
	for (p = path; *p; p++)
		if (*p == '/')
			name = p + 1;
	if (p - path >= TREE_PATH)
		return -EINVAL;
	/* in a user namespace that the tree made we may have another number than in the name: its owner is the same */
	if (!name_of(name, &uid))
		return -EINVAL;
	rc = attach(path, out, &st);
	if (rc == 0 && (*out)->pidns != treefile_pidns()) {
		treefile_detach(*out);
		*out = NULL;
		rc = -EXDEV;
	}
	return rc;
}

void treefile_detach(struct tree *tree)
{
	if (tree)
		sys_munmap(tree, sizeof(*tree));
}

void treefile_remove(struct tree *tree)
{
	sys_unlinkat(AT_FDCWD, tree->path, 0);
}

/* --- who lives in it ---------------------------------------------------------------------------------------- */

bool treefile_lives(const struct member *m)
{
	struct treefile_stat st;
	int pid = __atomic_load_n(&m->pid, __ATOMIC_ACQUIRE), rc;
	uint64_t start = m->start_time;

	if (pid == 0)
		return false;
	if (pid < 0)             /* being born: lives as long as who makes it, whose start_time it is */
		pid = m->ppid;
	else if (__atomic_load_n(&m->state, __ATOMIC_ACQUIRE) == MEMBER_BORN)
		start = 0;
	rc = sys_kill(pid, 0);
	if (rc == -ESRCH)
		return false;
	rc = treefile_stat(pid, &st);
	if (rc < 0)
		return sys_kill(pid, 0) != -ESRCH;
	return st.state != 'Z' && st.state != 'X' && (!start || start == st.start_time);
}

bool treefile_inhabited(const struct tree *tree, int except)
{
	uint32_t n = __atomic_load_n(&tree->nmembers, __ATOMIC_ACQUIRE), i;

	for (i = 0; i < n && i < TREE_MEMBERS; i++) {
		const struct member *m = &tree->members[i];

		if (m->pid != 0 && m->pid != except && !m->leaving && treefile_lives(m))
			return true;
	}
	return false;
}

/* Whether /proc/NAME has the file mapped; yes when we may not look. */
static bool has_mapped(const char *name, const char *file)
{
	size_t len = strlen(file), kept = 0, n;
	char buf[8192], path[64];
	bool found = false;
	int fd;
	long rc;

	text_format(path, sizeof(path), "/proc/%s/maps", name);
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd != -ENOENT && fd != -ESRCH;
	while (!found && (rc = sys_read(fd, buf + kept, sizeof(buf) - kept)) > 0) {
		n = kept + (size_t)rc;
		for (size_t at = 0; at + len <= n && !found; at++)
			found = !memcmp(buf + at, file, len);
		kept = n < len ? n : len - 1;
		memmove(buf, buf + n - kept, kept);
	}
	sys_close(fd);
	return found || (rc < 0 && rc != -ESRCH);
}

/*
 * Has any process we see in that pid namespace the tree's file mapped? Those in namespaces that ours made are seen
 * from here. The namespace's number alone says little: the kernel gives it to the next one.
 */
static bool namespace_lives(const struct tree *tree)
{
	char buf[4096] __attribute__((aligned(8))), path[64];
	int fd = sys_openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	const char *file = tree->path + strlen(tree->path);
	bool found = fd < 0;
	struct stat st;
	long n, at;

	while (file > tree->path && file[-1] != '/')
		file--;
	while (!found && (n = sys_getdents64(fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n && !found; at += ((struct dirent_kernel *)(buf + at))->reclen) {
			const char *name = ((struct dirent_kernel *)(buf + at))->name;

			if (name[0] < '1' || name[0] > '9')
				continue;
			text_format(path, sizeof(path), "/proc/%s/ns/pid", name);
			found = sys_fstatat(AT_FDCWD, path, &st, 0) == 0 && st.st_ino == tree->pidns &&
				has_mapped(name, file);
		}
	}
	if (fd >= 0)
		sys_close(fd);
	return found;
}

static bool abandoned(const struct tree *tree, uint64_t pidns, const struct stat *st)
{
	struct __kernel_timespec now;
	struct treefile_stat root;

	if (tree->pidns != pidns)
		return tree->outer && tree->outer == pidns && tree->ready && !namespace_lives(tree);
	if (__atomic_load_n(&tree->ready, __ATOMIC_ACQUIRE))
		return !treefile_inhabited(tree, 0);
	if (tree->root_pid)
		return treefile_stat(tree->root_pid, &root) == -ENOENT && sys_kill(tree->root_pid, 0) == -ESRCH;
	return sys_clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec - st->st_mtim.tv_sec > UNFINISHED_SECONDS;
}

/* --- all of them -------------------------------------------------------------------------------------------- */

struct visit {
	int (*fn)(struct tree *, void *arg);   /* NULL: sweep */
	void *arg;
	uint64_t pidns;
	int swept;
};

static int visit_file(struct visit *v, const char *dir, const char *name)
{
	struct tree *tree;
	struct stat st;
	char path[TREE_PATH];
	int rc = 0;

	if (strlen(dir) + strlen(name) + 2 > sizeof(path))
		return 0;
	text_format(path, sizeof(path), "%s/%s", dir, name);
	if (attach(path, &tree, &st) < 0)
		return 0;
	if (v->fn) {
		if (tree->pidns == v->pidns)
			rc = v->fn(tree, v->arg);
	} else if (abandoned(tree, v->pidns, &st)) {
		treefile_remove(tree);
		v->swept++;
	}
	treefile_detach(tree);
	return rc;
}

static int visit_dir(struct visit *v, const char *dir)
{
	char buf[4096] __attribute__((aligned(8)));
	int fd = sys_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), rc = 0;
	long n, at;

	if (fd < 0)
		return 0;
	while (rc == 0 && (n = sys_getdents64(fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n && rc == 0; at += ((struct dirent_kernel *)(buf + at))->reclen) {
			const struct dirent_kernel *d = (const struct dirent_kernel *)(buf + at);

			if (memcmp(d->name, TREE_PREFIX, sizeof(TREE_PREFIX) - 1) == 0 && name_is_ours(d->name))
				rc = visit_file(v, dir, d->name);
		}
	}
	sys_close(fd);
	return rc;
}

static const char *place(const char *tmpdir, int i)
{
	if (i == 0)
		return "/dev/shm";
	if (i == 1)
		return tmpdir && *tmpdir == '/' && strlen(tmpdir) < TREE_PATH - 64 ? tmpdir : "/tmp";
	return i == 2 && tmpdir ? "/tmp" : NULL;
}

static int visit_all(struct visit *v, const char *tmpdir)
{
	const char *dir;
	int i, rc = 0;

	v->pidns = treefile_pidns();
	for (i = 0; rc == 0 && (dir = place(tmpdir, i)); i++)
		rc = visit_dir(v, dir);
	return rc;
}

int treefile_each(const char *tmpdir, int (*fn)(struct tree *, void *arg), void *arg)
{
	struct visit v = { .fn = fn, .arg = arg };

	return visit_all(&v, tmpdir);
}

int treefile_sweep(const char *tmpdir)
{
	struct visit v = { .fn = NULL };

	visit_all(&v, tmpdir);
	return v.swept;
}

/* --- making one --------------------------------------------------------------------------------------------- */

static int allocate(int fd, size_t from, size_t n)
{
	int rc = (int)SYS4(__NR_fallocate, fd, 0, from, n);

	return rc == -EOPNOTSUPP ? 0 : rc;
}

bool treefile_populate(const void *from, size_t n)
{
	uintptr_t start = (uintptr_t)from & ~(ARCH_PAGE - 1);
	uintptr_t end = ((uintptr_t)from + n + ARCH_PAGE - 1) & ~(ARCH_PAGE - 1);
	int rc = sys_madvise((void *)start, end - start, MADV_POPULATE_WRITE);

	/* EINVAL: a kernel before 5.14 doesn't know the advice. */
	return rc == 0 || rc == -EINVAL;
}

bool treefile_backed(uint8_t *state, const void *from, size_t n)
{
	uint8_t now = __atomic_load_n(state, __ATOMIC_ACQUIRE);

	if (now == 0) {
		now = treefile_populate(from, n) ? 1 : 2;
		__atomic_store_n(state, now, __ATOMIC_RELEASE);
	}
	return now == 1;
}

static int create_in(const char *dir, uint64_t id, struct tree **out)
{
	const size_t tables = offsetof(struct tree, lineage_hint);
	char path[TREE_PATH];
	int fd, rc;

	text_format(path, sizeof(path), "%s/" TREE_PREFIX "%u-%016llx", dir, my_uid(), (unsigned long long)id);
	fd = sys_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fd;
	rc = (int)SYS2(__NR_fchmod, fd, 0600);
	if (rc == 0)
		rc = sys_ftruncate(fd, sizeof(struct tree));
	/* What everybody touches is there from the start, the rest when it is needed: see treefile_populate(). */
	if (rc == 0)
		rc = allocate(fd, 0, offsetof(struct tree, members[TREEFILE_MEMBERS]));
	if (rc == 0)
		rc = allocate(fd, tables, offsetof(struct tree, lineage_index) - tables);
	if (rc == 0)
		rc = map(fd, out);
	sys_close(fd);
	if (rc < 0) {
		sys_unlinkat(AT_FDCWD, path, 0);
		return rc;
	}
	memcpy((*out)->path, path, strlen(path) + 1);
	return 0;
}

/* Beyond the limit of file sizes it would end in SIGXFSZ: the soft one, raised for the moment, is no obstacle. */
static int create(const char *tmpdir, uint64_t id, struct tree **out)
{
	struct rlimit64 had = { RLIM64_INFINITY, RLIM64_INFINITY }, raised;
	const char *dir;
	int rc = -ENOENT;

	sys_prlimit(0, RLIMIT_FSIZE, NULL, &had);
	raised = (struct rlimit64){ had.rlim_max, had.rlim_max };
	if (had.rlim_max < sizeof(struct tree))
		return -EFBIG;
	if (had.rlim_cur < sizeof(struct tree))
		sys_prlimit(0, RLIMIT_FSIZE, &raised, NULL);
	for (int i = 0; rc != 0 && (dir = place(tmpdir, i)); i++)
		rc = create_in(dir, id, out);
	if (had.rlim_cur < sizeof(struct tree))
		sys_prlimit(0, RLIMIT_FSIZE, &had, NULL);
	return rc;
}

int treefile_create(const char *tmpdir, struct tree **out)
{
	uint64_t id;
	int rc;

	treefile_sweep(tmpdir);
	if (SYS3(__NR_getrandom, &id, sizeof(id), 0) != sizeof(id))
		return failed(-EIO, "no random number for the tree's name");
	rc = create(tmpdir, id, out);
	if (rc == -EFBIG)
		return failed(rc, "a tree's shared memory: %u MiB, more than the limit of file sizes allows (RLIMIT_FSIZE)",
			      (unsigned)(sizeof(struct tree) >> 20));
	if (rc < 0)
		return failed(rc, "no place for the shared memory in /dev/shm, %s", place(tmpdir, 1));
	(*out)->root_pid = sys_getpid();
	(*out)->id = id;
	(*out)->pidns = treefile_pidns();
	(*out)->size = sizeof(struct tree);
	(*out)->version = TREE_VERSION;
	__atomic_store_n(&(*out)->magic, TREE_MAGIC, __ATOMIC_RELEASE);
	return 0;
}

void treefile_ready(struct tree *tree)
{
	__atomic_store_n(&tree->ready, 1, __ATOMIC_RELEASE);
}
