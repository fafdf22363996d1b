/*
 * signals.c - the checkpoint signal is ours, and the program doesn't notice
 *
 * In the kernel the checkpoint signal (S) always has the trigger's handler and
 * is blocked by nobody. What the program does with S, the wrappers do with
 * SHIM_ALIAS (A), which no program knows: its action, its bit in every mask
 * and set, its waiting. So the kernel itself keeps what signals mean (pending,
 * blocked, EINTR, fork, exec, threads), and this file keeps only a number.
 *
 *                          S in the kernel          A in the kernel
 *   program has default    trigger, not blocked     alias_default, which dies of S
 *   ... that ignores S                              SIG_IGN, sa_restorer = alias_ignored
 *   program ignores it                              SIG_IGN (survives exec)
 *   program's handler                               alias_enter, sa_restorer = the handler
 *   program blocks it                               blocked (survives fork, exec)
 *
 * What the program sends is A already (wrap_kill.c, wrap_timer.c). What arrives
 * as S from the tree all the same (to a group, from a descriptor, by a raw
 * system call), signals_deliver() queues anew as A, with the same siginfo: to
 * this thread if it would have taken it, or if it was meant for this thread;
 * else to the process. It is taken when the trigger's frame is left, before the
 * program makes another step: raise() has run the handler when it returns.
 * Below 32 a signal that waits already is not queued twice, as the kernel
 * would queue the real-time signal A.
 *
 * The kernel has wound back an interrupted call before the trigger's handler
 * ran, as for SA_RESTART. What the program must see of that call:
 *   - its handler runs, with SA_RESTART: as it is
 *   - its handler runs, without: EINTR, whatever call it was, except those that
 *     no handler interrupts (ERESTARTNOINTR)
 *   - a call with a mask of its own (sigsuspend, ppoll ...): made again, if only
 *     inside it A is unblocked; the kernel then interrupts it as it must
 *   - sigtimedwait for S: it returns with S
 *   - A is blocked or ignored: nothing (signals_hide, redo.c)
 *
 * Masks that libc keeps for itself (sigsetjmp, system, pthread_create, abort)
 * and those in a ucontext are the kernel's, with A's bit for S's: they are put
 * back the way they were read, so nobody minds.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>

#include "signals.h"
#include "stop.h"

#include "skshim/frozen.h"

#define EINTR_ 4
#define STATUS_TEXT 16384

int signals_moved;
void *signals_restorer;
__thread struct signals_call signals_call;

void signals_rearm(void);

/* --- masks -------------------------------------------------------------------------------------------------- */

uint64_t signals_to_kernel(uint64_t program)
{
	uint64_t kernel;

	if (!signals_moved)
		return program;
	kernel = program & ~(SHIM_BIT(signals_moved) | SHIM_BIT(SHIM_ALIAS));
	if (program & SHIM_BIT(signals_moved))
		kernel |= SHIM_BIT(SHIM_ALIAS);
	return kernel;
}

uint64_t signals_to_program(uint64_t kernel)
{
	uint64_t program;

	if (!signals_moved)
		return kernel;
	program = kernel & ~(SHIM_BIT(signals_moved) | SHIM_BIT(SHIM_ALIAS));
	if (kernel & SHIM_BIT(SHIM_ALIAS))
		program |= SHIM_BIT(signals_moved);
	return program;
}

/* --- the action --------------------------------------------------------------------------------------------- */

/* What the kernel does with S by default, of the signals that may be S. */
static bool ignored_by_default(void)
{
	return signals_moved == SIGURG || signals_moved == SIGWINCH;
}

/* The program left S at its default: it dies of S itself, so that its parent reads the right status. */
static void alias_default(int sig, siginfo_t *info, void *uc)
{
	const struct arch_sigaction dfl = { 0 };
	uint64_t bit = SHIM_BIT(signals_moved);

	(void)sig;
	(void)info;
	(void)uc;
	sys_rt_sigaction(signals_moved, &dfl, NULL);
	sys_rt_sigprocmask(SIG_UNBLOCK, &bit, NULL);
	sys_tgkill(sys_getpid(), sys_gettid(), signals_moved);
	/* still here: the first process of a pid namespace, which no default kills */
	trigger_install();
}

/* Makes k the default action, as set by the program. */
static void make_default(struct arch_sigaction *k)
{
	k->handler = ignored_by_default() ? (void *)SIG_IGN : (void *)alias_default;
	k->restorer = ignored_by_default() ? (void *)alias_ignored : signals_restorer;
	k->flags |= ARCH_SA_RESTORER;
}

