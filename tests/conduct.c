/*
 * conduct.c - runs one test so that nothing of it is left
 *
 *	conduct [-u UID] [-l SECONDS] plain PROGRAM [ARG...]
 *	conduct [-u UID] [-l SECONDS] [-n COUNT] [-b BUILD] [-x TEXT] [-f FILES] go|restart|STEPS PROGRAM
 *
 * Theory of operation. The conductor is a child subreaper in a session of its own,
 * and as root with network, terminals and /dev/shm of its own: whatever the test
 * starts stays below it, however it daemonises, and is killed at the end or at the limit.
 *
 * "plain" runs the program and passes on its exit status. "go" and "restart"
 * run a scenario (scenario/scenario.h) under the shim: wait until it is ready,
 * make COUNT checkpoints (on the way "restart" each is followed by the death
 * of everything and a restart), tell it to go on, and pass on its status. STEPS
 * mixes both: a letter a checkpoint, g it goes on, k it is killed and restarted.
 * With -x the checkpoint must fail, with TEXT on standard error. With -f no process may have more descriptors.
 *
 * It waits for names to appear (inotify), for processes to end (pidfd), never
 * for time to pass. Exit status: 0, 77 skipped, 1 failed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SKIPPED 77

static struct {
	const char *way, *build, *refused;
	long user;           /* uid to become, -1: stay */
	int limit, count;
	bool alone;          /* /dev/shm is the test's own */
	char dir[PATH_MAX];  /* the test's own: work/ sync/ images/ out */
	char **argv;
	int watch;           /* inotify on sync/ */
	struct timespec end;
} test = {.user = -1, .limit = 60, .count = 1, .build = "build"};

static void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* --- nothing is left ------------------------------------------------------------------------------------------ */

static char below_text[1024]; /* the pids that signal_below() met last */

/* Behind the name in a process's stat: it has ended. One whose first thread has, and others haven't, lives. */
static bool is_zombie(const char *p)
{
	int threads = 1;

	if (p[2] != 'Z')
		return false;
	sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d", &threads);
	return threads <= 1;
}

/* Sends sig to every process below `top`; how many there were. Zombies are not counted. */
static int signal_below(pid_t top, int sig)
{
	static pid_t pid[65536], parent[65536];
	static bool below[65536];
	struct dirent *entry;
	int n = 0, found = 0;
	bool more = true;
	DIR *proc = opendir("/proc");

	while (proc != NULL && (entry = readdir(proc)) != NULL && n < 65536) {
		char path[64], text[512], *p;
		FILE *f;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/stat", entry->d_name);
		f = fopen(path, "re");
		if (f == NULL)
			continue;
		p = fgets(text, sizeof(text), f) != NULL ? strrchr(text, ')') : NULL;
		fclose(f);
		if (p == NULL || is_zombie(p))
			continue;
		pid[n] = atoi(entry->d_name);
		parent[n] = (pid_t)atol(p + 4);
		below[n++] = false;
	}
	if (proc != NULL)
		closedir(proc);
	while (more) {
		more = false;
		for (int i = 0; i < n; i++) {
			bool is = parent[i] == top;

			for (int k = 0; k < n && !is; k++)
				is = below[k] && pid[k] == parent[i];
			if (is && !below[i])
				more = below[i] = true;
		}
	}
	below_text[0] = '\0';
	for (int i = 0; i < n; i++)
		if (below[i] && ++found) {
			size_t len = strlen(below_text);

			kill(pid[i], sig);
			snprintf(below_text + len, sizeof(below_text) - len, " %d", pid[i]);
		}
	return found;
}

/* Until no process is left below, and nothing to reap. */
static void kill_everything(void)
{
	for (;;) {
		int left = signal_below(getpid(), SIGKILL);
		pid_t pid = waitpid(-1, NULL, left > 0 ? 0 : WNOHANG);

		while (pid > 0)
			pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0 && errno == ECHILD && left == 0)
			return;
	}
}

