/*
 * peeked_test.c - what was received of a queue between two looks
 */
#include <string.h>
#include <sys/mman.h>

#include "skshim/peeked.h"

#include "unit.h"

static struct tree *tree;
static struct arena arena;

static void begin(void)
{
	tree = mmap(NULL, sizeof(*tree), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert_ptr_ne(tree, MAP_FAILED);
	ck_assert_int_eq(arena_begin(&arena, 1 << 24), 0);
}

/* '.' is an empty packet, a letter one with that as its contents. */
static uint32_t packets(const char *text, struct peeked *out)
{
	uint32_t n;

	for (n = 0; text[n]; n++)
		out[n] = (struct peeked){ .len = text[n] != '.', .hash = (uint32_t)text[n], .detail = { text + n, text[n] == '.' } };
	return n;
}

/* As text: those seen before, those that show now; the numbers received that fit. */
static const struct {
	const char *before, *now;
	uint32_t fit[8];
} looks[] = {
	{ "", "", { 0 } },
	{ ".a.", ".a", { 0, 2, 3 } },
	{ ".a.", "a", { 1, 3 } },
	{ ".a.", ".", { 2, 3 } },
	{ ".a.", "", { 3 } },
	{ "...", ".", { 0, 1, 2, 3 } },
	{ "a.b.", "ab", { 0, 4 } },
	{ "a.b.", "b", { 2, 4 } },
	{ "a.b.", "bc.", { 2, 4 } },
	{ "a.b.", ".", { 3, 4 } },
	{ "a.a.", "a", { 2, 4 } },
	{ "a.a.", "aa", { 0, 2, 4 } },
	{ "a.a.", "b", { 4 } },
	{ "a.a.", ".a", { 1, 3, 4 } },
};

START_TEST(received)
{
	struct peeked before[8], now[8];

	for (size_t i = 0; i < sizeof(looks) / sizeof(*looks); i++) {
		uint32_t n = packets(looks[i].before, before), m = packets(looks[i].now, now), at = 0, k;

		for (k = 0; k <= n; k++) {
			k = peeked_received(before, n, now, m, k);
			ck_assert_msg(k == looks[i].fit[at], "%s, then %s: %u fits", looks[i].before, looks[i].now, k);
			at++;
		}
	}
}
END_TEST

static void load(uint64_t cookie, const char *want)
{
	struct peeked *list;
	int n = peeked_load(tree, cookie, &arena, &list);

	ck_assert_int_eq(n, (int)strlen(want));
	for (int i = 0; i < n; i++) {
		ck_assert_uint_eq(list[i].len, want[i] != '.');
		ck_assert_uint_eq(list[i].detail.n, want[i] == '.');
		if (want[i] == '.')
			ck_assert_mem_eq(list[i].detail.p, ".", 1);
		else
			ck_assert_uint_eq(list[i].hash, (uint32_t)want[i]);
	}
}

START_TEST(noted)
{
	struct peeked list[8];

	begin();
	load(5, "");
	ck_assert(peeked_store(tree, 5, list, packets("a.b", list)));
	ck_assert(peeked_store(tree, 6, list, packets("..", list)));
	load(5, "a.b");
	load(6, "..");
	ck_assert(peeked_store(tree, 5, list, packets(".c", list)));
	load(5, ".c");
	/* nothing hidden: nothing to know */
	ck_assert(peeked_store(tree, 5, list, packets("abc", list)));
	load(5, "");
	load(6, "..");
}
END_TEST

START_TEST(limits)
{
	static struct peeked many[TREE_QUEUE_ROOM];
	struct peeked list[8];
	uint32_t n = packets(".", list);

	begin();
	for (uint32_t i = 0; i < TREE_QUEUE_ROOM; i++)
		many[i] = list[0];
	ck_assert(!peeked_store(tree, 9, many, TREE_QUEUE_ROOM));
	load(9, "");
	for (uint64_t i = 1; i <= TREE_QUEUES; i++)
		ck_assert(peeked_store(tree, i, list, n));
	ck_assert(!peeked_store(tree, 1000, list, n));
	/* sockets that no checkpoint has met for a while are gone */
	tree->taken += 3;
	load(7, ".");
	tree->taken += 3;
	ck_assert(peeked_store(tree, 1000, list, n));
	load(1000, ".");
	load(7, ".");
	load(1, "");
}
END_TEST

/* Whatever another process has left there. */
START_TEST(damaged)
{
	struct peeked list[8], *out;

	begin();
	ck_assert(peeked_store(tree, 3, list, packets("a.", list)));
	for (uint32_t at = 0; at < 32; at++)
		for (int bit = 0; bit < 8; bit++) {
			tree->queues[0].rows[at] ^= (uint8_t)(1 << bit);
			ck_assert_int_le(peeked_load(tree, 3, &arena, &out), 2);
			tree->queues[0].rows[at] ^= (uint8_t)(1 << bit);
		}
	tree->queues[0].used = ~0u;
	ck_assert_int_eq(peeked_load(tree, 3, &arena, &out), 0);
}
END_TEST

UNIT_MAIN("peeked", received, noted, limits, damaged)
