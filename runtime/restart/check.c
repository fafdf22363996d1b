/*
 * check.c - can it work? asked before anything is made
 */
#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart.h"
#include "skshim/elf.h"
#include "skshim/treefile.h"

/* Who is root in a user namespace that has no pid namespace of its own has no capability over the pids. */
static bool pids_are_ours(void)
{
	int pids = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC), users = pids < 0 ? -1 : ioctl(pids, NS_GET_USERNS);
	struct stat theirs, own;
	bool ours = pids < 0 || (users >= 0 && fstat(users, &theirs) == 0 && stat("/proc/self/ns/user", &own) == 0 &&
				 theirs.st_dev == own.st_dev && theirs.st_ino == own.st_ino);

	if (pids >= 0)
		close(pids);
	if (users >= 0)
		close(users);
	return ours;
}

bool check_may_set_pids(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	if (!(data[0].effective & (1u << CAP_SYS_ADMIN)) && !(data[1].effective & (1u << (CAP_CHECKPOINT_RESTORE - 32))))
		return false;
	return pids_are_ours();
}

static bool same_boot(const struct image *image)
{
	char id[64] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	bool same;

	if (!f)
		return false;
	same = fgets(id, sizeof(id), f) && (id[strcspn(id, "\n")] = 0, blob_is(image->manifest->boot_id, id));
	fclose(f);
	return same;
}

/* The first may have ended long before. */
static bool thread_lives(int pid)
{
	struct treefile_stat st;
	bool lives = false;
	struct dirent *e;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && !lives && (e = readdir(dir)))
		lives = *e->d_name != '.' && treefile_stat(atoi(e->d_name), &st) == 0 && !st.exiting;
	if (dir)
		closedir(dir);
	return lives;
}

/* Killed, but not yet gone, or not yet waited for by whoever has to: its pid will be free. */
static bool dying(int pid)
{
	char path[64], line[256];
	unsigned long pending = 0, own;
	struct treefile_stat st;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return true;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "SigPnd: %lx", &own) == 1 || sscanf(line, "ShdPnd: %lx", &own) == 1)
			pending |= own;
	}
	fclose(f);
	return treefile_stat(pid, &st) < 0 || st.state == 'Z' || st.state == 'X' || (st.exiting && !thread_lives(pid)) ||
	       (pending & (1ul << (SIGKILL - 1)));
}

/* Nothing tells when a zombie is reaped, so this looks again and again; 10 s, for inits that take their time. */
static bool wait_gone(int pid)
{
	for (int i = 0; i < 1000 && dying(pid); i++) {
		if (kill(pid, 0) < 0 && errno == ESRCH)
			return true;
		usleep(10000);
	}
	return kill(pid, 0) < 0 && errno == ESRCH;
}

/* A killed process lets go of its ports and names thread by thread; a zombie without threads has. 10 s at most. */
static void wait_let_go(int pid, uint64_t start_time)
{
	struct treefile_stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	for (int i = 0; i < 5000 && treefile_stat(pid, &st) == 0 && st.start_time == start_time; i++) {
		struct stat task;

		if (st.state == 'Z' && stat(path, &task) == 0 && task.st_nlink <= 3)
			return;
		usleep(2000);
	}
}

int check_running(const struct image *image)
{
	for (uint32_t i = 0; same_boot(image) && i < image->nprocesses; i++) {
		const struct process_record *p = image->processes[i].task;
		struct treefile_stat st;

		if (treefile_stat(p->pid, &st) < 0 || st.start_time != p->start_time)
			continue;
		if (dying(p->pid))
			wait_let_go(p->pid, p->start_time);
		else
			return failed(ERR_PLAIN, "pid %d (%s) is still running: it is the program this image was made of; end it first",
				      p->pid, st.comm);
	}
	return 0;
}

static int check_pid(int32_t pid)
{
	struct treefile_stat st;

	/* kill() finds threads too */
	if ((kill(pid, 0) < 0 && errno == ESRCH) || wait_gone(pid))
		return 0;
	if (treefile_stat(pid, &st) < 0)
		snprintf(st.comm, sizeof(st.comm), "?");
	return failed(ERR_PLAIN, "pid %d is taken by %s", pid, st.comm);
}

/* A number stays taken as long as there are others in a group of it. Those may be dying, too. */
static int check_group(int32_t pid)
{
	for (int i = 0; i < 1000; i++) {
		if (kill(-pid, 0) < 0 && errno == ESRCH)
			return 0;
		usleep(10000);
	}
	return failed(ERR_PLAIN, "pid %d is taken by a process group", pid);
}

