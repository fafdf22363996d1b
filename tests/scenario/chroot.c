/*
 * Processes that have gone into another root directory, without /proc and all
 * else that a checkpoint looks at: as root, and as an ordinary user that gave
 * up root there. Files from inside and outside, opened before and behind;
 * working directories inside and outside; sockets bound to names of both.
 *
 * scenario-only: root
 * scenario-checkpoints: 2
 */
#include "scenario.h"
#include "un.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int go[2], there[2], outside, listening;

static int file_of(const char *path, const char *text)
{
	int fd = MUST(open(path, O_RDWR | O_CREAT, 0666));

	SAME(write(fd, text, strlen(text)), (long)strlen(text));
	return fd;
}

/* An end without a word is that of the incarnation that was killed. */
static void until_told(void)
{
	char c;

	close(go[1]);
	close(there[1]);
	if (read(go[0], &c, 1) != 1)
		_exit(0);
}

static void in_jail(void)
{
	CHECK(access("/etc", F_OK) < 0 && access("/proc", F_OK) < 0);
	CHECK(access("/mark", F_OK) == 0);
}

static void name_is(int fd, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);

	memset(&a, 0, sizeof(a));
	MUST(getsockname(fd, (struct sockaddr *)&a, &len));
	CHECK(strcmp(a.sun_path, name) == 0);
}

static void accepts(int fd, char what)
{
	int conn = MUST(accept(fd, NULL, NULL));
	char c;

	SAME(read(conn, &c, 1), 1);
	SAME(c, what);
	close(conn);
}

static int stays_root(void)
{
	int inside, deleted, listener, relative, status;
	char path[64], *map;
	pid_t pid;

	MUST(chroot("jail"));
	MUST(chdir("/sub"));
	inside = file_of("/inside", "0123456789");
	MUST(lseek(inside, 7, SEEK_SET));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, inside, 0);
	CHECK(map != MAP_FAILED);
	deleted = file_of("/sub/deleted", "abc");
	MUST(unlink("deleted"));
	listener = un_listener(SOCK_STREAM, "/sock", 3);
	relative = un_listener(SOCK_STREAM, "relative", 3);
	pid = MUST(fork());
	if (pid == 0) {
		until_told();
		in_jail();
		CHECK(getcwd(path, sizeof(path)) && !strcmp(path, "/sub"));
		SAME(lseek(inside, 0, SEEK_CUR), 7);
		_exit(3);
	}
	until_told();
	in_jail();
	CHECK(getcwd(path, sizeof(path)) && !strcmp(path, "/sub"));
	SAME(lseek(outside, 0, SEEK_CUR), 4);
	SAME(write(outside, "4567", 4), 4);
	map[0] = 'x';
	SAME(pread(inside, path, 2, 0), 2);
	CHECK(path[0] == 'x' && path[1] == '1');
	SAME(pread(deleted, path, sizeof(path), 0), 3);
	name_is(listener, "/sock");
	name_is(relative, "relative");
	name_is(listening, "outer");
	accepts(listener, 'i');
	accepts(relative, 'r');
	accepts(listening, 'o');
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 3 << 8);
	/* and still reaches what is in there by name */
	close(MUST(open("/inside", O_RDONLY)));
	MUST(mkdir("/sub/new", 0700));
	return 4;
}

/* As servers do it; its working directory stays outside. */
static int gives_up_root(void)
{
	MUST(chroot("jail"));
	MUST(setgroups(0, NULL));
	MUST(setgid(1000));
	MUST(setuid(1000));
	until_told();
	in_jail();
	SAME(getuid() + geteuid(), 2000);
	CHECK(access("outside", F_OK) == 0);
	return 5;
}

/* A jail in a jail, which the first has made. */
static int deeper(void)
{
	MUST(chroot("jail"));
	MUST(chroot("/inner"));
	MUST(chdir("/"));
	until_told();
	CHECK(access("/mark", F_OK) < 0 && access("/innermost", F_OK) == 0);
	return 6;
}

static void say(const char *name, char what)
{
	int fd = un_socket(SOCK_STREAM);

	un_connect(fd, name);
	SAME(write(fd, &what, 1), 1);
	close(fd);
}

int main(void)
{
	int (*const all[])(void) = {stays_root, gives_up_root, deeper};
	pid_t pid[3];
	int status;
	char c;

	MUST(pipe(go));
	MUST(pipe(there));
	MUST(chmod(".", 0755));
	MUST(mkdir("jail", 0755));
	MUST(mkdir("jail/sub", 0755));
	MUST(mkdir("jail/inner", 0755));
	close(file_of("jail/mark", ""));
	close(file_of("jail/inner/innermost", ""));
	outside = file_of("outside", "0123");
	listening = un_listener(SOCK_STREAM, "outer", 3);
	for (int i = 0; i < 3; i++) {
		pid[i] = MUST(fork());
		if (pid[i] == 0)
			_exit(all[i]());
	}
	close(there[1]);
	SAME(read(there[0], &c, 1), 0);

	scenario_wait();

	say("jail/sock", 'i');
	say("jail/sub/relative", 'r');
	say("outer", 'o');
	SAME(write(go[1], "gggg", 4), 4);
	for (int i = 0; i < 3; i++) {
		SAME(waitpid(pid[i], &status, 0), pid[i]);
		SAME(status, (4 + i) << 8);
	}
	SAME(access("jail/sub/new", F_OK), 0);
	scenario_ok();
}
