/*
 * address.c - --map-address: internet addresses that are others here
 *
 * Before anything is checked the image's records are changed as they lie in
 * memory: what comes after, plan included, knows the new addresses only. Where
 * a record has addresses is its kind's to know (inet_readdress.c).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restart.h"

static unsigned size_of(int family)
{
	return family == AF_INET ? 4 : 16;
}

/* "10.0.0.1", "fe80::1%eth0", "[::1]" in text[n]; -EINVAL. */
static int parse(const char *text, size_t n, int *family, uint8_t address[16], uint32_t *scope)
{
	char copy[INET6_ADDRSTRLEN + IF_NAMESIZE + 2], *percent, *end;

	if (n >= 2 && text[0] == '[' && text[n - 1] == ']')
		text++, n -= 2;
	if (n >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, n);
	copy[n] = 0;
	*scope = 0;
	percent = strchr(copy, '%');
	if (percent) {
		*percent++ = 0;
		*scope = if_nametoindex(percent);
		if (!*scope)
			*scope = (uint32_t)strtoul(percent, &end, 10);
		if (!*scope)
			return -EINVAL;
	}
	*family = strchr(copy, ':') ? AF_INET6 : AF_INET;
	return inet_pton(*family, copy, address) == 1 && (*family == AF_INET6 || !percent) ? 0 : -EINVAL;
}

/* One that a machine can have: neither all of them nor a group. */
static bool is_one(int family, const uint8_t *a)
{
	static const uint8_t any[16];

	return memcmp(a, any, size_of(family)) != 0 && (family == AF_INET ? a[0] < 224 || a[0] > 239 : a[0] != 0xff);
}

int address_option(struct options *o, const char *text)
{
	struct moved m = { .text = text }, *other;
	const char *equals = strchr(text, '=');
	int family;

	if (!equals || parse(text, (size_t)(equals - text), &m.family, m.from, &m.from_scope) < 0 ||
	    parse(equals + 1, strlen(equals + 1), &family, m.to, &m.to_scope) < 0)
		return failed(ERR_PLAIN, "--map-address %s: must be OLD=NEW, two addresses", text);
	if (family != m.family)
		return failed(ERR_PLAIN, "--map-address %s: both must be IPv4, or both IPv6", text);
	if (!is_one(m.family, m.from) || !is_one(m.family, m.to))
		return failed(ERR_PLAIN, "--map-address %s: is no address of one machine", text);
	for (other = o->moved; other < o->moved + o->nmoved; other++)
		if (other->family == m.family && other->from_scope == m.from_scope && !memcmp(other->from, m.from, size_of(m.family)))
			return failed(ERR_PLAIN, "--map-address %s: and %s", text, other->text);
	if (o->nmoved == MOVED_MAX)
		return failed(ERR_PLAIN, "--map-address: more than %d", MOVED_MAX);
	o->moved[o->nmoved++] = m;
	return 0;
}

/* Which of them an object has is told by --plan. */
static void note(struct rebuild *rb, uint32_t obj, const struct moved *m)
{
	uint32_t i = (uint32_t)(m - rb->options->moved);

	rb->moved[obj] |= 1ull << i;
}

bool rebuild_address(struct rebuild *rb, uint32_t obj, int family, void *address, uint32_t *scope)
{
	const struct moved *m;

	for (m = rb->options->moved; m < rb->options->moved + rb->options->nmoved; m++) {
		if (m->family != family || memcmp(m->from, address, size_of(family)) != 0 ||
		    (m->from_scope && scope && *scope != m->from_scope))
			continue;
		memcpy(address, m->to, size_of(family));
		if (scope && m->to_scope)
			*scope = m->to_scope;
		note(rb, obj, m);
		return true;
	}
	return false;
}

int address_apply(struct rebuild *rb)
{
	const struct image *image = rb->image;
	uint64_t met = 0;
	int rc = 0;

	if (!rb->options->nmoved)
		return 0;
	rb->moved = calloc(image->nobjects + 1, sizeof(*rb->moved));
	if (!rb->moved)
		return failed(-ENOMEM, "memory for %u objects", image->nobjects);
	for (uint32_t i = 0; i < image->nobjects && rc >= 0; i++) {
		const struct image_object *o = &image->objects[i];

		if (o->kind->readdress)
			rc = o->kind->readdress(rb, i, o->rec, o->lineage);
		met |= rb->moved[i];
	}
	for (int i = 0; i < rb->options->nmoved; i++)
		if (!(met >> i & 1))
			log_line(LOG_WARN, "--map-address %s: no socket has that address", rb->options->moved[i].text);
	return rc < 0 ? rc : 0;
}

void address_print(const struct rebuild *rb, uint32_t obj)
{
	for (int i = 0; rb->moved && i < rb->options->nmoved; i++)
		if (rb->moved[obj] >> i & 1)
			printf(", %s", rb->options->moved[i].text);
}
