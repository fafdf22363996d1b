/*
 * wrap_exec.c - putting another program into this process
 *
 * Between exec and the new program's constructor the checkpoint signal would
 * kill it: nobody handles it there. So it is blocked before the call and
 * unblocked by the constructor, but only where there will be one: the file (or
 * its interpreter, or that one's ...) is looked at first. A program that will
 * not load the shim gets the signal mask and the disposition that the program
 * set, and its slot in the tree says why, so that a checkpoint can name it.
 *
 * exec ends the other threads of the process. One of them may be making a
 * checkpoint: so whoever is about to replace the program says so (`running`)
 * and then looks whether a checkpoint has begun (`held`); whoever begins one
 * says so and then looks at `running`. One of the two waits: exec_hold().
 *
 * The environment is completed in every case (carry.c). Memory for that comes
 * from the stack: a vfork child could not give back what it maps.
 */
#include <asm/errno.h>
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "signals.h"
#include "family.h"
#include "skshim/frozen.h"

#define HEAD 2048
#define SCRIPTS 5                    /* the kernel follows as many */
#define PATH_ROOM 4096
#define ARGS 256
#define GLIBC_LOADER "ld-linux-x86-64.so.2"
#define CAPS "security.capability"

int execve(const char *, char *const[], char *const[]);
int execv(const char *, char *const[]);
int execvp(const char *, char *const[]);
int execvpe(const char *, char *const[], char *const[]);
int execl(const char *, const char *, ...);
int execlp(const char *, const char *, ...);
int execle(const char *, const char *, ...);
int fexecve(int, char *const[], char *const[]);
int execveat(int, const char *, char *const[], char *const[], int);

extern char **environ;
extern int *__errno_location(void);

/* Threads on their way into exec; a checkpoint is being made in this process. */
static uint32_t running, held;

/* --- will it load the shim? --------------------------------------------------------------------------------- */

static void no_shim(struct target *t, enum shimless why, bool strip)
{
	t->shim = false;
	t->strip = strip;
	t->why = why;
}

