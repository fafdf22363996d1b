/* A helper that shares descriptors may bind the caller's socket in a mount namespace of its own: the address is what it says, the file where a link leads. */
#include <sys/mount.h>
#include <sys/un.h>

#include "fact.h"

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		exit(77);
	close(fd);
}

static int helper(void *arg)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "/no/such/place/name" };
	int *fd = arg;
	char link[40];

	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("fact", "/tmp", "tmpfs", 0, "") < 0 ||
	    chdir("/tmp") < 0)
		exit(77);
	FACT(mkdir("proc", 0700) == 0 && mount("/proc", "proc", NULL, MS_BIND | MS_REC, NULL) == 0);
	FACT(mkdir("no", 0700) == 0 && mkdir("no/such", 0700) == 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd[1]);
	FACT(symlink(link, "no/such/place") == 0);
	FACT(chroot(".") == 0 && bind(fd[0], (struct sockaddr *)&name, sizeof(name)) == 0);
	return 0;
}

int main(void)
{
	char dir[] = "/tmp/fact.XXXXXX", path[64], text[40];
	struct sockaddr_un seen;
	socklen_t len = sizeof(seen);
	static char stack[65536];
	int fd[2], status, uid = (int)getuid(), gid = (int)getgid();
	struct stat st;
	pid_t pid;

	FACT(mkdtemp(dir) != NULL);
	fd[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	fd[1] = open(dir, O_PATH | O_DIRECTORY);
	pid = fork();
	if (pid == 0) {
		/* a process of its own first: its memory may change, its descriptors are what is shared below */
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			exit(77);
		snprintf(text, sizeof(text), "%d %d 1", uid, uid);
		write_file("/proc/self/uid_map", text);
		write_file("/proc/self/setgroups", "deny");
		snprintf(text, sizeof(text), "%d %d 1", gid, gid);
		write_file("/proc/self/gid_map", text);
		pid = clone(helper, stack + sizeof(stack), CLONE_FILES | SIGCHLD, fd);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			exit(77);
		exit(WEXITSTATUS(status));
	}
	FACT(waitpid(pid, &status, 0) == pid);
	if (WEXITSTATUS(status) == 77) {
		rmdir(dir);
		SKIP("an own user and mount namespace");
	}
	FACT(status == 0);
	FACT(getsockname(fd[0], (struct sockaddr *)&seen, &len) == 0 && strcmp(seen.sun_path, "/no/such/place/name") == 0);
	snprintf(path, sizeof(path), "%s/name", dir);
	FACT(stat(path, &st) == 0 && S_ISSOCK(st.st_mode));
	unlink(path);
	rmdir(dir);
	return 0;
}
