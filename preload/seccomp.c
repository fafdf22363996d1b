/*
 * seccomp.c - filters of system calls, noted when they are installed
 *
 * The kernel shows a filter to nobody but a privileged tracer, so those that
 * the program installs are kept here, in its own memory, and installed again
 * after a restart. The image is refused when the kernel counts other filters
 * than these and those the tree was started under (a container's).
 *
 * Filters are a thread's: each is put before those that the thread had, which
 * threads it makes inherit. They make a tree, and a thread stands at a node of
 * it: where it installed one last; else at the only one of that depth.
 *
 * A filter that forbids what a checkpoint needs would end the program at the
 * first request. So each is installed with a few instructions before it that
 * allow calls made by libskshim.so's own code, but not by its syscall(), which
 * is the program's voice. docs/LIMITS.md says what that costs.
 */
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "stop.h"
#include "skshim/away.h"

#include "skshim/frozen.h"

#define AT_FDCWD_ (-100)
#define O_CLOEXEC_ 02000000
#define PROT_RW 3
#define MAP_ANON_PRIVATE 0x22
#define LANDLOCK_RESTRICT_SELF 446
#define PREFIX 7
#define MOST 4096                    /* BPF_MAXINSNS */
#define IP_LOW 8                     /* offsets in struct seccomp_data */
#define IP_HIGH 12

struct filter {
	struct filter *earlier;      /* what the thread had */
	struct filter *next;         /* in the list of all */
	uint32_t depth;              /* 1 and more */
	unsigned flags;
	struct sock_fprog prog;
	struct sock_filter code[];
};

static struct filter *all;
static __thread struct filter *mine; /* installed by this thread, or by the one that forked it */
static bool landlocked;
bool seccomp_closed;

/* How many filters the calling thread has; -1: this kernel doesn't say. */
static int count(char *scratch, size_t room)
{
	int fd = away_open("/proc/thread-self/status", O_CLOEXEC_);
	struct blob b = { scratch, 0 };
	uint64_t n;
	long rc;

	if (fd < 0)
		return -1;
	rc = sys_read(fd, scratch, room);
	sys_close(fd);
	b.n = rc > 0 ? (uint64_t)rc : 0;
	return text_field(b, "Seccomp_filters:", 10, &n) ? (int)n : -1;
}

void seccomp_init(bool root)
{
	char scratch[2048];
	int n = sys_prctl(PR_GET_SECCOMP, 0, 0, 0, 0) > 0 ? count(scratch, sizeof(scratch)) : 0;
	struct member *m = members_self();

	if (root)
		shim.tree->filters = (uint32_t)(n > 0 ? n : 0);
	if (!m || n <= (int)shim.tree->filters)
		return;
	seccomp_closed = true;
	__atomic_store_n(&m->shimless, SHIMLESS_SECCOMP, __ATOMIC_SEQ_CST);
}

/* Where a thread with `depth` filters of the tree's stands; false: nobody can say. */
static bool stands_at(int depth, struct filter **out)
{
	struct filter *only = NULL;
	uint32_t n = 0;

	*out = depth > 0 && mine && mine->depth == (uint32_t)depth ? mine : NULL;
	if (*out || depth == 0)
		return true;
	for (struct filter *f = __atomic_load_n(&all, __ATOMIC_ACQUIRE); f; f = f->next)
		if (f->depth == (uint32_t)depth) {
			only = f;
			n++;
		}
	*out = only;
	return n == 1;
}

/* Filters of this thread's that are the tree's own. */
static int depth_here(char *scratch, size_t room)
{
	int n = sys_prctl(PR_GET_SECCOMP, 0, 0, 0, 0) > 0 ? count(scratch, room) : 0;

	return n < 0 ? n : n - (int)shim.tree->filters;
}

/* Before it is installed. */
static void note(struct filter *f)
{
	char scratch[2048];
	int depth = depth_here(scratch, sizeof(scratch));

	f->depth = depth >= 0 ? (uint32_t)depth + 1 : 0;
	/* whoever stands on an unknown one is unknown himself: no thread has so many */
	if (depth < 0 || !stands_at(depth, &f->earlier))
		f->depth = ~0u;
}

/* It has been. */
static void keep(struct filter *f)
{
	f->next = __atomic_load_n(&all, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&all, &f->next, f, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	mine = f;
}

/* --- installing --------------------------------------------------------------------------------------------- */

static bool peek(void *to, const void *from, size_t n)
{
	struct { void *base; size_t len; } here = { to, n }, there = { (void *)from, n };

	return SYS6(__NR_process_vm_readv, sys_gettid(), &here, 1, &there, 1, 0) == (long)n;
}

static void prefix(struct sock_filter *f)
{
	const struct sock_filter own[PREFIX] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, IP_HIGH),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(shim.base >> 32), 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, IP_LOW),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)shim.base, 0, 3),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)shim.end, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(uint64_t)syscall_after, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	memcpy(f, own, sizeof(own));
}

/* A copy of the program's filter behind the prefix; NULL: the kernel shall see it as it is. */
static struct filter *copy(const void *program, unsigned flags)
{
	struct sock_fprog prog;
	struct filter *f;

