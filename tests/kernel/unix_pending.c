/* unix_diag lists the clients that wait to be accepted, in their order, and says what they have sent; a socket in flight can stand in for one. */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stddef.h>
#include <sys/un.h>

#include "fact.h"

static struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "\0fact pending" };
static const socklen_t name_len = offsetof(struct sockaddr_un, sun_path) + 13;

static uint32_t inode(int fd)
{
	struct stat st;

	FACT(fstat(fd, &st) == 0);
	return (uint32_t)st.st_ino;
}

/* An attribute of one socket. */
static int ask(int fd, int type, void *out, size_t room)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} q = { { sizeof(q), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0 },
		{ AF_UNIX, 0, 0, ~0u, inode(fd), UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN, { ~0u, ~0u } } };
	static char answer[65536];
	struct nlmsghdr *h = (struct nlmsghdr *)answer;
	struct rtattr *a;
	int nl = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG), left;

	FACT(send(nl, &q, sizeof(q), 0) == sizeof(q) && recv(nl, answer, sizeof(answer), 0) > 0);
	FACT(h->nlmsg_type == SOCK_DIAG_BY_FAMILY);
	close(nl);
	a = (struct rtattr *)((char *)NLMSG_DATA(h) + NLMSG_ALIGN(sizeof(struct unix_diag_msg)));
	left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(struct unix_diag_msg)));
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == type && RTA_PAYLOAD(a) <= room) {
			memcpy(out, RTA_DATA(a), RTA_PAYLOAD(a));
			return (int)RTA_PAYLOAD(a);
		}
	return 0;
}

int main(void)
{
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), client[2], accepted, stand_in;
	struct unix_diag_rqlen length;
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} c = { .h = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { "x", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c) };
	uint32_t inodes[8];
	char byte;

	FACT(bind(listener, (struct sockaddr *)&name, name_len) == 0 && listen(listener, 5) == 0);
	for (int i = 0; i < 2; i++) {
		client[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		FACT(connect(client[i], (struct sockaddr *)&name, name_len) == 0);
	}
	FACT(ask(listener, UNIX_DIAG_ICONS, inodes, sizeof(inodes)) == 8);
	FACT(inodes[0] == inode(client[0]) && inodes[1] == inode(client[1]));
	FACT(ask(client[0], UNIX_DIAG_RQLEN, &length, sizeof(length)) > 0 && length.udiag_wqueue == 0);
	FACT(send(client[0], "data", 4, 0) == 4);
	FACT(ask(client[0], UNIX_DIAG_RQLEN, &length, sizeof(length)) > 0 && length.udiag_wqueue > 0);

	/* accepted, put into the queue of another connection, and found there by who accepts that */
	accepted = accept(listener, NULL, NULL);
	FACT(accepted >= 0 && close(accept(listener, NULL, NULL)) == 0);
	memcpy(CMSG_DATA(&c.h), &accepted, sizeof(accepted));
	stand_in = socket(AF_UNIX, SOCK_STREAM, 0);
	FACT(connect(stand_in, (struct sockaddr *)&name, name_len) == 0 && sendmsg(stand_in, &m, 0) == 1);
	close(stand_in);
	close(accepted);
	stand_in = accept(listener, NULL, NULL);
	iov.iov_base = &byte;
	FACT(recvmsg(stand_in, &m, 0) == 1 && c.h.cmsg_type == SCM_RIGHTS);
	memcpy(&accepted, CMSG_DATA(&c.h), sizeof(accepted));
	FACT(recv(accepted, inodes, sizeof(inodes), 0) == 4 && memcmp(inodes, "data", 4) == 0);
	FACT(send(accepted, "back", 4, 0) == 4 && recv(client[0], inodes, sizeof(inodes), 0) == 4);
	return 0;
}
