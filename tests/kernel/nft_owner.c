/* A table of nftables that was made with an owner goes with the netlink socket that made it, also when its process is killed. */
#include "fact.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stddef.h>

struct message {
	struct nlmsghdr h;
	struct nfgenmsg g;
	struct nlattr name_head;
	char name[16];
	struct nlattr flags_head;
	uint32_t flags;
};

/* Sends one request about the table; the answer's error. With `owned` the flag goes along. */
static int ask(int fd, int type, int flags, bool owned)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} begin = { { .nlmsg_len = sizeof(begin), .nlmsg_type = NFNL_MSG_BATCH_BEGIN, .nlmsg_flags = NLM_F_REQUEST },
		    { .res_id = htons(NFNL_SUBSYS_NFTABLES) } }, end = begin;
	struct message m = {
		.h = { .nlmsg_len = owned ? sizeof(m) : offsetof(struct message, flags_head),
		       .nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
		.g = { .nfgen_family = NFPROTO_INET }, .name_head = { sizeof(struct nlattr) + 16, NFTA_TABLE_NAME }, .name = "fact_nft_owner",
		.flags_head = { sizeof(struct nlattr) + 4, NFTA_TABLE_FLAGS }, .flags = htonl(NFT_TABLE_F_OWNER),
	};
	char all[sizeof(begin) * 2 + sizeof(m)], reply[1024];
	size_t n = 0;
	const struct nlmsghdr *h = (const void *)reply;
	bool single = type == NFT_MSG_GETTABLE;

	end.h.nlmsg_type = NFNL_MSG_BATCH_END;
	if (!single)
		memcpy(all, &begin, n = sizeof(begin));
	memcpy(all + n, &m, m.h.nlmsg_len);
	n += m.h.nlmsg_len;
	if (!single)
		memcpy(all + n, &end, sizeof(end));
	FACT(send(fd, all, n + (single ? 0 : sizeof(end)), 0) > 0);
	FACT(recv(fd, reply, sizeof(reply), 0) >= (ssize_t)sizeof(*h));
	return h->nlmsg_type == NLMSG_ERROR ? *(const int *)NLMSG_DATA(h) : 0;
}

int main(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER), here[2], rc;
	char byte;
	pid_t pid;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		SKIP("a network namespace");
	close(fd);
	FACT(pipe(here) == 0);
	pid = fork();
	if (pid == 0) {
		fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
		if (fd < 0)
			_exit(77);
		rc = ask(fd, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK, true);
		if (rc < 0)
			_exit(77);
		FACT(write(here[1], "", 1) == 1);
		pause();
	}
	close(here[1]);
	if (read(here[0], &byte, 1) != 1)
		SKIP("tables with owners");
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	FACT(fd >= 0);
	FACT(ask(fd, NFT_MSG_GETTABLE, 0, false) == 0);
	FACT(ask(fd, NFT_MSG_DELTABLE, NLM_F_ACK, false) == -EPERM);
	FACT(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	for (int i = 0; i < 2000 && ask(fd, NFT_MSG_GETTABLE, 0, false) == 0; i++)
		usleep(1000);
	FACT(ask(fd, NFT_MSG_GETTABLE, 0, false) == -ENOENT);
	return 0;
}
