/*
 * wrap_inotify.c - where watches were put
 *
 * The kernel tells a watch's inode, never its path. So the path is noted, by
 * inode, in memory of this process: a fork inherits it, and so does a restart,
 * since it is memory like any other. Entries are only added; one for an inode
 * that has another path now is found before the older one.
 */
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "stop.h"
#include "skshim/view.h"
#include "watch.h"

#include "skshim/frozen.h"

#define WATCH_BUCKETS 1024
#define WATCH_SPACE (64ul << 20)
#define WATCH_PATH 4096

struct watched {
	struct watched *next;
	uint64_t dev, ino;
	uint32_t len;
	char path[];
};

static struct {
	char *space;             /* WATCH_SPACE bytes; set once, by whoever is first */
	uint64_t used;
	struct watched *bucket[WATCH_BUCKETS];
} watch;

static struct watched **watch_bucket(uint64_t dev, uint64_t ino)
{
	return &watch.bucket[((ino ^ dev) * 0x9e3779b97f4a7c15ull) >> 54];
}

static const struct watched *watch_find(uint64_t dev, uint64_t ino)
{
	const struct watched *w = __atomic_load_n(watch_bucket(dev, ino), __ATOMIC_ACQUIRE);

	while (w && (w->dev != dev || w->ino != ino))
		w = w->next;
	return w;
}

static void *watch_alloc(size_t n)
{
	char *space = __atomic_load_n(&watch.space, __ATOMIC_ACQUIRE), *none = NULL;
	uint64_t at;

	if (!space) {
		space = sys_mmap(NULL, WATCH_SPACE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (sys_is_err(space))
			return NULL;
		if (!__atomic_compare_exchange_n(&watch.space, &none, space, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			sys_munmap(space, WATCH_SPACE);
			space = none;
		}
	}
	n = (n + 15) & ~15ul;
	at = __atomic_fetch_add(&watch.used, n, __ATOMIC_RELAXED);
	return at + n <= WATCH_SPACE ? space + at : NULL;
}

/* In another root directory: the name with that directory's before it, if it is one in there. Its length, 0: too long. */
static long outer_name(char name[WATCH_PATH], long n, const struct stat *want)
{
	struct stat st;

	name[n] = 0;
	if (!view.root_len || SYS4(__NR_newfstatat, AT_FDCWD, name, &st, 0) < 0 || st.st_ino != want->st_ino || st.st_dev != want->st_dev)
		return n;
	if (n + view.root_len >= WATCH_PATH)
		return 0;
	memmove(name + view.root_len, name, (size_t)n);
	memcpy(name, view.root, view.root_len);
	return n + view.root_len;
}

static void watch_note(const char *path, uint32_t mask)
{
	int fd = sys_openat(AT_FDCWD, path, O_PATH | O_CLOEXEC | (mask & IN_DONT_FOLLOW ? O_NOFOLLOW : 0), 0);
	char name[WATCH_PATH], own[40];
	const struct watched *known;
	struct watched *w, **bucket;
	struct stat st;
	long n = -1;

	if (fd < 0)
		return;
	text_format(own, sizeof(own), "/proc/thread-self/fd/%d", fd);
	if (sys_fstat(fd, &st) == 0)
		n = sys_readlinkat(AT_FDCWD, own, name, sizeof(name));
	sys_close(fd);
	if (n <= 0 || n == sizeof(name))
		return;
	n = outer_name(name, n, &st);
	if (n <= 0)
		return;
	known = watch_find(st.st_dev, st.st_ino);
	if (known && known->len == (uint32_t)n && memcmp(known->path, name, (size_t)n) == 0)
		return;
	w = watch_alloc(sizeof(*w) + (size_t)n);
	if (!w)
		return;
	w->dev = st.st_dev;
	w->ino = st.st_ino;
	w->len = (uint32_t)n;
	memcpy(w->path, name, (size_t)n);
	bucket = watch_bucket(w->dev, w->ino);
	w->next = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);
	while (!__atomic_compare_exchange_n(bucket, &w->next, w, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
}

int watch_path(uint64_t dev, uint64_t ino, char *path, size_t size)
{
	const struct watched *w = watch_find(dev, ino);

	if (!w || w->len >= size)
		return 0;
	memcpy(path, w->path, w->len);
	path[w->len] = 0;
	return (int)w->len;
}

SHIM_EXPORT int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	long wd = SYS3(__NR_inotify_add_watch, fd, path, mask);

	if (wd >= 0)
		watch_note(path, mask);
	return (int)syscall_result(wd);
}
