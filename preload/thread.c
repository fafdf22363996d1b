/*
 * thread.c - what a signal frame lacks: collected and put back by the thread itself
 *
 * thread_restore() runs in a thread that the restorer has just cloned, with
 * its old tid and thread pointer and all signals blocked. Order: rseq before
 * anything may be scheduled away with a stale processor number in sight of the
 * program; capabilities last, since the calls before may need them.
 */
#include <asm/errno.h>
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "stop.h"
#include "skshim/away.h"

#include "skshim/frozen.h"

#define RSEQ_SIG 0x53053053u
#define RSEQ_UNREGISTER 1             /* RSEQ_FLAG_UNREGISTER, linux/rseq.h */
#define RSEQ_LEAST 32                 /* bytes that glibc registers at least */

/* glibc 2.35 and newer tell where they registered restartable sequences; absent in others. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

struct sched_attributes {     /* man 2 sched_setattr */
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/*
 * Taking it away with a wrong signature changes nothing, and fails with EPERM
 * only where this very area is registered: a thread made by clone() has none,
 * perhaps no thread pointer either, or its maker's.
 */
static void collect_rseq(struct slot *s)
{
	uint64_t area = s->fs_base + (uint64_t)__rseq_offset;
	uint32_t len;

	s->rseq = 0;
	if (!&__rseq_size || !&__rseq_offset || __rseq_size == 0)
		return;
	len = __rseq_size < RSEQ_LEAST ? RSEQ_LEAST : __rseq_size;
	if (SYS4(__NR_rseq, area, len, RSEQ_UNREGISTER, ~RSEQ_SIG) != -EPERM)
		return;
	s->rseq = area;
	s->rseq_len = len;
}

/* In the writer: or the kernel would go on writing the processor's number into memory that is being written to disk. */
void thread_leave_rseq(const struct slot *s)
{
	if (s->rseq)
		SYS4(__NR_rseq, s->rseq, s->rseq_len, RSEQ_UNREGISTER, RSEQ_SIG);
}

static void restore_caps(const struct slot *s);

static void collect_caps(struct slot *s)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	memset(data, 0, sizeof(data));
	if (SYS2(__NR_capget, &head, data) < 0)
		return;
	s->cap_effective = data[0].effective | (uint64_t)data[1].effective << 32;
	s->cap_permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	s->cap_inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	s->cap_bounding = s->cap_ambient = 0;
	for (int cap = 0; cap < 64; cap++) {
		long in = sys_prctl(PR_CAPBSET_READ, (unsigned long)cap, 0, 0, 0);

		if (in < 0)
			break;
		if (in)
			s->cap_bounding |= 1ull << cap;
		if (sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, (unsigned long)cap, 0, 0) == 1)
			s->cap_ambient |= 1ull << cap;
	}
}

static bool fsids_differ(const struct slot *s)
{
	return s->fsuid != (uint32_t)SYS0(__NR_geteuid) || s->fsgid != (uint32_t)SYS0(__NR_getegid);
}

/* The kernel gives and takes capabilities with them, and forbids to be looked at: dumpable is set behind both. */
static void set_fsids(uint32_t uid, uint32_t gid)
{
	SYS1(__NR_setfsgid, gid);
	SYS1(__NR_setfsuid, uid);
}

void thread_fsids_raise(const struct slot *s)
{
	if (fsids_differ(s))
		set_fsids((uint32_t)SYS0(__NR_geteuid), (uint32_t)SYS0(__NR_getegid));
}

void thread_fsids_back(const struct slot *s)
{
	if (!fsids_differ(s))
		return;
	set_fsids(s->fsuid, s->fsgid);
	restore_caps(s);
	if (s->pdeathsig)            /* the kernel forgets it as well */
		sys_prctl(PR_SET_PDEATHSIG, s->pdeathsig, 0, 0, 0);
}

static void collect_sched(struct slot *s)
{
	struct sched_attributes a;
	long n;

	memset(&a, 0, sizeof(a));
	a.size = sizeof(a);
	if (SYS4(__NR_sched_getattr, 0, &a, sizeof(a), 0) == 0) {
		s->sched_policy = a.policy;
		s->sched_flags = a.flags;
		s->nice = a.nice;
		s->sched_priority = a.priority;
		s->sched_runtime = a.runtime;
		s->sched_deadline = a.deadline;
		s->sched_period = a.period;
	}
	n = SYS3(__NR_sched_getaffinity, 0, sizeof(s->affinity), s->affinity);
	s->affinity_len = n > 0 ? (uint32_t)n : 0;
}

