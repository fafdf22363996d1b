/*
 * check_left.c - traces of runs that were killed
 *
 * Trees nobody lives in, and firewall tables that kept packets of a stopped
 * tree's connections away. Both are named after what they belong to.
 */
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "cli.h"
#include "skshim/treefile.h"

struct left {
	void (*found)(const char *what, const char *name, void *arg);
	void *arg;
};

static int left_tree(struct tree *tree, void *arg)
{
	const struct left *l = arg;
	char name[TREE_PATH * 4];

	if (__atomic_load_n(&tree->ready, __ATOMIC_ACQUIRE) && !treefile_inhabited(tree, 0))
		l->found("tree without processes",
			 print_text((struct blob){ tree->path, strnlen(tree->path, TREE_PATH) }, name, sizeof(name)),
			 l->arg);
	return 0;
}

static const char *left_table_name(const struct nlmsghdr *h)
{
	const char *p = (const char *)NLMSG_DATA(h) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	const char *end = (const char *)h + h->nlmsg_len;

	while (p + sizeof(struct nlattr) <= end) {
		const struct nlattr *a = (const void *)p;

		if (a->nla_len < sizeof(*a) || p + a->nla_len > end)
			return NULL;
		if ((a->nla_type & NLA_TYPE_MASK) == NFTA_TABLE_NAME && p[a->nla_len - 1] == '\0')
			return p + sizeof(*a);
		p += NLMSG_ALIGN(a->nla_len);
	}
	return NULL;
}

/* One datagram of a dump. False at the end. */
static bool left_tables_part(const struct left *l, char *reply, ssize_t n)
{
	struct nlmsghdr *h = (void *)reply;

	for (; NLMSG_OK(h, (uint32_t)n); h = NLMSG_NEXT(h, n)) {
		char shown[512];
		const char *name;

		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return false;
		name = left_table_name(h);
		if (name != NULL && strncmp(name, "skshim", 6) == 0)
			l->found("nftables table", print_text(text(name), shown, sizeof(shown)), l->arg);
	}
	return true;
}

static void left_tables(const struct left *l)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} ask = { .h = { .nlmsg_len = sizeof(ask), .nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP } };
	static char reply[32768] __attribute__((aligned(8)));
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	ssize_t n;

	if (fd < 0)
		return;
	if (send(fd, &ask, sizeof(ask), 0) > 0)
		while ((n = recv(fd, reply, sizeof(reply), 0)) > 0 && left_tables_part(l, reply, n))
			;
	close(fd);
}

void check_leftovers(void (*found)(const char *what, const char *name, void *arg), void *arg)
{
	struct left l = { found, arg };

	treefile_each(getenv("TMPDIR"), left_tree, &l);
	if (facts[FACT_NFTABLES].result == 0)
		left_tables(&l);
}
