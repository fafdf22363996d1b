/* scenario-checkpoints: 3 */
/* Socket files with more than one name, names that climb, many that were moved, and one nobody saw being bound. */
#include "un.h"

#include <sys/syscall.h>

#define MANY 100 /* more than there are anchors */

static void reaches(int listener, const char *path)
{
	int client, server;

	un_meet(listener, SOCK_STREAM, path, &client, &server);
	un_send(client, path);
	TEXT(un_recv(server), path);
	close(client);
	close(server);
}

static void many(int *listener)
{
	char from[20], to[20];

	for (int i = 0; i < MANY; i++) {
		snprintf(from, sizeof(from), "from%d", i);
		snprintf(to, sizeof(to), "to%d", i);
		listener[i] = un_listener(SOCK_STREAM, from, 1);
		MUST(rename(from, to));
	}
}

/* Below the wrappers. */
static int unseen(const char *name)
{
	struct sockaddr_un a;
	socklen_t len = un_addr(name, &a);
	int fd = (int)MUST(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));

	MUST(syscall(SYS_bind, fd, &a, len));
	MUST(syscall(SYS_listen, fd, 3));
	return fd;
}

int main(void)
{
	int closed, two, left, climbs, dots, slashes, raw, listener[MANY], one = 1;
	struct stat st, other;

	MUST(mkdir("closed", 0700));
	closed = un_listener(SOCK_STREAM, "closed/to", 4);
	MUST(chmod("closed", 0));
	MUST(mkdir("dir", 0777));
	two = un_listener(SOCK_STREAM, "two", 4);
	MUST(link("two", "second"));
	left = un_listener(SOCK_STREAM, "dir/gone", 4);
	MUST(link("dir/gone", "dir/left"));
	MUST(unlink("dir/gone"));
	climbs = un_listener(SOCK_STREAM, "dir/../climbs", 4);
	slashes = un_listener(SOCK_STREAM, "dir//slashes", 4);
	MUST(mkdir("deleted", 0777));
	MUST(chdir("deleted"));
	dots = un_listener(SOCK_STREAM, "../dots", 4);
	MUST(chdir(".."));
	MUST(rmdir("deleted"));
	raw = unseen("raw");
	many(listener);
	MUST(setsockopt(two, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));

	scenario_wait();
	MUST(stat("closed", &st));
	SAME(st.st_mode & 0777, 0);
	MUST(chmod("closed", 0700));
	reaches(closed, "closed/to");
	reaches(two, "two");
	reaches(two, "second");
	MUST(stat("two", &st));
	MUST(stat("second", &other));
	SAME(st.st_ino, other.st_ino);
	SAME(st.st_nlink, 2);
	TEXT(un_name(left), "dir/gone");
	CHECK(stat("dir/gone", &st) < 0);
	reaches(left, "dir/left");
	TEXT(un_name(climbs), "dir/../climbs");
	reaches(climbs, "climbs");
	TEXT(un_name(slashes), "dir//slashes");
	reaches(slashes, "dir/slashes");
	TEXT(un_name(dots), "../dots");
	reaches(dots, "dots");
	reaches(raw, "raw");
	for (int i = 0; i < MANY; i++) {
		char from[20], to[20];

		snprintf(from, sizeof(from), "from%d", i);
		snprintf(to, sizeof(to), "to%d", i);
		TEXT(un_name(listener[i]), from);
		reaches(listener[i], to);
	}
	one = 0;
	MUST(getsockopt(two, SOL_SOCKET, SO_REUSEADDR, &one, &(socklen_t){ sizeof(one) }));
	SAME(one, 1);
	SAME(system("ls -A | grep -qE '^[.]'"), 256);
	scenario_ok();
}