static int read_waiting(struct slot *s, uint64_t *own, uint64_t *shared, uint64_t *queued)
{
	struct blob b = { s->scratch, 0 };
	uint64_t all = 0, sigq[2];
	long n;
	int fd;

	*own = *shared = *queued = 0;
	sys_rt_sigpending(&all);      /* in the handler everything is blocked, so this is everything that waits */
	if (!(all & ~SHIM_BIT(shim.signal)))
		return 0;
	fd = away_open("/proc/thread-self/status", O_CLOEXEC);
	if (fd < 0)
		return fd;
	n = sys_read(fd, s->scratch, sizeof(s->scratch));
	sys_close(fd);
	if (n < 0)
		return (int)n;
	b.n = (uint64_t)n;
	if (!text_field(b, "SigQ:", 10, sigq) || !text_field(b, "SigPnd:", 16, own) || !text_field(b, "ShdPnd:", 16, shared))
		return -EIO;
	*queued = sigq[0];
	return 0;
}

int thread_pending_masks(struct slot *s, uint64_t *own, uint64_t *shared)
{
	uint64_t queued;

	return read_waiting(s, own, shared, &queued);
}

/* Takes one waiting signal of `which` out; a thread's own come before the process's. False when there is none. */
static bool take(uint64_t which, siginfo_t *out)
{
	struct __kernel_timespec none = { 0, 0 };
	int rc;

	do {
		memset(out, 0, sizeof(*out));
		rc = sys_rt_sigtimedwait(&which, out, &none);
	} while (rc == -EINTR);
	return rc > 0;
}

/* The queue of all of the user's processes is `queued` long, so that many can be ours; and 64 that need no place in it. */
static bool room_for(struct waiting *w, uint64_t queued)
{
	if (!w->list) {
		w->room = (uint32_t)queued + 128;
		w->list = sys_mmap(NULL, w->room * sizeof(*w->list), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (sys_is_err(w->list)) {
			w->list = NULL;
			log_line(LOG_WARN, "pid %d: no memory to look at waiting signals", shim.pid);
			return false;
		}
	}
	return w->n < w->room;
}

void thread_forget(struct waiting *w)
{
	if (w->list)
		sys_munmap(w->list, w->room * sizeof(*w->list));
	*w = (struct waiting){ NULL, 0, 0 };
}

/*
 * The signals waiting for this thread alone, in the kernel's order. A number
 * that waits for the process as well is looked at again after each one, so
 * that none of the process's is taken along.
 */
static void take_own(struct slot *s)
{
	uint64_t own, shared, queued;

	s->pending = (struct waiting){ NULL, 0, 0 };
	while (read_waiting(s, &own, &shared, &queued) == 0) {
		own &= ~SHIM_BIT(shim.signal);
		if (!own || !room_for(&s->pending, queued) || !take(own, &s->pending.list[s->pending.n]))
			return;
		s->pending.n++;
	}
}

/* The process's, of which one thread takes care. Its own have been taken out before. */
static void take_shared(struct slot *s)
{
	uint64_t own, shared, queued;
	struct waiting *w = &quiesce.shared;

	*w = (struct waiting){ NULL, 0, 0 };
	if (read_waiting(s, &own, &shared, &queued) < 0)
		return;
	shared &= ~SHIM_BIT(shim.signal);
	while (shared && room_for(w, queued) && take(shared, &w->list[w->n]))
		w->n++;
	thread_requeue(w, true);
}

void thread_look_again(struct slot *s)
{
	siginfo_t info;

	if (!quiesce_looks(s)) {
		/* a child's end tells again what its signal said */
		memset(&info, 0, sizeof(info));
		if (SYS5(__NR_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT, NULL) == 0 && info.si_pid)
			thread_add_late(&info);
		return;
	}
	thread_forget(&s->pending);
	thread_forget(&quiesce.shared);
	take_own(s);
	take_shared(s);
	thread_requeue(&s->pending, false);
}

void thread_requeue(const struct waiting *w, bool process)
{
	int pid = sys_getpid(), tid = sys_gettid();
	const siginfo_t *info = w->list;

	/* to oneself any si_code may be sent; one's own tid stands for the process too (kernel/signal.c, do_rt_sigqueueinfo) */

	for (uint32_t i = 0; i < w->n; i++) {
		int rc = process ? sys_rt_sigqueueinfo(tid, info[i].si_signo, &info[i])
				 : sys_rt_tgsigqueueinfo(pid, tid, info[i].si_signo, &info[i]);

		if (rc < 0)
			log_line(LOG_WARN, "pid %d: signal %d that was waiting is lost: %s", pid, info[i].si_signo, text_error(rc));
	}
}

bool thread_keep(uint64_t which)
{
	siginfo_t info;
	struct waiting one = { .list = &info, .n = 1, .room = 1 };

	if (!take(which, &info))
		return false;
	thread_requeue(&one, false);
	return true;
}

void thread_add_late(const siginfo_t *info)
{
	struct waiting *w = &quiesce.shared;
	uint64_t own, shared, queued;

	if (read_waiting(&quiesce.slots[quiesce.leader], &own, &shared, &queued) < 0 || !(shared & SHIM_BIT(info->si_signo)))
		return;
	for (uint32_t i = 0; i < w->n; i++)
		if (w->list[i].si_signo == info->si_signo)
			return;
	if (room_for(w, queued))
		w->list[w->n++] = *info;
}

int thread_collect(struct slot *s)
{
	uint32_t value = 0;

	SYS2(__NR_arch_prctl, ARCH_GET_FS, &s->fs_base);
	SYS2(__NR_arch_prctl, ARCH_GET_GS, &s->gs_base);
	sys_prctl(PR_GET_TID_ADDRESS, (unsigned long)&s->clear_tid, 0, 0, 0);
	SYS3(__NR_get_robust_list, 0, &s->robust_list, &s->robust_len);
	sys_prctl(PR_GET_NAME, (unsigned long)s->comm, 0, 0, 0);
	s->timerslack = (uint64_t)sys_prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	s->no_new_privs = (uint32_t)sys_prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	seccomp_thread(s);
	s->securebits = (uint32_t)sys_prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	s->keepcaps = (uint32_t)sys_prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0);
	sys_prctl(PR_GET_PDEATHSIG, (unsigned long)&value, 0, 0, 0);
	s->pdeathsig = value;
	attribute_thread(&s->attributes);
	apart_collect(s);
	collect_rseq(s);
	collect_caps(s);
	s->fsuid = (uint32_t)SYS1(__NR_setfsuid, -1);
	s->fsgid = (uint32_t)SYS1(__NR_setfsgid, -1);
	collect_sched(s);
	take_own(s);
	if (quiesce_looks(s))
		take_shared(s);
	thread_requeue(&s->pending, false);
	redo_look(s);
	return 0;
}

