/*
 * probe.c - what this process's descriptors are
 *
 * Numbers first, then which numbers are one open file description, then a
 * closer look at each description, once. Everything is about cost: a process
 * may hold tens of thousands of descriptors and stands still meanwhile, so
 *
 * - the numbers are asked for one by one (F_GETFD), since listing
 *   /proc/thread-self/fd makes an inode of procfs for each; it tells where the
 *   next one is behind a gap;
 * - a socket's inode has exactly one description, so equal inodes suffice;
 *   everything else that looks alike is put in the kernel's own order of
 *   struct file by kcmp, n log n (tests/kernel/kcmp_file.c);
 * - sockets are not looked at through fdinfo and readlink: there is nothing
 *   that getsockopt doesn't say.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/socket.h>

#include "shim.h"
#include "skshim/probe.h"
#include "skshim/view.h"
#include "watch.h"

#include "skshim/frozen.h"

/* Behind as many numbers in a row that aren't open the next one is looked for. */
#define PROBE_GAP 32
#define PROBE_PATH 4096
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027
#endif

/* A number on the way to its description. */
struct candidate {
	uint64_t dev, ino;
	uint32_t flags;
	uint32_t index;              /* in collection.fds */
	uint32_t mode;
};

struct prober {
	struct collection *c;
	struct candidate *cand;      /* one a descriptor */
	struct candidate *spare;     /* room to merge into */
	struct stat *st;             /* by index */
	uint32_t *flags;             /* by index: F_GETFL */
	uint32_t *first;             /* by index: index of the lowest number of the same description */
	bool no_kcmp;
	int rc;                      /* of a kcmp that failed */
	int fd_dir, info_dir, list_dir;  /* ours, and no numbers of the program's */
};

static int probe_failed(const struct prober *pr, int fd, int rc, const char *what)
{
	return failed(rc, "pid %d fd %d: %s", pr->c->pid, fd, what);
}

/* --- the numbers -------------------------------------------------------------------------------------------- */

static int number_add(struct prober *pr, uint32_t room, int fd, long getfd)
{
	struct collection *c = pr->c;

	if (fd == pr->fd_dir || fd == pr->info_dir || fd == pr->list_dir || checkpoint_owns_fd(fd))
		return 0;
	if (c->nfds == room)
		return failed(-ENOMEM, "pid %d: more descriptors than were counted", c->pid);
	c->fds[c->nfds++] = (struct descriptor){ .fd = fd, .cloexec = getfd & FD_CLOEXEC ? 1 : 0, .obj = OBJ_NONE };
	return 0;
}

/*
 * The lowest that is open from `from` on, or -ENOENT. The directory's position is a number, plus 2
 * (tests/kernel/proc_fd_from.c).
 */
static long next_number(const struct prober *pr, uint32_t from)
{
	_Alignas(8) char buf[64];
	const char *p = buf + 19;
	uint64_t fd;
	long n = sys_lseek(pr->list_dir, from + 2, SEEK_SET);

	if (n >= 0)
		n = sys_getdents64(pr->list_dir, buf, sizeof(buf));
	if (n <= 0)
		return n ? n : -ENOENT;
	return text_number(&p, p + strlen(p), 10, &fd) ? (long)fd : -EIO;
}

/* All below `slots`. */
static int numbers_scan(struct prober *pr, uint32_t slots)
{
	uint32_t missed = 0;
	long getfd, next;
	int rc = 0;

	for (uint32_t fd = 0; fd < slots && rc == 0; fd++) {
		getfd = sys_fcntl((int)fd, F_GETFD, 0);
		if (getfd >= 0) {
			rc = number_add(pr, slots, (int)fd, getfd);
			missed = 0;
		} else if (getfd != -EBADF) {
			rc = probe_failed(pr, (int)fd, (int)getfd, "its flags");
		} else if (++missed == PROBE_GAP) {
			next = next_number(pr, fd + 1);
			if (next == -ENOENT)
				break;
			if (next < 0)
				return failed((int)next, "pid %d: /proc/thread-self/fd", pr->c->pid);
			fd = (uint32_t)next - 1;
			missed = 0;
		}
	}
	return rc;
}

