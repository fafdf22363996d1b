/* Netlink: port id, groups, options; a socket that was only opened; a question that is answered after. */
#include "net.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

static struct sockaddr_nl own(int fd)
{
	struct sockaddr_nl a = { 0 };
	socklen_t len = sizeof(a);

	MUST(getsockname(fd, (void *)&a, &len));
	return a;
}

int main(void)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR }, kernel = { .nl_family = AF_NETLINK };
	int open = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)), first = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	int second = MUST(socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_ROUTE)), group = RTNLGRP_NEXTHOP;
	struct sockaddr_nl before[2];
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} q = { .h = { .nlmsg_len = sizeof(q), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST }, .i = { .ifi_index = 1 } };
	char answer[8192];

	MUST(bind(first, (void *)&a, sizeof(a)));
	a.nl_groups = 0;
	MUST(bind(second, (void *)&a, sizeof(a)));
	MUST(setsockopt(second, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
	net_set(second, SOL_NETLINK, NETLINK_EXT_ACK, 1);
	net_set(first, SOL_NETLINK, NETLINK_PKTINFO, 1);
	before[0] = own(first);
	before[1] = own(second);

	scenario_wait();

	CHECK(memcmp(&before[0], &(struct sockaddr_nl[]){ own(first) }[0], sizeof(before[0])) == 0);
	SAME(before[1].nl_pid, own(second).nl_pid);
	SAME(own(open).nl_pid, 0);
	SAME(net_get(second, SOL_NETLINK, NETLINK_EXT_ACK), 1);
	SAME(net_get(first, SOL_NETLINK, NETLINK_PKTINFO), 1);
	SAME(net_get(first, SOL_NETLINK, NETLINK_EXT_ACK), 0);
	SAME(net_get(second, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS), (int)(1u << (RTNLGRP_NEXTHOP - 1)));
	SAME(recv(second, answer, sizeof(answer), 0), -1);
	SAME(errno, EAGAIN);
	MUST(sendto(open, &q, sizeof(q), 0, (void *)&kernel, sizeof(kernel)));
	CHECK(MUST(recv(open, answer, sizeof(answer), 0)) > (long)sizeof(struct nlmsghdr));
	SAME(((struct nlmsghdr *)answer)->nlmsg_type, RTM_NEWLINK);
	scenario_ok();
}