static void restore_sched(const struct slot *s)
{
	struct sched_attributes a = {
		.size = sizeof(a), .policy = s->sched_policy, .flags = s->sched_flags, .nice = s->nice,
		.priority = s->sched_priority, .runtime = s->sched_runtime, .deadline = s->sched_deadline,
		.period = s->sched_period,
	};
	long rc = SYS3(__NR_sched_setattr, 0, &a, 0);

	if (rc < 0 && (s->sched_policy || s->nice))
		log_line(LOG_WARN, "tid %d: scheduling policy %u, nice %d not given back: %s", s->tid, s->sched_policy, s->nice,
			 text_error((int)rc));
	/* fewer or other processors here: those that exist, else all */
	if (s->affinity_len)
		SYS3(__NR_sched_setaffinity, 0, s->affinity_len, s->affinity);
}

static void restore_caps(const struct slot *s)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct now[2], data[2];
	uint64_t permitted, e, p, i;
	long rc;

	memset(now, 0, sizeof(now));
	if (SYS2(__NR_capget, &head, now) < 0)
		return;
	permitted = now[0].permitted | (uint64_t)now[1].permitted << 32;
	for (int cap = 0; cap < 64; cap++) {
		long in = sys_prctl(PR_CAPBSET_READ, (unsigned long)cap, 0, 0, 0);

		if (in < 0)
			break;
		if (in && !(s->cap_bounding & (1ull << cap)))
			sys_prctl(PR_CAPBSET_DROP, (unsigned long)cap, 0, 0, 0);
	}
	sys_prctl(PR_SET_KEEPCAPS, s->keepcaps, 0, 0, 0);
	if (s->securebits != (uint32_t)sys_prctl(PR_GET_SECUREBITS, 0, 0, 0, 0))
		sys_prctl(PR_SET_SECUREBITS, s->securebits, 0, 0, 0);
	p = s->cap_permitted & permitted;
	e = s->cap_effective & p;
	i = s->cap_inheritable;
	data[0].effective = (uint32_t)e;
	data[1].effective = (uint32_t)(e >> 32);
	data[0].permitted = (uint32_t)p;
	data[1].permitted = (uint32_t)(p >> 32);
	data[0].inheritable = (uint32_t)i;
	data[1].inheritable = (uint32_t)(i >> 32);
	rc = SYS2(__NR_capset, &head, data);
	if (rc < 0)
		log_line(LOG_WARN, "tid %d: capabilities not given back: %s", s->tid, text_error((int)rc));
	for (int cap = 0; cap < 64; cap++)
		if (s->cap_ambient & (1ull << cap))
			sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (unsigned long)cap, 0, 0);
}

