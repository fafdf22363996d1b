/*
 * tcp_quiet.c - keeps the packets of one connection away while nobody has it
 *
 * Between the end of a stopped tree and its restart the kernel would answer
 * the peer's packets with a reset; and so would another host to which the
 * address has been moved, until all is made again there. So a table of nftables drops them, in and
 * out: one table a connection, named skshim_OURPORT_PEERPORT_HASH, made and
 * deleted in one transaction each. `skshim check` lists what is left.
 */
#include <netinet/in.h>      /* before the kernel's, which then leave it alone */

#include <asm/errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "tcp.h"

#include "skshim/frozen.h"

#define BATCH_ROOM 4096
#define FIRST_OF_ALL (-300)  /* before connection tracking */

struct batch {
	_Alignas(8) char p[BATCH_ROOM];
	uint32_t n, seq;
	struct nlmsghdr *now;
};

static void message(struct batch *b, int type, int flags, uint8_t family, uint16_t resource)
{
	struct nlmsghdr *h = (struct nlmsghdr *)(b->p + b->n);
	struct nfgenmsg g = { .nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource) };

	*h = (struct nlmsghdr){ .nlmsg_len = NLMSG_LENGTH(sizeof(g)), .nlmsg_type = (uint16_t)type,
				.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags), .nlmsg_seq = ++b->seq };
	memcpy(NLMSG_DATA(h), &g, sizeof(g));
	b->n += NLMSG_SPACE(sizeof(g));
	b->now = h;
}

static struct nlattr *put(struct batch *b, int type, const void *v, size_t n)
{
	struct nlattr *a = (struct nlattr *)(b->p + b->n);

	*a = (struct nlattr){ .nla_len = (uint16_t)(NLA_HDRLEN + n), .nla_type = (uint16_t)type };
	if (n)
		memcpy((char *)a + NLA_HDRLEN, v, n);
	b->n += (uint32_t)NLA_ALIGN(NLA_HDRLEN + n);
	b->now->nlmsg_len = (uint32_t)(b->p + b->n - (char *)b->now);
	return a;
}

static struct nlattr *nest(struct batch *b, int type)
{
	return put(b, type | NLA_F_NESTED, NULL, 0);
}

static void nest_end(struct batch *b, struct nlattr *a)
{
	a->nla_len = (uint16_t)(b->p + b->n - (char *)a);
}

static void put_text(struct batch *b, int type, const char *text)
{
	put(b, type, text, strlen(text) + 1);
}

static void put_number(struct batch *b, int type, uint32_t v)
{
	v = htonl(v);
	put(b, type, &v, sizeof(v));
}

/* --- expressions of a rule ------------------------------------------------------------------------------------ */

static struct nlattr *expression(struct batch *b, const char *name, struct nlattr **data)
{
	struct nlattr *element = nest(b, NFTA_LIST_ELEM);

	put_text(b, NFTA_EXPR_NAME, name);
	*data = nest(b, NFTA_EXPR_DATA);
	return element;
}

static void equals(struct batch *b, const void *value, size_t n)
{
	struct nlattr *data, *element = expression(b, "cmp", &data), *v;

	put_number(b, NFTA_CMP_SREG, NFT_REG_1);
	put_number(b, NFTA_CMP_OP, NFT_CMP_EQ);
	v = nest(b, NFTA_CMP_DATA);
	put(b, NFTA_DATA_VALUE, value, n);
	nest_end(b, v);
	nest_end(b, data);
	nest_end(b, element);
}

static void meta(struct batch *b, uint32_t key, uint8_t value)
{
	struct nlattr *data, *element = expression(b, "meta", &data);

	put_number(b, NFTA_META_DREG, NFT_REG_1);
	put_number(b, NFTA_META_KEY, key);
	nest_end(b, data);
	nest_end(b, element);
	equals(b, &value, sizeof(value));
}

