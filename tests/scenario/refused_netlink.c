/*
 * An answer of the kernel's that waits to be read on a netlink socket can't be had again.
 *
 * scenario-refused: netlink: an answer of the kernel's waits to be read
 */
#include "scenario.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

int main(void)
{
	struct {
		struct nlmsghdr h;
		struct rtgenmsg g;
	} ask = { .h = { .nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = 7 } };
	struct sockaddr_nl own = { .nl_family = AF_NETLINK };
	struct nlmsghdr answer[512];
	int fd = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));

	MUST(bind(fd, (void *)&own, sizeof(own)));
	MUST(send(fd, &ask, sizeof(ask), 0));
	scenario_wait();
	CHECK(MUST(recv(fd, answer, sizeof(answer), MSG_DONTWAIT)) > 100);
	SAME(answer->nlmsg_type, RTM_NEWLINK);
	SAME(answer->nlmsg_seq, 7);
	scenario_ok();
}
