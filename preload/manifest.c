/*
 * manifest.c - what belongs together across processes
 *
 * Each process numbers its own open file descriptions. Which of two processes'
 * are one is only known while both stand still: kcmp(KCMP_FILE) tells, and
 * gives an order, so that n of them cost n log n questions. Members leave
 * their list in .PID.keys, the leader reads them and numbers the image's
 * objects from 0. Where kcmp is refused (processes of different users) the
 * socket's cookie or device, inode, flags and position decide.
 */
#include <asm/errno.h>
#include <cpuid.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/utsname.h>

#include "conduct.h"

#include "skshim/frozen.h"

struct key {
	uint64_t dev, ino, cookie, pos;
	uint32_t flags, obj;
	int32_t fd, tid;             /* in the table of this thread: a process's first may have ended */
	uint32_t process, global;
};

static void key_of(struct key *k, const struct probe *p)
{
	k->dev = p->st.st_dev;
	k->ino = p->st.st_ino;
	k->cookie = p->cookie;
	k->pos = p->pos;
	k->flags = p->flags;
	k->obj = p->obj;
	k->fd = p->fd;
	k->tid = quiesce_base();
}

int manifest_keys_write(void)
{
	struct key *keys = arena_alloc(&work.arena, (work.all.nprobes + 1) * sizeof(*keys));
	struct encode e = { 0 };

	if (!keys)
		return failed(-ENOMEM, "pid %d: memory", shim.pid);
	for (uint32_t i = 0; i < work.all.nprobes; i++)
		key_of(&keys[i], &work.all.probes[i]);
	e.p = (char *)keys;
	e.n = work.all.nprobes * sizeof(*keys);
	return directory_put(work.files[FILE_KEYS], "its list of descriptors", &e);
}

/* Order of two descriptions; 0 when they are one. */
static int compare(const struct key *a, const struct key *b)
{
	int rc;

#define BY(m) if (a->m != b->m) return a->m < b->m ? -1 : 1
	BY(dev);
	BY(ino);
	BY(cookie);
	if (a->cookie)
		return 0;
	BY(flags);
	if (a->fd >= 0 && b->fd >= 0) {
		rc = sys_kcmp(a->tid, b->tid, KCMP_FILE, (unsigned long)a->fd, (unsigned long)b->fd);
		if (rc >= 0)
			return rc == 0 ? 0 : rc == 1 ? -1 : 1;
	}
	BY(pos);
#undef BY
	return 0;
}

/* Merge sort: stable, so the lowest process comes first among equals. */
static void sort(struct key **v, struct key **spare, uint32_t n)
{
	uint32_t half = n / 2, i = 0, k = half, at = 0;

	if (n < 2)
		return;
	sort(v, spare, half);
	sort(v + half, spare, n - half);
	memcpy(spare, v, n * sizeof(*v));
	while (i < half && k < n)
		v[at++] = compare(spare[i], spare[k]) <= 0 ? spare[i++] : spare[k++];
	while (i < half)
		v[at++] = spare[i++];
	while (k < n)
		v[at++] = spare[k++];
}

static int read_keys(int pid, uint32_t process, struct key *out, uint32_t room, uint32_t *n)
{
	char name[IMAGE_NAME_MAX];
	struct blob b;
	uint32_t count;
	int rc;

	text_format(name, sizeof(name), ".%d.keys", pid);
	rc = arena_read_file(&work.arena, work.partial, name, &b);
	if (rc == 0)
		rc = sys_unlinkat(work.partial, name, 0);
	if (rc < 0)
		return failed(rc, "%s", name);
	count = (uint32_t)(b.n / sizeof(*out));
	if (out) {
		if (count > room)
			return failed(-E2BIG, "%s", name);
		memcpy(out, b.p, count * sizeof(*out));
		for (uint32_t i = 0; i < count; i++)
			out[i].process = process;
	}
	*n = count;
	return 0;
}

/* The processes of this checkpoint, parents before children where the pids say so; the root first. */
static int list_processes(void)
{
	struct tree *t = shim.tree;
	int rc = 0;

	work.pids = arena_alloc(&work.arena, (t->nmembers + 1) * sizeof(*work.pids));
	if (!work.pids)
		return failed(-ENOMEM, "memory for %u processes", t->nmembers);
	work.npids = 0;
	work.pids[work.npids++].pid = shim.pid;
	for (uint32_t i = 0; i < t->nmembers; i++)
		if (t->members[i].pid > 0 && t->members[i].pid != shim.pid && t->members[i].state == MEMBER_COLLECTED)
			work.pids[work.npids++].pid = t->members[i].pid;
	/* insertion sort by pid, the root first */
	for (uint32_t i = 1; i < work.npids; i++)
		for (uint32_t k = i; k > 0; k--) {
			int32_t a = work.pids[k - 1].pid, b = work.pids[k].pid;

			if (b != t->root_pid && (a == t->root_pid || a < b))
				break;
			work.pids[k - 1].pid = b;
			work.pids[k].pid = a;
		}
	return rc;
}

