/*
 * lineages_test.c - the table of lineages
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "skshim/lineages.h"

#include "unit.h"

static struct tree *tree;

static void begin(void)
{
	tree = mmap(NULL, sizeof(*tree), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert_ptr_ne(tree, MAP_FAILED);
}

static struct lineage *put(uint64_t cookie)
{
	struct lineage *e = lineages_claim(tree);

	ck_assert_ptr_nonnull(e);
	e->pid = (int)cookie;
	ck_assert(lineages_publish(tree, e, cookie));
	return e;
}

START_TEST(find_and_free)
{
	struct lineage *a, *b, out;

	begin();
	a = put(1000);
	b = put(1001);
	ck_assert_ptr_eq(lineages_lookup(tree, 1000), a);
	ck_assert_ptr_eq(lineages_lookup(tree, 1001), b);
	ck_assert_ptr_null(lineages_lookup(tree, 1002));
	ck_assert_ptr_null(lineages_lookup(tree, 0));
	ck_assert(lineages_copy(a, 1000, &out));
	ck_assert_int_eq(out.pid, 1000);
	lineages_free(tree, a, 1000);
	ck_assert_ptr_null(lineages_lookup(tree, 1000));
	ck_assert_ptr_eq(lineages_lookup(tree, 1001), b);
	ck_assert(!lineages_copy(a, 1000, &out));
	/* a second time, or by a stranger: nothing happens */
	lineages_free(tree, a, 1000);
	lineages_free(tree, b, 1000);
	ck_assert_ptr_eq(lineages_lookup(tree, 1001), b);
	ck_assert_uint_eq(tree->nlineages, 1);
}
END_TEST

START_TEST(unpublished_is_not_found)
{
	struct lineage *e;
	uint32_t at = 0;

	begin();
	e = lineages_claim(tree);
	e->cookie = 0;
	ck_assert_ptr_null(lineages_next(tree, &at));
	ck_assert(lineages_publish(tree, e, 5));
	at = 0;
	ck_assert_ptr_eq(lineages_next(tree, &at), e);
	ck_assert_ptr_null(lineages_next(tree, &at));
}
END_TEST

/* A program that makes and closes sockets forever stays in a few entries. */
START_TEST(reuses_the_lowest)
{
	struct lineage *keep[10], *e;

	begin();
	for (uint64_t i = 0; i < 10; i++)
		keep[i] = put(i + 1);
	for (uint64_t i = 100; i < 200000; i++) {
		e = put(i);
		ck_assert_int_lt(e - tree->lineages, 64);
		lineages_free(tree, e, i);
	}
	for (uint64_t i = 0; i < 10; i++)
		ck_assert_ptr_eq(lineages_lookup(tree, i + 1), keep[i]);
}
END_TEST

START_TEST(full)
{
	uint32_t n = 0, at = 0;

	begin();
	for (uint64_t i = 1; i <= TREE_LINEAGES; i++)
		put(i * 3);
	ck_assert_ptr_null(lineages_claim(tree));
	for (uint64_t i = 1; i <= TREE_LINEAGES; i++)
		ck_assert_ptr_nonnull(lineages_lookup(tree, i * 3));
	while (lineages_next(tree, &at))
		n++;
	ck_assert_uint_eq(n, TREE_LINEAGES);
	lineages_free(tree, lineages_lookup(tree, 300), 300);
	ck_assert_ptr_nonnull(put(301));
	ck_assert_ptr_null(lineages_lookup(tree, 300));
}
END_TEST

/* Cookies are given out in a row, and many sockets have come and gone: none of those that live is lost. */
START_TEST(crowded)
{
	const uint64_t n = TREE_LINEAGES - 64;

	for (uint64_t base = 1; base < 1000000000; base *= 1000) {
		begin();
		for (uint64_t i = 0; i < 8 * n; i++) {
			if (i >= n && i % 8)
				continue; /* closed as they were made */
			if (i >= n)
				lineages_free(tree, lineages_lookup(tree, base + i / 8 - n / 8), base + i / 8 - n / 8);
			ck_assert_ptr_nonnull(put(base + i));
		}
		for (uint64_t i = n; i < 8 * n; i += 8)
			ck_assert_ptr_nonnull(lineages_lookup(tree, base + i));
		munmap(tree, sizeof(*tree));
	}
}
END_TEST

START_TEST(parts)
{
	struct lineage *e, out;
	uint32_t first, second;

	begin();
	e = put(77);
	e->bound_len = 3;
	e->peer_len = 4;
	first = lineages_begin(e, LINEAGE_PART_PEER);
	ck_assert(lineages_copy(e, 77, &out));
	ck_assert_uint_eq(out.bound_len, 3);
	ck_assert_uint_eq(out.peer_len, 0);
	/* its writer is gone: the next takes over, and the first no longer counts */
	second = lineages_begin(e, LINEAGE_PART_BOUND);
	lineages_end(e, first);
	ck_assert(lineages_copy(e, 77, &out));
	ck_assert_uint_eq(out.bound_len, 0);
	ck_assert_uint_eq(out.peer_len, 4);
	lineages_end(e, second);
	ck_assert(lineages_copy(e, 77, &out));
	ck_assert_uint_eq(out.bound_len, 3);
	ck_assert_uint_eq(out.peer_len, 4);
}
END_TEST

static void worker(uint64_t first)
{
	struct lineage out, *e;

	for (uint64_t round = 0; round < 200; round++) {
		for (uint64_t i = 0; i < 100; i++) {
			uint64_t cookie = first + round * 100 + i;

			e = lineages_claim(tree);
			if (!e)
				_exit(1);
			e->pid = (int)cookie;
			if (!lineages_publish(tree, e, cookie))
				_exit(2);
		}
		for (uint64_t i = 0; i < 100; i++) {
			uint64_t cookie = first + round * 100 + i;

			e = lineages_lookup(tree, cookie);
			if (!e || !lineages_copy(e, cookie, &out) || out.pid != (int)cookie)
				_exit(3);
			lineages_free(tree, e, cookie);
		}
	}
	_exit(0);
}

START_TEST(processes)
{
	int status;

	begin();
	for (uint64_t i = 0; i < 4; i++)
		if (fork() == 0)
			worker(1 + i * 1000000);
	for (int i = 0; i < 4; i++) {
		wait(&status);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_uint_eq(tree->nlineages, 0);
}
END_TEST

/* Killed anywhere: what is found is whole, and the table goes on working. */
START_TEST(killed)
{
	begin();
	for (int i = 0; i < 30; i++) {
		pid_t pid = fork();
		struct lineage *e, out;
		uint32_t at = 0;

		if (pid == 0)
			for (;;)
				worker(1 + (uint64_t)i * 1000000);
		usleep(1000 + (unsigned)i * 100);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while ((e = lineages_next(tree, &at)))
			if (lineages_lookup(tree, e->cookie) == e && lineages_copy(e, e->cookie, &out))
				ck_assert_int_eq(out.pid, (int)out.cookie);
	}
	put(999999999);
}
END_TEST

UNIT_MAIN("lineages", find_and_free, unpublished_is_not_found, reuses_the_lowest, full, crowded, parts, processes, killed)
