/*
 * decode.c - bytes to records, believing nothing
 *
 * Strict: a record has exactly the fields of its table, each once, of the right
 * type and in range; a file has exactly its frames. What fails is named down to
 * the field ("812.task: process: threads[3].pending[0].sig: out of range").
 * Fields may come in any order, numbers in any width msgpack has.
 */
#include <errno.h>
#include <string.h>

#include "skshim/err.h"
#include "skshim/image.h"

#include "scan.h"

#define FIELDS_MAX 128
#define PATH_MAX_ 160
#define PLAIN_MAX 48

/* Where in a record: a chain up to its root, written out only when something fails. */
struct where {
	const struct where *up;
	const char *name;        /* of the file or record (root) or field */
	const char *what;        /* which record (root), NULL the name says it */
	bool item;
	uint32_t index;
};

static int where_text(const struct where *w, char *buf, size_t size)
{
	int n = 0;

	if (w->up)
		n = where_text(w->up, buf, size);
	if (w->item)
		return n + text_format(buf + n, size - (size_t)n, "[%u]", w->index);
	n += text_format(buf + n, size - (size_t)n, "%s%s", !w->up ? "" : w->up->up ? "." : ": ", w->name);
	return w->what ? n + text_format(buf + n, size - (size_t)n, ": %s", w->what) : n;
}

/* One line for the field `name` (may be NULL) of the record at `w`. */
static int refuse(const struct where *w, const char *name, const char *what)
{
	struct where field = { .up = w, .name = name };
	char path[PATH_MAX_];

	where_text(name ? &field : w, path, sizeof(path));
	failed(ERR_PLAIN, "image: %s: %s", path, what);
	return -EBADMSG;
}

/* Somebody else's text for a message: cut, and nothing a terminal would obey. */
static const char *plain(struct blob text, char buf[PLAIN_MAX])
{
	uint64_t n = text.n < PLAIN_MAX ? text.n : PLAIN_MAX - 1;

	for (uint64_t i = 0; i < n; i++) {
		char c = ((const char *)text.p)[i];

		buf[i] = c > ' ' && c < 0x7f ? c : '?';
	}
	buf[n] = 0;
	return buf;
}

/* Bytes of which values are taken. */
struct cursor {
	const uint8_t *p, *end;
};

static int take(struct cursor *c, const struct where *w, struct scan_value *v)
{
	const char *wrong = scan_take(&c->p, c->end, v);

	return wrong ? refuse(w, NULL, wrong) : 0;
}

static int decode_map(struct arena *, const struct where *, struct cursor *, const struct field *, char *rec);

static int decode_list(struct arena *arena, const struct where *w, struct cursor *c, const struct field *f, const struct scan_value *v,
		       struct list *l)
{
	struct where item = { .up = w, .item = true };
	int rc;