static void remove_dir(void)
{
	pid_t pid;

	if (test.dir[0] == '\0')
		return;
	pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--one-file-system", test.dir, NULL);   /* it may have mounted something there */
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

/* What the program printed goes to our own output. */
static void show_output(void)
{
	char path[PATH_MAX + 8], text[4096];
	ssize_t n;
	int fd;

	fflush(stdout);
	snprintf(path, sizeof(path), "%s/out", test.dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (n = read(fd, text, sizeof(text))) > 0)
		if (write(1, text, (size_t)n) < 0)
			break;
	if (fd >= 0)
		close(fd);
}

static void finish(int status) __attribute__((noreturn));
static void finish(int status)
{
	kill_everything();
	if (test.watch > 0)
		show_output();
	if (getenv("KEEP") == NULL)
		remove_dir();
	else
		printf("kept: %s\n", test.dir);
	fflush(stdout);
	_exit(status);
}

static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("conduct: ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	finish(1);
}

/* --- starting things -------------------------------------------------------------------------------------------- */

static void become_user(void)
{
	if (test.user < 0)
		return;
	if (setgroups(0, NULL) != 0 || setresgid((gid_t)test.user, (gid_t)test.user, (gid_t)test.user) != 0 ||
	    setresuid((uid_t)test.user, (uid_t)test.user, (uid_t)test.user) != 0) {
		perror("conduct: become user");
		_exit(1);
	}
	/* As after a login: its own /proc files are its own. */
	prctl(PR_SET_DUMPABLE, 1);
}

static char *word(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *word(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		_exit(1);
	va_end(ap);
	return text;
}

/* Runs argv as the user in work/, its output into `out`; `shim`: under the shim. */
static pid_t start(char *const argv[], const char *out, bool shim)
{
	pid_t pid = fork();

	if (pid == 0) {
		int fd;

		become_user();
		if (chdir(word("%s/work", test.dir)) != 0)
			_exit(1);
		fd = open("/dev/null", O_RDONLY);
		dup2(fd, 0);
		close(fd);
		fd = open(out, O_WRONLY | O_CREAT | O_APPEND, 0666);
		if (fd < 0)
			_exit(1);
		dup2(fd, 1);
		dup2(fd, 2);
		close(fd);
		setenv("HOME", word("%s/work", test.dir), 1);
		setenv("SCENARIO", word("%s/sync", test.dir), 1);
		if (shim) {
			setenv("SKSHIM_DIR", word("%s/images", test.dir), 1);
			setenv("LD_PRELOAD", word("%s/libskshim.so", test.build), 1);
		}
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	return pid;
}

static int left_ms(void)
{
	struct timespec now;
	long ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (test.end.tv_sec - now.tv_sec) * 1000 + (test.end.tv_nsec - now.tv_nsec) / 1000000;
	return ms > 0 ? (int)ms : 0;
}

/* Where every thread below stands. */
static void show_states(void)
{
	fflush(stdout);
	if (signal_below(getpid(), 0) > 0 && below_text[0] != '\0' &&
	    system(word("for p in %s; do for t in /proc/$p/task/*; do printf '%%s %%s: ' ${t#/proc/} \"$(cat $t/comm)\";"
			" sed -n 's/^State:\\t//p' $t/status | tr '\\n' ' '; printf '%%s ' \"$(cat $t/wchan)\"; cut -c1-60 $t/syscall;"
			" done; done 2>&1", below_text)) != 0)
		printf("(the states are not to be had)\n");
}

/* Its exit status the shell's way; dies at the limit. */
static int wait_for(pid_t pid, const char *what)
{
	struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	int status;

	if (p.fd >= 0 && poll(&p, 1, left_ms()) == 0) {
		show_states();
		die("%s did not end within %d s", what, test.limit);
	}
	close(p.fd);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("wait for %s: %s", what, strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void remind(int sig)
{
	(void)sig;
	alarm(1);
}

/* The same, and meanwhile those are waited for that have become ours: a restart can't have the pid of a zombie. */
static int wait_reaping(pid_t pid, const char *what)
{
	struct sigaction act = {.sa_handler = remind};
	int status;
	pid_t one;

	sigaction(SIGALRM, &act, NULL);
	alarm(1);
	while ((one = waitpid(-1, &status, 0)) != pid)
		if (one < 0 && (errno != EINTR || left_ms() == 0)) {
			show_states();
			die("%s did not end within %d s", what, test.limit);
		}
	alarm(0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Until sync/NAME exists; -1, or how the process ended before that. */
static int wait_name(const char *name, pid_t pid)
{
	struct pollfd p[2] = {{.fd = test.watch, .events = POLLIN},
			      {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN}};
	char *path = word("%s/sync/%s", test.dir, name), events[4096];
	int status = -1;

	while (access(path, F_OK) != 0) {
		if (poll(p, 2, left_ms()) == 0) {
			show_states();
			die("'%s' did not come within %d s", name, test.limit);
		}
		if (p[0].revents != 0 && read(test.watch, events, sizeof(events)) < 0 && errno != EAGAIN)
			die("inotify: %s", strerror(errno));
		if (p[1].revents != 0 && access(path, F_OK) != 0) {
			status = wait_for(pid, "the program");
			break;
		}
	}
	if (p[1].fd >= 0)
		close(p[1].fd);
	free(path);
	return status;
}

/* --- a scenario ---------------------------------------------------------------------------------------------- */

/* The process below `top` whose innermost pid is `inner`; 0 when there is none. */
static pid_t find_inner(pid_t inner)
{
	char path[64], line[256];
	struct dirent *entry;
	pid_t found = 0;
	DIR *proc = opendir("/proc");

	while (proc != NULL && found == 0 && (entry = readdir(proc)) != NULL) {
		FILE *f;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/status", entry->d_name);
		f = fopen(path, "re");
		while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
			char *last = strrchr(line, '\t');
			pid_t outer = atoi(entry->d_name), up = outer;

			if (strncmp(line, "NSpid:", 6) != 0 || last == NULL || atoi(last) != inner)
				continue;
			/* Ours only: another test may have the same inner pid. */
			while (up > 1 && up != getpid()) {
				char stat[512], *p;
				FILE *s;

				snprintf(path, sizeof(path), "/proc/%d/stat", up);
				s = fopen(path, "re");
				p = s != NULL && fgets(stat, sizeof(stat), s) != NULL ? strrchr(stat, ')') : NULL;
				if (s != NULL)
					fclose(s);
				up = p != NULL ? (pid_t)atol(p + 4) : 0;
			}
			if (up == getpid())
				found = outer;
		}
		if (f != NULL)
			fclose(f);
	}
	if (proc != NULL)
		closedir(proc);
	return found;
}

/* The program answers: it renames `ping` to `pong`. */
static void ping(pid_t pid, const char *when)
{
	int fd = open(word("%s/sync/ping", test.dir), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	int status;

	if (fd < 0)
		die("ping: %s", strerror(errno));
	close(fd);
	status = wait_name("pong", pid);
	if (status >= 0)
		die("ended with %d %s", status, when);
	unlink(word("%s/sync/pong", test.dir));
}

static char *slurp(const char *path)
{
	static char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void checkpoint(pid_t pid)
{
	char *out = word("%s/checkpoint", test.dir);
	char *argv[] = {word("%s/skshim", test.build), word("checkpoint"), word("%d", pid), NULL};
	int status;
	char *said;

	unlink(out);
	status = wait_for(start(argv, out, false), "skshim checkpoint");
	said = slurp(out);
	if (test.refused == NULL) {
		if (status != 0)
			die("skshim checkpoint ended with %d: %s", status, said);
	} else {
		if (status != 1 || strstr(said, test.refused) == NULL)
			die("skshim checkpoint ended with %d, expected 1 and '%s': %s", status, test.refused, said);
	}
	free(out);
}

static void say_go(bool killed)
{
	char *path = word("%s/sync/.go", test.dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0 || fchmod(fd, killed ? 0777 : 0666) != 0 || close(fd) != 0 ||
	    rename(path, word("%s/sync/go", test.dir)) != 0)
		die("go: %s", strerror(errno));
}

/* What a finished test must not leave. */
static void check_leftovers(void)
{
	int status = system(word("ls -A '%s/images' 2>/dev/null | grep -q partial", test.dir));

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		die("a partial image is left");
	/* who wrote the image may not have ended yet, but does */
	for (int i = 0; signal_below(getpid(), 0) > 0 && i < 300; i++) {
		poll(NULL, 0, 10);
		waitpid(-1, NULL, WNOHANG);
	}
	if (signal_below(getpid(), 0) > 0) {
		show_states();
		die("a process is left");
	}
	if (test.alone && system("ls -A /dev/shm | grep '^skshim'") == 0)
		die("shared memory is left");
}

/* What the way means, as STEPS. */
static const char *steps(void)
{
	bool restart = strcmp(test.way, "restart") == 0;
	char *all;

	if (!restart && strcmp(test.way, "go") != 0)
		return test.way;
	all = word("%*s", test.count, "");
	memset(all, restart ? 'k' : 'g', (size_t)test.count);
	return all;
}

static int scenario(void)
{
	char *out = word("%s/out", test.dir);
	pid_t child = start(test.argv, out, true), pid = child, root = child;
	int status = wait_name("ready", child);
	bool killed = false;

	if (status == SKIPPED)
		return status;
	if (status >= 0)
		die("ended with %d before it was ready", status);
	for (const char *s = steps(); *s != '\0'; s++) {
		checkpoint(pid);
		if (*s == 'k' && test.refused == NULL) {
			char *argv[] = {word("%s/skshim-restart", test.build), word("%s/images", test.dir), NULL};

			kill_everything();
			child = start(argv, out, false);
			killed = true;
		}
		ping(child, *s == 'k' ? "after the restart" : "after the checkpoint");
		if (killed && s[1] != '\0') {
			/* From outside a namespace the program has another number. */
			pid = find_inner(root);
			if (pid == 0)
				die("no process %d after the restart", root);
		}
	}
	say_go(killed);
	status = wait_for(child, "the program");
	if (status != 0 && status != SKIPPED)
		printf("conduct: ended with %d after %s\n", status, killed ? "the restart" : "going on");
	if (status == 0)
		check_leftovers();
	return status;
}

/* --- main ------------------------------------------------------------------------------------------------------- */

/*
 * Terminals and shared memory of its own, so that tests at the same time don't
 * take each other's numbers, and what is left can be seen.
 */
static void own_devices(void)
{
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return; /* an ordinary user's, or a chroot */
	test.alone = mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") == 0;
	if (test.alone)
		setenv("CONDUCT_ALONE", "1", 1);
	if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5") == 0 &&
	    mount("/dev/pts/ptmx", "/dev/ptmx", NULL, MS_BIND, NULL) != 0)
		die("/dev/ptmx: %s", strerror(errno));
}

static void own_network(void)
{
	struct ifreq lo = {.ifr_name = "lo"};
	int fd;

	if (unshare(CLONE_NEWNET | CLONE_NEWIPC) != 0)
		return; /* an ordinary user's, or a container's: the network is shared */
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	lo.ifr_flags = IFF_UP | IFF_RUNNING;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) != 0)
		die("lo: %s", strerror(errno));
	close(fd);
}

static void own_directories(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(test.dir, sizeof(test.dir), "%s/skt.XXXXXX", tmp != NULL ? tmp : "/tmp");
	umask(0);
	if (mkdtemp(test.dir) == NULL || chmod(test.dir, 0777) != 0 || mkdir(word("%s/work", test.dir), 0755) != 0 ||
	    mkdir(word("%s/sync", test.dir), 0777) != 0)
		die("%s: %s", test.dir, strerror(errno));
	if (test.user >= 0 && chown(word("%s/work", test.dir), (uid_t)test.user, (gid_t)test.user) != 0)
		die("chown: %s", strerror(errno));
	umask(022);
	test.watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (test.watch < 0 || inotify_add_watch(test.watch, word("%s/sync", test.dir), IN_CREATE | IN_MOVED_TO) < 0)
		die("inotify: %s", strerror(errno));
}

static void interrupted(int sig)
{
	(void)sig;
	signal_below(getpid(), SIGKILL);
	_exit(1);
}

static void limit_files(rlim_t n)
{
	struct rlimit limit = { n, n };

	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("RLIMIT_NOFILE %lu: %s", (unsigned long)n, strerror(errno));
}

int main(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "+u:l:n:b:x:f:")) != -1) {
		switch (opt) {
		case 'u': test.user = atol(optarg); break;
		case 'l': test.limit = atoi(optarg); break;
		case 'n': test.count = atoi(optarg); break;
		case 'b': test.build = realpath(optarg, NULL); break;
		case 'x': test.refused = optarg; break;
		case 'f': limit_files((rlim_t)atol(optarg)); break;
		default: return 2;
		}
	}
	if (argc - optind < 2) {
		fprintf(stderr, "usage: conduct [-u UID] [-l SECONDS] plain|go|restart|STEPS PROGRAM [ARG...]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	test.way = argv[optind];
	test.argv = argv + optind + 1;
	clock_gettime(CLOCK_MONOTONIC, &test.end);
	test.end.tv_sec += test.limit;
	signal(SIGTERM, interrupted);
	signal(SIGINT, interrupted);
	signal(SIGHUP, interrupted);
	if (getpgrp() != getpid())
		setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	close_range(3, ~0u, 0); /* what whoever started us left open is nothing to a test */
	unsetenv("MAKEFLAGS");
	unsetenv("MAKELEVEL");
	unsetenv("MFLAGS");
	own_network();
	own_devices();
	if (strcmp(test.way, "plain") == 0) {
		pid_t pid = fork();

		if (pid == 0) {
			become_user();
			execvp(test.argv[0], test.argv);
			perror(test.argv[0]);
			_exit(127);
		}
		finish(wait_reaping(pid, test.argv[0]));
	}
	if (strcmp(test.way, "go") != 0 && strcmp(test.way, "restart") != 0 && test.way[strspn(test.way, "gk")] != '\0')
		die("%s: neither plain, go, restart nor steps", test.way);
	test.argv[0] = realpath(test.argv[0], NULL);
	if (test.argv[0] == NULL || test.build == NULL)
		die("the program or -b: %s", strerror(errno));
	own_directories();
	finish(scenario());
}