void thread_restore(struct slot *s)
{
	long rc;

	if (s->rseq) {
		/* left by the old kernel thread; registering writes them */
		rc = SYS4(__NR_rseq, s->rseq, s->rseq_len, 0, RSEQ_SIG);
		if (rc < 0)
			log_line(LOG_WARN, "tid %d: rseq: %s", s->tid, text_error((int)rc));
	}
	SYS1(__NR_set_tid_address, s->clear_tid);
	SYS2(__NR_set_robust_list, s->robust_list, s->robust_len);
	if (s->gs_base)
		SYS2(__NR_arch_prctl, ARCH_SET_GS, s->gs_base);
	sys_prctl(PR_SET_NAME, (unsigned long)s->comm, 0, 0, 0);
	sys_prctl(PR_SET_TIMERSLACK, s->timerslack, 0, 0, 0);
	restore_sched(s);
	attribute_thread_restore(&s->attributes);
	apart_restore(s);
	seccomp_restore(s);
	if (fsids_differ(s))
		set_fsids(s->fsuid, s->fsgid);
	restore_caps(s);
	if (s->pdeathsig)
		sys_prctl(PR_SET_PDEATHSIG, s->pdeathsig, 0, 0, 0);
	if (s->no_new_privs)
		sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (quiesce_looks(s)) {
		late_timer_take(&quiesce.shared);
		thread_requeue(&quiesce.shared, true);
	}
	late_timer_take(&s->pending);
	thread_requeue(&s->pending, false);
}

static struct blob name_of(struct arena *a, const char *name)
{
	size_t n = 0;

	while (n < 16 && name[n])
		n++;
	return arena_blob(a, name, n);
}

void thread_to_record(struct arena *a, const struct slot *s, struct thread_record *t)
{
	const greg_t *g = s->frame->uc_mcontext.gregs;
	struct siginfo_record *waiting;

	t->tid = s->tid;
	t->comm = name_of(a, s->comm);
	t->resume_sp = (uint64_t)&s->context;
	t->resume_pc = (uint64_t)context_resume;
	t->frame = (uint64_t)s->frame;
	t->pc = (uint64_t)g[REG_RIP];
	t->sp = (uint64_t)g[REG_RSP];
	t->fp = (uint64_t)g[REG_RBP];
	t->fs_base = s->fs_base;
	t->gs_base = s->gs_base;
	t->clear_tid = s->clear_tid;
	t->robust_list = s->robust_list;
	t->robust_len = s->robust_len;
	t->rseq = s->rseq;
	t->rseq_len = s->rseq_len;
	t->rseq_sig = RSEQ_SIG;
	t->syscall = s->nr;
	t->sched_policy = s->sched_policy;
	t->nice = s->nice;
	t->sched_priority = (int32_t)s->sched_priority;
	t->sched_runtime = s->sched_runtime;
	t->sched_deadline = s->sched_deadline;
	t->sched_period = s->sched_period;
	t->sched_flags = s->sched_flags;
	t->affinity = arena_blob(a, s->affinity, s->affinity_len);
	t->timerslack = s->timerslack;
	t->no_new_privs = s->no_new_privs;
	t->seccomp = s->seccomp;
	t->cap_effective = s->cap_effective;
	t->cap_permitted = s->cap_permitted;
	t->cap_inheritable = s->cap_inheritable;
	t->cap_bounding = s->cap_bounding;
	t->cap_ambient = s->cap_ambient;
	t->securebits = s->securebits;
	t->keepcaps = s->keepcaps;
	t->pdeathsig = s->pdeathsig;
	waiting = arena_alloc(a, s->pending.n * sizeof(*waiting));
	for (uint32_t i = 0; waiting && i < s->pending.n; i++) {
		waiting[i].sig = s->pending.list[i].si_signo;
		waiting[i].info = arena_blob(a, &s->pending.list[i], sizeof(siginfo_t));
	}
	t->pending.items = waiting;
	t->pending.n = waiting ? s->pending.n : 0;
}
