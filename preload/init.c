/*
 * init.c - the library's constructor
 *
 * The only place, with real.c, where libc may be used freely: no other code of
 * the shim has run in this process yet, and no handler of the program's can.
 * It runs in every program of a tree, a compiler's thousands included, so the
 * usual path (the tree exists) asks the kernel for little.
 *
 * Settings come from the environment of the tree's root and live in the tree;
 * a value that means nothing stops the root before its main(), with one line.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "family.h"
#include "wait.h"
#include "skshim/treefile.h"

#define EXIT_SETTING 125
#define KEEP_DEFAULT 2
#define AFTER_EXIT_DEFAULT 85

struct shim shim;

/* The tree this process is making: removed when it can't be finished. */
static struct tree *unfinished;

/* The linker's name for the library's ELF header, the first thing that is mapped of it. */
extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));

static void __attribute__((noreturn, format(printf, 1, 2))) stop(const char *fmt, ...)
{
	char line[1400];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n < 0 || n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n] = '\n';
	if (unfinished)
		treefile_remove(unfinished);
	sys_write(2, line, (size_t)n + 1);
	sys_exit_group(EXIT_SETTING);
}

static void __attribute__((noreturn)) meaningless(const char *name, const char *value, const char *want)
{
	stop("skshim: %s=%s: %s", name, value, want);
}

/* A whole number in a range; everything else stops the program. */
static uint32_t number(const char *name, const char *value, const char *text, uint32_t min, uint32_t max, const char *want)
{
	const char *p = text, *end = text + strlen(text);
	uint64_t n;

	if (p == end || !text_number(&p, end, 10, &n) || p != end || n < min || n > max)
		meaningless(name, value, want);
	return (uint32_t)n;
}

/* --- the root's settings ------------------------------------------------------------------------------------ */

static void set_dir(struct tree *t)
{
	const char *dir = getenv("SKSHIM_DIR");
	char cwd[PATH_MAX];
	int n;

	if (dir && !*dir)
		meaningless("SKSHIM_DIR", dir, "wants a directory");
	if (dir && *dir == '/') {
		n = snprintf(t->dir, sizeof(t->dir), "%s", dir);
	} else {
		if (!getcwd(cwd, sizeof(cwd)))
			stop("skshim: the working directory has no name (%s): SKSHIM_DIR must be absolute", strerror(errno));
		if (dir)
			n = snprintf(t->dir, sizeof(t->dir), "%s/%s", strcmp(cwd, "/") ? cwd : "", dir);
		else
			n = snprintf(t->dir, sizeof(t->dir), "%s/skshim-%d", strcmp(cwd, "/") ? cwd : "", shim.pid);
	}
	if (n >= (int)sizeof(t->dir))
		meaningless("SKSHIM_DIR", t->dir, "is too long");
}

static void set_signal(struct tree *t)
{
	const char *value = getenv("SKSHIM_SIGNAL");

	t->signal = value ? (uint32_t)text_signal((struct blob){ value, strlen(value) }) : SIGUSR2;
	if (!t->signal)
		meaningless("SKSHIM_SIGNAL", value, "wants a signal: a name, a number or RTMIN+n");
}

static void set_after(struct tree *t)
{
	static const char want[] = "wants continue or exit[:CODE], with a CODE of 0 to 255";
	const char *value = getenv("SKSHIM_AFTER");

	if (!value || strcmp(value, "continue") == 0)
		return;
	t->after_exit = 1;
	t->after_code = AFTER_EXIT_DEFAULT;
	if (strncmp(value, "exit:", 5) == 0)
		t->after_code = number("SKSHIM_AFTER", value, value + 5, 0, 255, want);
	else if (strcmp(value, "exit") != 0)
		meaningless("SKSHIM_AFTER", value, want);
}

/* A number with K, M, G or T behind it, or nothing. */
static uint64_t size(const char *name, const char *value)
{
	static const char units[] = "KMGT";
	const char *p = value, *end = value + strlen(value), *unit;
	uint64_t n = 0;

	if (!text_number(&p, end, 10, &n) || n == 0)
		meaningless(name, value, "wants a size: a number, with K, M, G or T behind it or nothing");
	unit = *p ? strchr(units, *p) : NULL;
	if (unit && p[1] == 0 && n <= UINT64_MAX >> (10 * (unit - units + 1)))
		return n << (10 * (unit - units + 1));
	if (*p)
		meaningless(name, value, "wants a size: a number, with K, M, G or T behind it or nothing");
	return n;
}

static void set_files(struct tree *t)
{
	const char *value = getenv("SKSHIM_FILES"), *most = getenv("SKSHIM_FILES_MAX");

	t->files_written = value && strcmp(value, "written") == 0;
	if (value && !t->files_written && strcmp(value, "nameless") != 0)
		meaningless("SKSHIM_FILES", value, "wants nameless or written");
	t->files_most = most ? size("SKSHIM_FILES_MAX", most) : 0;
}

