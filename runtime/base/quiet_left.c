/*
 * quiet_left.c - tables of quiet.c's that are there, and those for which nobody will come
 *
 * One whose image is gone from its directory is removed by whoever makes a
 * checkpoint, restarts or checks. Where the directory itself isn't there, it
 * may be in another place, or out of sight: such a table is listed only.
 */
#include <asm/errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "skshim/quiet.h"
#include "skshim/str.h"
#include "skshim/sys.h"

#include "skshim/frozen.h"

#define REPLY_ROOM 16384
#define SWEEP_MAX 64         /* tables that are removed at once */

static void copy(char *to, size_t room, const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && i + 1 < room && p[i]; i++)
		to[i] = p[i];
	to[i] = 0;
}

/* False: it isn't ours. */
static bool read_table(const struct nlmsghdr *h, struct quiet_table *t)
{
	const char *p = (const char *)NLMSG_DATA(h) + NLMSG_ALIGN(sizeof(struct nfgenmsg)), *end = (const char *)h + h->nlmsg_len;

	memset(t, 0, sizeof(*t));
	while (p + NLA_HDRLEN <= end) {
		const struct nlattr *a = (const void *)p;
		const char *data = p + NLA_HDRLEN;
		size_t n;

		if (a->nla_len < NLA_HDRLEN || p + a->nla_len > end)
			return false;
		n = a->nla_len - NLA_HDRLEN;
		switch (a->nla_type & NLA_TYPE_MASK) {
		case NFTA_TABLE_NAME:
			copy(t->name, sizeof(t->name), data, n);
			break;
		case NFTA_TABLE_USERDATA: /* its comment: type 0, length, text */
			if (n > 2 && !data[0] && (size_t)(uint8_t)data[1] + 2 <= n)
				copy(t->image, sizeof(t->image), data + 2, (uint8_t)data[1]);
			break;
		case NFTA_TABLE_OWNER:
			t->owned = true;
			break;
		}
		p += NLA_ALIGN(a->nla_len);
	}
	return blob_starts((struct blob){ t->name, strlen(t->name) }, QUIET_PREFIX);
}

/* One datagram of the dump: 1 it was the last. */
static int read_some(char *reply, long n, int (*found)(const struct quiet_table *, void *), void *arg)
{
	struct nlmsghdr *h = (void *)reply;
	struct quiet_table t;
	int rc;

	for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		rc = read_table(h, &t) ? found(&t, arg) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

int quiet_each(int (*found)(const struct quiet_table *, void *), void *arg)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} ask = { .h = { .nlmsg_len = sizeof(ask), .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP }, .g = { .nfgen_family = NFPROTO_INET } };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	_Alignas(8) char reply[REPLY_ROOM];
	int fd = quiet_open(), rc = fd;
	long n;

	if (fd >= 0)
		rc = (int)sys_sendto(fd, &ask, sizeof(ask), 0, &kernel, sizeof(kernel));
	if (rc >= 0)
		for (rc = 0; rc == 0;) {
			n = sys_recvfrom(fd, reply, sizeof(reply), 0, NULL, NULL);
			rc = n < 0 ? (int)n : read_some(reply, n, found, arg);
		}
	if (fd >= 0)
		sys_close(fd);
	return rc < 0 ? rc : 0;
}

bool quiet_stale(const struct quiet_table *t)
{
	char path[QUIET_COMMENT + 16];
	const char *slash = NULL, *p;
	struct stat st;

	for (p = t->image; *p; p++)
		if (*p == '/')
			slash = p;
	if (t->owned || t->image[0] != '/' || sys_fstatat(AT_FDCWD, t->image, &st, 0) != -ENOENT)
		return false;
	text_format(path, sizeof(path), "%.*s", (int)(slash - t->image) + 1, t->image);
	if (sys_fstatat(AT_FDCWD, path, &st, 0) < 0)
		return false;
	text_format(path, sizeof(path), "%.*s/.%s.partial", (int)(slash - t->image), t->image, slash + 1);
	return sys_fstatat(AT_FDCWD, path, &st, 0) == -ENOENT;
}

struct sweep {
	char names[SWEEP_MAX][QUIET_NAME];
	int n;
};

static int gather(const struct quiet_table *t, void *arg)
{
	struct sweep *s = arg;

	if (s->n < SWEEP_MAX && quiet_stale(t))
		memcpy(s->names[s->n++], t->name, sizeof(t->name));
	return 0;
}

void quiet_sweep(void)
{
	struct sweep s = { .n = 0 };
	int fd;

	if (quiet_each(gather, &s) < 0 || !s.n)
		return;
	fd = quiet_open();
	while (fd >= 0 && s.n)
		(void)quiet_drop(fd, s.names[--s.n]);
	if (fd >= 0)
		sys_close(fd);
}

/* --- in another network namespace ----------------------------------------------------------------------------- */

/* A descriptor of the namespace, where the directory has entries (and, in each of them, `below`) that lead to it; -1 none. */
static int find_in(const char *dir, const char *below, uint64_t netns)
{
	int fd = sys_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), found = -1;
	_Alignas(8) char buf[4096];
	char path[64 + 256];
	struct stat st;
	long n = 0, at;

	while (fd >= 0 && found < 0 && (n = sys_getdents64(fd, buf, sizeof(buf))) > 0)
		for (at = 0; at < n && found < 0; at += ((struct dirent64 *)(buf + at))->d_reclen) {
			text_format(path, sizeof(path), "%s/%s%s", dir, ((struct dirent64 *)(buf + at))->d_name, below);
			if (sys_fstatat(AT_FDCWD, path, &st, 0) == 0 && st.st_ino == netns)
				found = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
		}
	if (fd >= 0)
		sys_close(fd);
	return found;
}

void quiet_drop_in(uint64_t netns, const char *table)
{
	int ns, here, fd;
	struct stat st;

	if (!netns || sys_fstatat(AT_FDCWD, "/proc/self/ns/net", &st, 0) < 0 || st.st_ino == netns)
		return;
	ns = find_in("/run/netns", "", netns);
	if (ns < 0)
		ns = find_in("/proc", "/ns/net", netns);
	here = ns < 0 ? -1 : sys_openat(AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC, 0);
	if (here >= 0 && SYS2(__NR_setns, ns, CLONE_NEWNET) == 0) {
		fd = quiet_open();
		if (fd >= 0) {
			(void)quiet_drop(fd, table);
			sys_close(fd);
		}
		(void)SYS2(__NR_setns, here, CLONE_NEWNET); /* where it came from, it may go back */
	}
	if (here >= 0)
		sys_close(here);
	if (ns >= 0)
		sys_close(ns);
}
