/*
 * empties.c - empty packets in a queue that don't show any more
 *
 * What an earlier look saw (skshim/peeked.h) and what shows now become one
 * list. Where more than one number of packets may have been received in between,
 * because they are alike, what the kernel charges for the queue tells how many
 * empty ones are left.
 */
#include <asm/errno.h>

#include "skshim/peeked.h"
#include "socket.h"

#include "skshim/frozen.h"

#define UNKNOWN (~0u)

static uint32_t count_empty(const struct peeked *list, uint32_t from, uint32_t n)
{
	uint32_t found = 0, i;

	for (i = from; i < n; i++)
		found += !list[i].len;
	return found;
}

/* How many empty packets the charge speaks of. */
static uint32_t charged_for(const struct empties *e)
{
	uint64_t left = e->charge, one = 0, none = e->charge ? e->cost(e->p, 0) : 0;
	uint32_t i, last = 0;

	if (!none)
		return UNKNOWN;
	for (i = 0; i < e->n; i++) {
		if (!e->now[i].len)
			continue;
		if (e->now[i].len != last)
			one = e->cost(e->p, last = e->now[i].len);
		if (!one || one > left)
			return UNKNOWN;
		left -= one;
	}
	return left % none ? UNKNOWN : (uint32_t)(left / none);
}

/* Whether the head shows although it was seen before. */
static bool shows_again(const struct empties *e, const struct peeked *before, uint32_t k, uint32_t nbefore)
{
	return k < nbefore && !before[k].len && e->n && !e->now[0].len;
}

/*
 * How many of those seen before have been received. That more of them were, and
 * the same bytes were sent again, is no other answer.
 */
static uint32_t received(const struct empties *e, const struct peeked *before, uint32_t nbefore, uint32_t charged, bool *sure)
{
	uint32_t shown = count_empty(e->now, 0, e->n), first = UNKNOWN, k;
	bool other = false;

	for (k = peeked_received(before, nbefore, e->now, e->n, 0); k <= nbefore; k++) {
		k = peeked_received(before, nbefore, e->now, e->n, k);
		*sure = count_empty(before, k, nbefore) + shown - shows_again(e, before, k, nbefore) == charged;
		if (*sure)
			return k;
		other |= first != UNKNOWN && count_empty(before, first, k) == k - first;
		if (first == UNKNOWN)
			first = k;
	}
	*sure = charged == UNKNOWN && !other;
	return first;
}

/* One list out of what is left of `before`, and what shows and wasn't there. */
static int join(const struct empties *e, const struct peeked *before, uint32_t k, uint32_t nbefore, struct empties_packet **out)
{
	struct empties_packet *list = arena_alloc(e->c->arena, (nbefore - k + e->n + 1) * sizeof(*list));
	uint32_t at = 0, n = 0;

	if (!list)
		return -ENOMEM;
	for (; k < nbefore; k++) {
		bool again = n == 0 && shows_again(e, before, k, nbefore);

		list[n++] = before[k].len || again ? (struct empties_packet){ .shown = at++ } :
						    (struct empties_packet){ EMPTIES_HIDDEN, before[k].detail };
	}
	while (at < e->n)
		list[n++].shown = at++;
	*out = list;
	return (int)n;
}

/* Notes the list for the next look. */
static int store(const struct empties *e, const struct empties_packet *list, uint32_t n)
{
	struct peeked *all = arena_alloc(e->c->arena, (n + 1) * sizeof(*all));
	uint32_t i;

	if (!all)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		if (list[i].shown == EMPTIES_HIDDEN)
			all[i].detail = list[i].detail;
		else
			all[i] = e->now[list[i].shown];
	}
	if (!peeked_store(e->c->tree, e->p->cookie, all, n))
		collection_loss(e->c, e->p, "more packets in its queue than can be noted: the empty ones will be missing from the next "
					    "checkpoint on");
	return 0;
}

int empties_join(const struct empties *e, struct empties_packet **out)
{
	struct peeked *before;
	uint32_t charged = UNKNOWN, k;
	bool sure = true;
	int nbefore = peeked_load(e->c->tree, e->p->cookie, e->c->arena, &before), n, rc;

	if (nbefore < 0)
		return nbefore;
	if (nbefore || e->doubtful)
		charged = charged_for(e);
	k = received(e, before, (uint32_t)nbefore, charged, &sure);
	rc = n = join(e, before, k, (uint32_t)nbefore, out);
	if (rc < 0)
		return rc;
	if (nbefore || count_empty(e->now, 0, e->n))
		rc = store(e, *out, (uint32_t)n);
	if (!sure)
		collection_loss(e->c, e->p, "empty packets in its queue: how many there are, and where, isn't known");
	return rc < 0 ? rc : n;
}
