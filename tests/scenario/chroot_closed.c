/*
 * In another root directory with a /proc inside: a process that closes every
 * number there is, and has descriptors of its own where others were. In
 * one without: where another's socket was noted at the same number.
 *
 * scenario-only: root
 * scenario-checkpoints: 2
 */
#include "scenario.h"
#include "un.h"

#include <sys/mount.h>
#include <sys/resource.h>

#define SOFT 4096                /* behind it lie those that are not the program's, of this process and of others */
#define MOST 8192

static int go[2], ready[2];

static void limit(rlim_t soft)
{
	struct rlimit l;

	MUST(getrlimit(RLIMIT_NOFILE, &l));
	l.rlim_cur = soft;
	MUST(setrlimit(RLIMIT_NOFILE, &l));
}

static void until_told(void)
{
	char c;

	SAME(write(ready[1], "r", 1), 1);
	close(go[1]);
	if (read(go[0], &c, 1) != 1)
		_exit(0);
}

/* A file of its own at every number of those. */
static int closes(void)
{
	int numbers[16], n = 0, keep[2] = { 80, 81 };
	char text[16] = { 0 };

	SAME(dup2(go[0], keep[0]), keep[0]);
	SAME(dup2(ready[1], keep[1]), keep[1]);
	MUST(chroot("jail"));
	MUST(chdir("/"));
	limit(MOST);
	for (int fd = 100; fd < MOST && n < 16; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			numbers[n++] = fd;
	go[0] = MUST(dup(keep[0]));
	ready[1] = MUST(dup(keep[1]));
	for (int fd = 80; fd < MOST; fd++)
		close(fd);
	for (int i = 0; i < n; i++) {
		int fd = MUST(open("mine", O_RDWR | O_CREAT, 0600));

		SAME(pwrite(fd, "mine", 4, 0), 4);
		SAME(dup2(fd, numbers[i]), numbers[i]);
		close(fd);
	}
	until_told();
	for (int i = 0; i < n; i++) {
		SAME(pread(numbers[i], text, sizeof(text), 0), 4);
		CHECK(strcmp(text, "mine") == 0);
	}
	return 5 + (n == 0);
}

static int stays(void)
{
	MUST(chroot("bare"));
	MUST(chdir("/"));
	until_told();
	CHECK(access("/proc", F_OK) < 0);
	return 6;
}

static pid_t child(int (*fn)(void))
{
	pid_t pid = MUST(fork());
	char c;

	if (pid == 0)
		_exit(fn());
	SAME(read(ready[0], &c, 1), 1);
	return pid;
}

int main(void)
{
	int listener, status;
	pid_t pids[2];

	limit(SOFT);
	MUST(mkdir("jail", 0755));
	MUST(mkdir("jail/proc", 0755));
	MUST(mkdir("bare", 0755));
	MUST(mount("proc", "jail/proc", "proc", 0, NULL));
	MUST(pipe(go));
	MUST(pipe(ready));
	pids[0] = child(closes);
	pids[1] = child(stays);
	/* followed by a descriptor: it has no name any more */
	listener = un_listener(SOCK_STREAM, "sock", 3);
	MUST(unlink("sock"));

	scenario_wait();

	SAME(write(go[1], "gg", 2), 2);
	SAME(waitpid(pids[0], &status, 0), pids[0]);
	SAME(status, 5 << 8);
	SAME(waitpid(pids[1], &status, 0), pids[1]);
	SAME(status, 6 << 8);
	close(listener);
	MUST(umount2("jail/proc", MNT_DETACH));
	scenario_ok();
}
