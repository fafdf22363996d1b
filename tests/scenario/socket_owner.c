/*
 * Owner, group and mode of sockets, pipes and a memfd, as who made them was or as they were given: shown by fstat, and asked
 * for where /proc opens a pipe anew.
 *
 * scenario-checkpoints: 2
 */
#include "net.h"
#include "un.h"

#include <sys/mman.h>

enum { PAIR, MATE, UDP, LISTENER, CLIENT, SERVER, NAMED, UNIX_LISTENER, PIPE, PIPE_END, MEMFD, OBJECTS };
#define OTHER 1000

static int fd[OBJECTS];
static struct stat was[OBJECTS];

/* The effective user, in turn; an ordinary user stays who he is. */
static void become(uid_t uid)
{
	if (getuid() == 0)
		MUST(seteuid(uid));
}

static void make(void)
{
	struct name any = net_name("127.0.0.1", 0);

	become(OTHER);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fd + PAIR));
	fd[UDP] = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(bind(fd[UDP], &any.any, any.len));
	fd[LISTENER] = net_listener("127.0.0.1", 4);
	net_pair(fd[LISTENER], fd + CLIENT);
	fd[NAMED] = un_bound(SOCK_DGRAM, "@owner");
	fd[UNIX_LISTENER] = un_listener(SOCK_STREAM, "@listener", 4);
	MUST(pipe(fd + PIPE));
	fd[MEMFD] = MUST(memfd_create("owner", 0));
	become(0);
	if (getuid() == 0) {
		MUST(fchown(fd[MATE], 77, 88));
		MUST(fchown(fd[NAMED], 5, 6));
	}
	MUST(fchmod(fd[PAIR], 0600));
	MUST(fchmod(fd[UNIX_LISTENER], 0640));
	MUST(fchmod(fd[PIPE], 0400));
}

int main(void)
{
	char path[40];
	struct stat now;

	make();
	for (int i = 0; i < OBJECTS; i++)
		MUST(fstat(fd[i], &was[i]));

	scenario_wait();

	for (int i = 0; i < OBJECTS; i++) {
		MUST(fstat(fd[i], &now));
		if (now.st_uid != was[i].st_uid || now.st_gid != was[i].st_gid || now.st_mode != was[i].st_mode)
			FAIL("object %d: %u:%u %o, not %u:%u %o", i, now.st_uid, now.st_gid, now.st_mode, was[i].st_uid,
			     was[i].st_gid, was[i].st_mode);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd[PIPE]);
	MUST(open(path, O_RDONLY | O_NONBLOCK));
	scenario_ok();
}
