/*
 * run.c - skshim run: a program under the shim
 *
 * Sets LD_PRELOAD and SKSHIM_*, blocks the checkpoint signal (which would kill
 * the program before the library's constructor has put its handler in place;
 * the constructor unblocks it) and becomes the program. What the library can't
 * be loaded into is refused here, by name, and not at the first checkpoint.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli.h"

#define LIBRARY "libskshim.so"
/* Interpreters of interpreters: the kernel follows that many (fs/exec.c). */
#define RUN_SCRIPTS 5
/* To which the library moves the program's own use of the checkpoint signal (SHIM_ALIAS there). */
#define RUN_ALIAS 64

/* Where execvp would find it: CLI_OK, CLI_NOT_FOUND or CLI_NOT_EXECUTABLE. */
static int run_find(const char *name, char *out, size_t size)
{
	const char *path = getenv("PATH"), *end;
	int status = CLI_NOT_FOUND;

	if (strchr(name, '/') != NULL) {
		snprintf(out, size, "%s", name);
		if (access(name, F_OK) != 0) {
			failed(-errno, "run: %s", name);
			return CLI_NOT_FOUND;
		}
		return CLI_OK;
	}
	for (path = path ? path : "/usr/local/bin:/usr/bin:/bin"; path != NULL; path = *end ? end + 1 : NULL) {
		struct stat st;

		end = strchrnul(path, ':');
		snprintf(out, size, "%.*s%s%s", (int)(end - path), path, end == path ? "" : "/", name);
		if (stat(out, &st) != 0 || !S_ISREG(st.st_mode))
			continue;
		if (access(out, X_OK) == 0)
			return CLI_OK;
		status = CLI_NOT_EXECUTABLE;
	}
	failed(status == CLI_NOT_FOUND ? -ENOENT : -EACCES, "run: %s", name);
	return status;
}

/* The loader drops LD_PRELOAD from a program that gains privilege (AT_SECURE). */
static int run_check_privilege(const char *path, int fd, const struct stat *st)
{
	struct statvfs vfs;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || (fstatvfs(fd, &vfs) == 0 && (vfs.f_flag & ST_NOSUID)))
		return 0;
	if ((st->st_mode & S_ISUID) && st->st_uid != getuid())
		return failed(ERR_PLAIN, "run: %s is set-user-id: the system loads no shim into it; "
			      "run it as the user it becomes", path);
	if ((st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st->st_gid != getgid())
		return failed(ERR_PLAIN, "run: %s is set-group-id: the system loads no shim into it; "
			      "run it as the group it becomes", path);
	if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return failed(ERR_PLAIN, "run: %s has file capabilities: the system loads no shim into it; "
			      "remove them (setcap -r) or run it as root", path);
	return 0;
}

static int run_check_elf(const char *path, int fd, const unsigned char *head, ssize_t n)
{
	Elf64_Ehdr eh;

	if (n < (ssize_t)sizeof(eh) || head[EI_CLASS] != ELFCLASS64)
		return failed(ERR_PLAIN, "run: %s is not a program for x86-64, which is all the shim knows", path);
	memcpy(&eh, head, sizeof(eh));
	if (eh.e_machine != EM_X86_64)
		return failed(ERR_PLAIN, "run: %s is not a program for x86-64, which is all the shim knows", path);
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + (uint64_t)i * eh.e_phentsize)) !=
		    (ssize_t)sizeof(ph))
			return failed(ERR_PLAIN, "run: %s: its program headers can't be read", path);
		if (ph.p_type == PT_INTERP)
			return 0;
	}
	return failed(ERR_PLAIN,
		      "run: %s is statically linked: no library can be loaded into it, so the shim can't either; "
		      "use a dynamically linked build",
		      path);
}

/* Follows "#!" to the program the kernel will run and checks that. CLI_OK or the exit status. */
static int run_check(const char *path, int depth)
{
	unsigned char head[512];
	struct stat st;
	ssize_t n = -1;
	int status = CLI_REFUSED, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == EACCES && access(path, X_OK) == 0)
		return CLI_OK;  /* may be run but not looked at: exec decides */
	if (fd < 0 || fstat(fd, &st) != 0) {
		status = errno == ENOENT ? CLI_NOT_FOUND : CLI_NOT_EXECUTABLE;
		failed(-errno, "run: %s", path);
		goto out;
	}
	if (!S_ISREG(st.st_mode) || access(path, X_OK) != 0) {
		failed(S_ISREG(st.st_mode) ? -errno : -EACCES, "run: %s", path);
		status = CLI_NOT_EXECUTABLE;
		goto out;
	}
	n = pread(fd, head, sizeof(head) - 1, 0);
	if (n >= 2 && memcmp(head, "#!", 2) == 0 && depth < RUN_SCRIPTS) {
		char *word = (char *)head + 2;

		head[n] = '\0';
		word += strspn(word, " \t");
		word[strcspn(word, " \t\n")] = '\0';
		status = *word ? run_check(word, depth + 1) : CLI_OK;
	} else if (n >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) {
		if (run_check_privilege(path, fd, &st) == 0 && run_check_elf(path, fd, head, n) == 0)
			status = CLI_OK;
	} else {
		status = CLI_OK;  /* a script without #!, or what binfmt_misc knows: exec decides */
	}
