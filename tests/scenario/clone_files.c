/*
 * Processes that share a table of descriptors (CLONE_FILES without CLONE_VM):
 * what one opens or closes the others have or lack. A child, its child, and a
 * brother made with CLONE_PARENT; a fork has a table of its own. Locks belong
 * to the table, sockets and epolls are in it.
 *
 * scenario-checkpoints: 2
 */
#include "scenario.h"
#include "un.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHARERS 3

static struct {
	volatile int turn, ready;
	volatile int fd;
	volatile pid_t pid[SHARERS + 1];
} *all;
static char stacks[SHARERS][65536] __attribute__((aligned(16)));
static int file, pair[2];

static void await(int turn)
{
	while (all->turn != turn)
		usleep(500);
}

static int share(int n, int flags);

/* Each opens one that the next uses and closes. */
static int sharer(void *arg)
{
	int n = (int)(long)arg, fd, status;

	all->pid[n] = getpid();
	if (n == 1) {
		share(2, CLONE_PARENT);
		share(3, 0);
	}
	all->ready++;
	await(n);
	SAME(lseek(all->fd, 0, SEEK_CUR), n * 3);
	close(all->fd);
	fd = MUST(open("file", O_RDONLY));
	MUST(lseek(fd, n * 3 + 3, SEEK_SET));
	all->fd = fd;
	/* the table's lock is no obstacle to any of them */
	MUST(fcntl(file, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1}));
	all->turn = n + 1;
	await(10);
	/* the first has closed the socket, dup'd it elsewhere and closed the rest */
	SAME(fcntl(pair[1], F_GETFD), -1);
	SAME(fcntl(60 + n, F_GETFD), FD_CLOEXEC);
	if (n == 1) {
		SAME(waitpid(all->pid[3], &status, 0), all->pid[3]);
		SAME(status, 8 << 8);
	}
	return 5 + n;
}

static int share(int n, int flags)
{
	return MUST(clone(sharer, stacks[n - 1] + sizeof(stacks[0]), CLONE_FILES | flags | SIGCHLD, (void *)(long)n));
}

/* A table of its own: a lock that it can't have, and numbers that stay. */
static int alone(void)
{
	all->ready++;
	await(10);
	SAME(fcntl(file, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1}), -1);
	CHECK(errno == EAGAIN || errno == EACCES);
	SAME(fcntl(pair[1], F_GETFD), 0);
	SAME(fcntl(61, F_GETFD), -1);
	return 9;
}

static void first_to_verify(void)
{
	struct epoll_event event;
	int listener;
	char text[8];

	MUST(lseek(all->fd, 3, SEEK_SET));
	all->turn = 1;
	await(4);
	SAME(lseek(all->fd, 0, SEEK_CUR), 12);
	SAME(read(pair[0], text, sizeof(text)), 3);
	SAME(memcmp(text, "abc", 3), 0);
	/* bound, and watched by an epoll of another's */
	listener = un_listener(SOCK_STREAM, "name", 1);
	event.events = EPOLLIN;
	SAME(epoll_ctl(50, EPOLL_CTL_ADD, listener, &event), 0);
	close(pair[1]);
	for (int i = 61; i < 64; i++)
		SAME(dup3(file, i, O_CLOEXEC), i);
}

int main(void)
{
	int status, epoll;
	pid_t other;

	all = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(all != MAP_FAILED);
	file = MUST(open("file", O_RDWR | O_CREAT, 0600));
	SAME(write(file, "0123456789abcdef", 16), 16);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	all->pid[0] = getpid();
	share(1, 0);
	while (all->ready != 3)
		usleep(500);
	all->fd = MUST(open("file", O_RDONLY));
	epoll = MUST(epoll_create1(0));
	SAME(dup2(epoll, 50), 50);
	MUST(fcntl(file, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1}));
	SAME(write(pair[1], "abc", 3), 3);
	other = MUST(fork());
	if (other == 0)
		_exit(alone());
	while (all->ready != 4)
		usleep(500);

	scenario_wait();

	first_to_verify();
	all->turn = 10;
	SAME(waitpid(all->pid[1], &status, 0), all->pid[1]);
	SAME(status, 6 << 8);
	SAME(waitpid(all->pid[2], &status, 0), all->pid[2]);
	SAME(status, 7 << 8);
	SAME(waitpid(other, &status, 0), other);
	SAME(status, 9 << 8);
	scenario_ok();
}
