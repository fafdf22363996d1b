/*
 * joins.c - which object is joined to which
 *
 * Peers can't always be named by a record: two processes describe themselves
 * without asking each other. What they share tells: a unix socket the inode of
 * its peer, the two ends of a pipe their inode, two inet sockets each other's
 * addresses. All of it is found with one sorted table of keys.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"

/* Address and port. */
struct join_address {
	uint8_t bytes[18];
};

/* What an object is found by. */
struct join_key {
	const struct kind *kind;
	uint64_t number;             /* inode; 0 when it has addresses */
	struct join_address name, peer;
	uint32_t obj;
};

/* IPv4 as the IPv6 socket on the other side sees it. False when it is no internet address. */
static bool join_address(struct blob b, struct join_address *out)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	memset(out, 0, sizeof(*out));
	if (b.n == sizeof(in) && (memcpy(&in, b.p, b.n), in.sin_family == AF_INET)) {
		out->bytes[10] = out->bytes[11] = 0xff;
		memcpy(out->bytes + 12, &in.sin_addr, 4);
		memcpy(out->bytes + 16, &in.sin_port, 2);
		return in.sin_port != 0;
	}
	if (b.n == sizeof(in6) && (memcpy(&in6, b.p, b.n), in6.sin6_family == AF_INET6)) {
		memcpy(out->bytes, &in6.sin6_addr, 16);
		memcpy(out->bytes + 16, &in6.sin6_port, 2);
		return in6.sin6_port != 0;
	}
	return false;
}

static int join_compare(const void *a, const void *b)
{
	const struct join_key *x = a, *y = b;
	int rc = strcmp(x->kind->tag, y->kind->tag);

	if (rc == 0)
		rc = (x->number > y->number) - (x->number < y->number);
	if (rc == 0)
		rc = memcmp(&x->name, &y->name, sizeof(x->name));
	return rc ? rc : memcmp(&x->peer, &y->peer, sizeof(x->peer));
}

/* The key an object is found by; false when nothing can be joined to it. */
static bool join_own(const struct image_object *o, struct join_key *k)
{
	struct blob name, peer;
	int64_t ino = 0;

	*k = (struct join_key){ .kind = o->kind };
	if (strcmp(o->kind->tag, "unix") == 0 || strcmp(o->kind->tag, "pipe") == 0) {
		record_number(o->kind->fields, o->rec, "ino", &ino);
		k->number = (uint64_t)ino;
		return ino != 0;
	}
	return o->common->cookie != 0 && record_blob(o->kind->fields, o->rec, "name", &name) &&
	       record_blob(o->kind->fields, o->rec, "peer", &peer) && join_address(name, &k->name) &&
	       join_address(peer, &k->peer);
}

/* The key its peer would have. */
static bool join_other(const struct image_object *o, const struct join_key *own, struct join_key *k)
{
	int64_t peer = 0;

	*k = *own;
	if (strcmp(o->kind->tag, "pipe") == 0)
		return true;
	if (strcmp(o->kind->tag, "unix") == 0) {
		record_number(o->kind->fields, o->rec, "peer", &peer);
		k->number = (uint64_t)peer;
		return peer != 0;
	}
	k->name = own->peer;
	k->peer = own->name;
	return true;
}

static bool join_same(const struct join_key *a, const struct join_key *b, bool any_peer)
{
	if (any_peer)
		return a->kind == b->kind && a->number == b->number && memcmp(&a->name, &b->name, sizeof(a->name)) == 0;
	return join_compare(a, b) == 0;
}

/* The first object with the key that isn't `not`; any_peer: only its own name matters. */
static uint32_t join_find(const struct join_key *keys, size_t n, const struct join_key *want, uint32_t not,
			  bool any_peer)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (join_compare(&keys[mid], want) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < n && join_same(&keys[low], want, any_peer); low++)
		if (keys[low].obj != not)
			return keys[low].obj;
	return OBJ_NONE;
}

/* Who waits in a listener's backlog: the record names the clients by inode or by address. */
static void join_pending(struct inspect *in, const struct join_key *keys, size_t n, uint32_t obj)
{
	const struct image_object *o = &in->image.objects[obj];
	const struct field *f = record_field(o->kind->fields, "pending", FIELD_LIST_T);
	const struct list *l = f ? (const void *)((const char *)o->rec + f->offset) : NULL;

	for (uint32_t i = 0; l != NULL && i < l->n; i++) {
		const char *item = (const char *)l->items + (size_t)i * f->size;
		struct join_key want = { .kind = o->kind };
		struct blob address;
		int64_t ino = 0;
		uint32_t client;

		if (record_number(f->sub, item, "client", &ino))
			want.number = (uint64_t)ino;
		else if (!record_blob(f->sub, item, "client", &address) || !join_address(address, &want.name))
			continue;
		client = join_find(keys, n, &want, obj, ino == 0);
		if (client != OBJ_NONE)
			in->waits[client] = obj;
	}
}

