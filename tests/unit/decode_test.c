/*
 * decode_test.c - what was encoded comes back, and nothing else is taken
 */
#include <errno.h>
#include <string.h>

#include <msgpack.h>

#include "skshim/image.h"

#include "unit.h"

struct inner {
	uint32_t obj;
	int64_t when;
};

struct box {
	uint32_t small;
	uint64_t big;
	int32_t negative;
	int64_t far;
	struct blob text, bytes;
	uint32_t obj;
	struct inner inside;
	struct list many;        /* struct inner */
};

static const struct field fields_inner[] = {
	FIELD_OBJ(struct inner, obj),
	FIELD_I64(struct inner, when),
	FIELD_END
};

static const struct field fields_box[] = {
	FIELD_U32(struct box, small),
	FIELD_U64(struct box, big),
	FIELD_I32(struct box, negative),
	FIELD_I64(struct box, far),
	FIELD_STR(struct box, text),
	FIELD_BIN(struct box, bytes),
	FIELD_OBJ(struct box, obj),
	FIELD_REC(struct box, inside, struct inner, fields_inner),
	FIELD_LIST(struct box, many, struct inner, fields_inner),
	FIELD_END
};

static struct inner three[] = { { 1, INT64_MIN }, { OBJ_NONE, -1 }, { 0, INT64_MAX } };

static const struct box boxes[] = {
	{ .many = { NULL, 0 } },
	{ 1, 2, -3, -4, BLOB("text"), BLOB("\0\1\2"), 5, { 6, 7 }, { three, 3 } },
	{ UINT32_MAX, UINT64_MAX, INT32_MIN, INT64_MIN, BLOB("a\0b\xff"), BLOB(""), OBJ_NONE, { 0, 0 }, { three, 1 } },
	{ 127, 128, INT32_MAX, INT64_MAX, BLOB("thirty-two bytes and one more....."), BLOB("x"), 0, { 1, -33 }, { three, 2 } },
	{ 65535, 65536, -32769, -129, BLOB(""), BLOB(""), 256, { 255, -128 }, { NULL, 0 } },
};
#define NBOXES (sizeof(boxes) / sizeof(boxes[0]))

static struct arena arena;

static void same(const struct box *a, const struct box *b)
{
	const struct inner *x = a->many.items, *y = b->many.items;

	ck_assert_uint_eq(a->small, b->small);
	ck_assert_uint_eq(a->big, b->big);
	ck_assert_int_eq(a->negative, b->negative);
	ck_assert_int_eq(a->far, b->far);
	ck_assert(blob_eq(a->text, b->text));
	ck_assert(blob_eq(a->bytes, b->bytes));
	ck_assert_uint_eq(a->obj, b->obj);
	ck_assert_uint_eq(a->inside.obj, b->inside.obj);
	ck_assert_int_eq(a->inside.when, b->inside.when);
	ck_assert_uint_eq(a->many.n, b->many.n);
	for (uint32_t i = 0; i < a->many.n; i++) {
		ck_assert_uint_eq(x[i].obj, y[i].obj);
		ck_assert_int_eq(x[i].when, y[i].when);
	}
}

/* A file with all the boxes. */
static struct blob all_boxes(void)
{
	struct encode e;

	if (!arena.base)
		ck_assert_int_eq(arena_begin(&arena, 256 << 20), 0);
	ck_assert_int_eq(encode_begin(&e, &arena, "task"), 0);
	for (size_t i = 0; i < NBOXES; i++)
		ck_assert_int_eq(encode_frame(&e, "box", fields_box, &boxes[i]), 0);
	ck_assert_int_eq(encode_end(&e), 0);
	return (struct blob){ e.p, e.n };
}