/* SA_RESETHAND has set A to the kernel's default, which would kill with A's number. */
void signals_rearm(void)
{
	struct arch_sigaction act, was;

	if (sys_rt_sigaction(SHIM_ALIAS, NULL, &act) < 0 || act.handler != (void *)SIG_DFL)
		return;
	make_default(&act);
	/* another thread may have been faster: its action stays */
	if (sys_rt_sigaction(SHIM_ALIAS, &act, &was) == 0 && was.handler != (void *)SIG_DFL)
		sys_rt_sigaction(SHIM_ALIAS, &was, NULL);
}

static void action_to_kernel(const struct sigaction *act, struct arch_sigaction *k)
{
	k->flags = (uint64_t)act->sa_flags | ARCH_SA_RESTORER;
	k->mask = signals_to_kernel(act->sa_mask.__val[0]);
	k->restorer = signals_restorer;
	if (act->sa_handler == SIG_IGN) {
		k->handler = (void *)SIG_IGN;
	} else if (act->sa_handler == SIG_DFL) {
		make_default(k);
	} else {
		k->handler = (act->sa_flags & SA_RESETHAND) ? (void *)alias_once : (void *)alias_enter;
		k->restorer = (void *)act->sa_handler;
	}
}

static void action_to_program(const struct arch_sigaction *k, struct sigaction *act)
{
	void *handler = k->handler, *restorer = k->restorer;
	uint64_t flags = k->flags;

	if (handler == (void *)alias_enter || handler == (void *)alias_once) {
		handler = restorer;
		restorer = signals_restorer;
	} else if (handler == (void *)alias_default) {
		handler = (void *)SIG_DFL;
	}
	if (restorer == (void *)alias_ignored) {
		handler = (void *)SIG_DFL;
		restorer = signals_restorer;
	} else if (restorer == (void *)alias_return) {
		handler = (void *)SIG_DFL;
		restorer = NULL;
		flags &= ~ARCH_SA_RESTORER;
	}
	act->sa_handler = (sighandler_t)handler;
	act->sa_flags = (int)flags;
	act->sa_restorer = (void (*)(void))restorer;
	act->sa_mask.__val[0] = signals_to_program(k->mask);
}

void signals_action(const struct sigaction *act, struct sigaction *old)
{
	struct arch_sigaction k, was;

	if (act)
		action_to_kernel(act, &k);
	if (sys_rt_sigaction(SHIM_ALIAS, act ? &k : NULL, &was) == 0 && old)
		action_to_program(&was, old);
}

/* --- delivery ----------------------------------------------------------------------------------------------- */

/* The call at which a thread stood when S came. */
struct stood {
	bool in_set_call;          /* made by a wrapper, with signals_call.mask, and answered by -EINTR */
	bool rewound;              /* the kernel has wound it back */
};

static bool is_syscall(uint64_t pc)
{
	const uint8_t *p = (const uint8_t *)pc;

	return pc < ARCH_TASK_END - 2 && p[0] == 0x0f && p[1] == 0x05;
}

/* Is the set in this call's registers the one our wrapper passed? */
static bool has_our_set(const greg_t *g)
{
	uint64_t set = (uint64_t)signals_call.set, at;

	switch (signals_call.nr) {
	case __NR_rt_sigsuspend:
	case __NR_rt_sigtimedwait:
		return (uint64_t)g[REG_RDI] == set;
	case __NR_ppoll:
		return (uint64_t)g[REG_R10] == set;
	case __NR_epoll_pwait:
	case __NR_epoll_pwait2:
		return (uint64_t)g[REG_R8] == set;
	case __NR_pselect6:
		/* libc hands over a pair on its stack, right below the wrapper's */
		at = (uint64_t)g[REG_R9];
		return at >= (uint64_t)g[REG_RSP] && at < set && set - at < ARCH_PAGE && *(uint64_t *)at == set;
	}
	return false;
}

static struct stood look(const ucontext_t *uc)
{
	const greg_t *g = uc->uc_mcontext.gregs;
	struct stood s = { false, false };
	uint64_t pc = (uint64_t)g[REG_RIP];

	if (g[REG_RAX] == -EINTR_ && is_syscall(pc - ARCH_SYSCALL_LEN))
		s.in_set_call = signals_call.set && has_our_set(g);
	else if (is_syscall(pc))
		/* `syscall` leaves RCX and R11 so; a thread that is only about to make a call has others */
		s.rewound = (uint64_t)g[REG_RCX] == pc + ARCH_SYSCALL_LEN && g[REG_R11] == g[REG_EFL];
	return s;
}

/* Calls that go on after any handler (ERESTARTNOINTR). */
static bool never_interrupted(const greg_t *g)
{
	switch (g[REG_RAX]) {
	case __NR_clone: case __NR_clone3: case __NR_fork: case __NR_vfork: case __NR_execve: case __NR_execveat:
		return true;
	case __NR_futex:
		switch (g[REG_RSI] & FUTEX_CMD_MASK) {
		case FUTEX_LOCK_PI: case FUTEX_LOCK_PI2: case FUTEX_UNLOCK_PI: case FUTEX_WAIT_REQUEUE_PI:
			return true;
		}
	}
	return false;
}

