/*
 * lineages.c - the table of struct lineage in a tree
 *
 * Three words tell the state of an entry: its bit in lineage_used (taken), its
 * cookie (complete), and the index's word (findable). They are set in that
 * order and cleared in the opposite one, so whoever dies in between leaves an
 * entry that nobody finds, never one that is found half filled.
 *
 * An index word is 15 bits of the cookie's hash and the entry's number plus one
 * in 17 bits. A word that was used and cleared stays as GONE, so that searches
 * go on behind it; a search looks at WINDOW words, and where these are all taken
 * at WINDOW words elsewhere, WINDOWS times: neighbours crowd, and some places
 * are full while the index is half empty.
 *
 * Entries are backed with memory 64 at a time, the index page by page, when
 * they are first needed: see treefile_populate().
 */

#include "skshim/lineages.h"
#include "skshim/str.h"
#include "skshim/sys.h"
#include "skshim/treefile.h"
#include "skshim/frozen.h"

#define WORDS (TREE_LINEAGES / 64)
#define WINDOW 32u
#define WINDOWS 8u
#define NUMBER_BITS 17u
#define NUMBER_MASK ((1u << NUMBER_BITS) - 1)
#define GONE 0xffffffffu

#define PER_PAGE ((uint32_t)(ARCH_PAGE / sizeof(uint32_t)))

_Static_assert(TREE_LINEAGES < NUMBER_MASK, "an entry's number plus one fits an index word");
_Static_assert((TREE_INDEX & (TREE_INDEX - 1)) == 0, "the index is a power of two");

/* Cookies are given out in a row: sixteen neighbours share a cache line of the index. */
static uint64_t hash_of(uint64_t cookie)
{
	uint64_t line = (cookie >> 4) * 0x9e3779b97f4a7c15ull;

	return (line ^ line >> 32) << 4 | (cookie & 15);
}

/* Where to look for a cookie in the i-th place. */
static uint32_t *place(struct tree *tree, uint64_t hash, uint32_t i)
{
	uint64_t window = i / WINDOW;

	if (window)
		hash = (hash + window) * 0xd6e8feb86659fd93ull >> 32;
	return &tree->lineage_index[(hash + i % WINDOW) % TREE_INDEX];
}

static uint32_t number_of(const struct tree *tree, const struct lineage *e)
{
	return (uint32_t)(e - tree->lineages);
}

static uint32_t word_of(uint64_t hash, uint32_t number)
{
	return (uint32_t)((hash >> 20) & 0x7fff) << NUMBER_BITS | (number + 1);
}

static bool chunk_ready(struct tree *tree, uint32_t w)
{
	return treefile_backed(&tree->lineage_ready[w], &tree->lineages[w * 64], 64 * sizeof(struct lineage));
}

static bool index_ready(struct tree *tree, uint32_t *at)
{
	uint32_t page = (uint32_t)(at - tree->lineage_index) / PER_PAGE;

	return treefile_backed(&tree->lineage_index_ready[page], &tree->lineage_index[page * PER_PAGE], ARCH_PAGE);
}

static void unclaim(struct tree *tree, uint32_t n)
{
	uint32_t w = n / 64;

	__atomic_fetch_and(&tree->lineage_used[w], ~(1ull << (n % 64)), __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&tree->nlineages, 1, __ATOMIC_RELAXED);
	if (w < __atomic_load_n(&tree->lineage_hint, __ATOMIC_RELAXED))
		__atomic_store_n(&tree->lineage_hint, w, __ATOMIC_RELAXED);
}

struct lineage *lineages_claim(struct tree *tree)
{
	uint32_t start = __atomic_load_n(&tree->lineage_hint, __ATOMIC_RELAXED) % WORDS;
	uint32_t i, w;

