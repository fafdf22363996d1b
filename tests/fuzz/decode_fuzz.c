/*
 * decode_fuzz.c - bytes as a record, and as a row of frames
 *
 * The first byte chooses the table; 0xff takes the rest as a file, whose hashes
 * are put right first: a fuzzer can't guess them and would get no further. What
 * is taken must come out again as it came in, and print.
 */
#include <stdio.h>
#include <stdlib.h>

#include "skshim/image.h"
#include "skshim/show.h"

#include "runtime/image/scan.h"

#define ARENA (1ul << 30)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct { const struct field *fields; uint32_t size; } tables[] = {
	{ fields_process, sizeof(struct process_record) },
	{ fields_manifest, sizeof(struct manifest_record) },
	{ fields_object, sizeof(struct object_record) },
	{ fields_lineage, sizeof(struct lineage_record) },
	{ fields_run, sizeof(struct run_record) },
	{ fields_thread, sizeof(struct thread_record) },
	{ fields_vma, sizeof(struct vma_record) },
	{ fields_timer, sizeof(struct timer_record) },
	{ fields_end, sizeof(struct end_record) },
};

/* The kinds aren't asked here. */
const struct kind *kind_by_tag(struct blob tag)
{
	(void)tag;
	return NULL;
}

static struct blob frame_body(struct arena *arena, const struct encode *e)
{
	struct blob tag, body;
	struct decode d;

	if (decode_begin(&d, arena, "fuzz", e->p, e->n, "task") < 0 || decode_frame(&d, &tag, &body) != 1)
		abort();
	return body;
}

static void fuzz_record(struct arena *arena, FILE *null, unsigned table, struct blob body)
{
	const struct field *fields = tables[table].fields;
	uint32_t size = tables[table].size;
	struct blob first, second;
	struct encode e;
	struct show s;
	void *rec = arena_alloc(arena, size);

	if (decode_record(arena, "fuzz", body, fields, rec, size) < 0) {
		if (!*err_text())
			abort();
		return;
	}
	show_begin(&s, null);
	show_record(&s, NULL, fields, rec);
	if (encode_begin(&e, arena, "task") < 0 || encode_frame(&e, "rec", fields, rec) < 0 || encode_end(&e) < 0)
		abort();
	first = frame_body(arena, &e);
	if (decode_record(arena, "fuzz", first, fields, rec, size) < 0)
		abort();
	if (encode_begin(&e, arena, "task") < 0 || encode_frame(&e, "rec", fields, rec) < 0 || encode_end(&e) < 0)
		abort();
	second = frame_body(arena, &e);
	if (!blob_eq(first, second))
		abort();
}

/* A frame that has the usual shape gets the right hash: [str, bin 32, uint 64]. */
static void mend(uint8_t *p, uint64_t n)
{
	uint64_t at, len, hash;

	if (n < 2)
		return;
	at = 2 + (uint64_t)(p[1] & 0x1f);
	if (p[0] != 0x93 || (p[1] & 0xe0) != 0xa0 || n < at + 5 + 9 || p[at] != 0xc6)
		return;
	len = (uint64_t)p[at + 1] << 24 | (uint64_t)p[at + 2] << 16 | (uint64_t)p[at + 3] << 8 | p[at + 4];
	if (len != n - at - 5 - 9 || p[n - 9] != 0xcf)
		return;
	hash = image_hash(p + at + 5, len);
	for (int i = 0; i < 8; i++)
		p[n - 8 + (uint64_t)i] = (uint8_t)(hash >> (56 - 8 * i));
}

static void fuzz_file(struct arena *arena, uint8_t *p, uint64_t n)
{
	struct blob tag, body;
	struct decode d;
	uint64_t at, used;

	for (at = 0; at < n && !scan(p + at, n - at, &used); at += used)
		mend(p + at, used);
	if (decode_begin(&d, arena, "fuzz", p, n, "task") == 0)
		while (decode_frame(&d, &tag, &body) > 0)
			;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static FILE *null;
	struct arena arena;
	uint8_t *p;

	if (n == 0 || arena_begin(&arena, ARENA) < 0)
		return 0;
	if (!null)
		null = fopen("/dev/null", "w");
	err_reset();
	p = malloc(n - 1);       /* of its own size: the sanitizer sees a step too far */
	memcpy(p, data + 1, n - 1);
	if (data[0] == 0xff)
		fuzz_file(&arena, p, n - 1);
	else
		fuzz_record(&arena, null, data[0] % (sizeof(tables) / sizeof(tables[0])), (struct blob){ p, n - 1 });
	free(p);
	arena_end(&arena);
	return 0;
}