/* Would the kernel run it with more rights, so that its loader ignores LD_PRELOAD (AT_SECURE)? */
static bool gains_rights(int fd, const struct stat *st)
{
	uint32_t uid = (uint32_t)SYS0(__NR_getuid), euid = (uint32_t)SYS0(__NR_geteuid);
	uint32_t gid = (uint32_t)SYS0(__NR_getgid), egid = (uint32_t)SYS0(__NR_getegid);

	if (sys_prctl(39 /* PR_GET_NO_NEW_PRIVS */, 0, 0, 0, 0) != 1) {
		if (st->st_mode & S_ISUID)
			euid = st->st_uid;
		if ((st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
			egid = st->st_gid;
		if (uid != 0 && SYS4(__NR_fgetxattr, fd, CAPS, NULL, 0) > 0)
			return true;
	}
	return euid != uid || egid != gid;
}

static void look_elf(struct target *t, int fd, const uint8_t *head, long n)
{
	const Elf64_Ehdr *h = (const Elf64_Ehdr *)head;
	const Elf64_Phdr *ph;
	char loader[64] = "";
	uint32_t i;

	if (n < (long)sizeof(*h) || head[EI_CLASS] != ELFCLASS64 || h->e_machine != EM_X86_64) {
		no_shim(t, SHIMLESS_FOREIGN, true);
		return;
	}
	if (h->e_phentsize != sizeof(*ph) || h->e_phoff + (uint64_t)h->e_phnum * sizeof(*ph) > (uint64_t)n) {
		no_shim(t, SHIMLESS_UNREADABLE, false);
		return;
	}
	ph = (const Elf64_Phdr *)(head + h->e_phoff);
	for (i = 0; i < h->e_phnum; i++) {
		uint64_t size = ph[i].p_filesz < sizeof(loader) ? ph[i].p_filesz : sizeof(loader) - 1;
		const char *base = loader, *p;

		if (ph[i].p_type != PT_INTERP)
			continue;
		if (sys_pread(fd, loader, size, (int64_t)ph[i].p_offset) != (long)size)
			break;
		loader[size] = 0;
		for (p = loader; *p; p++)
			if (*p == '/')
				base = p + 1;
		if (memcmp(base, GLIBC_LOADER, sizeof(GLIBC_LOADER)) != 0)
			no_shim(t, SHIMLESS_FOREIGN, true);
		return;
	}
	/* the loader itself is static too: "ld-linux-x86-64.so.2 program" loads the shim */
	if (h->e_type != ET_DYN || memcmp(t->comm, "ld-linux", 8) != 0)
		no_shim(t, SHIMLESS_STATIC, false);
}

/* "#! interpreter argument": the interpreter; false when there is none. */
static bool look_script(char *head, long n, char **interpreter)
{
	char *p = head + 2, *end = head + n;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	*interpreter = p;
	while (p < end && *p && *p != ' ' && *p != '\t' && *p != '\n')
		p++;
	if (p == end || p == *interpreter)
		return false;
	*p = 0;
	return true;
}

static void set_comm(struct target *t, const char *path)
{
	const char *base = path, *p;
	size_t n;

	for (p = path; *p; p++)
		if (*p == '/')
			base = p + 1;
	n = strlen(base) < sizeof(t->comm) - 1 ? strlen(base) : sizeof(t->comm) - 1;
	memset(t->comm, 0, sizeof(t->comm));
	memcpy(t->comm, base, n);
}

/* One file; returns the interpreter to look at next, or NULL. */
static char *look_file(struct target *t, int fd, uint8_t *head)
{
	char *next = NULL;
	struct stat st;
	long n;

	if (sys_fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	t->found = true;
	t->shim = true;
	n = sys_pread(fd, head, HEAD - 1, 0);
	if (n >= 2 && head[0] == '#' && head[1] == '!')
		return look_script((char *)head, n, &next) ? next : NULL;
	if (n >= 4 && memcmp(head, ELFMAG, SELFMAG) == 0) {
		if (gains_rights(fd, &st))
			no_shim(t, SHIMLESS_SETUID, false);
		else
			look_elf(t, fd, head, n);
	} else {
		/* ENOEXEC, or a format that the kernel was taught: not known to load anything */
		no_shim(t, SHIMLESS_FOREIGN, false);
	}
	return NULL;
}

/* Can the new program load the library and find the tree? */
static void look_shim(struct target *t)
{
	long tree = SYS4(__NR_faccessat2, AT_FDCWD, shim.tree->path, R_OK | W_OK, AT_EACCESS);
	long library = SYS4(__NR_faccessat2, AT_FDCWD, shim.tree->shim_path, R_OK, AT_EACCESS);

	if ((tree < 0 || library < 0) && jail_elsewhere())
		no_shim(t, SHIMLESS_ROOT, true);
	else if (tree < 0)
		no_shim(t, SHIMLESS_USER, false);
	else if (library < 0)
		no_shim(t, SHIMLESS_UNREADABLE, false);
}

void target_look(struct target *t, int dirfd, const char *path, int flags)
{
	uint8_t head[HEAD] __attribute__((aligned(8)));
	char through[32];
	int depth, fd;

	memset(t, 0, sizeof(*t));
	if (!shim.active || !shim.tree || !path)
		return;
	set_comm(t, path);
	for (depth = 0; path && depth <= SCRIPTS; depth++) {
		if ((flags & AT_EMPTY_PATH) && !*path) {
			text_format(through, sizeof(through), "/proc/thread-self/fd/%d", dirfd);
			path = through;
		}
		fd = sys_openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
		if (fd == -EACCES) {
			/* may be executed, perhaps, but not read */
			t->found = true;
			t->shim = true;
			return;
		}
		if (fd < 0)
			return;
		path = look_file(t, fd, head);
		sys_close(fd);
		dirfd = AT_FDCWD;
		flags = 0;
	}
	if (t->shim)
		look_shim(t);
}

/* --- the call ----------------------------------------------------------------------------------------------- */

struct exec {
	struct target target;
	struct carried env;
	struct member *slot;
	bool claimed, saved, counted;
	char comm[16];
	uint64_t mask;               /* the kernel's, before */
	struct arch_sigaction action;
};

void exec_hold(void)
{
	__atomic_store_n(&held, 1, __ATOMIC_SEQ_CST);
	/* one that succeeds ends this thread, one that fails takes itself off */
	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST))
		sys_sched_yield();
	members_made();
}

bool exec_held(void)
{
	return __atomic_load_n(&held, __ATOMIC_SEQ_CST);
}

void exec_release(void)
{
	__atomic_store_n(&held, 0, __ATOMIC_SEQ_CST);
}

void exec_forked(void)
{
	running = 0;
	held = 0;
}

/*
 * Waits while a checkpoint is being made; returns with the window open and
 * `running` counted: by a vfork child not, which shares its parent's count but
 * ends none of its threads.
 */
static void enter(uint64_t *mask, bool count)
{
	const uint64_t bit = SHIM_BIT(shim.signal);

	sys_rt_sigprocmask(SIG_BLOCK, &bit, mask);
	while (count) {
		const struct __kernel_timespec soon = { 0, 1000000 };
		uint32_t word = 0;

		__atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&held, __ATOMIC_SEQ_CST))
			return;
		__atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
		sys_rt_sigprocmask(SIG_SETMASK, mask, NULL);
		sys_futex(&word, 0 /* FUTEX_WAIT */, 0, &soon);
		sys_rt_sigprocmask(SIG_BLOCK, &bit, NULL);
	}
}