static void set_log(struct tree *t)
{
	static const char *const levels[] = { "error", "warn", "info", "debug" };
	const char *value = getenv("SKSHIM_LOG"), *colon;
	char cwd[PATH_MAX] = "";
	size_t n, i;
	int fd;

	t->log_level = LOG_WARN;
	if (!value)
		return;
	colon = strchr(value, ':');
	n = colon ? (size_t)(colon - value) : strlen(value);
	for (i = 0; i < 4; i++)
		if (strlen(levels[i]) == n && strncmp(levels[i], value, n) == 0)
			break;
	if (i == 4 || (colon && !colon[1]))
		meaningless("SKSHIM_LOG", value, "wants error, warn, info or debug, and perhaps :FILE");
	t->log_level = (uint32_t)i;
	if (!colon)
		return;
	if (colon[1] != '/' && !getcwd(cwd, sizeof(cwd)))
		meaningless("SKSHIM_LOG", value, "wants an absolute file here: the working directory has no name");
	if (snprintf(t->log_path, sizeof(t->log_path), "%s%s%s", cwd, *cwd ? "/" : "", colon + 1) >= (int)sizeof(t->log_path))
		meaningless("SKSHIM_LOG", value, "names a file whose name is too long");
	fd = open(t->log_path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd >= 0)
		close(fd);
	else if (errno != ENXIO)     /* a FIFO that nobody reads now */
		stop("skshim: SKSHIM_LOG=%s: the file can't be written: %s", value, strerror(errno));
}

/* The library as other programs are told to load it: the file, absolute, whatever the root's LD_PRELOAD said. */
static void set_paths(struct tree *t)
{
	const char *preload = getenv("LD_PRELOAD");
	char path[PATH_MAX];
	Dl_info info;

	if (!dladdr(&shim, &info) || !info.dli_fname || !realpath(info.dli_fname, path))
		stop("skshim: the library's own file is not to be found: %s", strerror(errno));
	if (strpbrk(path, " :") || snprintf(t->shim_path, sizeof(t->shim_path), "%s", path) >= (int)sizeof(t->shim_path))
		stop("skshim: %s: LD_PRELOAD can't name a library by a path that long or with blanks or colons", path);
	if (preload && strlen(preload) < sizeof(t->preload))
		strcpy(t->preload, preload);
}

static void settings(struct tree *t)
{
	const char *value;

	set_signal(t);
	set_dir(t);
	set_after(t);
	set_files(t);
	set_log(t);
	value = getenv("SKSHIM_KEEP");
	t->keep = value ? number("SKSHIM_KEEP", value, value, 1, 1000000, "wants a number of checkpoints, at least 1")
			: KEEP_DEFAULT;
	value = getenv("SKSHIM_BACKTRACE");
	t->backtrace = value ? number("SKSHIM_BACKTRACE", value, value, 0, 1, "wants 0 or 1") : 1;
	set_paths(t);
}

/* --- libunwind ---------------------------------------------------------------------------------------------- */

/*
 * libunwind asks whether an address can be read with a pipe that it keeps open:
 * two descriptors that the program would meet, and once the program has closed
 * them, libunwind would read from and write to whatever has their numbers. So
 * its calls are led to these, in its own table of imports.
 */
static int no_pipe(int fd[2], int flags)
{
	(void)flags;
	fd[0] = fd[1] = -1;
	return 0;
}

static ssize_t nothing_to_read(int fd, void *buf, size_t n)
{
	(void)fd, (void)buf, (void)n;
	errno = EAGAIN;
	return -1;
}

static ssize_t readable(int fd, const void *at, size_t n)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { (void *)(uintptr_t)at, 1 };

	(void)fd;
	if (SYS6(__NR_process_vm_readv, sys_gettid(), &to, 1, &from, 1, 0) == 1)
		return (ssize_t)n;
	errno = EFAULT;
	return -1;
}

/* It writes by syscall() as well, so that nobody's wrapper is met. */
static long readable_by_number(long nr, long a, long b, long c, long d, long e, long f)
{
	long rc;

	if (nr == __NR_write)
		return readable((int)a, (const void *)b, (size_t)c);
	rc = SYS6(nr, a, b, c, d, e, f);
	if (rc < 0 && rc >= -4095) {
		errno = (int)-rc;
		return -1;
	}
	return rc;
}

static int nothing_open(int fd)
{
	(void)fd;
	return 0;
}

static int no_file(const char *path, int flags, ...)
{
	(void)path, (void)flags;
	errno = ENOENT;
	return -1;
}

static const struct import {
	const char *name;
	void *to;
} imports[] = {
	{ "pipe2", (void *)no_pipe }, { "read", (void *)nothing_to_read }, { "write", (void *)readable },
	{ "close", (void *)nothing_open }, { "open", (void *)no_file }, { "syscall", (void *)readable_by_number },
};

