/*
 * target.c - a program with a little of everything, that tells how it is
 *
 *	target DIR [MIB [THREADS]]
 *
 * It listens at DIR/sock, at the abstract name DIR, and at a TCP port that it
 * writes to DIR/port; has a pipe with data, an eventfd, an epoll, a socketpair,
 * threads asleep in read(), in a futex and in epoll_wait(), and MIB of touched
 * memory. Everybody who connects to DIR/sock gets one line:
 *
 *	pid=N fds=N children=N eintr=N sum=N threads=N beat=N
 *
 * eintr counts calls that returned EINTR, sum is over the memory and what lies
 * in the pipe and the socketpair, children is what wait() knows of.
 */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int interrupted, beats;
static int empty_pipe[2], full_pipe[2], pair[2], counter, sleeper;
static unsigned char *memory;
static size_t size;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *reader(void *arg)
{
	char c;

	if (read(empty_pipe[0], &c, 1) < 0 && errno == EINTR)
		interrupted++;
	return arg;
}

static void *waiter(void *arg)
{
	pthread_mutex_lock(&held);
	return arg;
}

static void *beater(void *arg)
{
	struct epoll_event ev;

	while (sleeper >= 0) {
		if (epoll_wait(sleeper, &ev, 1, 20) < 0 && errno == EINTR)
			interrupted++;
		beats++;
	}
	return arg;
}

static int count(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.' && (dir[11] == 't' || atoi(e->d_name) < 256);   /* the shim's own are above */
	if (d)
		closedir(d);
	return n;
}

static unsigned sum(void)
{
	unsigned all = 0, queued = 0;
	char text[16];

	for (size_t i = 0; i < size; i += 512)
		all = all * 31 + memory[i];
	ioctl(full_pipe[0], FIONREAD, &queued);
	all = all * 31 + queued;
	if (recv(pair[1], text, sizeof(text), MSG_PEEK | MSG_DONTWAIT) == 5)
		for (int i = 0; i < 5; i++)
			all = all * 31 + (unsigned char)text[i];
	return all;
}

static int listener(int family, const void *addr, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, addr, len) != 0 || listen(fd, 8) != 0)
		die("listener");
	return fd;
}

static int named(const char *dir, bool abstract)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int n = snprintf(a.sun_path + abstract, sizeof(a.sun_path) - 1, abstract ? "%s" : "%s/sock", dir);

	return listener(AF_UNIX, &a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1));
}

static void numbered(const char *dir)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = listener(AF_INET, &a, len);
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/port", dir);
	f = fopen(path, "we");
	if (getsockname(fd, (struct sockaddr *)&a, &len) != 0 || !f || fprintf(f, "%d\n", ntohs(a.sin_port)) < 0 || fclose(f) != 0)
		die(path);
}

static void answer(int fd)
{
	char text[256];
	int n, children = 0;

	while (waitpid(-1, NULL, WNOHANG | __WALL) >= 0)
		children++;
	n = snprintf(text, sizeof(text), "pid=%d fds=%d children=%d eintr=%d sum=%u threads=%d beat=%d\n", getpid(),
		     count("/proc/self/fd") - 2, children, interrupted, sum(), count("/proc/self/task"), beats);
	if (write(fd, text, (size_t)n) != n)
		perror("answer");
	close(fd);
}

int main(int argc, char **argv)
{
	struct epoll_event ev = {.events = EPOLLIN};
	long n = argc > 3 ? atol(argv[3]) : 1;
	int unix_listener;
	pthread_t thread;

	if (argc < 2)
		return 2;
	size = (size_t)(argc > 2 ? atol(argv[2]) : 0) << 20;
	memory = size ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;
	if (memory == MAP_FAILED)
		die("memory");
	for (size_t i = 0; i < size; i += 512)
		memory[i] = (unsigned char)(i >> 9 | 1);
	if (pipe(empty_pipe) || pipe(full_pipe) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || write(full_pipe[1], "12345", 5) != 5 ||
	    write(pair[0], "hello", 5) != 5)
		die("pipes");
	counter = eventfd(0, EFD_CLOEXEC);
	sleeper = epoll_create1(EPOLL_CLOEXEC);
	if (counter < 0 || sleeper < 0 || epoll_ctl(sleeper, EPOLL_CTL_ADD, counter, &ev) != 0)
		die("epoll");
	pthread_mutex_lock(&held);
	if (pthread_create(&thread, NULL, reader, NULL) || pthread_create(&thread, NULL, beater, NULL))
		die("threads");
	while (n-- > 0)
		if (pthread_create(&thread, NULL, waiter, NULL))
			die("threads");
	numbered(argv[1]);
	named(argv[1], true);
	unix_listener = named(argv[1], false);
	for (;;) {
		int fd = accept4(unix_listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0 && errno == EINTR)
			interrupted++;
		if (fd >= 0)
			answer(fd);
	}
}
