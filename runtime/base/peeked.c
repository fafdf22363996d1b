/*
 * peeked.c - queues with empty packets, noted in the tree's shared memory
 *
 * One look at a socket's queue is made at a time (socket_lock() in kinds), so an
 * entry has one user; entries are claimed by their cookie. One that no checkpoint
 * has asked about for a while belongs to a socket that is gone, and is taken over.
 */
#include <asm/errno.h>

#include "skshim/peeked.h"
#include "skshim/treefile.h"

#include "skshim/frozen.h"

#define STALE 4              /* checkpoints */

/* Before each packet's detail, which is padded to 4 bytes. */
struct row {
	uint32_t len, hash, detail;
};

uint32_t peeked_hash(uint32_t hash, const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n--)
		hash = (hash ^ *b++) * 16777619u;
	return hash;
}

static struct tree_queue *find(struct tree *t, uint64_t cookie)
{
	uint32_t i;

	for (i = 0; i < TREE_QUEUES; i++)
		if (__atomic_load_n(&t->queues_ready[i], __ATOMIC_ACQUIRE) == 1 &&
		    __atomic_load_n(&t->queues[i].cookie, __ATOMIC_ACQUIRE) == cookie)
			return &t->queues[i];
	return NULL;
}

static struct tree_queue *claim(struct tree *t, uint64_t cookie)
{
	struct tree_queue *q = find(t, cookie);
	uint32_t i;

	for (i = 0; !q && i < TREE_QUEUES; i++) {
		uint64_t old;

		if (!treefile_backed(&t->queues_ready[i], &t->queues[i], sizeof(t->queues[i])))
			break;
		old = __atomic_load_n(&t->queues[i].cookie, __ATOMIC_ACQUIRE);
		if (old && t->taken - t->queues[i].taken < STALE)
			continue;
		if (__atomic_compare_exchange_n(&t->queues[i].cookie, &old, cookie, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			q = &t->queues[i];
	}
	return q;
}

int peeked_load(struct tree *t, uint64_t cookie, struct arena *arena, struct peeked **list)
{
	struct tree_queue *q = t && cookie ? find(t, cookie) : NULL;
	uint32_t at = 0, i;
	struct row row;

	*list = NULL;
	if (!q || !q->n || q->used > TREE_QUEUE_ROOM)
		return 0;
	*list = arena_alloc(arena, q->n * sizeof(**list));
	if (!*list)
		return -ENOMEM;
	for (i = 0; i < q->n; i++) {
		if (at + sizeof(row) > q->used)
			return 0;
		memcpy(&row, q->rows + at, sizeof(row));
		at += (uint32_t)sizeof(row);
		if (row.detail > q->used - at)
			return 0;
		(*list)[i] = (struct peeked){ row.len, row.hash, arena_blob(arena, q->rows + at, row.detail) };
		at += (row.detail + 3) & ~3u;
	}
	q->taken = t->taken;
	return (int)q->n;
}

static void forget(struct tree *t, uint64_t cookie)
{
	struct tree_queue *q = find(t, cookie);

	if (!q)
		return;
	q->n = 0;
	__atomic_store_n(&q->cookie, 0, __ATOMIC_RELEASE);
}

bool peeked_store(struct tree *t, uint64_t cookie, const struct peeked *list, uint32_t n)
{
	struct tree_queue *q;
	uint32_t i, size = 0, empty = 0;

	if (!t || !cookie)
		return false;
	for (i = 0; i < n; i++) {
		empty += !list[i].len;
		size += (uint32_t)sizeof(struct row) + (((uint32_t)list[i].detail.n + 3) & ~3u);
	}
	q = empty && size <= TREE_QUEUE_ROOM ? claim(t, cookie) : NULL;
	if (!q) {
		forget(t, cookie);
		return !empty;
	}
	q->n = 0;
	for (i = 0, size = 0; i < n; i++) {
		struct row row = { list[i].len, list[i].hash, (uint32_t)list[i].detail.n };

		memcpy(q->rows + size, &row, sizeof(row));
		size += (uint32_t)sizeof(row);
		if (row.detail)
			memcpy(q->rows + size, list[i].detail.p, row.detail);
		size += (row.detail + 3) & ~3u;
	}
	q->used = size;
	q->taken = t->taken;
	q->n = n;
	return true;
}

/* Whether what is left of `before` behind the first k is, as far as it shows, what `now` begins with. */
static bool fits(const struct peeked *before, uint32_t nbefore, const struct peeked *now, uint32_t nnow, uint32_t k)
{
	uint32_t at = 0;

	if (k < nbefore && (!nnow || !now[0].len != !before[k].len))
		return false;
	if (k < nbefore && !before[k].len)
		at++;
	for (; k < nbefore; k++) {
		if (!before[k].len)
			continue;
		if (at == nnow || now[at].len != before[k].len || now[at].hash != before[k].hash)
			return false;
		at++;
	}
	return true;
}

uint32_t peeked_received(const struct peeked *before, uint32_t nbefore, const struct peeked *now, uint32_t nnow, uint32_t from)
{
	while (from < nbefore && !fits(before, nbefore, now, nnow, from))
		from++;
	return from;
}
