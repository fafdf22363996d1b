/* TCP_REPAIR needs CAP_NET_ADMIN in the user namespace that owns the network namespace: an own user namespace is not enough. */
#include "fact.h"
#include <netinet/in.h>
#include <netinet/tcp.h>

int main(void)
{
	int on = 1, fd;

	if (geteuid() == 0 && syscall(SYS_setresuid, 1000, 1000, 1000) != 0)
		SKIP("become an ordinary user");
	prctl(PR_SET_DUMPABLE, 1);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	FACT(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == -1 && errno == EPERM);
	if (unshare(CLONE_NEWUSER) != 0)
		SKIP("unshare");
	FACT(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == -1 && errno == EPERM);
	if (unshare(CLONE_NEWNET) != 0)
		SKIP("unshare of the network");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	FACT(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == 0);
	return 0;
}
