/*
 * load.c - the contents of memory: which bytes of the image go where, in parts
 *
 * Page faults, not bytes, are what a restart pays for. So blocks of 2 MiB that
 * are mostly in the image are made huge pages before their bytes are read:
 * one byte is touched, and MADV_COLLAPSE (Linux 6.1) gives the block a huge
 * page without leaving advice on the region as MADV_HUGEPAGE would. Where the
 * kernel has none, this has no effect. A huge page takes 0.2 to 0.5 ms, the
 * small ones it replaces 1 ms; but on a virtual machine that has given its free
 * memory back to the host, which is done in just these blocks, it takes 4 ms.
 * So the restorer looks at the processor time it took and goes on with small pages.
 *
 * A part is what stands together in the file, at most PART bytes, so that a part's
 * huge pages are still near the processor when they are read into, and that
 * several threads have something to do. Small runs are read with one call.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "restart.h"

#define HUGE (2ul << 20)
#define HUGE_NS 1000000ul
#define HUGE_OVER_NS 10000000ul
#define PART (32ul << 20)             /* a window of sixteen blocks */
#define LARGE (2 * PART)             /* where helpers are worth while */
#define HELPER_STACK 8192ul

/* First run that ends behind `at`. */
uint32_t load_run_at(const struct list *runs, uint64_t at)
{
	const struct run_record *r = runs->items;
	uint32_t low = 0, high = runs->n;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (r[mid].start + r[mid].pages * ARCH_PAGE <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int run_order(const void *a, const void *b)
{
	const struct run_record *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

void load_sort_runs(struct image_process *ip)
{
	/* what was copied before the fork stands first in the file */
	if (ip->runs.n)
		qsort(ip->runs.items, ip->runs.n, sizeof(struct run_record), run_order);
}

static int more(void **list, uint32_t n, uint32_t *room, size_t size)
{
	void *bigger;

	if (n < *room)
		return 0;
	bigger = realloc(*list, (*room * 2ul + 256) * size);
	if (!bigger)
		return failed(-ENOMEM, "memory for the list of pages");
	*list = bigger;
	*room = *room * 2 + 256;
	return 0;
}

static int new_part(struct load *l, uint64_t offset)
{
	int rc = more((void **)&l->parts, l->nparts, &l->room_parts, sizeof(*l->parts));

	if (rc == 0)
		l->parts[l->nparts++] = (struct script_part){ .offset = offset, .spans = l->nspans };
	l->part_bytes = 0;
	return rc;
}

static int new_span(struct load *l, uint64_t at, uint64_t bytes)
{
	int rc = more((void **)&l->spans, l->nspans, &l->room_spans, sizeof(*l->spans));

	if (rc == 0) {
		l->spans[l->nspans++] = (struct script_span){ at, bytes };
		l->parts[l->nparts - 1].nspans++;
	}
	return rc;
}

/* Bytes of the file to `at`: with those before, where they follow each other there and here, or there. */
static int add_bytes(struct load *l, uint64_t at, uint64_t bytes, uint64_t offset)
{
	struct script_part *p = l->nparts ? &l->parts[l->nparts - 1] : NULL;
	struct script_span *last = p && p->nspans ? &l->spans[l->nspans - 1] : NULL;
	int rc = 0;

	if (!p || offset != p->offset + l->part_bytes || l->part_bytes + bytes > PART) {
		rc = new_part(l, offset);
		last = NULL;
	}
	if (rc == 0 && last && last->at + last->bytes == at)
		last->bytes += bytes;
	else if (rc == 0)
		rc = new_span(l, at, bytes);
	l->part_bytes += bytes;
	l->bytes += bytes;
	return rc;
}

/* The blocks in [from, to), in the window of PART bytes at `window`, that are filled to seven eighths at least. */
static uint64_t full_blocks(const struct list *runs, uint32_t i, uint64_t window, uint64_t from, uint64_t to)
{
	const struct run_record *r = runs->items;
	uint64_t filled[PART / HUGE] = { 0 };
	uint64_t full = 0;

	for (; i < runs->n && r[i].start < to; i++) {
		uint64_t end = r[i].start + r[i].pages * ARCH_PAGE, at = r[i].start > from ? r[i].start : from;

		end = end < to ? end : to;
		while (at < end) {
			uint64_t next = (at & ~(HUGE - 1)) + HUGE;

			next = next < end ? next : end;
			filled[(at - window) / HUGE] += next - at;
			at = next;
		}
	}
	for (uint32_t b = 0; b < PART / HUGE; b++)
		if (window + b * HUGE >= from && window + (b + 1) * HUGE <= to && filled[b] >= HUGE / 8 * 7)
			full |= 1ull << b;
	return full;
}

int load_region(struct load *l, const struct vma_record *v, const struct list *runs, bool huge)
{
	const struct run_record *r = runs->items;
	uint32_t i = load_run_at(runs, v->start);
	uint64_t at = v->start;
	int rc = 0;

	while (rc == 0 && at < v->end && i < runs->n && r[i].start < v->end) {
		uint64_t window, to, blocks;

		at = r[i].start > at ? r[i].start : at;
		window = at & ~(PART - 1);
		to = window + PART < v->end ? window + PART : v->end;
		blocks = huge ? full_blocks(runs, i, window, window > v->start ? window : v->start, to) : 0;
		if (blocks) {
			rc = new_part(l, r[i].at + (at - r[i].start));
			if (rc == 0) {
				l->parts[l->nparts - 1].huge = window;
				l->parts[l->nparts - 1].blocks = blocks;
			}
		}
		while (rc == 0 && i < runs->n && r[i].start < to) {
			uint64_t end = r[i].start + r[i].pages * ARCH_PAGE, from = r[i].start > at ? r[i].start : at;

			rc = add_bytes(l, from, (end < to ? end : to) - from, r[i].at + (from - r[i].start));
			if (end > to)
				break;
			i++;
		}
		at = to;
	}
	return rc;
}

uint32_t load_large(const struct image *image)
{
	uint32_t large = 0;

	for (uint32_t i = 0; i < image->nprocesses; i++) {
		const struct run_record *r = image->processes[i].runs.items;
		uint64_t pages = 0;

		for (uint32_t k = 0; k < image->processes[i].runs.n; k++)
			pages += r[k].pages;
		large += pages * ARCH_PAGE >= LARGE;
	}
	return large;
}

uint32_t load_helpers(const struct load *l, uint32_t large)
{
	cpu_set_t cpus;
	uint32_t n;

	if (l->bytes < LARGE || sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 0;
	n = (uint32_t)CPU_COUNT(&cpus) / (large ? large : 1);
	return n > LOAD_HELPERS ? LOAD_HELPERS : n ? n - 1 : 0;
}

int load_step(struct load *l, struct script_builder *s, int fd, const int32_t *tids, uint32_t n)
{
	struct script_load load = { .fd = fd, .block = HUGE, .block_ns = HUGE_NS, .over_ns = HUGE_OVER_NS,
				     .nparts = l->nparts, .nhelpers = n };
	struct script_helper helpers[LOAD_HELPERS] = { { 0 } };
	uint64_t spans;

	if (!l->nparts)
		return s->rc;
	spans = script_put(s, l->spans, l->nspans * sizeof(*l->spans));
	for (uint32_t i = 0; i < l->nparts; i++)
		l->parts[i].spans = spans + l->parts[i].spans * sizeof(*l->spans);
	load.parts = script_put(s, l->parts, l->nparts * sizeof(*l->parts));
	for (uint32_t i = 0; i < n; i++) {
		helpers[i].tid = tids[i];
		helpers[i].stack = script_room(s, HELPER_STACK) + HELPER_STACK;
	}
	load.helpers = script_put(s, helpers, n * sizeof(*helpers));
	script_step(s, "reading memory", STEP_LOAD, 0, script_put(s, &load, sizeof(load)), 0, 0, 0, 0, 0);
	return s->rc;
}

void load_end(struct load *l)
{
	free(l->parts);
	free(l->spans);
}
