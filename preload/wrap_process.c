/*
 * wrap_process.c - the calls that make processes, and those that end one
 *
 * No child may be lost by a checkpoint that comes while it is being made, and
 * no checkpoint signal may meet a process that has no handler for it yet. So:
 *
 *   - The maker blocks the checkpoint signal in the kernel (window_open) and
 *     claims a slot in state BORN, whose pid is minus its own tid. From then on
 *     a leader knows that somebody is coming: it waits for this process, which
 *     answers when the window closes, and then until members_born() is 0.
 *   - A child with memory of its own (fork, _Fork, clone, daemon, forkpty) puts
 *     its pid into that slot, drops what belongs to the parent, becomes ALIVE
 *     and closes its window: birth_child(). The parent puts the pid there too,
 *     so that a child killed on the way is recognized as dead.
 *   - A child that only executes another program (posix_spawn, system, popen)
 *     inherits the blocked signal through exec; the constructor over there finds
 *     its slot by pid, becomes ALIVE and unblocks. If that program will not load
 *     the shim, the signal is not blocked and the slot says why (shimless).
 *   - The maker closes its window when the slot has the child's pid, so a leader
 *     that has stopped the maker can see all its children.
 *
 * vfork needs no wrapper, and can't have one in C. Its child is unknown until it
 * calls exec, whose wrapper claims a slot before the program is replaced; until
 * then its parent sleeps in the kernel and can't answer a leader, who therefore
 * can't get past it. The child has its parent's memory: everything here that is
 * of the process asks the kernel for the pid when that matters. One that is
 * signalled itself (kill of a process group) finds shim.pid to be another's.
 *
 * What glibc makes behind its back (wordexp, raw clone) joins in the
 * constructor if it executes something, by SKSHIM_TREE in the environment.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "signals.h"
#include "family.h"
#include "skshim/frozen.h"

#define SHELL "/bin/sh"

/* sched.h of libc defines the same CLONE_* again, so these two are declared here. */
int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
int daemon(int nochdir, int noclose);
pid_t forkpty(int *, char *, const struct termios *, const struct winsize *);
pid_t fork(void);
pid_t _Fork(void);
int system(const char *);
void _exit(int) __attribute__((noreturn));
void _Exit(int) __attribute__((noreturn));
void quick_exit(int) __attribute__((noreturn));
int execve(const char *, char *const[], char *const[]);
int execveat(int, const char *, char *const[], char *const[], int);

extern char **environ;

/* SIGINT and SIGQUIT while system() runs, see there. */
static struct {
	uint32_t lock, users;
	struct arch_sigaction intr, quit;
} ignoring;

/* --- children with memory of their own ---------------------------------------------------------------------- */

static pid_t born(struct birth *b, pid_t pid)
{
	if (pid == 0) {
		/* another thread may have been in system() or popen(): that one is not here */
		ignoring.lock = 0;
		lend_forked();
		birth_child(b);
	} else {
		birth_parent(b, pid);
	}
	return pid;
}

SHIM_EXPORT pid_t fork(void)
{
	struct birth b;

	birth_begin(&b);
	return born(&b, real.fork());
}

SHIM_EXPORT pid_t _Fork(void)
{
	struct birth b;

	birth_begin(&b);
	return born(&b, real._Fork());
}

SHIM_EXPORT pid_t forkpty(int *master, char *name, const struct termios *termios, const struct winsize *size)
{
	struct birth b;

	birth_begin(&b);
	return born(&b, real.forkpty(master, name, termios, size));
}

/* Returns in the child only: the parent ends inside, by libc's own _exit. */
SHIM_EXPORT int daemon(int nochdir, int noclose)
{
	struct birth b;
	int rc;

	birth_begin(&b);
	rc = real.daemon(nochdir, noclose);
	born(&b, sys_getpid() != shim.pid ? 0 : -1);
	return rc;
}

/* Beside its parent, with its memory copied, but not with everything else its own. */
static void name_sharing(struct birth *b, uint64_t flags)
{
	b->foreign |= (flags & CLONE_NEWPID) != 0;
	b->shares_table = (flags & CLONE_FILES) != 0;
	if (b->foreign)
		birth_shimless(b, SHIMLESS_NAMESPACE, "clone");
	else if (flags & CLONE_FILES)
		fdtable_share();
}

struct start {
	int (*fn)(void *);
	void *arg;
	struct birth birth;
};

static int clone_start(void *p)
{
	struct start *s = p;
	int (*fn)(void *) = s->fn;
	void *arg = s->arg;

	born(&s->birth, 0);
	return fn(arg);
}

/*
 * Threads and vfork's like pass as they are. A process that shares its parent's
 * memory but goes on beside it can't be brought back: it is named.
 */
