/*
 * inet_readdress.c - where a record has internet addresses, for --map-address
 *
 * Names of sockets, what options were told of addresses, the sources of groups.
 * The groups themselves stay: they belong to no machine.
 */
#include <asm/errno.h>
#include <netinet/tcp.h>

#include "inet.h"
#include "skshim/image.h"

#include "skshim/frozen.h"

#define TCP_AO_ADD_KEY_ 38

/* The address in a struct sockaddr_in or _in6; IPv4 ones hidden in IPv6 ones are IPv4's. */
static bool readdress(struct rebuild *rb, uint32_t obj, union inet_addr *a)
{
	struct in6_addr *v6 = &a->v6.sin6_addr;

	if (a->any.sa_family == AF_INET)
		return rebuild_address(rb, obj, AF_INET, &a->v4.sin_addr, NULL);
	if (a->any.sa_family != AF_INET6)
		return false;
	return IN6_IS_ADDR_V4MAPPED(v6) ? rebuild_address(rb, obj, AF_INET, &v6->s6_addr[12], NULL) :
					  rebuild_address(rb, obj, AF_INET6, v6, &a->v6.sin6_scope_id);
}

int inet_readdress(struct rebuild *rb, uint32_t obj, struct blob *name)
{
	struct blob moved;
	union inet_addr a;
	unsigned len;

	if (!inet_addr_of(*name, &a, &len) || !readdress(rb, obj, &a))
		return 0;
	moved = arena_blob(rebuild_arena(rb), &a, len);
	if (!moved.p)
		return failed(-ENOMEM, "--map-address");
	*name = moved;
	return 1;
}

/* The value of an option in a copy that may be written. */
static void readdress_value(struct rebuild *rb, uint32_t obj, uint32_t level, uint32_t option, uint8_t *p, uint64_t n)
{
	bool md5 = level == IPPROTO_TCP && (option == TCP_MD5SIG || option == TCP_MD5SIG_EXT || option == TCP_AO_ADD_KEY_);
	union inet_addr a;

	if (level == IPPROTO_IP && option == IP_MULTICAST_IF && n == sizeof(struct in_addr))
		(void)rebuild_address(rb, obj, AF_INET, p, NULL);
	else if (level == IPPROTO_IP && option == IP_MULTICAST_IF && n >= sizeof(struct ip_mreq))
		(void)rebuild_address(rb, obj, AF_INET, p + offsetof(struct ip_mreq, imr_interface), NULL);
	if (!md5 || n < sizeof(struct sockaddr_storage))
		return;
	memcpy(&a, p, sizeof(a)); /* all of them begin with the peer's address */
	if (readdress(rb, obj, &a))
		memcpy(p, &a, sizeof(a));
}

static int readdress_notes(struct rebuild *rb, uint32_t obj, struct blob *notes)
{
	uint8_t *p, *end;
	uint32_t head[3];

	if (!notes->n)
		return 0;
	p = arena_copy(rebuild_arena(rb), notes->p, notes->n);
	if (!p)
		return failed(-ENOMEM, "--map-address");
	notes->p = p;
	for (end = p + notes->n; end - p >= (long)sizeof(head); p += sizeof(head) + ((head[2] + 3) & ~3u)) {
		memcpy(head, p, sizeof(head));
		if (head[2] > (size_t)(end - p) - sizeof(head))
			break; /* whoever sets them says so */
		readdress_value(rb, obj, head[0], head[1], p + sizeof(head), head[2]);
	}
	return 0;
}

int inet_readdress_options(struct rebuild *rb, uint32_t obj, struct list *options, struct blob *notes)
{
	struct sockopt *o = options->items;
	uint32_t i;

	for (i = 0; i < options->n; i++) {
		uint8_t *copy;

		if (o[i].level != IPPROTO_IP || o[i].name != IP_MULTICAST_IF)
			continue;
		copy = arena_copy(rebuild_arena(rb), o[i].value.p, o[i].value.n);
		if (!copy)
			return failed(-ENOMEM, "--map-address");
		readdress_value(rb, obj, o[i].level, o[i].name, copy, o[i].value.n);
		o[i].value.p = copy;
	}
	return readdress_notes(rb, obj, notes);
}

int inet_readdress_groups(struct rebuild *rb, uint32_t obj, struct list *groups)
{
	struct membership *m = groups->items;
	uint32_t i;
	uint64_t k;

	for (i = 0; i < groups->n; i++) {
		uint64_t size = m[i].group.n;
		uint8_t *copy = m[i].sources.n ? arena_copy(rebuild_arena(rb), m[i].sources.p, m[i].sources.n) : NULL;

		if (m[i].sources.n && !copy)
			return failed(-ENOMEM, "--map-address");
		for (k = 0; size && k + size <= m[i].sources.n; k += size)
			(void)rebuild_address(rb, obj, size == 4 ? AF_INET : AF_INET6, copy + k, NULL);
		if (copy)
			m[i].sources.p = copy;
	}
	return 0;
}

int inet_readdress_lineage(struct rebuild *rb, uint32_t obj, struct lineage_record *l)
{
	int rc = l ? inet_readdress(rb, obj, &l->bound) : 0;

	if (l && rc >= 0)
		rc = inet_readdress(rb, obj, &l->peer);
	return l && rc >= 0 ? readdress_notes(rb, obj, &l->notes) : rc;
}
