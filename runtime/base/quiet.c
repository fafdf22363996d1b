/*
 * quiet.c - connections whose packets are kept away while nobody has them
 *
 * A table has a set of connections for each direction and family, so that a
 * packet costs the same however many there are, and two chains with a rule a
 * family that look the packet up: addresses and ports, each padded to a
 * register, as nft shows them (ipv4_addr . ipv4_addr . inet_service . inet_service).
 */
#include <netinet/in.h>      /* before the kernel's, which then leave it alone */

#include <asm/errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "skshim/quiet.h"
#include "skshim/str.h"
#include "skshim/sys.h"

#include "skshim/frozen.h"

#define BATCH_ROOM 8192
#define AT_ONCE 24           /* connections a batch has room for */
#define FIRST_OF_ALL (-300)  /* before connection tracking */
#define COMMENT_OF_TABLE 0   /* as libnftnl has it */
/* How nft knows the parts of a key, 6 bits each. */
#define TYPE_IPV4 7u
#define TYPE_IPV6 8u
#define TYPE_PORT 13u

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

static void begin(struct batch *b)
{
	b->n = b->seq = 0;
	message(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
}

static void request(struct batch *b, int type, int flags)
{
	message(b, NFNL_SUBSYS_NFTABLES << 8 | type, flags, NFPROTO_INET, 0);
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

/* --- a table ------------------------------------------------------------------------------------------------- */

static void table(struct batch *b, const char *name, const char *comment, bool owned)
{
	uint8_t data[2 + QUIET_COMMENT + 1] = { COMMENT_OF_TABLE };
	size_t n = strlen(comment);

	request(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	put_text(b, NFTA_TABLE_NAME, name);
	if (owned)
		put_number(b, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
	if (!n || n > QUIET_COMMENT)
		return;
	data[1] = (uint8_t)(n + 1);
	memcpy(data + 2, comment, n + 1);
	put(b, NFTA_TABLE_USERDATA, data, 2 + n + 1);
}

static void set(struct batch *b, const char *of, const char *name, bool v4, uint32_t id)
{
	uint32_t address = v4 ? TYPE_IPV4 : TYPE_IPV6;

	request(b, NFT_MSG_NEWSET, NLM_F_CREATE);
	put_text(b, NFTA_SET_TABLE, of);
	put_text(b, NFTA_SET_NAME, name);
	put_number(b, NFTA_SET_KEY_TYPE, address << 18 | address << 12 | TYPE_PORT << 6 | TYPE_PORT);
	put_number(b, NFTA_SET_KEY_LEN, v4 ? 16 : 40);
	put_number(b, NFTA_SET_ID, id);
}

static void chain(struct batch *b, const char *of, const char *name, uint32_t hook)
{
	struct nlattr *h;

	request(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	put_text(b, NFTA_CHAIN_TABLE, of);
	put_text(b, NFTA_CHAIN_NAME, name);
	h = nest(b, NFTA_CHAIN_HOOK);
	put_number(b, NFTA_HOOK_HOOKNUM, hook);
	put_number(b, NFTA_HOOK_PRIORITY, (uint32_t)FIRST_OF_ALL);
	nest_end(b, h);
	put_text(b, NFTA_CHAIN_TYPE, "filter");
}

static struct nlattr *expression(struct batch *b, const char *name, struct nlattr **data)
{
	struct nlattr *element = nest(b, NFTA_LIST_ELEM);

	put_text(b, NFTA_EXPR_NAME, name);
	*data = nest(b, NFTA_EXPR_DATA);
	return element;
}

static void meta_is(struct batch *b, uint32_t key, uint8_t value)
{
	struct nlattr *data, *element = expression(b, "meta", &data), *v;

	put_number(b, NFTA_META_DREG, NFT_REG32_00);
	put_number(b, NFTA_META_KEY, key);
	nest_end(b, data);
	nest_end(b, element);
	element = expression(b, "cmp", &data);
	put_number(b, NFTA_CMP_SREG, NFT_REG32_00);
	put_number(b, NFTA_CMP_OP, NFT_CMP_EQ);
	v = nest(b, NFTA_CMP_DATA);
	put(b, NFTA_DATA_VALUE, &value, sizeof(value));
	nest_end(b, v);
	nest_end(b, data);
	nest_end(b, element);
}

static void payload(struct batch *b, uint32_t base, uint32_t offset, uint32_t n, uint32_t to)
{
	struct nlattr *data, *element = expression(b, "payload", &data);

	put_number(b, NFTA_PAYLOAD_DREG, to);
	put_number(b, NFTA_PAYLOAD_BASE, base);
	put_number(b, NFTA_PAYLOAD_OFFSET, offset);
	put_number(b, NFTA_PAYLOAD_LEN, n);
	nest_end(b, data);
	nest_end(b, element);
}

static void lookup(struct batch *b, const char *in)
{
	struct nlattr *data, *element = expression(b, "lookup", &data);

	put_text(b, NFTA_LOOKUP_SET, in);
	put_number(b, NFTA_LOOKUP_SREG, NFT_REG32_00);
	nest_end(b, data);
	nest_end(b, element);
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

static void rule(struct batch *b, const char *of, const char *in, const char *connections, bool v4)
{
	uint32_t size = v4 ? 4 : 16, words = size / 4;
	struct nlattr *list;

	request(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	put_text(b, NFTA_RULE_TABLE, of);
	put_text(b, NFTA_RULE_CHAIN, in);
	list = nest(b, NFTA_RULE_EXPRESSIONS);
	meta_is(b, NFT_META_NFPROTO, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	meta_is(b, NFT_META_L4PROTO, IPPROTO_TCP);
	payload(b, NFT_PAYLOAD_NETWORK_HEADER, v4 ? 12 : 8, size, NFT_REG32_00);
	payload(b, NFT_PAYLOAD_NETWORK_HEADER, v4 ? 16 : 24, size, NFT_REG32_00 + words);
	payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, NFT_REG32_00 + 2 * words);
	payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, NFT_REG32_00 + 2 * words + 1);
	lookup(b, connections);
	drop(b);
	nest_end(b, list);
}

/* Of one connection, as its packets come in, or go out. */
static void element(struct batch *b, const struct quiet_pair *p, bool in, bool v4)
{
	size_t size = v4 ? 4 : 16, skip = 16 - size;
	uint8_t key[40] = { 0 };
	uint16_t port = htons(in ? p->peer_port : p->own_port);
	struct nlattr *e = nest(b, NFTA_LIST_ELEM), *k = nest(b, NFTA_SET_ELEM_KEY);

	memcpy(key, (in ? p->peer : p->own) + skip, size);
	memcpy(key + size, (in ? p->own : p->peer) + skip, size);
	memcpy(key + 2 * size, &port, sizeof(port));
	port = htons(in ? p->own_port : p->peer_port);
	memcpy(key + 2 * size + 4, &port, sizeof(port));
	put(b, NFTA_DATA_VALUE, key, 2 * size + 8);
	nest_end(b, k);
	nest_end(b, e);
}

static bool is_v4(const struct quiet_pair *p)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(p->own, mapped, sizeof(mapped));
}

/* Those of one family and direction, into their set. */
static void elements(struct batch *b, const char *of, const char *name, const struct quiet_pair *p, uint32_t n, bool in, bool v4)
{
	struct nlattr *list = NULL;
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (is_v4(&p[i]) != v4)
			continue;
		if (!list) {
			request(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
			put_text(b, NFTA_SET_ELEM_LIST_TABLE, of);
			put_text(b, NFTA_SET_ELEM_LIST_SET, name);
			list = nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
		}
		element(b, &p[i], in, v4);
	}
	if (list)
		nest_end(b, list);
}

/* Sends the batch; the last message before its end asks for an answer. */
static int commit(int fd, struct batch *b)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	_Alignas(8) char reply[4096];
	const struct nlmsghdr *h = (const struct nlmsghdr *)reply;
	long n;

	b->now->nlmsg_flags |= NLM_F_ACK;
	message(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	n = sys_sendto(fd, b->p, b->n, 0, &kernel, sizeof(kernel));
	if (n >= 0)
		n = sys_recvfrom(fd, reply, sizeof(reply), 0, NULL, NULL);
	/* where several messages fail, each has an answer */
	while (n >= 0 && sys_recvfrom(fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) >= 0)
		;
	if (n < 0)
		return (int)n;
	if (!NLMSG_OK(h, n) || h->nlmsg_type != NLMSG_ERROR)
		return -EIO;
	return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
}

/* --- for the others ------------------------------------------------------------------------------------------- */

void quiet_name(char name[QUIET_NAME], const char *image, int pid, uint64_t moment)
{
	const char *slash = image, *p;
	uint64_t h = 14695981039346656037ull ^ moment;

	for (p = image; *p; p++) {
		h = (h ^ (uint8_t)*p) * 1099511628211ull;
		if (*p == '/')
			slash = p + 1;
	}
	text_format(name, QUIET_NAME, QUIET_PREFIX "%.*s_%d_%016lx", 16, slash, pid, (unsigned long)h);
}

int quiet_open(void)
{
	return sys_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
}

int quiet_make(int fd, const char *name, const char *comment, bool owned)
{
	struct batch b;

	begin(&b);
	table(&b, name, comment, owned);
	set(&b, name, "in4", true, 1);
	set(&b, name, "out4", true, 2);
	set(&b, name, "in6", false, 3);
	set(&b, name, "out6", false, 4);
	chain(&b, name, "in", NF_INET_LOCAL_IN);
	chain(&b, name, "out", NF_INET_LOCAL_OUT);
	rule(&b, name, "in", "in4", true);
	rule(&b, name, "in", "in6", false);
	rule(&b, name, "out", "out4", true);
	rule(&b, name, "out", "out6", false);
	return commit(fd, &b);
}

int quiet_add(int fd, const char *name, const struct quiet_pair *p, uint32_t n)
{
	struct batch b;
	uint32_t at, some;
	int rc = 0;

	for (at = 0; at < n && rc >= 0; at += some) {
		some = n - at < AT_ONCE ? n - at : AT_ONCE;
		begin(&b);
		elements(&b, name, "in4", p + at, some, true, true);
		elements(&b, name, "out4", p + at, some, false, true);
		elements(&b, name, "in6", p + at, some, true, false);
		elements(&b, name, "out6", p + at, some, false, false);
		rc = commit(fd, &b);
	}
	return rc;
}

int quiet_drop(int fd, const char *name)
{
	struct batch b;

	begin(&b);
	request(&b, NFT_MSG_DELTABLE, 0);
	put_text(&b, NFTA_TABLE_NAME, name);
	return commit(fd, &b);
}
