/*
 * attribute.c - small things the kernel keeps for a thread or a process
 *
 * Noted while the world stands, in the process's own memory, which the image
 * has; given back from inside after a restart. What a kernel doesn't know is
 * left alone.
 */
#include <asm/errno.h>
#include <asm/prctl.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "family.h"
#include "stop.h"

#include "skshim/frozen.h"

#define AT_FDCWD_ (-100)
#define O_CLOEXEC_ 02000000
#define IOPRIO_WHO_PROCESS 1
#define GET_REGISTRATIONS (1 << 9)   /* MEMBARRIER_CMD_GET_REGISTRATIONS, Linux 6.3 */
#define SET_MDWE 65
#define GET_MDWE 66
#define SET_MERGE 67
#define GET_MERGE 68
#define HELPER_STACK 16384
#define SPECULATIONS 3
#define SPEC_CHOICES (PR_SPEC_ENABLE | PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE)

/* What a process has registered: the commands that must be given to register it again. */
static const int registrations[] = {
	MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
	MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ,
};

/* Of the process; the leader's thread writes it. */
static struct {
	int membarrier, merge, mdwe;
	char coredump[16];
	uint32_t coredump_len;
} process;

/* --- namespaces: the tree's processes stay in those that its root was started in ----------------------------- */

static const char *const namespaces[TREE_NAMESPACES] = { "cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts" };

static uint64_t namespace_of(int tid, const char *name)
{
	char path[48], text[48];
	const char *s = text;
	uint64_t ino = 0;
	long n;

	text_format(path, sizeof(path), "/proc/self/task/%d/ns/%s", tid, name);
	n = sys_readlinkat(AT_FDCWD_, path, text, sizeof(text));
	while (n > 0 && s < text + n && *s != '[')
		s++;
	s++;
	return n > 0 && s < text + n && text_number(&s, text + n, 10, &ino) ? ino : 0;
}

void attribute_namespaces(void)
{
	jail_tree();
	for (unsigned i = 0; i < TREE_NAMESPACES; i++)
		shim.tree->namespaces[i] = namespace_of(sys_gettid(), namespaces[i]);
}

static int check_thread(int tid)
{
	for (unsigned i = 0; i < TREE_NAMESPACES; i++) {
		uint64_t now = namespace_of(tid, namespaces[i]);

		if (now && shim.tree->namespaces[i] && now != shim.tree->namespaces[i])
			return failed(ERR_PLAIN, "pid %d: thread %d has gone into another %s namespace", shim.pid, tid, namespaces[i]);
	}
	/* one in which nobody has been made yet isn't told */
	if (namespace_moved && (namespace_of(tid, "pid_for_children") != namespace_of(tid, "pid") ||
				namespace_of(tid, "time_for_children") != namespace_of(tid, "time")))
		return failed(ERR_PLAIN, "pid %d: thread %d has another pid or time namespace for its children", shim.pid, tid);
	return 0;
}

int attribute_check(void)
{
	int rc = check_thread(sys_gettid());

	for (uint32_t i = 0; rc == 0 && namespace_moved && i < quiesce.nslots; i++)
		if (quiesce.slots[i].state == SLOT_PARKED)
			rc = check_thread(quiesce.slots[i].tid);
	return rc;
}

/* --- threads ------------------------------------------------------------------------------------------------- */

void attribute_thread(struct thread_attributes *t)
{
	t->ioprio = (int)SYS2(__NR_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	t->mce = (int)sys_prctl(PR_MCE_KILL_GET, 0, 0, 0, 0);
	t->flusher = (int)sys_prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0);
	if (sys_prctl(PR_GET_TSC, (unsigned long)&t->tsc, 0, 0, 0) < 0)
		t->tsc = PR_TSC_ENABLE;
	for (unsigned long i = 0; i < SPECULATIONS; i++)
		t->speculation[i] = (int)sys_prctl(PR_GET_SPECULATION_CTRL, i, 0, 0, 0);
}