/* As long as somebody is in a session of it, too, which only who wants it is told; of those that lead one. */
static int check_session(int32_t pid, int32_t sid)
{
	struct clone_args args = { .set_tid = (uint64_t)&pid, .set_tid_size = 1 };
	int32_t tries = 0;
	long rc;

	if (sid != pid)
		return 0;
	do
		rc = syscall(SYS_clone3, &args, sizeof(args));
	while (rc < 0 && errno == EEXIST && pid_lingers(pid, &tries));
	if (rc == 0)
		_exit(0);
	if (rc > 0)
		waitpid(pid, NULL, __WALL);
	return rc < 0 && errno == EEXIST ? failed(ERR_PLAIN, "pid %d is taken by a session", pid) : 0;
}

static int check_family(int32_t pid, int32_t sid)
{
	int rc = check_group(pid);

	return rc < 0 ? rc : check_session(pid, sid);
}

/* In the namespace where it would be had, skshim-restart is the init itself. */
int check_init(const struct image *image)
{
	for (uint32_t i = 0; i < image->nprocesses; i++)
		if (image->processes[i].task->pid == 1)
			return failed(ERR_PLAIN, "pid 1 was the init of a pid namespace, which skshim-restart is itself: the program has to be "
				      "started below an init (tini, docker run --init)");
	return 0;
}

int check_pids(const struct image *image)
{
	const struct dead_record *d = image->manifest->dead.items;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < image->nprocesses; i++) {
		const struct process_record *p = image->processes[i].task;
		const struct thread_record *t = p->threads.items;

		rc = check_pid(p->pid);
		for (uint32_t k = 0; rc == 0 && k < p->threads.n; k++)
			rc = t[k].tid == p->pid ? 0 : check_pid(t[k].tid);
	}
	for (uint32_t i = 0; rc == 0 && i < image->manifest->dead.n; i++)
		rc = check_pid(d[i].pid);
	for (uint32_t i = 0; rc == 0 && i < image->nprocesses; i++)
		rc = check_family(image->processes[i].task->pid, image->processes[i].task->sid);
	for (uint32_t i = 0; rc == 0 && i < image->manifest->dead.n; i++)
		rc = check_family(d[i].pid, d[i].sid);
	return rc;
}

static bool build_id(const char *path, struct blob want)
{
	char head[4096] __attribute__((aligned(8)));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0);

	if (fd >= 0)
		close(fd);
	return n > 0 && want.n && blob_eq(elf_build_id(head, (uint64_t)n), want);
}

static bool mapped_private(const struct process_record *p, uint32_t file)
{
	const struct vma_record *v = p->vmas.items;

	for (uint32_t i = 0; i < p->vmas.n; i++)
		if (v[i].file == file && v[i].content == VMA_FILE_PRIVATE)
			return true;
	return p->exe_file == file;
}

/* Written to since, or put there anew: the bytes tell; where there is no hash of them, the build id. */
static bool same_bytes(const char *path, const struct file_record *f)
{
	char piece[65536];
	uint64_t hash = 0;
	int fd, rc;

	if (!f->hash)
		return f->build_id.n && build_id(path, f->build_id);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	rc = image_hash_file(fd, f->size, piece, sizeof(piece), &hash);
	close(fd);
	return rc == 0 && hash == f->hash;
}

/* A privately mapped file must be the same bytes; a shared one is the program's own data and may have gone on. */
static int check_file(const struct process_record *p, uint32_t i)
{
	const struct file_record *f = (const struct file_record *)p->files.items + i;
	struct stat st;
	char path[4097];
	int64_t mtime;

	snprintf(path, sizeof(path), "%.*s", (int)f->path.n, (const char *)f->path.p);
	if (stat(path, &st) < 0)
		return failed(-errno, "pid %d: mapped file %s", p->pid, path);
	if (!mapped_private(p, i))
		return (uint64_t)st.st_size >= f->size ? 0 :
		       failed(ERR_PLAIN, "pid %d: mapped file %s has shrunk from %lu to %lu bytes", p->pid, path, f->size,
			      (uint64_t)st.st_size);
	mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	if ((uint64_t)st.st_size == f->size && ((mtime == f->mtime_ns && st.st_ino == f->ino) || same_bytes(path, f)))
		return 0;
	return failed(ERR_PLAIN, "pid %d: mapped file %s has changed since the checkpoint: put the old one back", p->pid, path);
}