SHIM_EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	struct start s = { .fn = fn, .arg = arg };
	void *parent_tid, *tls, *child_tid;
	bool shares = flags & CLONE_VM;
	va_list ap;
	int pid;

	va_start(ap, arg);
	parent_tid = va_arg(ap, void *);
	tls = va_arg(ap, void *);
	child_tid = va_arg(ap, void *);
	va_end(ap);
	if (!shim.active || !fn || (flags & CLONE_THREAD) || (shares && (flags & CLONE_VFORK)))
		return real.clone(fn, stack, flags, arg, parent_tid, tls, child_tid);
	birth_begin(&s.birth);
	if (shares)
		birth_shimless(&s.birth, SHIMLESS_SHARED_MEMORY, "clone");
	else
		name_sharing(&s.birth, (uint64_t)flags);
	if (shares)
		pid = real.clone(fn, stack, flags, arg, parent_tid, tls, child_tid);
	else
		pid = real.clone(clone_start, stack, flags, &s, parent_tid, tls, child_tid);
	birth_parent(&s.birth, pid);
	return pid;
}

/* syscall() of fork, clone and clone3 where the child has memory and stack of its own, of execve and execveat: see context.S. */
long process_call(long nr, long a, long b, long c, long d, long e);
long process_call(long nr, long a, long b, long c, long d, long e)
{
	uint64_t flags = 0;
	struct birth birth;
	long rc;

	if (nr == __NR_execve)
		return execve((const char *)a, (char *const *)b, (char *const *)c);
	if (nr == __NR_execveat)
		return execveat((int)a, (const char *)b, (char *const *)c, (char *const *)d, (int)e);
	if (nr == __NR_clone)
		flags = (uint64_t)a;
	else if (nr == __NR_clone3)
		flags = ((const struct clone_args *)a)->flags;
	birth_begin(&birth);
	name_sharing(&birth, flags);
	rc = SYS5(nr, a, b, c, d, e);
	if (rc == 0)
		birth_child(&birth);
	else if (rc != 0)
		birth_parent(&birth, (int)(rc < 0 ? -1 : rc));
	return syscall_result(rc);
}

/* --- children that execute a program ------------------------------------------------------------------------ */

/* The kernel's mask of this thread, as the program believes it to be. */
static uint64_t program_mask(bool was_blocked)
{
	uint64_t mask = 0;

	sys_rt_sigprocmask(SIG_BLOCK, NULL, &mask);
	if (!was_blocked)
		mask &= ~SHIM_BIT(shim.signal);
	return signals_to_program(mask);
}

/*
 * The child sets its mask and actions itself, from the attributes: with the
 * shim coming they are said in the kernel's terms (S blocked until the
 * constructor unblocks it, A for S), without it as the program said them.
 */
static void attributes(posix_spawnattr_t *out, const posix_spawnattr_t *in, const struct target *t, bool was_blocked)
{
	uint64_t set;

	memset(out, 0, sizeof(*out));
	if (in)
		*out = *in;
	if (t->shim) {
		if (out->__flags & POSIX_SPAWN_SETSIGDEF)
			out->__sd = signals_set_to_kernel(&out->__sd);
		if (out->__flags & POSIX_SPAWN_SETSIGMASK) {
			set = signals_to_kernel(out->__ss.__val[0]) | SHIM_BIT(shim.signal);
			memcpy(&out->__ss, &set, sizeof(set));
		}
	} else if (!(out->__flags & POSIX_SPAWN_SETSIGMASK)) {
		set = program_mask(was_blocked);
		memcpy(&out->__ss, &set, sizeof(set));
		out->__flags |= POSIX_SPAWN_SETSIGMASK;
	}
}

struct spawn {
	struct target target;
	struct carried env;
	posix_spawnattr_t attr;
	struct birth birth;
};

static void spawn_begin(struct spawn *s, const posix_spawnattr_t *attr, char *const envp[])
{
	carry_pack(&s->env, envp, s->target.shim ? CARRY_SHIM : s->target.strip ? CARRY_WITHOUT : CARRY_NOTHING);
	birth_begin(&s->birth);
	attributes(&s->attr, attr, &s->target, s->birth.was_blocked);
	if (!s->target.shim)
		birth_shimless(&s->birth, s->target.why, s->target.comm);
}

static void spawn_end(struct spawn *s, int rc, pid_t pid)
{
	birth_parent(&s->birth, rc == 0 ? pid : -1);
	carry_unpack(&s->env);
}

SHIM_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
			    const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	struct spawn s;
	pid_t child = 0;
	int rc;

	if (!shim.active)
		return real.posix_spawn(pid, path, actions, attr, argv, envp);
	target_look(&s.target, AT_FDCWD, path, 0);
	spawn_begin(&s, attr, envp);
	rc = real.posix_spawn(&child, path, actions, &s.attr, argv, s.env.envp);
	spawn_end(&s, rc, child);
	if (rc == 0 && pid)
		*pid = child;
	return rc;
}

SHIM_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			     const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	struct spawn s;
	pid_t child = 0;
	int rc;

	if (!shim.active)
		return real.posix_spawnp(pid, file, actions, attr, argv, envp);
	target_search(&s.target, file);
	spawn_begin(&s, attr, envp);
	rc = real.posix_spawnp(&child, file, actions, &s.attr, argv, s.env.envp);
	spawn_end(&s, rc, child);
	if (rc == 0 && pid)
		*pid = child;
	return rc;
}

