/*
 * stopped.c - processes that stand stopped (SIGSTOP, ^Z) when a checkpoint comes
 *
 * A stopped process runs no handler. So it is continued for the checkpoint,
 * and stops itself again as the last thing before it leaves its handler, when
 * the program goes on and when it was restarted. Its parent must not hear of
 * that: both changes send SIGCHLD and can be waited for.
 *
 *   parent    stands before its stopped child is continued; notes whether that
 *             the child stopped has been waited for yet, and whether a SIGCHLD
 *             was waiting (stopped_look)
 *   leader    continues the child (stopped_continue), each of whose threads it has ordered to hold (trigger.c)
 *   child     stops again, by the same signal where that can be seen (stopped_again)
 *   parent    waits until it has, takes the SIGCHLD away, and what can be
 *             waited for when it had been (stopped_settle)
 *
 * Both lists are part of the image: the same is due after a restart.
 */
#include <asm/errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "conduct.h"
#include "skshim/treefile.h"

#include "skshim/frozen.h"

#define MS 1000000ll
#define CHILDREN 256
#define CONTINUED 0x100u             /* in member.stop_signal: this checkpoint's leader has continued it */
#define SETTLE_LIMIT (5000 * MS)

static struct {
	uint32_t n;
	bool chld_waits;                 /* a SIGCHLD was waiting before */
	struct {
		int32_t pid;
		bool seen;               /* that it stopped had been waited for */
	} children[CHILDREN];
	int32_t stop_signal;             /* of this process itself; 0: it was not stopped */
} stopped;

static bool is_stopped(int pid)
{
	struct treefile_stat st;

	return treefile_stat(pid, &st) == 0 && st.state == 'T';
}

/* Have all of its threads stopped, so that the parent can wait for it? */
static bool has_stopped(int pid)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	SYS5(__NR_waitid, P_PID, pid, &info, WSTOPPED | WNOHANG | WNOWAIT, NULL);
	return info.si_pid == pid;
}

/* It is called stopped before it tells its parent, by the last of its threads; when that is off the processor it has. */
static int has_told(int pid, void *arg)
{
	char path[48], text[16];
	long n = -1;
	int fd;

	(void)arg;
	text_format(path, sizeof(path), "/proc/%d/syscall", pid);
	fd = sys_openat(-100, path, 02000000 /* O_CLOEXEC */, 0);
	if (fd >= 0) {
		n = sys_read(fd, text, sizeof(text));
		sys_close(fd);
	}
	return n > 0 && memcmp(text, "running", n < 7 ? (size_t)n : 7) != 0 ? 0 : -EAGAIN;
}

static bool all_told(int pid)
{
	char path[32];

	text_format(path, sizeof(path), "/proc/%d/task", pid);
	return quiesce_each_thread(path, has_told, NULL) >= 0;
}

static void nap(void)
{
	struct __kernel_timespec t = { 0, MS };

	SYS2(__NR_nanosleep, &t, NULL);
}

static bool chld_waits(void)
{
	uint64_t waiting = 0;

	sys_rt_sigpending(&waiting);
	return waiting & SHIM_BIT(SIGCHLD);
}

/* The parent, standing, before the leader hears of it. */
void stopped_look(void)
{
	struct tree *t = shim.tree;

	stopped.n = 0;
	stopped.chld_waits = chld_waits();
	for (uint32_t i = 0; i < t->nmembers && stopped.n < CHILDREN; i++) {
		struct member *m = &t->members[i];
		siginfo_t info;

		if (m->pid <= 0 || m->ppid != shim.pid || !is_stopped(m->pid))
			continue;
		memset(&info, 0, sizeof(info));
		SYS5(__NR_waitid, P_PID, m->pid, &info, WSTOPPED | WNOHANG | WNOWAIT, NULL);
		stopped.children[stopped.n].pid = m->pid;
		stopped.children[stopped.n].seen = info.si_pid != m->pid;
		m->stop_signal = info.si_pid == m->pid ? (uint32_t)info.si_status : SIGSTOP;
		stopped.n++;
	}
}

/* Then a SIGCHLD that waits may be of our making, and stopped_settle() takes it away. */
bool stopped_any(void)
{
	return stopped.n > 0;
}