/* Not on the stack, which may be a small alternate one. 0 or -1. */
int signals_status(const char *path, struct signals_status *out)
{
	char *text = sys_mmap(NULL, STATUS_TEXT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct blob b = { text, 0 };
	const uint64_t all = ~0ull;
	int fd, rc = -1;
	uint64_t mask;
	long n;

	if (sys_is_err(text))
		return -1;
	/* no checkpoint shall meet the descriptor */
	sys_rt_sigprocmask(SIG_SETMASK, &all, &mask);
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		n = sys_read(fd, text, STATUS_TEXT);
		b.n = n > 0 ? (uint64_t)n : 0;
		if (text_field(b, "SigPnd:", 16, &out->own) && text_field(b, "ShdPnd:", 16, &out->shared) &&
		    text_field(b, "SigBlk:", 16, &out->blocked) && text_field(b, "SigIgn:", 16, &out->ignored) &&
		    text_field(b, "SigCgt:", 16, &out->caught))
			rc = 0;
		sys_close(fd);
	}
	sys_rt_sigprocmask(SIG_SETMASK, &mask, NULL);
	sys_munmap(text, STATUS_TEXT);
	return rc;
}

/* Would the kernel have dropped a second signal of this number? */
static bool waits_already(bool for_thread)
{
	struct signals_status st;
	uint64_t pending = 0;

	if (signals_moved >= FIRST_REALTIME)
		return false;
	if (sys_rt_sigpending(&pending) < 0 || !(pending & SHIM_BIT(SHIM_ALIAS)))
		return false;
	if (signals_status("/proc/thread-self/status", &st) < 0)
		return true;
	return (for_thread ? st.own : st.shared) & SHIM_BIT(SHIM_ALIAS);
}

static void queue(const siginfo_t *info, bool for_thread)
{
	int tid = sys_gettid(), rc;
	siginfo_t copy = *info;

	if (waits_already(for_thread))
		return;
	copy.si_signo = SHIM_ALIAS;
	/* to oneself any si_code may be sent, but only under one's own tid, which stands for the process too */
	do {
		if (for_thread)
			rc = sys_rt_tgsigqueueinfo(sys_getpid(), tid, SHIM_ALIAS, &copy);
		else
			rc = sys_rt_sigqueueinfo(tid, SHIM_ALIAS, &copy);
		if (rc < 0 && copy.si_code == SI_USER)
			break;
		/* no room for one more siginfo (RLIMIT_SIGPENDING): a plain kill still gets through */
		copy.si_code = SI_USER;
	} while (rc < 0);
}

void signals_hide(ucontext_t *uc)
{
	struct slot *s = sys_mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	enum redo_how how;

	if (sys_is_err(s))
		return;
	s->frame = uc;
	s->seen_nr = -1;
	s->stopped_at = stop_now();
	redo_look(s);
	how = redo_apply(s, 0);
	sys_munmap(s, sizeof(*s));
	redo_settle(uc, how, quiesce_others());
}

/* The thread sits in sigtimedwait for A: that call has its signal now. */
static void hand_over(const siginfo_t *info, greg_t *g)
{
	siginfo_t *out = (siginfo_t *)g[REG_RSI];

	if (out) {
		memcpy(out, info, sizeof(*out));
		out->si_signo = SHIM_ALIAS;
	}
	g[REG_RAX] = SHIM_ALIAS;
}

/* The program's handler will run when this frame is left: what it must find. */
static void show(ucontext_t *uc, const struct stood *s, const struct arch_sigaction *act)
{
	greg_t *g = uc->uc_mcontext.gregs;
	uint64_t outside;

	memcpy(&outside, &uc->uc_sigmask, sizeof(outside));
	if (outside & SHIM_BIT(SHIM_ALIAS)) {
		g[REG_RIP] -= ARCH_SYSCALL_LEN;
		g[REG_RAX] = signals_call.nr;
	} else if (s->rewound && !(act->flags & SA_RESTART) && !never_interrupted(g)) {
		g[REG_RIP] += ARCH_SYSCALL_LEN;
		g[REG_RAX] = -EINTR_;
	}
}