out:
	if (fd >= 0)
		close(fd);
	return status;
}

/* What the options say; the library itself looks whether it means anything. */
struct settings {
	const char *dir, *signal, *files, *files_max;
};

static int run_setting(const char *name, const char *value)
{
	return value != NULL && setenv(name, value, 1) != 0 ? failed(-errno, "run: %s", name) : 0;
}

static int run_environment(const struct settings *o)
{
	const char *old = getenv("LD_PRELOAD");
	char library[PATH_MAX], *preload = NULL;
	int rc = 0;

	if (!path_library(LIBRARY, library, sizeof(library)))
		return failed(ERR_PLAIN,
			      "run: " LIBRARY " is neither beside skshim nor in ../lib nor where the loader looks; "
			      "run `make` or `make install`");
	if (strpbrk(library, " :") != NULL)
		return failed(ERR_PLAIN, "run: %s: LD_PRELOAD can't hold a path with a space or colon; move skshim",
			      library);
	if (old == NULL || *old == '\0')
		old = NULL;
	if (old != NULL && strstr(old, LIBRARY) != NULL)
		goto rest;
	if (asprintf(&preload, "%s%s%s", library, old ? ":" : "", old ? old : "") < 0)
		return failed(-ENOMEM, "run");
	if (setenv("LD_PRELOAD", preload, 1) != 0)
		rc = failed(-errno, "run: LD_PRELOAD");
	free(preload);
rest:
	if (rc == 0)
		rc = run_setting("SKSHIM_DIR", o->dir);
	if (rc == 0)
		rc = run_setting("SKSHIM_SIGNAL", o->signal);
	if (rc == 0)
		rc = run_setting("SKSHIM_FILES", o->files);
	if (rc == 0)
		rc = run_setting("SKSHIM_FILES_MAX", o->files_max);
	return rc;
}

/*
 * Blocks the checkpoint signal across exec, and tells the constructor that this
 * was our wish: a program that was to inherit it blocked gets the alias blocked.
 * Its number, or negative after failed().
 */
static int run_block_signal(const char *option)
{
	const char *name = option ? option : getenv("SKSHIM_SIGNAL");
	sigset_t set, before;
	int sig;

	if (name == NULL)
		name = "USR2";
	sig = text_signal((struct blob){ name, strlen(name) });
	if (sig <= 0 || sig == SIGKILL || sig == SIGSTOP)
		return failed(ERR_PLAIN,
			      "run: %s=%s: not a signal a program can take; use a name (USR2), a number, or RTMIN+n",
			      option ? "--signal" : "SKSHIM_SIGNAL", name);
	sigemptyset(&set);
	sigaddset(&set, sig);
	if (sigprocmask(SIG_BLOCK, &set, &before) != 0)
		return failed(-errno, "run: cannot block signal %s", name);
	sigemptyset(&set);
	sigaddset(&set, RUN_ALIAS);
	if (sigprocmask(sigismember(&before, sig) ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL) != 0 ||
	    setenv("SKSHIM_RUN", "1", 1) != 0)
		return failed(-errno, "run: signal %s", name);
	return sig;
}

int command_run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'D' },
		{ "signal", required_argument, NULL, 's' },
		{ "files", required_argument, NULL, 'f' },
		{ "files-max", required_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	struct settings o = { NULL, NULL, NULL, NULL };
	char path[PATH_MAX];
	int c, status;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+D:s:", options, NULL)) != -1) {
		if (c == 'D')
			o.dir = optarg;
		else if (c == 's')
			o.signal = optarg;
		else if (c == 'f')
			o.files = optarg;
		else if (c == 'm')
			o.files_max = optarg;
		else {
			usage_error("run", "'%s' is not an option, or lacks its value", argv[optind - 1]);
			return CLI_REFUSED;
		}
	}
	if (optind >= argc || (o.dir != NULL && *o.dir == '\0')) {
		usage_error("run", optind >= argc ? "a program is missing" : "-D needs a directory");
		return CLI_REFUSED;
	}
	status = run_find(argv[optind], path, sizeof(path));
	if (status == CLI_OK)
		status = run_check(path, 0);
	if (status != CLI_OK)
		return status;
	if (run_environment(&o) < 0 || run_block_signal(o.signal) < 0)
		return CLI_REFUSED;
	execv(path, argv + optind);
	if (errno == ENOEXEC) {
		/* A script without #!: a shell runs it, as execvp would. */
		char **shell = calloc((size_t)(argc - optind) + 2, sizeof(char *));

		if (shell == NULL) {
			failed(-ENOMEM, "run: %s", path);
			return CLI_REFUSED;
		}
		memcpy(shell + 1, argv + optind, (size_t)(argc - optind + 1) * sizeof(char *));
		shell[0] = "sh";
		shell[1] = path;
		execv("/bin/sh", shell);
	}
	status = errno == ENOENT ? CLI_NOT_FOUND : CLI_NOT_EXECUTABLE;
	failed(-errno, "run: %s", path);
	return status;
}
