/* scenario-steps: ggkgk */
/*
 * Connections that have sent something and that nobody has accepted, to listeners whose file is gone, another's, or may
 * not be connected to or looked at, whose backlog is smaller than what waits in it, and accepted by a system call of the
 * program's own.
 */
#include "un.h"

#include <sys/syscall.h>

enum { GONE, BURIED, COVERED, SHRUNK, RAW, PASSING, FORBIDDEN, HIDDEN, LISTENERS };

static const char *const names[LISTENERS] = { "gone", "deep/buried", "covered", "@scenario shrunk", "raw", "@scenario passing",
					      "forbidden", "closed/hidden" };

static void begin(const char *name, int listener)
{
	un_send(un_connected(SOCK_STREAM, name), "one");
	close(un_connected(SOCK_STREAM, name));
	un_send(un_connected(SOCK_STREAM, name), "three");
	CHECK(un_poll(listener) & POLLIN);
}

static int next(int listener, bool raw)
{
	return (int)(raw ? MUST(syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC)) : MUST(accept(listener, NULL, NULL)));
}

static void end(const char *name, int listener, bool raw)
{
	int fd = next(listener, raw), on;
	socklen_t len = sizeof(on);

	TEXT(un_recv(fd), "one");
	TEXT(un_name(fd), name);
	MUST(getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, &len));
	SAME(on, strstr(name, "passing") != NULL);
	TEXT(un_recv(next(listener, raw)), "");
	fd = next(listener, raw);
	TEXT(un_recv(fd), "three");
	if (raw)
		SAME(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK(!(un_poll(listener) & POLLIN));
	TEXT(un_name(listener), name);
}

int main(void)
{
	int listener[LISTENERS], other, on = 1, fd;
	struct stat st;

	MUST(mkdir("deep", 0700));
	MUST(mkdir("closed", 0700));
	for (int i = 0; i < LISTENERS; i++)
		listener[i] = un_listener(SOCK_STREAM, names[i], 5);
	MUST(setsockopt(listener[PASSING], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	for (int i = 0; i < LISTENERS; i++)
		begin(names[i], listener[i]);
	MUST(unlink("gone"));
	MUST(unlink("deep/buried"));
	MUST(rmdir("deep"));
	other = un_listener(SOCK_STREAM, "other", 1);
	MUST(rename("other", "covered"));
	MUST(listen(listener[SHRUNK], 0));
	MUST(chmod("forbidden", 0));
	MUST(chmod("closed", 0));

	scenario_wait();
	for (int i = 0; i < LISTENERS; i++)
		end(names[i], listener[i], i == RAW);
	CHECK(access("gone", F_OK) < 0);
	MUST(stat("forbidden", &st));
	SAME(st.st_mode & 0777, 0);
	MUST(chmod("closed", 0700));
	MUST(stat("closed/hidden", &st));
	CHECK(access("deep", F_OK) < 0);
	fd = un_connected(SOCK_STREAM, "covered");
	un_send(fd, "hello");
	TEXT(un_recv(MUST(accept(other, NULL, NULL))), "hello");
	fd = un_socket(SOCK_STREAM | SOCK_NONBLOCK);
	MUST(un_connect(fd, names[SHRUNK]));
	SAME(un_connect(un_socket(SOCK_STREAM | SOCK_NONBLOCK), names[SHRUNK]), -1);
	SAME(errno, EAGAIN);
	scenario_ok();
}
