/*
 * multicast.c - multicast groups that a socket has joined, and its sources
 *
 * The kernel never lists a socket's groups, but it answers for a group that it is
 * asked about (MCAST_MSFILTER; tests/kernel/multicast_asked.c). /proc/net/igmp and
 * igmp6 have all groups that anybody has joined; each socket is asked about these.
 * So what was joined by whatever call, left, or inherited is known exactly, with
 * the mode and the sources of its filter.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>

#include "inet.h"

#include "skshim/frozen.h"

#define SOURCES_MAX 1024

struct candidate {
	struct candidate *next;
	int family;
	uint32_t ifindex;
	uint8_t group[16];
};

/* What is found out once in a checkpoint. */
struct multicast {
	struct candidate *groups;
	struct group_filter *answer;
};

const struct field membership_fields[] = {
	FIELD_U32(struct membership, ifindex),
	FIELD_STR(struct membership, device),
	FIELD_BIN(struct membership, group),
	FIELD_U32(struct membership, mode),
	FIELD_BIN(struct membership, sources),
	FIELD_END
};

static unsigned address_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

static void put_address(struct sockaddr_storage *to, int family, const void *address)
{
	union inet_addr *a = (union inet_addr *)to;

	memset(to, 0, sizeof(*to));
	a->any.sa_family = (sa_family_t)family;
	memcpy(family == AF_INET ? (void *)&a->v4.sin_addr : (void *)&a->v6.sin6_addr, address, address_size(family));
}

/* --- groups that somebody has joined ------------------------------------------------------------------------ */