static int numbers(struct prober *pr)
{
	struct collection *c = pr->c;
	uint64_t slots = 0;
	struct blob status;
	int rc = arena_read_file(c->arena, AT_FDCWD, "/proc/thread-self/status", &status);

	if (rc < 0)
		return failed(rc, "pid %d: /proc/thread-self/status", c->pid);
	if (!text_field(status, "FDSize:", 10, &slots) || slots > INT32_MAX)
		return failed(-EINVAL, "pid %d: /proc/thread-self/status", c->pid);
	pr->list_dir = sys_openat(pr->fd_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (pr->list_dir < 0)
		return failed(pr->list_dir, "pid %d: /proc/thread-self/fd", c->pid);
	/* only what is used of it takes memory */
	c->fds = arena_alloc(c->arena, slots * sizeof(*c->fds));
	c->nfds = 0;
	rc = c->fds ? numbers_scan(pr, (uint32_t)slots) : failed(-ENOMEM, "pid %d: list of descriptors", c->pid);
	sys_close(pr->list_dir);
	pr->list_dir = -1;
	return rc;
}

/* --- which are one description ------------------------------------------------------------------------------- */

static int number_of(const struct prober *pr, const struct candidate *a)
{
	return pr->c->fds[a->index].fd;
}

static int by_look(const struct candidate *a, const struct candidate *b)
{
	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	if (a->flags != b->flags)
		return a->flags < b->flags ? -1 : 1;
	return a->index < b->index ? -1 : 1;
}

/* Merges bottom-up. */
static void sort_by_look(struct prober *pr, struct candidate *v, uint32_t n)
{
	struct candidate *from = v, *to = pr->spare, *swap;

	for (uint32_t width = 1; width < n; width *= 2) {
		for (uint32_t lo = 0; lo < n; lo += 2 * width) {
			uint32_t mid = n - lo > width ? lo + width : n, hi = n - lo > 2 * width ? lo + 2 * width : n;
			uint32_t i = lo, j = mid;

			for (uint32_t k = lo; k < hi; k++)
				to[k] = j >= hi || (i < mid && by_look(&from[i], &from[j]) < 0) ? from[i++] : from[j++];
		}
		swap = from;
		from = to;
		to = swap;
	}
	if (from != v)
		memcpy(v, from, n * sizeof(*v));
}

/*
 * Whether two numbers are one description, where kcmp is forbidden (some
 * container profiles): asked of newer kernels directly, else seen from a status flag
 * that is changed through one of them for a moment.
 */
static bool same_without_kcmp(int a, int b)
{
	long rc = sys_fcntl(a, F_DUPFD_QUERY, b), before, after;

	if (rc >= 0)
		return rc == 1;
	before = sys_fcntl(b, F_GETFL, 0);
	if (before < 0 || sys_fcntl(a, F_SETFL, before ^ O_NONBLOCK) < 0)
		return false;
	after = sys_fcntl(b, F_GETFL, 0);
	sys_fcntl(a, F_SETFL, before);
	return after != before;
}

/* Two numbers turn out to be one description: the lower stands for both. */
static struct candidate joined(struct prober *pr, const struct candidate *a, const struct candidate *b)
{
	const struct candidate *low = a->index < b->index ? a : b, *high = low == a ? b : a;

	pr->first[high->index] = low->index;
	return *low;
}

/*
 * Puts v[0..n) in the kernel's order of descriptions and drops the doubles
 * while merging, so that many numbers of few descriptions cost about one
 * comparison each. Returns how many descriptions are left.
 */
static uint32_t merge_by_file(struct prober *pr, struct candidate *v, uint32_t n)
{
	uint32_t half = n / 2, na, nb, i = 0, j = 0, k = 0;
	struct candidate *b = v + half;
	int self = sys_gettid(), rc;

	if (n < 2)
		return n;
	na = merge_by_file(pr, v, half);
	nb = merge_by_file(pr, b, n - half);
	while (i < na && j < nb) {
		rc = sys_kcmp(self, self, KCMP_FILE, (unsigned long)number_of(pr, &v[i]), (unsigned long)number_of(pr, &b[j]));
		if (rc < 0)
			pr->rc = rc;
		if (rc == 0)
			pr->spare[k++] = joined(pr, &v[i++], &b[j++]);
		else
			pr->spare[k++] = rc == 1 ? v[i++] : b[j++];
	}
	while (i < na)
		pr->spare[k++] = v[i++];
	while (j < nb)
		pr->spare[k++] = b[j++];
	memcpy(v, pr->spare, k * sizeof(*v));
	return k;
}

/* v[0..n) look alike: which are one description? */
static void split(struct prober *pr, struct candidate *v, uint32_t n)
{
	uint32_t i, j;

	if (S_ISSOCK(v->mode) && !(v->flags & O_PATH)) {
		for (i = 1; i < n; i++)
			pr->first[v[i].index] = v[0].index;
	} else if (!pr->no_kcmp) {
		merge_by_file(pr, v, n);
	} else {
		for (i = 1; i < n; i++)
			for (j = 0; j < i && pr->first[v[i].index] == v[i].index; j++)
				if (same_without_kcmp(number_of(pr, &v[j]), number_of(pr, &v[i])))
					pr->first[v[i].index] = v[j].index;
	}
}

static bool look_alike(const struct candidate *a, const struct candidate *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->flags == b->flags;
}

static int look(struct prober *pr)
{
	struct collection *c = pr->c;
	int rc, fd;
	long flags;

	for (uint32_t i = 0; i < c->nfds; i++) {
		fd = c->fds[i].fd;
		rc = sys_fstat(fd, &pr->st[i]);
		if (rc < 0)
			return probe_failed(pr, fd, rc, "fstat");
		flags = sys_fcntl(fd, F_GETFL, 0);
		if (flags < 0)
			return probe_failed(pr, fd, (int)flags, "F_GETFL");
		pr->cand[i] = (struct candidate){
			.dev = pr->st[i].st_dev, .ino = pr->st[i].st_ino, .flags = (uint32_t)flags,
			.index = i, .mode = pr->st[i].st_mode,
		};
		pr->flags[i] = (uint32_t)flags;
		pr->first[i] = i;
	}
	return 0;
}

/* Gives every number its description, numbered in the order of the lowest numbers. */
static int descriptions(struct prober *pr)
{
	struct collection *c = pr->c;
	uint32_t n = c->nfds, i, j;
	int rc;

	pr->cand = arena_alloc(c->arena, n * sizeof(*pr->cand));
	pr->spare = arena_alloc(c->arena, n * sizeof(*pr->spare));
	pr->st = arena_alloc(c->arena, n * sizeof(*pr->st));
	pr->first = arena_alloc(c->arena, n * sizeof(*pr->first));
	pr->flags = arena_alloc(c->arena, n * sizeof(*pr->flags));
	if (!pr->cand || !pr->spare || !pr->st || !pr->first || !pr->flags)
		return failed(-ENOMEM, "pid %d: %u descriptors", c->pid, n);
	rc = look(pr);
	if (rc < 0)
		return rc;
	pr->no_kcmp = n && sys_kcmp(sys_gettid(), sys_gettid(), KCMP_FILE, (unsigned long)c->fds[0].fd, (unsigned long)c->fds[0].fd) != 0;
	sort_by_look(pr, pr->cand, n);
	for (i = 0; i < n; i = j) {
		for (j = i + 1; j < n && look_alike(&pr->cand[i], &pr->cand[j]); j++)
			;
		if (j > i + 1)
			split(pr, &pr->cand[i], j - i);
	}
	if (pr->rc < 0)
		return failed(pr->rc, "pid %d: which descriptors are the same", c->pid);
	for (i = 0; i < n; i++) {
		pr->first[i] = pr->first[pr->first[i]];
		c->fds[i].obj = pr->first[i] == i ? c->nprobes++ : c->fds[pr->first[i]].obj;
	}
	return 0;
}

/* --- a closer look ------------------------------------------------------------------------------------------- */

static int socket_option(int fd, int name)
{
	unsigned len = sizeof(int);
	int value = -1;

	return sys_getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

/* Whether a lineage tells the kind of socket that the kernel would: what was asked for isn't always what was made. */
static bool is_unix(const struct lineage *l)
{
	return l->family == AF_UNIX && !l->protocol &&
	       (l->type == SOCK_STREAM || l->type == SOCK_DGRAM || l->type == SOCK_SEQPACKET);
}

/* p->cookie: 0 where it is still to be asked for. */
static int closer_socket(struct prober *pr, struct probe *p, int (*lineage_of)(uint64_t cookie, struct lineage *out))
{
	struct arena *arena = pr->c->arena;
	unsigned len = sizeof(p->cookie);
	struct lineage known;
	int rc = p->cookie ? 0 : sys_getsockopt(p->fd, SOL_SOCKET, SO_COOKIE, &p->cookie, &len);

	if (rc < 0)
		return probe_failed(pr, p->fd, rc, "SO_COOKIE");
	p->path = arena_format(arena, "socket:[%lu]", (unsigned long)p->st.st_ino);
	if (!p->path.p)
		return -ENOMEM;
	if (lineage_of && lineage_of(p->cookie, &known) == 1) {
		p->lineage = arena_copy(arena, &known, lineage_size(&known));
		if (!p->lineage)
			return -ENOMEM;
	}
	if (p->lineage && is_unix(p->lineage)) {
		p->family = AF_UNIX;
		p->type = p->lineage->type;
		p->protocol = 0;
	} else {
		p->family = socket_option(p->fd, SO_DOMAIN);
		p->type = socket_option(p->fd, SO_TYPE);
		p->protocol = socket_option(p->fd, SO_PROTOCOL);
	}
	return 0;
}

static int closer_file(struct prober *pr, struct probe *p)
{
	struct arena *arena = pr->c->arena;
	char number[16], path[PROBE_PATH];
	long n;
	int rc;

	text_format(number, sizeof(number), "%d", p->fd);
	rc = arena_read_file(arena, pr->info_dir, number, &p->fdinfo);
	if (rc < 0)
		return rc;
	text_field(p->fdinfo, "pos:", 10, &p->pos);
	text_field(p->fdinfo, "mnt_id:", 10, &p->mnt_id);
	n = sys_readlinkat(pr->fd_dir, number, path, sizeof(path));
	if (n < 0)
		return (int)n;
	if (n == sizeof(path))
		return -ENAMETOOLONG;
	p->path = view_global(arena, arena_blob(arena, path, (size_t)n), p->st.st_dev, p->st.st_ino);
	return p->path.p ? 0 : -ENOMEM;
}

/* For collection_adopt(): one descriptor more. */
static int look_again(struct collection *c, struct probe *p, int fd)
{
	struct prober pr = { .c = c, .fd_dir = -1, .info_dir = -1 };
	int rc;

	p->fd = fd;
	p->family = p->type = p->protocol = -1;
	p->flags = (uint32_t)sys_fcntl(fd, F_GETFL, 0);
	rc = sys_fstat(fd, &p->st);
	if (rc >= 0 && S_ISSOCK(p->st.st_mode) && !(p->flags & O_PATH)) {
		rc = closer_socket(&pr, p, c->lineage_of);
	} else if (rc >= 0) {
		rc = pr.fd_dir = sys_openat(AT_FDCWD, "/proc/thread-self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (rc >= 0)
			rc = pr.info_dir = sys_openat(AT_FDCWD, "/proc/thread-self/fdinfo", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (rc >= 0)
			rc = closer_file(&pr, p);
	}
	if (pr.info_dir >= 0)
		sys_close(pr.info_dir);
	if (pr.fd_dir >= 0)
		sys_close(pr.fd_dir);
	return rc < 0 ? probe_failed(&pr, fd, rc, "in flight") : 0;
}

static int closer(struct prober *pr, int (*lineage_of)(uint64_t cookie, struct lineage *out))
{
	struct collection *c = pr->c;
	uint32_t obj = 0;
	int rc;

	c->probes = arena_alloc(c->arena, c->nprobes * sizeof(*c->probes));
	c->losses = arena_alloc(c->arena, c->nprobes * sizeof(*c->losses));
	if (!c->probes || !c->losses)
		return failed(-ENOMEM, "pid %d: %u open files", c->pid, c->nprobes);
	for (uint32_t i = 0; i < c->nfds; i++) {
		struct probe *p = &c->probes[obj];

		if (c->fds[i].obj != obj)
			continue;
		p->fd = c->fds[i].fd;
		p->obj = obj++;
		p->st = pr->st[i];
		p->flags = pr->flags[i];
		p->family = p->type = p->protocol = -1;
		if (c->cookies)
			p->cookie = c->cookies[i];
		/* O_PATH descriptors of a socket file have S_IFSOCK too, and take no getsockopt. */
		rc = S_ISSOCK(p->st.st_mode) && !(p->flags & O_PATH) ? closer_socket(pr, p, lineage_of) : closer_file(pr, p);
		if (rc < 0)
			return probe_failed(pr, p->fd, rc, "/proc/thread-self/fd");
	}
	return 0;
}

/* Opens what /proc tells of the descriptors, and lists their numbers, unless that was done while nobody ran. */
static int probe_begin(struct prober *pr, struct collection *c)
{
	int rc;

	*pr = (struct prober){ .c = c, .fd_dir = -1, .info_dir = -1, .list_dir = -1 };
	c->nprobes = 0;
	rc = pr->fd_dir = sys_openat(AT_FDCWD, "/proc/thread-self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (rc >= 0)
		rc = pr->info_dir = sys_openat(AT_FDCWD, "/proc/thread-self/fdinfo", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (rc < 0)
		return failed(rc, "pid %d: /proc/thread-self/fd", c->pid);
	return c->cookies ? 0 : numbers(pr);
}

static void probe_end(struct prober *pr)
{
	if (pr->info_dir >= 0)
		sys_close(pr->info_dir);
	if (pr->fd_dir >= 0)
		sys_close(pr->fd_dir);
}

int probe_numbers(struct collection *c, uint64_t (*each)(int fd))
{
	struct prober pr;
	int rc = probe_begin(&pr, c);

	probe_end(&pr);
	if (rc < 0)
		return rc;
	c->cookies = arena_alloc(c->arena, (size_t)c->nfds * sizeof(*c->cookies));
	if (!c->cookies)
		return failed(-ENOMEM, "pid %d: list of descriptors", c->pid);
	for (uint32_t i = 0; i < c->nfds; i++)
		c->cookies[i] = each(c->fds[i].fd);
	return 0;
}

int probe_all(struct collection *c, int (*lineage_of)(uint64_t cookie, struct lineage *out))
{
	struct prober pr;
	int rc;

	c->lineage_of = lineage_of;
	c->look = look_again;
	c->watch_path = watch_path;
	rc = probe_begin(&pr, c);
	if (rc >= 0)
		rc = descriptions(&pr);
	if (rc >= 0)
		rc = closer(&pr, lineage_of);
	probe_end(&pr);
	return rc < 0 ? rc : 0;
}
