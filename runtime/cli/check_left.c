/*
 * check_left.c - traces of runs that were killed
 *
 * Trees nobody lives in, and firewall tables that kept packets of a stopped
 * tree's connections away. Both are named after what they belong to.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "cli.h"
#include "skshim/treefile.h"
#include "trees.h"

struct left {
	void (*found)(const char *what, const char *name, void *arg);
	void *arg;
	ino_t *mapped;               /* files that living processes have mapped */
	size_t nmapped;
};

static int left_mapped(const struct tree_process *p, void *arg)
{
	struct left *l = arg;
	ino_t *grown = realloc(l->mapped, (l->nmapped + 1) * sizeof(*grown));

	if (grown == NULL)
		return failed(-ENOMEM, "check");
	l->mapped = grown;
	l->mapped[l->nmapped++] = p->ino;
	return 0;
}

/* Somebody lives in it whose mappings we may not see. */
static bool left_inhabited(const char *path)
{
	struct tree *tree;
	bool lives;

	if (treefile_attach(path, &tree) < 0)
		return false;
	lives = !__atomic_load_n(&tree->ready, __ATOMIC_ACQUIRE) || treefile_inhabited(tree, 0);
	treefile_detach(tree);
	return lives;
}

static void left_file(struct left *l, const char *folder, const char *name)
{
	char path[PATH_MAX], shown[PATH_MAX];
	unsigned uid;
	int end = 0;
	struct stat st;

	if (sscanf(name, TREE_PREFIX "%u-%*16[0-9a-f]%n", &uid, &end) != 1 || end == 0 || name[end] != '\0' ||
	    (size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path))
		return;
	if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || (geteuid() != 0 && st.st_uid != geteuid()))
		return;
	for (size_t i = 0; i < l->nmapped; i++)
		if (l->mapped[i] == st.st_ino)
			return;
	if (!left_inhabited(path))
		l->found("tree without processes", print_text(text(path), shown, sizeof(shown)), l->arg);
}

static void left_trees(struct left *l)
{
	const char *const folders[] = { "/dev/shm", "/tmp", getenv("TMPDIR") };

	if (trees_each_process(left_mapped, l) < 0)
		return;
	for (size_t i = 0; i < 3 && folders[i] != NULL; i++) {
		DIR *dir = i == 2 && strcmp(folders[i], "/tmp") == 0 ? NULL : opendir(folders[i]);
		struct dirent *e;

		while (dir != NULL && (e = readdir(dir)) != NULL)
			left_file(l, folders[i], e->d_name);
		if (dir != NULL)
			closedir(dir);
	}
	free(l->mapped);
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
	struct left l = { .found = found, .arg = arg };

	left_trees(&l);
	if (facts[FACT_NFTABLES].result == 0)
		left_tables(&l);
}