	if (!shim.active || shim.base >> 32 != shim.end >> 32 || (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return NULL;
	if (!peek(&prog, program, sizeof(prog)) || prog.len == 0 || prog.len + PREFIX > MOST)
		return NULL;
	f = sys_mmap(NULL, sizeof(*f) + (prog.len + PREFIX) * sizeof(f->code[0]), PROT_RW, MAP_ANON_PRIVATE, -1, 0);
	if (sys_is_err(f))
		return NULL;
	prefix(f->code);
	f->flags = flags;
	f->prog.len = (unsigned short)(prog.len + PREFIX);
	f->prog.filter = f->code;
	if (peek(f->code + PREFIX, prog.filter, prog.len * sizeof(f->code[0]))) {
		note(f);
		return f;
	}
	sys_munmap(f, sizeof(*f) + (prog.len + PREFIX) * sizeof(f->code[0]));
	return NULL;
}

/* In strict mode not even the handler may look at who it is. */
static void close_up(bool strict)
{
	struct member *m = members_self();

	if (!strict)
		return;
	seccomp_closed = true;
	if (m)
		__atomic_store_n(&m->shimless, SHIMLESS_SECCOMP, __ATOMIC_SEQ_CST);
}

int seccomp_prctl(unsigned long mode, const void *program)
{
	struct filter *f = mode == SECCOMP_MODE_FILTER ? copy(program, 0) : NULL;
	int rc = real.prctl(PR_SET_SECCOMP, mode, f ? (unsigned long)&f->prog : (unsigned long)program, 0ul, 0ul);

	if (rc == 0 && f)
		keep(f);
	if (rc == 0)
		close_up(mode == SECCOMP_MODE_STRICT);
	return rc;
}

static void confine(void)
{
	struct member *m = members_self();

	landlocked = true;
	if (m)
		__atomic_fetch_or(&m->confined, CONFINED_LANDLOCK, __ATOMIC_SEQ_CST);
}

/* syscall() of prctl(PR_SET_SECCOMP), seccomp(), landlock_restrict_self() and what keys.c notes: see context.S. */
long seccomp_call(long nr, long a, long b, long c, long d, long e);
long seccomp_call(long nr, long a, long b, long c, long d, long e)
{
	struct filter *f;
	long rc;

	if (nr == __NR_prctl)
		return seccomp_prctl((unsigned long)b, (void *)c);
	f = nr == __NR_seccomp && a == SECCOMP_SET_MODE_FILTER ? copy((void *)c, (unsigned)b) : NULL;
	rc = real.syscall(nr, a, b, f ? (long)&f->prog : c, d, e);
	if (rc == 0 && f)
		keep(f);
	if (rc == 0 && nr == __NR_seccomp)
		close_up(a == SECCOMP_SET_MODE_STRICT);
	if (rc == 0 && nr == LANDLOCK_RESTRICT_SELF)
		confine();
	if (rc >= 0)
		keys_note(nr, a, b, e);
	return rc;
}

/* --- at a checkpoint, and after a restart --------------------------------------------------------------------- */

void seccomp_thread(struct slot *s)
{
	s->seccomp = (uint32_t)sys_prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
	s->filters = s->seccomp ? depth_here(s->scratch, sizeof(s->scratch)) : 0;
	s->filters_known = s->filters <= 0 || stands_at(s->filters, &s->filter);
	if (s->filters <= 0)
		s->filter = NULL;
}

int seccomp_check(void)
{
	const struct member *m = members_self();

	if (landlocked || (m && (m->confined & CONFINED_LANDLOCK)))
		return failed(ERR_PLAIN, "pid %d: is confined by landlock, which can't be read back", shim.pid);
	for (uint32_t i = 0; i < quiesce.nslots; i++) {
		const struct slot *s = &quiesce.slots[i];

		if (s->state == SLOT_PARKED && !s->filters_known)
			return failed(ERR_PLAIN, "pid %d: thread %d has %d seccomp filters, which are not all known", shim.pid,
				      s->tid, s->filters + (int)shim.tree->filters);
	}
	return 0;
}

/* Oldest first. A thread without its filters must not run. */
static void install(const struct filter *f)
{
	long rc;

	if (f->earlier)
		install(f->earlier);
	rc = SYS3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, f->flags & ~(unsigned)SECCOMP_FILTER_FLAG_TSYNC, &f->prog);
	if (rc == 0)
		return;
	log_line(LOG_ERROR, "cannot restart: pid %d: its seccomp filter: %s", shim.pid, text_error((int)rc));
	sys_exit_group(125);
}

void seccomp_restore(struct slot *s)
{
	int base = sys_prctl(PR_GET_SECCOMP, 0, 0, 0, 0) > 0 ? count(s->scratch, sizeof(s->scratch)) : 0;

	shim.tree->filters = (uint32_t)(base > 0 ? base : 0);
	if (!s->filter)
		return;
	if (s->no_new_privs)
		sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	install(s->filter);
}
