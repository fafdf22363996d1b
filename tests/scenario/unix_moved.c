/* scenario-checkpoints: 3 */
/* The address and the file part: relative, moved, deleted, moved onto another's, directory renamed, through a descriptor. */
#include "un.h"

static void reaches(int listener, const char *path)
{
	int client, server;

	un_meet(listener, SOCK_STREAM, path, &client, &server);
	close(client);
	close(server);
}

/* Names that lead through a descriptor: it stays open, the directory was renamed, the file was moved, it is closed. */
enum { OPEN, RENAMED, MOVED, CLOSED, BY_DEV, THROUGH };

static struct {
	char name[60];
	int listener, client, server;
} through[THROUGH];

static void make_through(int i)
{
	int dir = MUST(open(i == RENAMED ? "old" : "two", O_PATH | O_DIRECTORY));

	snprintf(through[i].name, sizeof(through[i].name), i == BY_DEV ? "/dev/fd/%d/through %d" : "/proc/self/fd/%d/through %d", dir, i);
	through[i].listener = un_listener(SOCK_STREAM, through[i].name, 4);
	un_meet(through[i].listener, SOCK_STREAM, through[i].name, &through[i].client, &through[i].server);
	if (i == MOVED)
		MUST(rename("two/through 2", "two/elsewhere 2"));
	if (i == CLOSED)
		close(dir);
}

static void verify_through(int i)
{
	char path[60];

	snprintf(path, sizeof(path), i == MOVED ? "two/elsewhere %d" : i == RENAMED ? "new/through %d" : "two/through %d", i);
	TEXT(un_name(through[i].listener), through[i].name);
	TEXT(un_name(through[i].server), through[i].name);
	TEXT(un_peer(through[i].client), through[i].name);
	reaches(through[i].listener, path);
}

int main(void)
{
	int moved, deleted, plain, up, side, over, renamed, under, dgram;
	struct stat st;
	char here[500];

	CHECK(getcwd(here, sizeof(here)));
	close(MUST(open("before", O_CREAT | O_WRONLY, 0666)));
	MUST(mkdir("one", 0777));
	MUST(mkdir("two", 0777));
	MUST(mkdir("old", 0777));
	moved = un_listener(SOCK_STREAM, "one/moved", 4);
	MUST(rename("one/moved", "two/elsewhere"));
	deleted = un_listener(SOCK_STREAM, "one/deleted", 4);
	MUST(unlink("one/deleted"));
	over = un_listener(SOCK_STREAM, "one/over", 4);
	under = un_listener(SOCK_STREAM, "two/under", 4);
	MUST(rename("one/over", "two/under"));
	renamed = un_listener(SOCK_STREAM, "old/name", 4);
	for (int i = 0; i < THROUGH; i++)
		make_through(i);
	MUST(rename("old", "new"));
	MUST(chdir("one"));
	plain = un_listener(SOCK_STREAM, "plain", 4);
	up = un_listener(SOCK_STREAM, "../up", 4);
	side = un_listener(SOCK_STREAM, "../two/side", 4);
	dgram = un_bound(SOCK_DGRAM, "./dotted");
	MUST(chdir(here));
	SAME(system("find . | sort >list; grep -v ./list list >before; rm list"), 0);

	scenario_wait();
	TEXT(un_name(moved), "one/moved");
	CHECK(stat("one/moved", &st) < 0);
	reaches(moved, "two/elsewhere");
	TEXT(un_name(deleted), "one/deleted");
	CHECK(stat("one/deleted", &st) < 0);
	TEXT(un_name(over), "one/over");
	TEXT(un_name(under), "two/under");
	reaches(over, "two/under");
	TEXT(un_name(renamed), "old/name");
	CHECK(stat("old", &st) < 0);
	reaches(renamed, "new/name");
	TEXT(un_name(plain), "plain");
	reaches(plain, "one/plain");
	TEXT(un_name(up), "../up");
	reaches(up, "up");
	TEXT(un_name(side), "../two/side");
	reaches(side, "two/side");
	TEXT(un_name(dgram), "./dotted");
	for (int i = 0; i < THROUGH; i++)
		verify_through(i);
	SAME(system("test \"$(find . | sort)\" = \"$(cat before)\""), 0);
	scenario_ok();
}
