/* A socket that travelled through SCM_RIGHTS keeps its SO_COOKIE; a peek installs a descriptor of its own. */
#include "fact.h"

static int receive(int fd, int flags)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int got;

	FACT(recvmsg(fd, &m, flags) == 1);
	FACT(CMSG_FIRSTHDR(&m) != NULL);
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	return got;
}

static uint64_t cookie(int fd)
{
	uint64_t c = 0;
	socklen_t n = sizeof(c);

	FACT(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &c, &n) == 0);
	return c;
}

int main(void)
{
	char byte = 1, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int pair[2], sent, peeked, got;

	FACT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	sent = socket(AF_INET, SOCK_STREAM, 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &sent, sizeof(sent));
	FACT(sendmsg(pair[0], &m, 0) == 1);
	peeked = receive(pair[1], MSG_PEEK);
	got = receive(pair[1], 0);
	FACT(peeked != got && peeked != sent);
	FACT(cookie(peeked) == cookie(sent) && cookie(got) == cookie(sent));
	return 0;
}
