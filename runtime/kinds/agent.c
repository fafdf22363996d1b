/*
 * agent.c - doing things under another process's pid
 *
 * The kernel remembers who called connect, listen, socketpair and send: it is
 * what SO_PEERCRED and SCM_CREDENTIALS tell. While the restart builds sockets,
 * none of those processes exists yet, and some never will again. An agent is a
 * short-lived process cloned under the wanted pid that shares the builder's
 * memory and descriptors, so a plain function can run in it.
 *
 * Where the pid can't be had (no privilege, taken by somebody else) the
 * function runs in the builder itself.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "agent.h"
#include "skshim/sys.h"

#include "skshim/frozen.h"

#define AGENT_STACK (128ul << 10)

enum agent_word { AGENT_IDLE, AGENT_WORK, AGENT_DONE, AGENT_LEAVE };

/* Lies at the low end of the agent's stack mapping. */
struct agent {
	struct agent *next;
	struct agent_id id;          /* wanted */
	int32_t tid;                 /* as the builder's namespace counts, the same; negative: why there is none */
	int32_t maker;               /* the builder's pid */
	uint32_t word;               /* futex, enum agent_word */
	int32_t rc;
	int (*fn)(void *);
	void *arg;
	bool absent;                 /* couldn't be cloned: the builder does it */
	int (*begin)(struct agent *); /* first thing it does, NULL nothing */
	int32_t begun;               /* what that returned */
};

static struct agent *agents, *latest, *private_agent;

bool agent_same(const struct agent_id *a, const struct agent_id *b)
{
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid && !a->groups.p == !b->groups.p && blob_eq(a->groups, b->groups);
}

/*
 * Another user may not connect to a file that has just been made, whose mode comes later, and must not have to wait for
 * it: strangers could come in before. So what privilege there is to pass modes stays.
 */
static void pass_modes(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	if (SYS2(__NR_capget, &head, caps) < 0)
		return;
	caps[0].effective |= caps[0].permitted & 1u << CAP_DAC_OVERRIDE;
	(void)SYS2(__NR_capset, &head, caps);
}

/* Ids of the process it stands for; what isn't permitted stays the builder's. */
static int begin_ids(struct agent *a)
{
	const struct agent_id *id = &a->id;

	if (id->groups.p)
		(void)SYS2(__NR_setgroups, id->groups.n / 4, id->groups.p);
	if (id->gid != (uint32_t)SYS0(__NR_getegid))
		(void)SYS3(__NR_setresgid, id->gid, id->gid, id->gid);
	if (id->uid != (uint32_t)SYS0(__NR_geteuid)) {
		(void)sys_prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
		(void)SYS3(__NR_setresuid, id->uid, id->uid, id->uid);
		pass_modes();
		/* the memory is the builder's, which must go on seeing its own /proc */
		(void)sys_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	}
	return 0;
}

static void agent_main(struct agent *a)
{
	if (a->begin)
		a->begun = a->begin(a);
	(void)sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	/* a builder that died before sends nothing any more */
	if (SYS0(__NR_getppid) != a->maker)
		sys_exit(0);
	for (;;) {
		uint32_t word = __atomic_load_n(&a->word, __ATOMIC_ACQUIRE);

		if (word == AGENT_LEAVE)
			sys_exit(0);
		if (word != AGENT_WORK) {
			sys_futex(&a->word, FUTEX_WAIT_PRIVATE, word, NULL);
			continue;
		}
		a->rc = a->fn(a->arg);
		__atomic_store_n(&a->word, AGENT_DONE, __ATOMIC_RELEASE);
		sys_futex(&a->word, FUTEX_WAKE_PRIVATE, 1, NULL);
	}
}

/* clone3, the child going on in agent_main() on the stack in *args. */
static long agent_clone(const struct clone_args *args, struct agent *a)
{
	register struct agent *kept __asm__("r12") = a;
	register void (*enter)(struct agent *) __asm__("r13") = agent_main;
	long rc;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r12, %%rdi\n\t"
			 "call *%%r13\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(rc)
			 : "a"(__NR_clone3), "D"(args), "S"(sizeof(*args)), "r"(kept), "r"(enter)
			 : "rcx", "r11", "memory");
	return rc;
}

/* pid 0: any; flags: more of clone's. */
static struct agent *agent_new(const struct agent_id *id, uint64_t flags, int (*begin)(struct agent *))
{
	char *stack = sys_mmap(NULL, AGENT_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	pid_t want[1] = { id->pid };
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_FILES | flags,
		.set_tid = id->pid ? (uintptr_t)want : 0,
		.set_tid_size = id->pid ? 1 : 0,
	};
	struct agent *a;
	long rc;

	if (sys_is_err(stack)) {
		failed((int)(long)stack, "memory for a helper");
		return NULL;
	}
	a = (struct agent *)stack;
	*a = (struct agent){ .next = agents, .id = *id, .maker = sys_getpid(), .begin = begin };
	args.stack = (uintptr_t)stack + 4096;
	args.stack_size = AGENT_STACK - 4096;
	agents = a;
	rc = agent_clone(&args, a);
	if (rc < 0) {
		a->absent = true;
		if (id->pid)
			log_line(LOG_INFO, "nothing can be done under pid %d (%s): peers will see the restart's credentials",
				 id->pid, text_error((int)rc));
	}
	a->tid = (int32_t)rc;
	return a;
}

static struct agent *agent_find(const struct agent_id *id)
{
	struct agent *a;

