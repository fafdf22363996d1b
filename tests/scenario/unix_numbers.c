/*
 * Sockets that only one process has, among others, at all kinds of numbers: with gaps, ends of a pair far apart or the other
 * way round, several numbers with a FD_CLOEXEC of their own, flags, files in between; beside some that a child has too.
 */
#include "un.h"

#include <linux/kcmp.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define TOP 900
#define MADE 160

/* What stands at each number: which description (0 none), with which flags. */
static struct at {
	int what, fd_flags, flags, mate, pid;
	bool sent;
	char name[24];
} at[TOP];
static int descriptions;
static unsigned seed = 1;

static int pick(int n)
{
	seed = seed * 1103515245u + 12345u;
	return (int)(seed >> 16) % n;
}

/* A number nothing stands at. */
static int free_number(void)
{
	int n = 3 + pick(TOP - 3);

	while (fcntl(n, F_GETFD) >= 0)
		n = 3 + (n + 1 - 3) % (TOP - 3);
	return n;
}

static void note(int n, int what, const char *name)
{
	at[n].what = what;
	at[n].fd_flags = fcntl(n, F_GETFD);
	at[n].flags = fcntl(n, F_GETFL);
	at[n].pid = getpid();
	strcpy(at[n].name, name);
}

/* To a number of its own, or several. */
static int settle(int fd, const char *name)
{
	int what = ++descriptions, first = -1;

	if (pick(3) == 0)
		MUST(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
	if (pick(4) == 0) {           /* where the kernel put it */
		MUST(fcntl(fd, F_SETFD, pick(2) ? FD_CLOEXEC : 0));
		note(first = fd, what, name);
	}
	for (int copies = 1 + pick(5) / 4; copies; copies--) {
		int n = free_number();

		MUST(dup3(fd, n, pick(2) ? O_CLOEXEC : 0));
		note(n, what, name);
		if (first < 0) {
			close(fd);
			first = fd = n;
		}
	}
	return first;
}

static void make_one(const char *who, int i)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	int pair[2], way = pick(6), type = types[pick(3)];
	char name[24] = "";
	bool sent;

	if (way < 3) {
		MUST(socketpair(AF_UNIX, type | (pick(2) ? SOCK_CLOEXEC : 0), 0, pair));
		sent = pick(8) == 0;
		if (sent)
			un_send(pair[0], "w");
		pair[0] = settle(pair[0], "");
		pair[1] = settle(pair[1], "");
		at[pair[0]].mate = pair[1];
		at[pair[1]].mate = pair[0];
		at[pair[0]].sent = sent;
	} else if (way == 3) {
		snprintf(name, sizeof(name), "@numbers/%s/%d", who, i);
		settle(un_bound(SOCK_DGRAM, name), name);
	} else if (way == 4) {
		settle(un_socket(type), "");
	} else {
		settle(MUST(open("/dev/null", O_RDWR)), "");
	}
}

static void verify_number(int n)
{
	struct at *a = &at[n];
	char byte[2] = { (char)('A' + n % 26), 0 }, got_bytes[16] = "";
	struct sockaddr_un got, want;
	socklen_t len = sizeof(got), expected;

	if (fcntl(n, F_GETFD) != a->fd_flags || (a->what && fcntl(n, F_GETFL) != a->flags))
		FAIL("number %d: FD_CLOEXEC %d, was %d; flags %o, were %o", n, fcntl(n, F_GETFD), a->fd_flags, (unsigned)fcntl(n, F_GETFL),
		     (unsigned)a->flags);
	if (a->name[0]) {
		expected = un_addr(a->name, &want);
		MUST(getsockname(n, (struct sockaddr *)&got, &len));
		CHECK(len == expected && memcmp(&got, &want, len) == 0);
	}
	if (a->mate) {
		SAME(un_cred(n).pid, a->pid);
		SAME(un_cred(n).uid, getuid());
		un_send(n, byte);
		for (const char *t = un_recv(a->mate); strcmp(t, "EAGAIN") != 0; t = un_recv(a->mate)) {
			CHECK(strlen(got_bytes) < 8);
			snprintf(got_bytes + strlen(got_bytes), 4, "%.3s", t);
		}
		TEXT(got_bytes + a->sent, byte);
		SAME(got_bytes[0] == 'w', a->sent);
	}
	for (int k = n + 1; a->what && k < TOP; k++)
		if (at[k].what)
			SAME(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, n, k) == 0, at[k].what == a->what);
}

static void verify(void)
{
	for (int n = 0; n < TOP; n++)
		verify_number(n);
}

/* All as it is now, also what was there before. */
static void remember(void)
{
	for (int n = 0; n < TOP; n++)
		if (!at[n].what)
			at[n].fd_flags = fcntl(n, F_GETFD);
}

int main(void)
{
	struct rlimit limit = { TOP + 20, TOP + 20 };
	int ready[2], go[2], status;
	pid_t child;
	char c;

	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ready));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, go));
	for (int i = 0; i < MADE / 8; i++)   /* shared */
		make_one("both", i);
	child = MUST(fork());
	seed += child == 0;
	if (child == 0)
		close(go[0]);
	for (int i = 0; i < MADE; i++)
		make_one(child ? "parent" : "child", i);
	if (child == 0) {
		remember();
		un_send(ready[1], "r");
		(void)!recv(go[1], &c, 1, 0);
		for (int n = 0; n < TOP; n++)        /* the parent's business */
			if (at[n].pid != getpid())
				at[n].mate = 0;
		verify();
		_exit(0);
	}
	SAME(MUST(recv(ready[0], &c, 1, 0)), 1);
	remember();
	scenario_wait();
	verify();
	un_send(go[0], "g");
	MUST(waitpid(child, &status, 0));
	SAME(status, 0);
	scenario_ok();
}