int manifest_unify(void)
{
	struct key *keys, **order, **spare;
	uint32_t room = 0, n = 0, count = 0, lowest = 0;
	int rc = list_processes();

	if (rc < 0)
		return rc;
	/* room for all lists: their files' sizes are only known by reading, so read twice as much as the leader has to begin with */
	room = work.all.nprobes + 65536u * (work.npids > 1);
	keys = arena_alloc(&work.arena, (room + 1) * sizeof(*keys));
	if (!keys)
		return failed(-ENOMEM, "memory for %u descriptors", room);
	for (uint32_t p = 0; p < work.npids; p++) {
		if (work.pids[p].pid == shim.pid) {
			char own[IMAGE_NAME_MAX];

			text_format(own, sizeof(own), ".%d.keys", shim.pid);
			rc = sys_unlinkat(work.partial, own, 0);
			if (rc < 0)
				return failed(rc, "%s", own);
			if (n + work.all.nprobes > room)
				return failed(-E2BIG, "more than %u descriptors", room);
			for (uint32_t i = 0; i < work.all.nprobes; i++, n++) {
				key_of(&keys[n], &work.all.probes[i]);
				keys[n].process = p;
			}
			continue;
		}
		rc = read_keys(work.pids[p].pid, p, keys + n, room - n, &count);
		if (rc < 0)
			return rc;
		n += count;
	}
	order = arena_alloc(&work.arena, (n + 1) * sizeof(*order));
	spare = arena_alloc(&work.arena, (n + 1) * sizeof(*spare));
	work.members = arena_alloc(&work.arena, (n + 1) * sizeof(*work.members));
	if (!order || !spare || !work.members)
		return failed(-ENOMEM, "memory for %u descriptors", n);
	for (uint32_t i = 0; i < n; i++)
		order[i] = &keys[i];
	sort(order, spare, n);
	for (uint32_t i = 0; i < n; i++)
		order[i]->global = i > 0 && compare(order[i - 1], order[i]) == 0 ? order[i - 1]->global : lowest++;
	for (uint32_t i = 0; i < n; i++)
		work.members[i] = (struct member_record){ keys[i].process, keys[i].obj, keys[i].global };
	work.nmembers = n;
	work.nglobal = lowest;
	return 0;
}

static struct blob text_of(struct arena *a, const char *path)
{
	struct blob b;

	if (arena_read_file(a, AT_FDCWD, path, &b) < 0)
		return BLOB("");
	while (b.n && ((const char *)b.p)[b.n - 1] == '\n')
		b.n--;
	return b;
}

static struct blob cpu_flags(struct arena *a)
{
	struct blob text = text_of(a, "/proc/cpuinfo"), line;

	while (text_line(&text, &line))
		if (blob_starts(line, "flags")) {
			const char *p = line.p;
			uint64_t i = 5;

			while (i < line.n && (p[i] == '\t' || p[i] == ' ' || p[i] == ':'))
				i++;
			return (struct blob){ p + i, line.n - i };
		}
	return BLOB("");
}

int manifest_write(struct arena *a, struct file_sum_record *sums, uint32_t nsums, int partial)
{
	const struct tree *t = shim.tree;
	struct manifest_record m;
	struct utsname u;
	struct encode e;
	int fd, rc;
	uint32_t lo = 0, hi = 0, eax, ebx = 0, ecx, edx;

	memset(&m, 0, sizeof(m));
	memset(&u, 0, sizeof(u));
	SYS1(__NR_uname, &u);
	m.version = IMAGE_VERSION;
	m.arch = BLOB(ARCH_NAME);
	m.release = arena_blob(a, u.release, strlen(u.release));
	m.host = arena_blob(a, u.nodename, strlen(u.nodename));
	m.boot_id = text_of(a, "/proc/sys/kernel/random/boot_id");
	m.realtime_ns = work.realtime;
	m.monotonic_ns = work.monotonic;
	m.boottime_ns = work.boottime;
	m.page_size = ARCH_PAGE;
	if (__get_cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx)) {
		m.xsave_size = ebx;
		__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
		m.xcr0 = lo | (uint64_t)hi << 32;
	}
	m.cpu = cpu_flags(a);
	m.root_pid = work.pids[0].pid;
	m.generation = t->generation;
	m.stopped = t->ending;
	m.command = work.task.cmdline;
	m.signal = t->signal;
	m.after_exit = t->after_exit;
	m.after_code = t->after_code;
	m.keep = t->keep;
	m.log_level = t->log_level;
	m.backtrace = t->backtrace;
	m.files_written = t->files_written;
	m.files_most = t->files_most;
	m.checkpoint_dir = arena_blob(a, t->dir, strlen(t->dir));
	m.log_path = arena_blob(a, t->log_path, strlen(t->log_path));
	m.shim_path = arena_blob(a, t->shim_path, strlen(t->shim_path));
	m.preload = arena_blob(a, t->preload, strlen(t->preload));
	m.processes = (struct list){ work.pids, work.npids };
	m.dead = (struct list){ work.dead, work.ndead };
	m.members = (struct list){ work.members, work.nmembers };
	m.objects = work.nglobal;
	m.files = (struct list){ sums, nsums };
	encode_begin(&e, a, "manifest");
	encode_frame(&e, "manifest", fields_manifest, &m);
	encode_end(&e);
	fd = sys_openat(partial, IMAGE_MANIFEST, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	rc = fd < 0 ? failed(fd, IMAGE_MANIFEST) : directory_put(fd, IMAGE_MANIFEST, &e);
	if (fd >= 0)
		sys_close(fd);
	return rc;
}