/* Reads a file of boxes of its own size exactly; the number of boxes or the error. */
static int read_boxes(struct blob file, bool compare)
{
	struct blob tag, body;
	struct decode d;
	uint8_t *p = malloc(file.n);
	size_t n = 0;
	struct box box;
	int rc;

	arena.used = 64 << 20;           /* what decoding takes is given back for the next round */
	memcpy(p, file.p, file.n);
	err_reset();
	rc = decode_begin(&d, &arena, "812.task", p, file.n, "task");
	if (rc == 0) {
		while ((rc = decode_frame(&d, &tag, &body)) > 0) {
			rc = blob_is(tag, "box") ? decode_record(&arena, "812.task: box", body, fields_box, &box, sizeof(box)) : -1;
			if (rc < 0)
				break;
			if (compare)
				same(&boxes[n], &box);
			n++;
		}
	}
	free(p);
	return rc < 0 ? rc : (int)n;
}

START_TEST(round_trip)
{
	ck_assert_int_eq(read_boxes(all_boxes(), true), NBOXES);
}
END_TEST

START_TEST(every_truncation)
{
	struct blob file = all_boxes();

	for (uint64_t n = 0; n < file.n; n++) {
		ck_assert_int_lt(read_boxes((struct blob){ file.p, n }, false), 0);
		ck_assert_str_ne(err_text(), "");
	}
}
END_TEST

