/*
 * load_test.c - parts of the image's memory
 */
#include <string.h>

#include "runtime/restart/restart.h"

#include "unit.h"

#define PAGE ARCH_PAGE
#define MIB (1ul << 20)
#define BASE 0x7f0000000000ul        /* where a window begins */

static struct load load;

static struct run_record run(uint64_t start, uint64_t bytes, uint64_t at)
{
	return (struct run_record){ .start = start, .pages = bytes / PAGE, .at = at };
}

static void region(uint64_t start, uint64_t end, struct run_record *runs, uint32_t n, bool huge)
{
	struct vma_record v = { .start = start, .end = end };
	struct list list = { .items = runs, .n = n };

	ck_assert_int_eq(load_region(&load, &v, &list, huge), 0);
}

/* Every byte of the runs is read once, from where it stands. */
static void covers(const struct run_record *runs, uint32_t n)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < load.nparts; i++) {
		uint64_t offset = load.parts[i].offset;

		for (uint32_t k = 0; k < load.parts[i].nspans; k++) {
			const struct script_span *s = &load.spans[load.parts[i].spans + k];
			uint64_t at = s->at, left = s->bytes;

			while (left) {
				uint32_t r = 0;

				while (r < n && !(runs[r].start <= at && at < runs[r].start + runs[r].pages * PAGE))
					r++;
				ck_assert_uint_lt(r, n);
				ck_assert_uint_eq(offset, runs[r].at + (at - runs[r].start));
				at += PAGE;
				offset += PAGE;
				left -= PAGE;
				all += PAGE;
			}
		}
	}
	ck_assert_uint_eq(all, load.bytes);
	for (uint32_t r = 0; r < n; r++)
		all -= runs[r].pages * PAGE;
	ck_assert_uint_eq(all, 0);
}

START_TEST(one_span)
{
	struct run_record runs[] = { run(BASE, 4 * PAGE, 0), run(BASE + 4 * PAGE, 2 * PAGE, 4 * PAGE) };

	region(BASE, BASE + 16 * PAGE, runs, 2, true);
	ck_assert_uint_eq(load.nparts, 1);
	ck_assert_uint_eq(load.nspans, 1);
	ck_assert_uint_eq(load.parts[0].blocks, 0);
	covers(runs, 2);
}
END_TEST

/* Every other page, in two regions: one call. */
START_TEST(scattered)
{
	struct run_record runs[64];

	for (int i = 0; i < 64; i++)
		runs[i] = run(BASE + 2ul * i * PAGE, PAGE, i * PAGE);
	region(BASE, BASE + 64 * PAGE, runs, 64, true);
	region(BASE + 64 * PAGE, BASE + 128 * PAGE, runs, 64, true);
	ck_assert_uint_eq(load.nparts, 1);
	ck_assert_uint_eq(load.nspans, 64);
	covers(runs, 64);
}
END_TEST

/* What doesn't stand together in the file is read by itself. */
START_TEST(apart)
{
	struct run_record runs[] = { run(BASE, PAGE, 8 * PAGE), run(BASE + PAGE, PAGE, 0), run(BASE + 2 * PAGE, PAGE, PAGE) };

	region(BASE, BASE + 3 * PAGE, runs, 3, true);
	ck_assert_uint_eq(load.nparts, 2);
	ck_assert_uint_eq(load.parts[0].nspans, 1);
	ck_assert_uint_eq(load.parts[1].nspans, 1);
	ck_assert_uint_eq(load.parts[1].offset, 0);
	covers(runs, 3);
}
END_TEST

/* Blocks that are full, wholly inside the region, get huge pages, where it may have them. */
START_TEST(blocks)
{
	struct run_record runs[] = { run(BASE + PAGE, 6 * MIB - PAGE, 0), run(BASE + 6 * MIB, MIB, 6 * MIB - PAGE) };

	region(BASE, BASE + 8 * MIB, runs, 2, true);
	ck_assert_uint_eq(load.parts[0].huge, BASE);
	ck_assert_uint_eq(load.parts[0].blocks, 7);
	covers(runs, 2);
	memset(&load, 0, sizeof(load));
	region(BASE + PAGE, BASE + 8 * MIB, runs, 2, true);
	ck_assert_uint_eq(load.parts[0].blocks, 6);
	memset(&load, 0, sizeof(load));
	region(BASE, BASE + 8 * MIB, runs, 2, false);
	ck_assert_uint_eq(load.parts[0].blocks, 0);
}
END_TEST

/* A run that is larger than a part, and one that begins in the midst of one. */
START_TEST(windows)
{
	struct run_record runs[] = { run(BASE + 3 * MIB, 200 * MIB, PAGE) };

	region(BASE, BASE + 256 * MIB, runs, 1, true);
	ck_assert_uint_gt(load.nparts, 3);
	ck_assert_uint_eq(load.parts[0].blocks & 3, 0);
	for (uint32_t i = 0; i < load.nparts; i++)
		ck_assert_uint_eq(load.parts[i].huge % (4 * MIB), 0);
	covers(runs, 1);
}
END_TEST

/* A run that goes on in the next region. */
START_TEST(two_regions)
{
	struct run_record runs[] = { run(BASE, 8 * PAGE, 0) };

	region(BASE, BASE + 4 * PAGE, runs, 1, true);
	region(BASE + 4 * PAGE, BASE + 8 * PAGE, runs, 1, true);
	ck_assert_uint_eq(load.nparts, 1);
	covers(runs, 1);
}
END_TEST

START_TEST(run_at)
{
	struct run_record runs[] = { run(BASE, 2 * PAGE, 0), run(BASE + 4 * PAGE, PAGE, 2 * PAGE) };
	struct list list = { .items = runs, .n = 2 };

	ck_assert_uint_eq(load_run_at(&list, 0), 0);
	ck_assert_uint_eq(load_run_at(&list, BASE + PAGE), 0);
	ck_assert_uint_eq(load_run_at(&list, BASE + 2 * PAGE), 1);
	ck_assert_uint_eq(load_run_at(&list, BASE + 5 * PAGE), 2);
}
END_TEST

UNIT_MAIN("load", one_span, scattered, apart, blocks, windows, two_regions, run_at)