static bool redirect(const struct link_map *lib, const Elf64_Rela *rela, size_t n, const Elf64_Sym *sym, const char *str)
{
	for (size_t i = 0; i < n; i++) {
		void **slot = (void **)(lib->l_addr + rela[i].r_offset);
		void *page = (void *)((uintptr_t)slot & ~(ARCH_PAGE - 1));
		const char *name = str + sym[ELF64_R_SYM(rela[i].r_info)].st_name;

		for (size_t k = 0; k < sizeof(imports) / sizeof(imports[0]); k++) {
			if (strcmp(name, imports[k].name) != 0)
				continue;
			if (mprotect(page, ARCH_PAGE, PROT_READ | PROT_WRITE) < 0)
				return false;
			*slot = imports[k].to;
		}
	}
	return true;
}

static bool redirect_imports(void *handle)
{
	const Elf64_Rela *rela[2] = { NULL, NULL };
	const Elf64_Sym *sym = NULL;
	const char *str = NULL;
	size_t size[2] = { 0, 0 };
	struct link_map *lib;

	if (dlinfo(handle, RTLD_DI_LINKMAP, &lib) < 0)
		return false;
	for (const Elf64_Dyn *d = lib->l_ld; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SYMTAB)
			sym = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_STRTAB)
			str = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_JMPREL)
			rela[0] = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_PLTRELSZ)
			size[0] = d->d_un.d_val;
		else if (d->d_tag == DT_RELA)
			rela[1] = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_RELASZ)
			size[1] = d->d_un.d_val;
	}
	return sym && str && redirect(lib, rela[0], size[0] / sizeof(Elf64_Rela), sym, str) &&
	       redirect(lib, rela[1], size[1] / sizeof(Elf64_Rela), sym, str);
}

bool unwind_load(struct unwinder *u)
{
	int saved = errno;
	void *handle = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
	bool ok = false;

	if (handle) {
		u->getcontext = dlsym(handle, UNWIND_GETCONTEXT);
		u->init_local = dlsym(handle, UNWIND_INIT_LOCAL);
		u->step = dlsym(handle, UNWIND_STEP);
		u->get_reg = dlsym(handle, UNWIND_GET_REG);
		ok = u->getcontext && u->init_local && u->step && u->get_reg && redirect_imports(handle);
		if (!ok)
			dlclose(handle);
	}
	errno = saved;
	return ok;
}

/* --- the constructor ---------------------------------------------------------------------------------------- */

static void find_self(void)
{
	const Elf64_Phdr *ph = (const Elf64_Phdr *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);

	shim.base = shim.end = (uint64_t)&__ehdr_start;
	for (int i = 0; i < __ehdr_start.e_phnum; i++)
		if (ph[i].p_type == PT_LOAD && shim.base + ph[i].p_vaddr + ph[i].p_memsz > shim.end)
			shim.end = shim.base + ph[i].p_vaddr + ph[i].p_memsz;
	shim.end = (shim.end + ARCH_PAGE - 1) & ~(ARCH_PAGE - 1);
}

/* Programs that are not touched: those with more rights than their caller, and skshim's own. */
static bool untouchable(void)
{
	const char *off = getenv("SKSHIM_OFF");

	return getauxval(AT_SECURE) || (off && strcmp(off, "1") == 0);
}

/* It loads libraries of its own into the program that it runs. */
static bool valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "/vgpreload_core");
}

__attribute__((constructor(101))) static void init(void)
{
	int rc;

	real_load();
	wait_init();
	find_self();
	shim.pid = sys_getpid();
	if (untouchable())
		return;
	rc = carry_open();
	if (rc < 0)
		stop("skshim: %s", err_text());
	if (rc == 1) {
		unfinished = shim.tree;
		settings(shim.tree);
	}
	if (rc == 0)
		jail_executed(carry_root());
	shim.signal = (int)shim.tree->signal;
	shim.active = true;
	shim.emulated = valgrind();
	log_setup("skshim", (enum log_level)shim.tree->log_level, *shim.tree->log_path ? shim.tree->log_path : NULL);
	if (members_join() < 0)
		stop("skshim: %s", err_text());
	seccomp_init(rc == 1);
	if (rc == 1)
		attribute_namespaces();
	/* `skshim run` blocked the checkpoint signal as our exec does: signals_init() tells that by the tree being ready. */
	if (unfinished && getenv("SKSHIM_RUN"))
		treefile_ready(unfinished);
	unsetenv("SKSHIM_RUN");
	if (unwind_init() < 0 || signals_init() < 0)
		stop("skshim: %s", err_text());
	if (unfinished) {
		setenv("SKSHIM_TREE", carry_name(), 1);
		treefile_ready(unfinished);
		unfinished = NULL;
	}
}

__attribute__((destructor)) static void leave(void)
{
	if (shim.active)
		carry_leave();
}