static int candidate_add(struct collection *c, struct multicast *m, int family, uint32_t ifindex, const uint8_t *group)
{
	struct candidate *n = arena_alloc(c->arena, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->next = m->groups;
	n->family = family;
	n->ifindex = ifindex;
	memcpy(n->group, group, address_size(family));
	m->groups = n;
	return 0;
}

static void skip_spaces(const char **p, const char *end)
{
	while (*p < end && (**p == ' ' || **p == '\t'))
		++*p;
}

/* "1	lo        :     1      V3", then lines "				010000E0     1 0:00000000		0" */
static int read_igmp(struct collection *c, struct multicast *m)
{
	struct blob text, line;
	uint64_t ifindex = 0, group, users;
	const char *p, *end;
	uint32_t address;
	int rc = arena_read_file(c->arena, AT_FDCWD, "/proc/thread-self/net/igmp", &text);

	while (rc >= 0 && text_line(&text, &line)) {
		p = line.p;
		end = p + line.n;
		if (line.n && *p != '\t' && *p != ' ') {
			if (!text_number(&p, end, 10, &ifindex))
				ifindex = 0;
			continue;
		}
		skip_spaces(&p, end);
		if (!ifindex || !text_number(&p, end, 16, &group))
			continue;
		skip_spaces(&p, end);
		address = (uint32_t)group;
		/* all hosts' group is the kernel's own, as long as nobody else has it */
		if (text_number(&p, end, 10, &users) && (users > 1 || ntohl(address) != INADDR_ALLHOSTS_GROUP))
			rc = candidate_add(c, m, AF_INET, (uint32_t)ifindex, (const uint8_t *)&address);
	}
	return rc == -ENOENT ? 0 : rc;
}

static bool read_group6(const char **p, const char *end, uint8_t out[16])
{
	const char *digits = *p;
	uint64_t byte;
	int i;

	if (end - digits < 32)
		return false;
	for (i = 0; i < 16; i++) {
		const char *at = digits + 2 * i;

		if (!text_number(&at, digits + 2 * i + 2, 16, &byte))
			return false;
		out[i] = (uint8_t)byte;
	}
	*p = digits + 32;
	return true;
}

static bool is_all_nodes(const uint8_t group[16])
{
	static const uint8_t rest[14] = { [13] = 1 };

	return (group[1] == 1 || group[1] == 2) && !memcmp(group + 2, rest, sizeof(rest));
}

/* "1    lo              ff020000000000000000000000000001     1 0000000C 0" */
static int read_igmp6(struct collection *c, struct multicast *m)
{
	struct blob text, line;
	uint64_t ifindex, users;
	const char *p, *end;
	uint8_t group[16];
	int rc = arena_read_file(c->arena, AT_FDCWD, "/proc/thread-self/net/igmp6", &text);

	while (rc >= 0 && text_line(&text, &line)) {
		p = line.p;
		end = p + line.n;
		if (!text_number(&p, end, 10, &ifindex))
			continue;
		skip_spaces(&p, end);
		while (p < end && *p != ' ')
			p++;
		skip_spaces(&p, end);
		if (!read_group6(&p, end, group))
			continue;
		skip_spaces(&p, end);
		/* all nodes' groups are the kernel's own, as long as nobody else has them */
		if (text_number(&p, end, 10, &users) && (users > 1 || !is_all_nodes(group)))
			rc = candidate_add(c, m, AF_INET6, (uint32_t)ifindex, group);
	}
	return rc == -ENOENT ? 0 : rc;
}

static struct multicast *multicast_of(struct collection *c)
{
	struct socket_memory *memory = socket_memory(c);
	struct multicast *m;

	if (!memory || memory->multicast)
		return memory ? memory->multicast : NULL;
	m = arena_alloc(c->arena, sizeof(*m));
	if (!m || read_igmp(c, m) < 0 || read_igmp6(c, m) < 0)
		return NULL;
	if (m->groups) {
		m->answer = arena_alloc(c->arena, GROUP_FILTER_SIZE(SOURCES_MAX));
		if (!m->answer)
			return NULL;
	}
	memory->multicast = m;
	return m;
}

/* --- what one socket has of them ---------------------------------------------------------------------------- */

static int device_name(struct collection *c, int fd, uint32_t ifindex, struct blob *out)
{
	struct ifreq q = { 0 };
	int rc;

	q.ifr_ifindex = (int)ifindex;
	rc = (int)sys_ioctl(fd, SIOCGIFNAME, (long)&q);
	if (rc < 0)
		return rc;
	*out = arena_blob(c->arena, q.ifr_name, strlen(q.ifr_name));
	return out->p ? 0 : -ENOMEM;
}

/* 1 and the membership, 0 it has not joined, or a negative errno. */
static int ask(struct collection *c, struct multicast *m, const struct probe *p, const struct candidate *g, struct membership *out)
{
	unsigned len = GROUP_FILTER_SIZE(SOURCES_MAX), size = address_size(g->family), i, n;
	struct group_filter *f = m->answer;
	uint8_t *sources;
	int rc;

	memset(f, 0, GROUP_FILTER_SIZE(0));
	f->gf_interface = g->ifindex;
	put_address(&f->gf_group, g->family, g->group);
	f->gf_numsrc = SOURCES_MAX;
	rc = sys_getsockopt(p->fd, g->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, MCAST_MSFILTER, f, &len);
	if (rc < 0)
		return rc == -EADDRNOTAVAIL || rc == -ENOPROTOOPT || rc == -EOPNOTSUPP ? 0 : rc;
	n = f->gf_numsrc < SOURCES_MAX ? f->gf_numsrc : SOURCES_MAX;
	sources = arena_alloc(c->arena, (size_t)n * size + 1);
	if (!sources)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		const union inet_addr *a = (const union inet_addr *)&f->gf_slist[i];

		memcpy(sources + i * size, g->family == AF_INET ? (const void *)&a->v4.sin_addr : (const void *)&a->v6.sin6_addr, size);
	}
	*out = (struct membership){ .ifindex = g->ifindex, .mode = f->gf_fmode, .sources = { sources, (size_t)n * size } };
	out->group = arena_blob(c->arena, g->group, size);
	rc = device_name(c, p->fd, g->ifindex, &out->device);
	return rc < 0 ? rc : 1;
}