/* A program without the shim sees what the program before it set, in the kernel's own places. */
static void hand_back_signals(struct exec *x)
{
	struct arch_sigaction alias;
	uint64_t mask = signals_to_program(x->mask & ~SHIM_BIT(shim.signal));

	if (sys_rt_sigaction(SHIM_ALIAS, NULL, &alias) == 0 && alias.handler == (void *)SIG_IGN)
		x->saved = sys_rt_sigaction(shim.signal, &alias, &x->action) == 0;
	sys_rt_sigprocmask(SIG_SETMASK, &mask, NULL);
}

static void exec_begin(struct exec *x, int dirfd, const char *path, int flags, char *const envp[])
{
	int pid;

	x->slot = NULL;
	x->claimed = x->saved = false;
	target_look(&x->target, dirfd, path, flags);
	carry_pack(&x->env, envp, !x->target.found ? CARRY_NOTHING : x->target.shim ? CARRY_SHIM :
				  x->target.strip ? CARRY_WITHOUT : CARRY_NOTHING);
	if (!x->target.found)
		return;
	pid = sys_getpid();
	if (pid != shim.pid && namespace_of_children) {
		x->target.found = false;     /* a child of vfork, with a number that nobody here knows it by */
		return;
	}
	x->counted = pid == shim.pid;
	enter(&x->mask, x->counted);
	x->slot = members_find(pid);
	if (!x->slot) {
		x->slot = members_claim(pid, sys_getppid());
		x->claimed = true;
	}
	if (x->target.shim || !x->slot)
		return;
	memcpy(x->comm, x->slot->comm, sizeof(x->comm));
	memcpy(x->slot->comm, x->target.comm, sizeof(x->comm));
	__atomic_store_n(&x->slot->shimless, x->target.why, __ATOMIC_SEQ_CST);
	if (x->claimed)
		__atomic_store_n(&x->slot->state, MEMBER_ALIVE, __ATOMIC_SEQ_CST);
	hand_back_signals(x);
}

/* The program goes on as if nothing had happened. */
static void exec_failed(struct exec *x)
{
	if (x->target.found) {
		if (x->saved)
			sys_rt_sigaction(shim.signal, &x->action, NULL);
		if (x->slot && !x->target.shim) {
			__atomic_store_n(&x->slot->shimless, SHIMLESS_NO, __ATOMIC_SEQ_CST);
			memcpy(x->slot->comm, x->comm, sizeof(x->comm));
		}
		if (x->claimed)
			members_release(x->slot, sys_getpid());
		if (x->counted)
			__atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
		sys_rt_sigprocmask(SIG_SETMASK, &x->mask, NULL);
	}
	carry_unpack(&x->env);
}

SHIM_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	struct exec x;
	int rc;

	if (!shim.active)
		return real.execve(path, argv, envp);
	exec_begin(&x, AT_FDCWD, path, 0, envp);
	rc = real.execve(path, argv, x.env.envp);
	exec_failed(&x);
	return rc;
}

SHIM_EXPORT int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct exec x;
	int rc;

	if (!shim.active)
		return real.execveat(dirfd, path, argv, envp, flags);
	exec_begin(&x, dirfd, path, flags, envp);
	rc = real.execveat(dirfd, path, argv, x.env.envp, flags);
	exec_failed(&x);
	return rc;
}

SHIM_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	struct exec x;
	int rc;

	if (!shim.active)
		return real.fexecve(fd, argv, envp);
	exec_begin(&x, fd, "", AT_EMPTY_PATH, envp);
	rc = real.fexecve(fd, argv, x.env.envp);
	exec_failed(&x);
	return rc;
}

SHIM_EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

/* --- searching PATH ----------------------------------------------------------------------------------------- */

static const char *search_path(void)
{
	const char *path = carry_getenv(environ, "PATH");

	return path ? path : "/bin:/usr/bin";
}

static bool has_slash(const char *s)
{
	for (; *s; s++)
		if (*s == '/')
			return true;
	return false;
}

/* The next candidate for `file` along *path; false at the end. Parts that are too long are left out. */
static bool candidate(const char **path, const char *file, char out[PATH_ROOM])
{
	while (*path) {
		const char *p = *path, *end = p;

		while (*end && *end != ':')
			end++;
		*path = *end ? end + 1 : NULL;
		if ((size_t)(end - p) + strlen(file) + 2 > PATH_ROOM)
			continue;
		text_format(out, PATH_ROOM, "%.*s%s%s", (int)(end - p), p, end > p ? "/" : "", file);
		return true;
	}
	return false;
}