static void payload(struct batch *b, uint32_t base, uint32_t offset, const void *value, size_t n)
{
	struct nlattr *data, *element = expression(b, "payload", &data);

	put_number(b, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put_number(b, NFTA_PAYLOAD_BASE, base);
	put_number(b, NFTA_PAYLOAD_OFFSET, offset);
	put_number(b, NFTA_PAYLOAD_LEN, (uint32_t)n);
	nest_end(b, data);
	nest_end(b, element);
	equals(b, value, n);
}

static void drop(struct batch *b)
{
	struct nlattr *data, *element = expression(b, "immediate", &data), *v, *verdict;

	put_number(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	v = nest(b, NFTA_IMMEDIATE_DATA);
	verdict = nest(b, NFTA_DATA_VERDICT);
	put_number(b, NFTA_VERDICT_CODE, NF_DROP);
	nest_end(b, verdict);
	nest_end(b, v);
	nest_end(b, data);
	nest_end(b, element);
}

/* --- the table -------------------------------------------------------------------------------------------------- */

static void name_of(const struct inet_key *own, const struct inet_key *peer, char name[40])
{
	text_format(name, 40, "skshim_%u_%u_%x", own->port, peer->port, inet_hash(own, peer));
}

static void chain(struct batch *b, const char *table, const char *name, uint32_t hook)
{
	struct nlattr *h;

	message(b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_CREATE, NFPROTO_INET, 0);
	put_text(b, NFTA_CHAIN_TABLE, table);
	put_text(b, NFTA_CHAIN_NAME, name);
	h = nest(b, NFTA_CHAIN_HOOK);
	put_number(b, NFTA_HOOK_HOOKNUM, hook);
	put_number(b, NFTA_HOOK_PRIORITY, (uint32_t)FIRST_OF_ALL);
	nest_end(b, h);
	put_text(b, NFTA_CHAIN_TYPE, "filter");
}

static void rule(struct batch *b, const char *table, const char *in, const struct inet_key *from, const struct inet_key *to)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool v4 = !memcmp(from->ip, mapped, 12);
	uint16_t ports[2] = { htons(from->port), htons(to->port) };
	struct nlattr *list;

	message(b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, NFPROTO_INET, 0);
	put_text(b, NFTA_RULE_TABLE, table);
	put_text(b, NFTA_RULE_CHAIN, in);
	list = nest(b, NFTA_RULE_EXPRESSIONS);
	meta(b, NFT_META_NFPROTO, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	meta(b, NFT_META_L4PROTO, IPPROTO_TCP);
	payload(b, NFT_PAYLOAD_NETWORK_HEADER, v4 ? 12 : 8, v4 ? from->ip + 12 : from->ip, v4 ? 4 : 16);
	payload(b, NFT_PAYLOAD_NETWORK_HEADER, v4 ? 16 : 24, v4 ? to->ip + 12 : to->ip, v4 ? 4 : 16);
	payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 0, ports, sizeof(ports));
	drop(b);
	nest_end(b, list);
}

/* Sends the batch; the last message before its end asks for an answer. */
static int commit(struct batch *b)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	_Alignas(8) char reply[4096];
	const struct nlmsghdr *h = (const struct nlmsghdr *)reply;
	int fd = sys_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	long n;

	if (fd < 0)
		return fd;
	b->now->nlmsg_flags |= NLM_F_ACK;
	message(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	n = sys_sendto(fd, b->p, b->n, 0, &kernel, sizeof(kernel));
	if (n >= 0)
		n = sys_recvfrom(fd, reply, sizeof(reply), 0, NULL, NULL);
	sys_close(fd);
	if (n < 0)
		return (int)n;
	if (!NLMSG_OK(h, n) || h->nlmsg_type != NLMSG_ERROR)
		return -EIO;
	return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
}

int tcp_quiet_begin(const struct inet_key *own, const struct inet_key *peer)
{
	struct batch b = { .n = 0 };
	char table[40];
	int rc;

	name_of(own, peer, table);
	message(&b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	message(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, NFPROTO_INET, 0);
	put_text(&b, NFTA_TABLE_NAME, table);
	chain(&b, table, "in", NF_INET_LOCAL_IN);
	chain(&b, table, "out", NF_INET_LOCAL_OUT);
	rule(&b, table, "in", peer, own);
	rule(&b, table, "out", own, peer);
	rc = commit(&b);
	return rc == -EEXIST ? 0 : rc;
}

int tcp_quiet_end(const struct inet_key *own, const struct inet_key *peer)
{
	struct batch b = { .n = 0 };
	char table[40];

	name_of(own, peer, table);
	message(&b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	message(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE, 0, NFPROTO_INET, 0);
	put_text(&b, NFTA_TABLE_NAME, table);
	return commit(&b);
}
