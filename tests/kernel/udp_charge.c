/* What a UDP socket's queue is charged, sock_diag tells (idiag_rqueue); SO_MEMINFO also counts some of what was received already. */
#include "fact.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

static uint32_t meminfo(int fd)
{
	uint32_t m[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(m);

	FACT(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, m, &len) == 0);
	return m[SK_MEMINFO_RMEM_ALLOC];
}

/* A dump of one port, in which the socket is found by its inode. */
static uint32_t listed(int fd, uint16_t port)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} q = {
		.h = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_UDP, .idiag_states = ~0u, .id = { .idiag_sport = port } },
	};
	_Alignas(8) char reply[65536];
	int diag = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	uint32_t found = ~0u;
	struct stat st;

	FACT(diag >= 0 && fstat(fd, &st) == 0 && send(diag, &q, sizeof(q), 0) == sizeof(q));
	for (bool more = true; more;) {
		ssize_t n = recv(diag, reply, sizeof(reply), 0);

		FACT(n > 0);
		for (struct nlmsghdr *h = (void *)reply; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			const struct inet_diag_msg *m = NLMSG_DATA(h);

			FACT(h->nlmsg_type != NLMSG_ERROR);
			more = more && h->nlmsg_type != NLMSG_DONE;
			if (h->nlmsg_type != NLMSG_DONE && m->idiag_inode == (uint32_t)st.st_ino)
				found = m->idiag_rqueue;
		}
	}
	close(diag);
	return found;
}

int main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint32_t one;
	char c;

	FACT(fd >= 0 && bind(fd, (void *)&a, len) == 0 && getsockname(fd, (void *)&a, &len) == 0 && connect(fd, (void *)&a, len) == 0);
	FACT(send(fd, "", 0, 0) == 0);
	one = meminfo(fd);
	for (int i = 1; i < 4; i++)
		FACT(send(fd, "", 0, 0) == 0);
	FACT(one > 0 && meminfo(fd) == 4 * one && listed(fd, a.sin_port) == 4 * one);
	FACT(recv(fd, &c, 1, 0) == 0);
	FACT(meminfo(fd) == 4 * one && listed(fd, a.sin_port) == 3 * one);
	return 0;
}
