/*
 * joins.c - which object is joined to which
 *
 * Peers can't always be named by a record: two processes describe themselves
 * without asking each other. What they share tells: a unix socket the inode of
 * its peer, the two ends of a pipe their inode, two inet sockets each other's
 * addresses. All of it is found with one sorted table of keys.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"

/* What an object is found by. */
struct join_key {
	const struct kind *kind;
	uint64_t number;             /* inode; 0 when it has names */
	struct blob name, peer;
	uint32_t obj;
};

static int join_blob(struct blob a, struct blob b)
{
	uint64_t n = a.n < b.n ? a.n : b.n;
	int rc = n ? memcmp(a.p, b.p, n) : 0;

	return rc ? rc : (a.n > b.n) - (a.n < b.n);
}

static int join_compare(const void *a, const void *b)
{
	const struct join_key *x = a, *y = b;
	int rc = strcmp(x->kind->tag, y->kind->tag);

	if (rc == 0)
		rc = (x->number > y->number) - (x->number < y->number);
	if (rc == 0)
		rc = join_blob(x->name, y->name);
	return rc ? rc : join_blob(x->peer, y->peer);
}

/* The key an object is found by; false when nothing can be joined to it. */
static bool join_own(const struct image_object *o, struct join_key *k)
{
	int64_t ino = 0;

	*k = (struct join_key){ .kind = o->kind };
	if (strcmp(o->kind->tag, "unix") == 0 || strcmp(o->kind->tag, "pipe") == 0) {
		record_number(o->kind->fields, o->rec, "ino", &ino);
		k->number = (uint64_t)ino;
		return ino != 0;
	}
	return o->common->cookie != 0 && record_blob(o->kind->fields, o->rec, "name", &k->name) &&
	       record_blob(o->kind->fields, o->rec, "peer_name", &k->peer) && k->name.n > 0 && k->peer.n > 0;
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

/* The first object with the key that isn't `not`. */
static uint32_t join_find(const struct join_key *keys, size_t n, const struct join_key *want, uint32_t not)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (join_compare(&keys[mid], want) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < n && join_compare(&keys[low], want) == 0; low++)
		if (keys[low].obj != not)
			return keys[low].obj;
	return OBJ_NONE;
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
	if (keys == NULL || in->joined == NULL) {
		free(keys);
		return failed(-ENOMEM, "inspect");
	}
	for (uint32_t i = 0; i < image->nobjects; i++)
		if (join_own(&image->objects[i], &keys[n]))
			keys[n++].obj = i;
	qsort(keys, n, sizeof(*keys), join_compare);
	for (uint32_t i = 0; i < image->nobjects; i++) {
		in->joined[i] = OBJ_NONE;
		if (join_own(&image->objects[i], &own) && join_other(&image->objects[i], &own, &other))
			in->joined[i] = join_find(keys, n, &other, i);
	}
	free(keys);
	return joins_cookies(in);
}