void signals_deliver(siginfo_t *info, ucontext_t *uc)
{
	struct stood s = look(uc);
	struct arch_sigaction act = { 0 };
	uint64_t blocked;

	memcpy(&blocked, &uc->uc_sigmask, sizeof(blocked));
	if (s.in_set_call && signals_call.nr == __NR_rt_sigtimedwait) {
		if (signals_call.mask & SHIM_BIT(SHIM_ALIAS)) {
			hand_over(info, uc->uc_mcontext.gregs);
			return;
		}
	} else if (s.in_set_call) {
		blocked = signals_call.mask;
	}
	signals_rearm();
	sys_rt_sigaction(SHIM_ALIAS, NULL, &act);
	if (blocked & SHIM_BIT(SHIM_ALIAS)) {
		queue(info, info->si_code == SI_TKILL);
		signals_hide(uc);
	} else if (act.handler == (void *)SIG_IGN) {
		signals_hide(uc);
	} else {
		queue(info, true);
		show(uc, &s, &act);
	}
}

/* --- threads ------------------------------------------------------------------------------------------------ */

/* Where libc's descriptor of a thread has the tid: looked for once, in the first thread's. */
#define DESCRIPTOR_TID 0x2d0
#define DESCRIPTOR_LEAST 0x200
#define DESCRIPTOR_MOST 0x400

static uint32_t tid_at;

static void find_tid(void)
{
	const char *self = __builtin_thread_pointer();
	int tid = sys_gettid();

	if (*(const int *)(self + DESCRIPTOR_TID) == tid)
		tid_at = DESCRIPTOR_TID;
	for (uint32_t at = DESCRIPTOR_LEAST; !tid_at && at < DESCRIPTOR_MOST; at += sizeof(int))
		if (*(const int *)(self + at) == tid)
			tid_at = at;
}

int signals_tid(pthread_t thread)
{
	return tid_at ? __atomic_load_n((int *)((char *)thread + tid_at), __ATOMIC_RELAXED) : 0;
}

/* --- taking over -------------------------------------------------------------------------------------------- */

/* Signals to which the kernel itself gives a meaning, and those that libc and the shim need. */
static bool can_ask(int sig)
{
	static const int no[] = { SIGKILL, SIGSTOP, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD, SIGILL, SIGTRAP,
				  SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, 32, 33 };

	for (unsigned i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (sig == no[i])
			return false;
	return sig >= 1 && sig < SHIM_ALIAS;
}

/*
 * Came this process out of an exec under the shim? Then S was blocked by the
 * shim, and A's bit tells what the program wants. The tree's first process is
 * still making the tree.
 */
static bool from_our_exec(void)
{
	return shim.tree && __atomic_load_n(&shim.tree->ready, __ATOMIC_ACQUIRE);
}

/* What libc puts into sa_restorer: its own handlers' way back, which unwinders know. */
static void learn_restorer(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	struct arch_sigaction was, k;

	sys_rt_sigaction(SHIM_ALIAS, NULL, &was);
	real.sigaction(SHIM_ALIAS, &dfl, NULL);
	sys_rt_sigaction(SHIM_ALIAS, NULL, &k);
	sys_rt_sigaction(SHIM_ALIAS, &was, NULL);
	signals_restorer = k.restorer ? k.restorer : (void *)alias_return;
}

/* S's inherited action, or that of a constructor that ran before ours, becomes A's. */
static void move_action(int sig)
{
	struct arch_sigaction s, a, first = { .mask = 0 };

	make_default(&first);
	first.restorer = (void *)alias_return;
	sys_rt_sigaction(sig, NULL, &s);
	sys_rt_sigaction(SHIM_ALIAS, NULL, &a);
	if (s.handler == (void *)SIG_IGN) {
		sys_rt_sigaction(SHIM_ALIAS, &s, NULL);
	} else if (s.handler != (void *)SIG_DFL) {
		s.restorer = s.handler;
		s.handler = (s.flags & SA_RESETHAND) ? (void *)alias_once : (void *)alias_enter;
		s.mask = signals_to_kernel(s.mask);
		sys_rt_sigaction(SHIM_ALIAS, &s, NULL);
	} else if (a.handler != (void *)SIG_IGN || ignored_by_default()) {
		/* an exec keeps SIG_IGN, but not whose wish it was: of a signal ignored by default, nobody's */
		sys_rt_sigaction(SHIM_ALIAS, &first, NULL);
	}
}

int signals_init(void)
{
	const uint64_t all = ~0ull;
	uint64_t mask;
	int rc;

	if (!can_ask(shim.signal))
		return failed(ERR_PLAIN, "SKSHIM_SIGNAL: signal %d can't ask for checkpoints", shim.signal);
	rc = sys_rt_sigprocmask(SIG_SETMASK, &all, &mask);
	if (rc < 0)
		return failed(rc, "signal mask");
	learn_restorer();
	find_tid();
	signals_moved = shim.signal;
	if ((mask & SHIM_BIT(shim.signal)) && !from_our_exec())
		mask |= SHIM_BIT(SHIM_ALIAS);
	mask &= ~SHIM_BIT(shim.signal);
	move_action(shim.signal);
	rc = trigger_install();
	sys_rt_sigprocmask(SIG_SETMASK, &mask, NULL);
	return rc;
}