void attribute_thread_restore(const struct thread_attributes *t)
{
	long rc;

	/* what nobody has set is no priority of its own: the nice value decides */
	if (t->ioprio > 0 && t->ioprio != (int)SYS2(__NR_ioprio_get, IOPRIO_WHO_PROCESS, 0)) {
		rc = SYS3(__NR_ioprio_set, IOPRIO_WHO_PROCESS, 0, t->ioprio);
		if (rc < 0)
			log_line(LOG_WARN, "tid %d: io priority %x not given back: %s", sys_gettid(), (unsigned)t->ioprio,
				 text_error((int)rc));
	}
	if (t->mce == PR_MCE_KILL_EARLY || t->mce == PR_MCE_KILL_LATE)
		sys_prctl(PR_MCE_KILL, PR_MCE_KILL_SET, (unsigned long)t->mce, 0, 0);
	if (t->flusher == 1)
		sys_prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	if (t->tsc == PR_TSC_SIGSEGV)
		sys_prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
	for (unsigned long i = 0; i < SPECULATIONS; i++) {
		int want = t->speculation[i];

		if (want > 0 && (want & PR_SPEC_PRCTL) && want != (int)sys_prctl(PR_GET_SPECULATION_CTRL, i, 0, 0, 0))
			sys_prctl(PR_SET_SPECULATION_CTRL, i, (unsigned long)(want & SPEC_CHOICES), 0, 0);
	}
}

/* --- the process --------------------------------------------------------------------------------------------- */

static int read_coredump(void *arg)
{
	int fd = sys_openat(AT_FDCWD_, "/proc/self/coredump_filter", O_CLOEXEC_, 0);
	long n;

	(void)arg;
	process.coredump_len = 0;
	if (fd >= 0) {
		n = sys_read(fd, process.coredump, sizeof(process.coredump));
		process.coredump_len = n > 0 ? (uint32_t)n : 0;
		sys_close(fd);
	}
	return 0;
}

/* The file says the value in hexadecimal without a prefix, and wants one. */
static int write_coredump(void *arg)
{
	char text[sizeof(process.coredump) + 3];
	int fd = sys_openat(AT_FDCWD_, "/proc/self/coredump_filter", O_CLOEXEC_ | 1, 0);

	(void)arg;
	if (fd >= 0) {
		memcpy(text, "0x", 2);
		memcpy(text + 2, process.coredump, process.coredump_len);
		sys_write(fd, text, process.coredump_len + 2);
		sys_close(fd);
	}
	return 0;
}

/* What is told of the memory only by its process's first thread: where that has ended, by a process that shares it for the moment. */
static void as_first(int (*fn)(void *))
{
	static char stack[HELPER_STACK] __attribute__((aligned(16)));
	int status;
	long pid;

	if (!quiesce.first_ended) {
		fn(NULL);
		return;
	}
	pid = context_clone(CLONE_VM | CLONE_FS | CLONE_FILES, stack + HELPER_STACK, fn, NULL);
	if (pid > 0)
		while (sys_wait4((int)pid, &status, __WCLONE) == -EINTR)
			;
}

void attribute_process(void)
{
	as_first(read_coredump);
	process.membarrier = (int)SYS3(__NR_membarrier, GET_REGISTRATIONS, 0, 0);
	process.merge = (int)sys_prctl(GET_MERGE, 0, 0, 0, 0);
	process.mdwe = (int)sys_prctl(GET_MDWE, 0, 0, 0, 0);
}

static void restore_coredump(void)
{
	bool closed;

	if (!process.coredump_len)
		return;
	closed = sys_prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
	if (closed)
		sys_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	as_first(write_coredump);
	if (closed)
		sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void attribute_process_restore(void)
{
	attribute_namespaces();
	restore_coredump();
	for (unsigned i = 0; process.membarrier > 0 && i < sizeof(registrations) / sizeof(*registrations); i++)
		if (process.membarrier & registrations[i])
			SYS3(__NR_membarrier, registrations[i], 0, 0);
	if (process.merge == 1)
		sys_prctl(SET_MERGE, 1, 0, 0, 0);
	if (process.mdwe > 0)
		sys_prctl(SET_MDWE, (unsigned long)process.mdwe, 0, 0, 0);
}