static int hold_thread(int tid, void *arg)
{
	const struct member *m = arg;
	siginfo_t info;

	quiesce_order(&info, ORDER_HOLD, 0);
	sys_rt_tgsigqueueinfo(m->pid, tid, shim.signal, &info);
	return 0;
}

bool stopped_held(void)
{
	const struct member *m = members_self();

	return m && (__atomic_load_n(&m->stop_signal, __ATOMIC_SEQ_CST) & CONTINUED);
}

bool stopped_continued(void)
{
	return stopped.stop_signal != 0;
}

/* The leader, of a member that has its order and doesn't answer. */
void stopped_continue(struct member *m)
{
	struct treefile_stat st;
	siginfo_t info;
	char path[32];

	if (treefile_stat(m->pid, &st) < 0 || st.state != 'T')
		return;
	for (uint32_t i = 0; i < shim.tree->nmembers; i++) {
		const struct member *up = &shim.tree->members[i];

		/* its parent first, which has to look */
		if (up->pid == st.ppid && up->pid > 0 && !up->shimless && up->state < MEMBER_STOPPED && treefile_lives(up))
			return;
	}
	if (!m->stop_signal)
		m->stop_signal = SIGSTOP;        /* the parent is outside */
	m->stop_signal |= CONTINUED;
	/* one takes the order; the others shall not run meanwhile */
	text_format(path, sizeof(path), "/proc/%d/task", m->pid);
	quiesce_each_thread(path, hold_thread, m);
	quiesce_order(&info, ORDER_CONTINUE, 0);
	info.si_signo = SIGCONT;
	sys_rt_sigqueueinfo(m->pid, SIGCONT, &info);
}

/* Takes a waiting signal of the process's out if `ours` says so, which sees it. */
static void take(int sig, bool (*ours)(const siginfo_t *))
{
	struct __kernel_timespec none = { 0, 0 };
	uint64_t set = SHIM_BIT(sig);
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	if (sys_rt_sigtimedwait(&set, &info, &none) == sig && !ours(&info))
		sys_rt_sigqueueinfo(sys_gettid(), sig, &info);
}

static bool is_order(const siginfo_t *info)
{
	return info->si_code == SHIM_CODE;
}

/* The child, in its handler, before it looks at what waits for it. */
void stopped_entered(void)
{
	struct member *m = members_self();

	uint32_t sig = m ? __atomic_exchange_n(&m->stop_signal, 0, __ATOMIC_SEQ_CST) : 0;

	stopped.stop_signal = sig & CONTINUED ? (int32_t)(sig & ~CONTINUED) : 0;
	if (stopped.stop_signal)
		take(SIGCONT, is_order);
}

static bool of_child(const siginfo_t *info)
{
	if (info->si_code != CLD_STOPPED && info->si_code != CLD_CONTINUED)
		return false;
	for (uint32_t i = 0; i < stopped.n; i++)
		if (info->si_pid == stopped.children[i].pid)
			return true;
	return false;
}

/* Everybody else runs again or is about to; this process's threads stand. */
void stopped_settle(void)
{
	int64_t until = stop_now() + SETTLE_LIMIT;

	for (uint32_t i = 0; i < stopped.n; i++) {
		int pid = stopped.children[i].pid;
		siginfo_t info;

		while (!has_stopped(pid) && meet_alive(pid) && stop_now() < until)
			nap();
		for (int k = 0; k < 50 && !all_told(pid); k++)
			nap();
		if (stopped.children[i].seen)
			SYS5(__NR_waitid, P_PID, pid, &info, WSTOPPED | WNOHANG, NULL);
	}
	if (stopped.n && !stopped.chld_waits && chld_waits())
		take(SIGCHLD, of_child);
	stopped.n = 0;
}

/* The last thing before the handler is left: it stops again. */
void stopped_again(void)
{
	uint64_t set, old = 0;
	int sig = stopped.stop_signal;

	if (!sig)
		return;
	stopped.stop_signal = 0;
	set = SHIM_BIT(sig);
	sys_kill(shim.pid, sig);
	if (sig == SIGSTOP)
		return;
	/* the others wait until they are let through */
	sys_rt_sigprocmask(SIG_UNBLOCK, &set, &old);
	sys_rt_sigprocmask(SIG_SETMASK, &old, NULL);
}
