/*
 * An O_PATH descriptor of a socket's file follows renames (readlink of
 * /proc/self/fd/N), and connect() through /proc/self/fd/N reaches the socket.
 */
#include "fact.h"
#include <sys/un.h>

int main(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/fact.XXXXXX", old[64], moved[64], link[64], seen[128] = "";
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0), anchor;

	FACT(mkdtemp(dir) != NULL);
	snprintf(old, sizeof(old), "%s/a", dir);
	snprintf(moved, sizeof(moved), "%s/b", dir);
	strcpy(a.sun_path, old);
	FACT(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listener, 1) == 0);
	anchor = open(old, O_PATH | O_NOFOLLOW);
	FACT(anchor >= 0 && rename(old, moved) == 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", anchor);
	FACT(readlink(link, seen, sizeof(seen) - 1) > 0 && strcmp(seen, moved) == 0);
	strcpy(a.sun_path, link);
	FACT(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	unlink(moved);
	rmdir(dir);
	return 0;
}