void target_search(struct target *t, const char *file)
{
	const char *path = search_path();
	char found[PATH_ROOM];

	if (has_slash(file)) {
		target_look(t, AT_FDCWD, file, 0);
		return;
	}
	memset(t, 0, sizeof(*t));
	while (!t->found && candidate(&path, file, found))
		if (SYS4(__NR_faccessat2, AT_FDCWD, found, X_OK, AT_EACCESS) == 0)
			target_look(t, AT_FDCWD, found, 0);
}

/* A file that the kernel doesn't know how to run is a script without "#!". */
static int run_as_script(const char *path, char *const argv[], char *const envp[])
{
	size_t n = 0, size;
	const char **list;
	int rc;

	while (argv[n])
		n++;
	size = (n + 3) * sizeof(*list);
	list = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_err(list))
		return signals_errno(ENOMEM);
	list[0] = "/bin/sh";
	list[1] = path;
	if (n > 1)
		memcpy(list + 2, argv + 1, (n - 1) * sizeof(*list));
	rc = execve("/bin/sh", (char *const *)(uintptr_t)list, envp);
	sys_munmap(list, size);
	return rc;
}

static int run_or_script(const char *path, char *const argv[], char *const envp[])
{
	int rc = execve(path, argv, envp);

	return *__errno_location() == ENOEXEC ? run_as_script(path, argv, envp) : rc;
}

/* Another directory may have it. */
static bool go_on_after(int e)
{
	return e == EACCES || e == ENOENT || e == ESTALE || e == ENOTDIR || e == ENODEV || e == ETIMEDOUT;
}

SHIM_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	const char *path = search_path();
	char found[PATH_ROOM];
	bool forbidden = false;

	signals_errno(ENOENT);
	if (!*file)
		return -1;
	if (has_slash(file))
		return run_or_script(file, argv, envp);
	if (strlen(file) > 255)
		return signals_errno(ENAMETOOLONG);
	while (candidate(&path, file, found)) {
		run_or_script(found, argv, envp);
		if (*__errno_location() == EACCES)
			forbidden = true;
		else if (!go_on_after(*__errno_location()))
			return -1;
	}
	return forbidden ? signals_errno(EACCES) : -1;
}

SHIM_EXPORT int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

/* --- arguments one by one ----------------------------------------------------------------------------------- */

struct args {
	const char *few[ARGS];
	const char **list;
	void *map;
	size_t size;
};

/* Two walks: count, then take. */
static bool args_take(struct args *a, const char *first, va_list *ap)
{
	va_list again;
	size_t n = 1, i;

	va_copy(again, *ap);
	if (first)
		while (va_arg(again, const char *))
			n++;
	va_end(again);
	a->list = a->few;
	a->map = NULL;
	if (n + 1 > ARGS) {
		a->size = (n + 1) * sizeof(*a->list);
		a->map = sys_mmap(NULL, a->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (sys_is_err(a->map))
			return false;
		a->list = a->map;
	}
	a->list[0] = first;
	for (i = 1; first && i <= n; i++)
		a->list[i] = va_arg(*ap, const char *);
	return true;
}

static int args_done(struct args *a, int rc)
{
	if (a->map)
		sys_munmap(a->map, a->size);
	return rc;
}

SHIM_EXPORT int execl(const char *path, const char *arg, ...)
{
	struct args a;
	va_list ap;
	bool ok;

	va_start(ap, arg);
	ok = args_take(&a, arg, &ap);
	va_end(ap);
	return ok ? args_done(&a, execve(path, (char *const *)(uintptr_t)a.list, environ)) : signals_errno(ENOMEM);
}

SHIM_EXPORT int execlp(const char *file, const char *arg, ...)
{
	struct args a;
	va_list ap;
	bool ok;

	va_start(ap, arg);
	ok = args_take(&a, arg, &ap);
	va_end(ap);
	return ok ? args_done(&a, execvpe(file, (char *const *)(uintptr_t)a.list, environ)) : signals_errno(ENOMEM);
}

SHIM_EXPORT int execle(const char *path, const char *arg, ...)
{
	struct args a;
	char *const *envp;
	va_list ap;
	bool ok;

	va_start(ap, arg);
	ok = args_take(&a, arg, &ap);
	envp = ok ? va_arg(ap, char *const *) : NULL;
	va_end(ap);
	return ok ? args_done(&a, execve(path, (char *const *)(uintptr_t)a.list, envp)) : signals_errno(ENOMEM);
}