/* Notes whose queue or backlog an object of a list is in. */
static void carry(struct inspect *in, const struct field *f, const void *rec, uint32_t obj, bool backlog)
{
	const struct list *l = (const void *)((const char *)rec + f->offset);
	const struct field *o = record_field(f->sub, "obj", FIELD_OBJ_T);

	for (uint32_t i = 0; o != NULL && i < l->n; i++) {
		uint32_t carried = *(const uint32_t *)((const char *)l->items + (size_t)i * f->size + o->offset);

		if (carried >= in->image.nobjects || in->carrier[carried] != OBJ_NONE)
			continue;
		in->carrier[carried] = obj;
		in->backlog[carried] = backlog;
	}
}

/* Descriptors in messages, and connections that were looked into. */
static void join_carriers(struct inspect *in, uint32_t obj)
{
	const struct image_object *o = &in->image.objects[obj];
	const struct field *pending = record_field(o->kind->fields, "pending", FIELD_LIST_T);
	const struct field *queue = record_field(o->kind->fields, "queue", FIELD_LIST_T);
	const struct field *rights = queue ? record_field(queue->sub, "rights", FIELD_LIST_T) : NULL;
	const struct list *l = queue ? (const void *)((const char *)o->rec + queue->offset) : NULL;

	if (pending != NULL)
		carry(in, pending, o->rec, obj, true);
	for (uint32_t i = 0; rights != NULL && i < l->n; i++)
		carry(in, rights, (const char *)l->items + (size_t)i * queue->size, obj, false);
}

static uint64_t cookie_of(const struct image *image, uint32_t obj)
{
	return image->objects[obj].common->cookie;
}

static int cookie_compare(const void *a, const void *b, void *image)
{
	uint64_t x = cookie_of(image, *(const uint32_t *)a), y = cookie_of(image, *(const uint32_t *)b);

	return (x > y) - (x < y);
}

uint32_t inspect_cookie(const struct inspect *in, uint64_t cookie)
{
	uint32_t low = 0, high = in->ncookies;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (cookie_of(&in->image, in->by_cookie[mid]) < cookie)
			low = mid + 1;
		else
			high = mid;
	}
	if (cookie == 0 || low == in->ncookies || cookie_of(&in->image, in->by_cookie[low]) != cookie)
		return OBJ_NONE;
	return in->by_cookie[low];
}

static int joins_cookies(struct inspect *in)
{
	in->by_cookie = malloc((in->image.nobjects + 1) * sizeof(*in->by_cookie));
	if (in->by_cookie == NULL)
		return failed(-ENOMEM, "inspect");
	for (uint32_t i = 0; i < in->image.nobjects; i++)
		if (cookie_of(&in->image, i) != 0)
			in->by_cookie[in->ncookies++] = i;
	qsort_r(in->by_cookie, in->ncookies, sizeof(*in->by_cookie), cookie_compare, &in->image);
	return 0;
}

int joins_make(struct inspect *in)
{
	const struct image *image = &in->image;
	struct join_key *keys = calloc(image->nobjects + 1, sizeof(*keys)), own, other;
	size_t n = 0;

	in->joined = malloc((image->nobjects + 1) * sizeof(*in->joined));
	in->waits = malloc((image->nobjects + 1) * sizeof(*in->waits));
	in->carrier = malloc((image->nobjects + 1) * sizeof(*in->carrier));
	in->backlog = calloc(image->nobjects + 1, sizeof(*in->backlog));
	if (keys == NULL || in->joined == NULL || in->waits == NULL || in->carrier == NULL || in->backlog == NULL) {
		free(keys);
		return failed(-ENOMEM, "inspect");
	}
	for (uint32_t i = 0; i < image->nobjects; i++)
		if (join_own(&image->objects[i], &keys[n]))
			keys[n++].obj = i;
	qsort(keys, n, sizeof(*keys), join_compare);
	for (uint32_t i = 0; i < image->nobjects; i++) {
		in->joined[i] = in->waits[i] = in->carrier[i] = OBJ_NONE;
		if (join_own(&image->objects[i], &own) && join_other(&image->objects[i], &own, &other))
			in->joined[i] = join_find(keys, n, &other, i, false);
	}
	for (uint32_t i = 0; i < image->nobjects; i++)
		join_pending(in, keys, n, i);
	for (uint32_t i = 0; i < image->nobjects; i++)
		join_carriers(in, i);
	/* a client that isn't accepted doesn't know its peer, which knows it */
	for (uint32_t i = 0; i < image->nobjects; i++)
		if (in->backlog[i] && in->joined[i] != OBJ_NONE && in->joined[in->joined[i]] == OBJ_NONE)
			in->joined[in->joined[i]] = i;
	free(keys);
	return joins_cookies(in);
}