static bool has_word(struct blob text, const char *word, size_t n)
{
	const char *p = text.p, *end = p + text.n;

	while (p < end) {
		const char *stop = memchr(p, ' ', (size_t)(end - p));
		size_t len = (size_t)((stop ? stop : end) - p);

		if (len == n && memcmp(p, word, n) == 0)
			return true;
		p += len + 1;
	}
	return false;
}

/*
 * The frames of interrupted threads hold the registers as XSAVE lays them out: what the image has must exist here, at
 * the same place. A frame that lacks a part this processor has is fine, the part is reset (arch/x86/kernel/fpu/signal.c).
 */
static int check_registers(const struct manifest_record *m)
{
	uint32_t lo = 0, hi = 0, size = 512 + 64, a, b, c, d;
	uint64_t here;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	here = lo | (uint64_t)hi << 32;
	if (m->xcr0 & ~here)
		return failed(ERR_PLAIN, "this processor saves less state than the one the image was made on (xcr0 %lx, there %lx)",
			      here, m->xcr0);
	for (unsigned i = 2; i < 63; i++) {
		if (!(m->xcr0 & (1ull << i)))
			continue;
		__cpuid_count(0xd, i, a, b, c, d);
		size = b + a > size ? b + a : size;
	}
	if (m->xcr0 && size != m->xsave_size)
		return failed(ERR_PLAIN, "this processor lays out its registers differently: %u bytes, %u where the image was made",
			      size, m->xsave_size);
	return 0;
}

/* Features of the processor that programs and libc choose code by, and that can't be taken away from them. */
static int check_cpu(const struct image *image)
{
	static const char *const matter[] = {
		"sse3", "ssse3", "sse4_1", "sse4_2", "popcnt", "aes", "pclmulqdq", "avx", "avx2", "fma", "f16c", "bmi1", "bmi2",
		"movbe", "rdrand", "rdseed", "adx", "sha_ni", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd",
		"avx512ifma", "avx512vbmi", "avx512_vbmi2", "avx512_vnni", "avx512_bitalg", "avx512_vpopcntdq", "vaes",
		"vpclmulqdq", "gfni", "erms", "fsrm", "rdtscp", "fsgsbase", "pku", "ospke", "amx_tile", "lzcnt", "abm", "rtm",
		"cx16", "xsave", "xsavec", "xsaveopt", "clflushopt", "clwb", "movdiri", "movdir64b", "waitpkg", "avx_vnni",
		"avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16", "sse4a", "fma4", "xop", "serialize",
	};
	const struct manifest_record *m = image->manifest;
	char *line = NULL;
	size_t room = 0;
	struct blob here = BLOB("");
	FILE *f = fopen("/proc/cpuinfo", "re");
	int rc = 0;

	while (f && getline(&line, &room, f) > 0)
		if (strncmp(line, "flags", 5) == 0 && strchr(line, ':')) {
			line[strcspn(line, "\n")] = 0;
			here.p = strchr(line, ':') + 2;
			here.n = strlen(here.p);
			break;
		}
	if (f)
		fclose(f);
	for (size_t i = 0; here.n && i < sizeof(matter) / sizeof(*matter) && rc == 0; i++)
		if (has_word(m->cpu, matter[i], strlen(matter[i])) && !has_word(here, matter[i], strlen(matter[i])))
			rc = failed(ERR_PLAIN, "this processor has no %s, which the program may be using", matter[i]);
	free(line);
	return rc < 0 ? rc : check_registers(m);
}

/* The shim that comes back with the memory goes by this struct. */
static int check_shared(const struct process_record *p)
{
	return p->ledger_size == sizeof(struct tree) ? 0 :
	       failed(ERR_PLAIN, "pid %d: the image was made by a libskshim.so whose shared memory is laid out otherwise", p->pid);
}

int check_image(const struct image *image)
{
	const struct manifest_record *m = image->manifest;
	int rc = 0;

	if (m->page_size != (uint32_t)sysconf(_SC_PAGESIZE))
		return failed(ERR_PLAIN, "the image has pages of %u bytes, this machine of %ld", m->page_size, sysconf(_SC_PAGESIZE));
	rc = check_cpu(image);
	for (uint32_t i = 0; rc == 0 && i < image->nprocesses; i++) {
		const struct process_record *p = image->processes[i].task;

		rc = check_shared(p);
		if (rc == 0)
			rc = vdso_check(image, i);
		for (uint32_t k = 0; rc == 0 && k < p->files.n; k++)
			rc = check_file(p, k);
	}
	return rc;
}