START_TEST(every_bit)
{
	struct blob file = all_boxes();
	uint8_t *p = (uint8_t *)file.p;

	for (uint64_t bit = 0; bit < file.n * 8; bit++) {
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_msg(read_boxes(file, false) < 0, "bit %lu of byte %lu went unnoticed", bit % 8, bit / 8);
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(something_behind)
{
	struct blob file = all_boxes();
	uint8_t *p = malloc(file.n * 2);

	memcpy(p, file.p, file.n);
	memcpy(p + file.n, file.p, file.n);
	ck_assert_int_lt(read_boxes((struct blob){ p, file.n + 1 }, false), 0);
	ck_failed("behind its end");
	ck_assert_int_lt(read_boxes((struct blob){ p, file.n * 2 }, false), 0);
	free(p);
}
END_TEST

/* Whole frames taken out or put in keep their hashes: the end counts them. */
START_TEST(frames_counted)
{
	struct end_record end = { 4 };
	struct blob tag, body;
	struct encode e;
	struct decode d;

	all_boxes();
	encode_begin(&e, &arena, "task");
	encode_frame(&e, "box", fields_box, &boxes[0]);
	encode_frame(&e, "end", fields_end, &end);
	ck_assert_int_eq(e.rc, 0);
	ck_assert_int_lt(read_boxes((struct blob){ e.p, e.n }, false), 0);
	ck_failed("frames are missing or too many");

	encode_begin(&e, &arena, "task");
	encode_end(&e);
	ck_assert_int_eq(decode_begin(&d, &arena, "x", e.p, e.n, "task"), 0);
	ck_assert_int_eq(decode_frame(&d, &tag, &body), 0);
	ck_assert_int_eq(decode_frame(&d, &tag, &body), 0);
}
END_TEST

START_TEST(foreign_file)
{
	struct head_record head = { IMAGE_VERSION + 1, BLOB("task") };
	struct encode e = { .arena = &arena };
	struct decode d;

	all_boxes();
	encode_begin(&e, &arena, "runs");
	encode_end(&e);
	ck_assert_int_eq(decode_begin(&d, &arena, "812.task", e.p, e.n, "task"), -EBADMSG);
	ck_failed("812.task: is a runs file, not task");
	err_reset();
	e = (struct encode){ .arena = &arena };
	encode_frame(&e, "skshim", fields_head, &head);
	encode_end(&e);
	ck_assert_int_eq(decode_begin(&d, &arena, "812.task", e.p, e.n, "task"), -EPROTONOSUPPORT);
	ck_failed("written in format 2 by another version of skshim; this one reads format 1");
	err_reset();
	e = (struct encode){ .arena = &arena };
	encode_frame(&e, "other", fields_head, &head);
	ck_assert_int_eq(decode_begin(&d, &arena, "812.task", e.p, e.n, "task"), -EBADMSG);
	ck_failed("is no file of a checkpoint");
}
END_TEST

/* --- one record, packed by hand ------------------------------------------------------------------------------ */

struct small {
	uint32_t u;
	int32_t i;
	struct blob s;
	struct list l;           /* struct inner */
};

static const struct field fields_small[] = {
	FIELD_U32(struct small, u),
	FIELD_I32(struct small, i),
	FIELD_STR(struct small, s),
	FIELD_LIST(struct small, l, struct inner, fields_inner),
	FIELD_END
};

struct row {
	const char *bytes;
	size_t n;
	const char *wrong;       /* NULL: taken */
};
#define ROW(lit, wrong) { lit, sizeof(lit) - 1, wrong }
#define U "\xa1u\x05"
#define I "\xa1i\x05"
#define S "\xa1s\xa1x"
#define L "\xa1l\x90"

static const struct row rows[] = {
	ROW("\x84" U I S L, NULL),
	ROW("\x84" L S I U, NULL),
	ROW("\xdf\0\0\0\x04" "\xd9\x01u\x05" I S L, NULL),
	ROW("\x84" "\xa1u\xcf\0\0\0\0\xff\xff\xff\xff" I S L, NULL),
	ROW("\x84" U "\xa1i\xd3\xff\xff\xff\xff\x80\0\0\0" S L, NULL),
	ROW("\x84" U I S "\xa1l\x91\x82\xa3obj\x01\xa4when\xff", NULL),
	ROW("\x83" U I S, "box: l: missing"),
	ROW("\x80", "box: u: missing"),
	ROW("\x85" U I S L "\xa1z\x05", "box: z: unknown field"),
	ROW("\x84" U I S "\xa3\x1b[m\x05", "box: ?[m: unknown field"),
	ROW("\x85" U I S L U, "box: u: there twice"),
	ROW("\x84" "\xa1u\xa1x" I S L, "box: u: is not a number"),
	ROW("\x84" "\xa1u\xff" I S L, "box: u: out of range"),
	ROW("\x84" "\xa1u\xcf\0\0\0\1\0\0\0\0" I S L, "box: u: out of range"),
	ROW("\x84" U "\xa1i\xce\x80\0\0\0" S L, "box: i: out of range"),
	ROW("\x84" U "\xa1i\xd3\xff\xff\xff\xff\x7f\xff\xff\xff" S L, "box: i: out of range"),
	ROW("\x84" U "\xa1i\x90" S L, "box: i: is not a number"),
	ROW("\x84" U I "\xa1s\x05" L, "box: s: is not a str"),
	ROW("\x84" U I "\xa1s\xc4\x01x" L, "box: s: is not a str"),
	ROW("\x84" U I S "\xa1l\x80", "box: l: is not an array"),
	ROW("\x84" U I S "\xa1l\x91\x05", "box: l[0]: is not a map"),
	ROW("\x84" U I S "\xa1l\x91\x80", "box: l[0].obj: missing"),
	ROW("\x84" U I S "\xa1l\x92\x82\xa3obj\x01\xa4when\xff\x82\xa3obj\xff\xa4when\xff", "box: l[1].obj: out of range"),
	ROW("\x84" U I S "\xa1l\xdd\xff\xff\xff\xff", "a length beyond the end"),
	ROW("\x84" U I S "\xc4\x01l\x90", "a field whose name is not a str"),
	ROW("\x84" U I S "\x05\x90", "a field whose name is not a str"),
	ROW("\x84" U I S L "\x05", "something is left over"),
	ROW("\x90", "box: is not a map"),
	ROW("\xc0", "a type that no image has"),
	ROW("", "cut short"),
};

START_TEST(records)
{
	struct small s;

	ck_assert_int_eq(arena_begin(&arena, 1 << 20), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		uint8_t *p = malloc(r->n);
		int rc;

		memcpy(p, r->bytes, r->n);
		err_reset();
		rc = decode_record(&arena, "box", (struct blob){ p, r->n }, fields_small, &s, sizeof(s));
		free(p);
		if (!r->wrong)
			ck_assert_msg(rc == 0, "row %zu: %s", i, err_text());
		else
			ck_assert_msg(rc == -EBADMSG && strstr(err_text(), r->wrong), "row %zu: %s, not %s", i, err_text(), r->wrong);
	}
}
END_TEST

/* A record bigger than its buffer's first size, and an arena that is spent. */
START_TEST(big_and_too_big)
{
	struct inner *many = calloc(100000, sizeof(*many));
	struct box box = { .many = { many, 100000 } }, back;
	struct blob tag, body;
	struct decode d;
	struct encode e;

	ck_assert_int_eq(arena_begin(&arena, 64 << 20), 0);
	encode_begin(&e, &arena, "task");
	encode_frame(&e, "box", fields_box, &box);
	ck_assert_ptr_nonnull(arena_alloc(&arena, 1));   /* something else in between: the buffer has to move */
	encode_frame(&e, "box", fields_box, &box);
	ck_assert_int_eq(encode_end(&e), 0);
	ck_assert_int_eq(decode_begin(&d, &arena, "x", e.p, e.n, "task"), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(decode_frame(&d, &tag, &body), 1);
		ck_assert_int_eq(decode_record(&arena, "box", body, fields_box, &back, sizeof(back)), 0);
		same(&box, &back);
	}
	ck_assert_int_eq(decode_frame(&d, &tag, &body), 0);

	arena_end(&arena);
	ck_assert_int_eq(arena_begin(&arena, 1 << 20), 0);
	ck_assert_int_eq(encode_begin(&e, &arena, "task"), 0);
	ck_assert_int_eq(encode_frame(&e, "box", fields_box, &box), -ENOMEM);
	ck_assert_int_eq(encode_end(&e), -ENOMEM);
	ck_failed("no memory for metadata");
	free(many);
}
END_TEST

/* --- the tables themselves ----------------------------------------------------------------------------------- */

static uint32_t size_of(const struct field *f)
{
	switch (f->type) {
	case FIELD_U32_T: case FIELD_I32_T: case FIELD_OBJ_T: return 4;
	case FIELD_U64_T: case FIELD_I64_T: return 8;
	case FIELD_STR_T: case FIELD_BIN_T: return sizeof(struct blob);
	case FIELD_LIST_T: return sizeof(struct list);
	default: return f->size;
	}
}

/* In the order of the struct, and what is between two members is too small to be a forgotten one. */
static void complete(const char *name, const struct field *fields, size_t size)
{
	uint32_t at = 0;

	for (const struct field *f = fields; f->type != FIELD_END_T; f++) {
		ck_assert_msg(f->offset >= at && f->offset - at <= 4, "%s: before %s", name, f->name);
		ck_assert_msg(f->offset == at || f->offset % 8 == 0, "%s: before %s", name, f->name);
		at = f->offset + size_of(f);
	}
	ck_assert_msg(at <= size && size - at <= 4, "%s: at its end", name);
	ck_assert_msg(at == size || size % 8 == 0, "%s: at its end", name);
}

START_TEST(tables)
{
#define COMPLETE(name) complete(#name, fields_##name, sizeof(struct name##_record))
	COMPLETE(thread);
	COMPLETE(siginfo);
	COMPLETE(sigaction);
	COMPLETE(timer);
	COMPLETE(itimer);
	COMPLETE(fd);
	COMPLETE(object);
	COMPLETE(vma);
	COMPLETE(file);
	COMPLETE(run);
	COMPLETE(process);
	COMPLETE(member);
	COMPLETE(file_sum);
	COMPLETE(dead);
	COMPLETE(manifest);
	COMPLETE(pid);
	COMPLETE(lineage);
	COMPLETE(frame);
	COMPLETE(head);
	COMPLETE(end);
}
END_TEST

UNIT_MAIN("decode", round_trip, every_truncation, every_bit, something_behind, frames_counted, foreign_file, records,
	  big_and_too_big, tables)