	if (v->what != SCAN_ARRAY)
		return refuse(w, NULL, "is not an array");
	l->n = (uint32_t)v->n;
	l->items = arena_alloc(arena, (size_t)l->n * f->size);
	if (!l->items)
		return failed(-ENOMEM, "image: list of %u", l->n);
	for (uint32_t i = 0; i < l->n; i++) {
		item.index = i;
		rc = decode_map(arena, &item, c, f->sub, (char *)l->items + (size_t)i * f->size);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int decode_unsigned(const struct where *w, const struct scan_value *v, uint64_t max, uint64_t *to)
{
	if (v->what == SCAN_NEGATIVE)
		return refuse(w, NULL, "out of range");
	if (v->what != SCAN_UNSIGNED)
		return refuse(w, NULL, "is not a number");
	if (v->n > max)
		return refuse(w, NULL, "out of range");
	*to = v->n;
	return 0;
}

static int decode_signed(const struct where *w, const struct scan_value *v, int64_t min, int64_t max, int64_t *to)
{
	if (v->what != SCAN_UNSIGNED && v->what != SCAN_NEGATIVE)
		return refuse(w, NULL, "is not a number");
	if (v->what == SCAN_UNSIGNED ? v->n > (uint64_t)max : (int64_t)v->n < min)
		return refuse(w, NULL, "out of range");
	*to = (int64_t)v->n;
	return 0;
}

static int decode_blob(const struct where *w, const struct scan_value *v, enum scan_what what, struct blob *to)
{
	if (v->what != what)
		return refuse(w, NULL, what == SCAN_STR ? "is not a str" : "is not a bin");
	*to = (struct blob){ v->bytes, v->n };
	return 0;
}

static int decode_value(struct arena *arena, const struct where *w, struct cursor *c, const struct field *f, void *to)
{
	struct scan_value v;
	uint64_t u;
	int64_t d;
	int rc;

	if (f->type == FIELD_REC_T)
		return decode_map(arena, w, c, f->sub, to);
	rc = take(c, w, &v);
	if (rc < 0)
		return rc;
	switch (f->type) {
	case FIELD_U32_T:
	case FIELD_OBJ_T:
		rc = decode_unsigned(w, &v, UINT32_MAX, &u);
		if (rc == 0)
			*(uint32_t *)to = (uint32_t)u;
		return rc;
	case FIELD_U64_T:
		return decode_unsigned(w, &v, UINT64_MAX, to);
	case FIELD_I32_T:
		rc = decode_signed(w, &v, INT32_MIN, INT32_MAX, &d);
		if (rc == 0)
			*(int32_t *)to = (int32_t)d;
		return rc;
	case FIELD_I64_T:
		return decode_signed(w, &v, INT64_MIN, INT64_MAX, to);
	case FIELD_STR_T:
		return decode_blob(w, &v, SCAN_STR, to);
	case FIELD_BIN_T:
		return decode_blob(w, &v, SCAN_BIN, to);
	case FIELD_LIST_T:
		return decode_list(arena, w, c, f, &v, to);
	case FIELD_REC_T:
	case FIELD_END_T:
		break;
	}
	return refuse(w, NULL, "is of a type this program has no decoder for");
}

/* The field that the next value names; `next` is the one that a writer that keeps the table's order has there. */
static int take_name(struct cursor *c, const struct where *w, const struct field *fields, const struct field *next, const struct field **out)
{
	struct scan_value key;
	char text[PLAIN_MAX];
	struct blob name;
	int rc;

	/* as nearly all are: in its shortest form */
	if (next->length && next->length < (uint64_t)(c->end - c->p) && next->length < 32 && *c->p == (0xa0 | next->length) &&
	    memcmp(c->p + 1, next->name, next->length) == 0) {
		c->p += 1 + next->length;
		*out = next;
		return 0;
	}
	rc = take(c, w, &key);
	if (rc < 0)
		return rc;
	if (key.what != SCAN_STR)
		return refuse(w, NULL, "a field whose name is not a str");
	name = (struct blob){ key.bytes, key.n };
	for (*out = fields; (*out)->type != FIELD_END_T; (*out)++)
		if ((*out)->length == name.n && memcmp((*out)->name, name.p, name.n) == 0)
			return 0;
	return refuse(w, plain(name, text), "unknown field");
}

static int decode_map(struct arena *arena, const struct where *w, struct cursor *c, const struct field *fields, char *rec)
{
	const struct field *f = NULL, *next = fields;
	uint64_t seen[FIELDS_MAX / 64] = { 0 };
	struct scan_value map;
	int rc = take(c, w, &map);

	if (rc < 0)
		return rc;
	if (map.what != SCAN_MAP)
		return refuse(w, NULL, "is not a map");
	for (uint64_t i = 0; i < map.n; i++, next = f + 1) {
		struct where field = { .up = w };
		uint32_t row;

		rc = take_name(c, w, fields, next, &f);
		if (rc < 0)
			return rc;
		row = (uint32_t)(f - fields);
		if (row >= FIELDS_MAX)
			return failed(-E2BIG, "image: a record of more than %d fields", FIELDS_MAX);
		if (seen[row / 64] >> row % 64 & 1)
			return refuse(w, f->name, "there twice");
		seen[row / 64] |= 1ull << row % 64;
		field.name = f->name;
		rc = decode_value(arena, &field, c, f, rec + f->offset);
		if (rc < 0)
			return rc;
	}
	for (f = fields; f->type != FIELD_END_T && f < fields + FIELDS_MAX; f++)
		if (!f->added && !(seen[(f - fields) / 64] >> (f - fields) % 64 & 1))
			return refuse(w, f->name, "missing");
	return 0;
}

int decode_body(struct arena *arena, const char *name, const char *what, struct blob body, const struct field *fields, void *rec,
		uint32_t size)
{
	struct where root = { .name = name, .what = what };
	struct cursor c = { body.p, (const uint8_t *)body.p + body.n };
	int rc;

	memset(rec, 0, size);
	rc = decode_map(arena, &root, &c, fields, rec);
	return rc == 0 && c.p != c.end ? refuse(&root, NULL, "something is left over") : rc;
}

int decode_record(struct arena *arena, const char *name, struct blob body, const struct field *fields, void *rec, uint32_t size)
{
	return decode_body(arena, name, NULL, body, fields, rec, size);
}

/* Cuts the next frame off, its hash checked. */
static int frame_next(struct decode *d, struct blob *tag, struct blob *body)
{
	struct scan_value part[4];
	const uint8_t *p = d->p;
	const char *wrong = NULL;

	for (int i = 0; i < 4 && !wrong; i++)
		wrong = scan_take(&p, d->end, &part[i]);
	if (wrong)
		return failed(ERR_PLAIN, "image: %s: frame %u: %s", d->name, d->frames, wrong), -EBADMSG;
	if (part[0].what != SCAN_ARRAY || part[0].n != 3 || part[1].what != SCAN_STR || part[2].what != SCAN_BIN ||
	    part[3].what != SCAN_UNSIGNED)
		return failed(ERR_PLAIN, "image: %s: frame %u: is no [tag, body, hash]", d->name, d->frames), -EBADMSG;
	*tag = (struct blob){ part[1].bytes, part[1].n };
	*body = (struct blob){ part[2].bytes, part[2].n };
	if (image_hash(body->p, body->n) != part[3].n)
		return failed(ERR_PLAIN, "image: %s: frame %u: the hash is wrong, the file is damaged", d->name, d->frames), -EBADMSG;
	d->p = p;
	d->frames++;
	return 0;
}

/* The version of a head that may have other fields than ours; 0 when it says none. */
static uint64_t head_version(struct blob body)
{
	const uint8_t *p = body.p, *end = p + body.n;
	uint64_t version = 0, used;
	struct scan_value map, key, v;

	if (scan(p, body.n, &used) || scan_take(&p, end, &map) || map.what != SCAN_MAP)
		return 0;
	while (map.n-- && !scan_take(&p, end, &key) && !scan(p, (uint64_t)(end - p), &used)) {
		const uint8_t *value = p;

		if (key.what == SCAN_STR && blob_is((struct blob){ key.bytes, key.n }, "version") && !scan_take(&value, end, &v) &&
		    v.what == SCAN_UNSIGNED)
			version = v.n;
		p += used;
	}
	return version;
}

int decode_begin(struct decode *d, struct arena *arena, const char *name, const void *p, uint64_t n, const char *what)
{
	struct blob tag, body;
	struct head_record head;
	char text[PLAIN_MAX];
	uint64_t version;
	int rc;

	*d = (struct decode){ .name = name, .arena = arena, .p = p, .end = (const uint8_t *)p + n };
	rc = frame_next(d, &tag, &body);
	if (rc < 0)
		return rc;
	if (!blob_is(tag, "skshim")) {
		failed(ERR_PLAIN, "image: %s: is no file of a checkpoint", name);
		return -EBADMSG;
	}
	version = head_version(body);
	if (version && version != IMAGE_VERSION) {
		failed(ERR_PLAIN, "image: %s: written in format %lu by another version of skshim; this one reads format %d",
		       name, version, IMAGE_VERSION);
		return -EPROTONOSUPPORT;
	}
	rc = decode_record(arena, name, body, fields_head, &head, sizeof(head));
	if (rc < 0)
		return rc;
	if (head.version != IMAGE_VERSION || !blob_is(head.what, what)) {
		failed(ERR_PLAIN, "image: %s: is a %s file, not %s", name, plain(head.what, text), what);
		return -EBADMSG;
	}
	return 0;
}

int decode_frame(struct decode *d, struct blob *tag, struct blob *body)
{
	uint32_t before = d->frames;
	struct end_record end;
	int rc;

	if (d->ended)
		return 0;
	rc = frame_next(d, tag, body);
	if (rc < 0)
		return rc;
	if (!blob_is(*tag, "end"))
		return 1;
	rc = decode_record(d->arena, d->name, *body, fields_end, &end, sizeof(end));
	if (rc < 0)
		return rc;
	if (end.frames != before || d->p != d->end) {
		failed(ERR_PLAIN, "image: %s: %s", d->name,
		       d->p != d->end ? "something stands behind its end" : "frames are missing or too many");
		return -EBADMSG;
	}
	d->ended = true;
	return 0;
}
