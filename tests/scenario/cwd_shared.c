/*
 * A removed working directory with a mode of its own, shared by two processes
 * and a descriptor; a child that shares its places with its parent (CLONE_FS).
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile struct {
	int there, go;
	ino_t ino;
} *board;

static void await(volatile int *word)
{
	while (!*word)
		usleep(1000);
}

static void gone(ino_t ino)
{
	struct stat st;

	MUST(stat(".", &st));
	SAME(st.st_mode & 07777, 01711);
	SAME(st.st_nlink, 0);
	SAME(st.st_ino, ino);
}

int main(void)
{
	pid_t other, sharing;
	struct stat st;
	char path[64];
	int fd, status;

	board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(board != MAP_FAILED);
	MUST(mkdir("one", 0700));
	MUST(chmod("one", 01711));
	MUST(chdir("one"));
	MUST(rmdir("../one"));
	fd = MUST(open("/proc/self/cwd", O_RDONLY | O_DIRECTORY));
	other = MUST(fork());
	if (other == 0) {
		await(&board->go);
		gone(board->ino);
		_exit(3);
	}
	sharing = (pid_t)MUST(syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0));
	if (sharing == 0) {
		board->there = 1;
		await(&board->go);
		umask(027);
		_exit(chdir("/") == 0 ? 4 : 5);
	}
	await(&board->there);

	scenario_wait();

	MUST(fstat(fd, &st));
	board->ino = st.st_ino;
	gone(st.st_ino);
	board->go = 1;
	SAME(waitpid(other, &status, 0), other);
	SAME(status, 3 << 8);
	SAME(waitpid(sharing, &status, 0), sharing);
	SAME(status, 4 << 8);
	SAME(umask(0), 027);
	CHECK(getcwd(path, sizeof(path)) != NULL);
	SAME(strcmp(path, "/"), 0);
	scenario_ok();
}