int multicast_collect(struct collection *c, const struct probe *p, struct list *out)
{
	struct multicast *m = multicast_of(c);
	struct membership found, *list = NULL, *more;
	const struct candidate *g;
	uint32_t n = 0, room = 0;
	int rc;

	*out = (struct list){ 0 };
	if (!m)
		return failed(-ENOMEM, "pid %d fd %d: multicast groups", c->pid, p->fd);
	for (g = m->groups; g; g = g->next) {
		if (p->family == AF_INET && g->family != AF_INET)
			continue;
		rc = ask(c, m, p, g, &found);
		if (rc < 0)
			return failed(rc, "pid %d fd %d: multicast groups", c->pid, p->fd);
		if (!rc)
			continue;
		if (n == room) {
			room = room * 2 + 4;
			more = arena_alloc(c->arena, room * sizeof(*more));
			if (!more)
				return failed(-ENOMEM, "pid %d fd %d: multicast groups", c->pid, p->fd);
			if (n)
				memcpy(more, list, n * sizeof(*more));
			list = more;
		}
		list[n++] = found;
	}
	*out = (struct list){ list, n };
	return 0;
}

/* --- joining again ------------------------------------------------------------------------------------------ */

/* 0: it isn't here. */
static uint32_t device_index(int fd, const struct membership *s)
{
	struct ifreq q = { 0 };

	if (!s->device.n || s->device.n >= sizeof(q.ifr_name))
		return s->ifindex;
	memcpy(q.ifr_name, s->device.p, s->device.n);
	return sys_ioctl(fd, SIOCGIFINDEX, (long)&q) < 0 ? 0 : (uint32_t)q.ifr_ifindex;
}

static int join(struct rebuild *rb, int fd, const struct membership *s)
{
	int family = s->group.n == 4 ? AF_INET : AF_INET6, level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, rc;
	unsigned size = address_size(family), i, n = (unsigned)(s->sources.n / size);
	struct group_req one = { .gr_interface = device_index(fd, s) };
	struct group_filter *f;

	if (s->group.n != size || n > SOURCES_MAX)
		return -EINVAL;
	if (!one.gr_interface)
		return -ENODEV;
	put_address(&one.gr_group, family, s->group.p);
	rc = sys_setsockopt(fd, level, MCAST_JOIN_GROUP, &one, sizeof(one));
	if (rc < 0 || (s->mode == MCAST_EXCLUDE && !n))
		return rc;
	f = arena_alloc(rebuild_arena(rb), GROUP_FILTER_SIZE(n));
	if (!f)
		return -ENOMEM;
	f->gf_interface = one.gr_interface;
	f->gf_group = one.gr_group;
	f->gf_fmode = s->mode;
	f->gf_numsrc = n;
	for (i = 0; i < n; i++)
		put_address(&f->gf_slist[i], family, (const uint8_t *)s->sources.p + (size_t)i * size);
	return sys_setsockopt(fd, level, MCAST_MSFILTER, f, (unsigned)GROUP_FILTER_SIZE(n));
}

void multicast_apply(struct rebuild *rb, uint32_t obj, int fd, const struct list *memberships)
{
	const struct membership *s = memberships->items;
	uint32_t i;
	int rc;

	for (i = 0; i < memberships->n; i++, s++) {
		rc = join(rb, fd, s);
		if (rc < 0)
			rebuild_loss(rb, obj, "a multicast group on %.*s: %s", (int)s->device.n, (const char *)s->device.p,
				     text_error(rc));
	}
}

uint32_t multicast_device(int fd, const struct list *memberships, const void *group, unsigned size)
{
	const struct membership *s = memberships->items;
	uint32_t i;

	for (i = 0; i < memberships->n; i++, s++)
		if (s->group.n == size && !memcmp(s->group.p, group, size))
			return device_index(fd, s);
	return 0;
}