/* --- system ------------------------------------------------------------------------------------------------- */

/*
 * libc's own keeps the signal mask it was called with in the child, and waits
 * with that mask: the window would be open as long as the command runs. POSIX:
 * meanwhile SIGINT and SIGQUIT are ignored and SIGCHLD is blocked, in the caller
 * only; calls at the same time in several threads share the ignoring.
 */
static void ignoring_lock(void)
{
	while (__atomic_exchange_n(&ignoring.lock, 1, __ATOMIC_ACQUIRE))
		sys_sched_yield();
}

static void ignoring_unlock(void)
{
	__atomic_store_n(&ignoring.lock, 0, __ATOMIC_RELEASE);
}

/* In the kernel the checkpoint signal's action is the shim's, the program's is ALIAS's. */
static int kernel_number(int sig)
{
	return shim.active && sig == shim.signal ? SHIM_ALIAS : sig;
}

static void ignore_begin(void)
{
	const struct arch_sigaction ignore = { .handler = (void *)SIG_IGN };

	ignoring_lock();
	if (ignoring.users++ == 0) {
		sys_rt_sigaction(kernel_number(SIGINT), &ignore, &ignoring.intr);
		sys_rt_sigaction(kernel_number(SIGQUIT), &ignore, &ignoring.quit);
	}
	ignoring_unlock();
}

static void ignore_end(void)
{
	ignoring_lock();
	if (--ignoring.users == 0) {
		sys_rt_sigaction(kernel_number(SIGINT), &ignoring.intr, NULL);
		sys_rt_sigaction(kernel_number(SIGQUIT), &ignoring.quit, NULL);
	}
	ignoring_unlock();
}

static int run_shell(const char *command)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	uint64_t chld = SHIM_BIT(SIGCHLD), old = 0, program;
	posix_spawnattr_t attr;
	int status = -1, rc;
	pid_t pid;

	ignore_begin();
	sys_rt_sigprocmask(SIG_BLOCK, &chld, &old);
	program = signals_to_program(old);
	memset(&attr, 0, sizeof(attr));
	attr.__flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
	memcpy(&attr.__ss, &program, sizeof(program));
	if (ignoring.intr.handler != (void *)SIG_IGN)
		attr.__sd.__val[0] |= SHIM_BIT(SIGINT);
	if (ignoring.quit.handler != (void *)SIG_IGN)
		attr.__sd.__val[0] |= SHIM_BIT(SIGQUIT);
	rc = posix_spawn(&pid, SHELL, NULL, &attr, (char *const *)(uintptr_t)argv, environ);
	if (rc == 0) {
		do
			rc = sys_wait4(pid, &status, 0);
		while (rc == -EINTR);
		if (rc < 0)
			status = signals_errno(-rc);
	} else {
		status = 127 << 8;       /* as if the shell had said it */
	}
	ignore_end();
	sys_rt_sigprocmask(SIG_SETMASK, &old, NULL);
	return status;
}

SHIM_EXPORT int system(const char *command)
{
	if (!command)
		return run_shell("exit 0") == 0;
	return run_shell(command);
}

/* --- popen -------------------------------------------------------------------------------------------------- */

/* The youngest child of this thread: the kernel lists them in the order they were made. */
static int youngest_child(void)
{
	char text[4096];
	int fd = sys_openat(AT_FDCWD, "/proc/thread-self/children", O_RDONLY | O_CLOEXEC, 0);
	uint64_t pid = 0, next;
	long n;

	if (fd < 0)
		return 0;
	while ((n = sys_read(fd, text, sizeof(text))) > 0) {
		const char *p = text, *end = text + n;

		while (p < end) {
			if (text_number(&p, end, 10, &next))
				pid = next;
			else
				p++;
		}
	}
	sys_close(fd);
	return (int)pid;
}

SHIM_EXPORT FILE *popen(const char *command, const char *mode)
{
	struct target target;
	struct birth b;
	bool lent;
	FILE *f;

	if (!shim.active)
		return real.popen(command, mode);
	target_look(&target, AT_FDCWD, SHELL, 0);
	lent = target.shim && lend_begin();
	birth_begin(&b);
	if (!target.shim) {
		window_close(b.was_blocked);
		birth_shimless(&b, target.why, target.comm);
	}
	f = real.popen(command, mode);
	birth_parent(&b, f ? youngest_child() : -1);
	if (lent)
		lend_end();
	return f;
}

/* --- ends --------------------------------------------------------------------------------------------------- */

SHIM_EXPORT void _exit(int status)
{
	if (shim.active)
		carry_leave();
	sys_exit_group(status);
}

SHIM_EXPORT void _Exit(int status)
{
	if (shim.active)
		carry_leave();
	sys_exit_group(status);
}

SHIM_EXPORT void quick_exit(int status)
{
	if (shim.active)
		carry_leave();
	real.quick_exit(status);
	__builtin_unreachable();
}