	if (latest && agent_same(&latest->id, id))
		return latest;
	for (a = agents; a; a = a->next)
		if (agent_same(&a->id, id))
			break;
	if (!a) {
		/* One process a pid: who comes with other ids waits until the former is gone. */
		agent_end(id->pid);
		a = agent_new(id, 0, begin_ids);
	}
	latest = a;
	return a;
}

/* Has fn(arg) run in it. */
static int agent_work(struct agent *a, int (*fn)(void *), void *arg)
{
	const struct __kernel_timespec second = { .tv_sec = 1 };
	uint32_t word;
	int status;

	a->fn = fn;
	a->arg = arg;
	__atomic_store_n(&a->word, AGENT_WORK, __ATOMIC_RELEASE);
	sys_futex(&a->word, FUTEX_WAKE_PRIVATE, 1, NULL);
	while ((word = __atomic_load_n(&a->word, __ATOMIC_ACQUIRE)) != AGENT_DONE)
		if (sys_futex(&a->word, FUTEX_WAIT_PRIVATE, word, &second) == -ETIMEDOUT &&
		    sys_wait4(a->tid, &status, __WALL | WNOHANG) == a->tid) {
			a->absent = true;
			return failed(-ECHILD, "helper for pid %d was killed", a->id.pid);
		}
	__atomic_store_n(&a->word, AGENT_IDLE, __ATOMIC_RELAXED);
	return a->rc;
}

int agent_run(const struct agent_id *id, int (*fn)(void *), void *arg)
{
	struct agent *a;

	if (id->pid <= 0 || (id->pid == sys_getpid() && id->uid == (uint32_t)SYS0(__NR_geteuid)))
		return fn(arg);
	a = agent_find(id);
	if (!a)
		return -ENOMEM;
	/* not a pid that can't be had, but no process at all: to go on would be to lose silently what others get back */
	if (a->absent && (a->tid == -EAGAIN || a->tid == -ENOMEM))
		return failed(a->tid, "a helper for pid %d", id->pid);
	return a->absent ? fn(arg) : agent_work(a, fn, arg);
}

static int write_file(const char *path, const char *text)
{
	int fd = sys_openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
	int rc = fd < 0 ? fd : (int)sys_write(fd, text, strlen(text));

	if (fd >= 0)
		sys_close(fd);
	return rc;
}

/* Maps the own ids to themselves; the effective ones were kept by who cloned it. */
static int begin_user(struct agent *a)
{
	char text[64];
	int rc;

	(void)write_file("/proc/thread-self/setgroups", "deny"); /* older kernels have none, and then need none */
	text_format(text, sizeof(text), "%u %u 1", a->id.uid, a->id.uid);
	rc = write_file("/proc/thread-self/uid_map", text);
	text_format(text, sizeof(text), "%u %u 1", a->id.gid, a->id.gid);
	return rc < 0 ? rc : write_file("/proc/thread-self/gid_map", text);
}

/* A mount namespace whose changes nobody else sees, and a tmpfs in it as working directory. */
static int begin_private(struct agent *a)
{
	static const char *const points[] = { "/tmp", "/mnt", "/var", "/usr" };
	int rc = (int)SYS5(__NR_mount, "none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	unsigned i;

	(void)a;
	for (i = 0; rc >= 0 && i < 4; i++)
		if (SYS5(__NR_mount, "skshim", points[i], "tmpfs", 0, "mode=0700") >= 0)
			return (int)SYS1(__NR_chdir, points[i]);
	return rc < 0 ? rc : -ENOENT;
}

static int begin_private_user(struct agent *a)
{
	int rc = begin_user(a);

	return rc < 0 ? rc : begin_private(a);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static struct agent *agent_private_new(void)
{
	const struct agent_id own = { 0, (uint32_t)SYS0(__NR_geteuid), (uint32_t)SYS0(__NR_getegid), { NULL, 0 } };
	struct agent *a = agent_new(&own, CLONE_NEWNS, begin_private);

	if (a && a->absent)
		a = agent_new(&own, CLONE_NEWNS | CLONE_NEWUSER, begin_private_user);
	return a;
}

int agent_private(int (*fn)(void *), void *arg)
{
	int rc;

	if (!private_agent) {
		private_agent = agent_private_new();
		if (!private_agent)
			return -ENOMEM;
		if (!private_agent->absent)
			(void)agent_work(private_agent, nothing, NULL); /* until it has begun */
	}
	rc = private_agent->absent ? -EPERM : private_agent->begun;
	return rc < 0 ? rc : agent_work(private_agent, fn, arg);
}

static void agent_leave(struct agent *a)
{
	int status;

	if (!a->absent) {
		__atomic_store_n(&a->word, AGENT_LEAVE, __ATOMIC_RELEASE);
		sys_futex(&a->word, FUTEX_WAKE_PRIVATE, 1, NULL);
		while (sys_wait4(a->tid, &status, __WALL) == -EINTR)
			;
	}
	sys_munmap(a, AGENT_STACK);
}

void agent_end(int32_t pid)
{
	struct agent **at = &agents, *a;

	while ((a = *at)) {
		if (a->id.pid != pid) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		agent_leave(a);
	}
	latest = NULL;
}

void agents_end(void)
{
	struct agent *a, *next;

	for (a = agents; a; a = next) {
		next = a->next;
		agent_leave(a);
	}
	agents = latest = private_agent = NULL;
}