	for (i = 0; i < WORDS; i++) {
		uint64_t word;

		w = (start + i) % WORDS;
		word = __atomic_load_n(&tree->lineage_used[w], __ATOMIC_RELAXED);
		while (word != ~0ull) {
			uint32_t bit = (uint32_t)__builtin_ctzll(~word);

			if (!chunk_ready(tree, w))
				break;
			if (!__atomic_compare_exchange_n(&tree->lineage_used[w], &word, word | 1ull << bit, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
				continue;
			__atomic_fetch_add(&tree->nlineages, 1, __ATOMIC_RELAXED);
			if (i)
				__atomic_store_n(&tree->lineage_hint, w, __ATOMIC_RELAXED);
			return &tree->lineages[w * 64 + bit];
		}
	}
	return NULL;
}

bool lineages_publish(struct tree *tree, struct lineage *e, uint64_t cookie)
{
	uint32_t number = number_of(tree, e);
	uint64_t hash = hash_of(cookie);
	uint32_t word = word_of(hash, number), i;

	__atomic_store_n(&e->cookie, cookie, __ATOMIC_RELEASE);
	for (i = 0; i < WINDOWS * WINDOW; i++) {
		uint32_t *at = place(tree, hash, i), old;

		if (!index_ready(tree, at))
			continue;
		old = __atomic_load_n(at, __ATOMIC_RELAXED);
		if ((old == 0 || old == GONE) &&
		    __atomic_compare_exchange_n(at, &old, word, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return true;
	}
	__atomic_store_n(&e->cookie, 0, __ATOMIC_RELEASE);
	unclaim(tree, number);
	return false;
}

/* The index's word for a cookie, and its entry; NULL when there is none. */
static uint32_t *find(struct tree *tree, uint64_t cookie, struct lineage **entry)
{
	uint64_t hash = hash_of(cookie);
	uint32_t i;

	for (i = 0; i < WINDOWS * WINDOW; i++) {
		uint32_t *at = place(tree, hash, i), word, number;

		if (!index_ready(tree, at))
			continue;
		word = __atomic_load_n(at, __ATOMIC_ACQUIRE);
		number = (word & NUMBER_MASK) - 1;
		if (word == 0)
			return NULL;
		if (word == GONE || number >= TREE_LINEAGES || word != word_of(hash, number))
			continue;
		if (__atomic_load_n(&tree->lineages[number].cookie, __ATOMIC_ACQUIRE) == cookie) {
			*entry = &tree->lineages[number];
			return at;
		}
	}
	return NULL;
}

struct lineage *lineages_lookup(struct tree *tree, uint64_t cookie)
{
	struct lineage *e;

	return cookie && find(tree, cookie, &e) ? e : NULL;
}

void lineages_free(struct tree *tree, struct lineage *e, uint64_t cookie)
{
	struct lineage *found;
	uint32_t *at = find(tree, cookie, &found);
	uint32_t word;

	if (at && found == e) {
		word = word_of(hash_of(cookie), number_of(tree, e));
		__atomic_compare_exchange_n(at, &word, GONE, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	/* Whoever takes the cookie away gives the entry back. */
	if (__atomic_compare_exchange_n(&e->cookie, &cookie, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		unclaim(tree, number_of(tree, e));
}

struct lineage *lineages_next(struct tree *tree, uint32_t *at)
{
	while (*at < TREE_LINEAGES) {
		uint64_t word = __atomic_load_n(&tree->lineage_used[*at / 64], __ATOMIC_ACQUIRE) >> (*at % 64);
		struct lineage *e;

		if (!word) {
			*at = (*at / 64 + 1) * 64;
			continue;
		}
		*at += (uint32_t)__builtin_ctzll(word);
		e = &tree->lineages[(*at)++];
		if (__atomic_load_n(&e->cookie, __ATOMIC_ACQUIRE))
			return e;
	}
	return NULL;
}

/*
 * The sequence lock of one entry. A writer that died, or that stands still in
 * a signal handler on this very stack, would hold it forever; so after a while
 * it is taken over. The entry is a hint: two writers at once cost a name, which
 * the kernel knows too.
 */
uint32_t lineages_begin(struct lineage *e, enum lineage_part part)
{
	uint32_t seq = __atomic_load_n(&e->seq, __ATOMIC_ACQUIRE), odd;
	int tries;

	for (tries = 0;; tries++) {
		odd = seq & 1 ? seq + 2 : seq + 1;
		if (seq & 1 && tries < 200) {
			__builtin_ia32_pause();
			seq = __atomic_load_n(&e->seq, __ATOMIC_ACQUIRE);
			continue;
		}
		if (__atomic_compare_exchange_n(&e->seq, &seq, odd, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
			break;
	}
	__atomic_store_n(&e->part, part, __ATOMIC_SEQ_CST);
	return odd;
}

void lineages_end(struct lineage *e, uint32_t ticket)
{
	__atomic_compare_exchange_n(&e->seq, &ticket, ticket + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

bool lineages_copy(const struct lineage *e, uint64_t cookie, struct lineage *out)
{
	uint32_t before, after;
	int tries;

	for (tries = 0; tries < 200; tries++) {
		before = __atomic_load_n(&e->seq, __ATOMIC_ACQUIRE);
		memcpy(out, e, lineage_size(e));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		after = __atomic_load_n(&e->seq, __ATOMIC_RELAXED);
		if (before == after && !(before & 1))
			break;
		__builtin_ia32_pause();
	}
	if (tries == 200) {
		/* Its writer stands still, dead or stopped: the rest of the entry is whole. */
		switch ((enum lineage_part)out->part) {
		case LINEAGE_PART_BOUND:
			out->bound_len = 0;
			out->cwd_len = 0;
			out->file_dev = out->file_ino = 0;
			out->file_anchor = -1;
			break;
		case LINEAGE_PART_PEER:
			out->peer_len = 0;
			break;
		case LINEAGE_PART_NOTES:
			out->notes_lost++;
			out->notes_len = 0;
			break;
		default:
			break;
		}
	}
	return out->cookie == cookie;
}
