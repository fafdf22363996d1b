/*
 * decode.c - bytes to records, believing nothing
 *
 * Strict: a record has exactly the fields of its table, each once, of the right
 * type and in range; a file has exactly its frames. What fails is named down to
 * the field ("812.task: process: threads[3].pending[0].sig: out of range").
 * Fields may come in any order, numbers in any width msgpack has.
 */
#include <errno.h>

#include <msgpack.h>

#include "skshim/err.h"
#include "skshim/image.h"

#include "scan.h"

#define FIELDS_MAX 128
#define PATH_MAX_ 160
#define PLAIN_MAX 48

/* Where in a record: a chain up to its root, written out only when something fails. */
struct where {
	const struct where *up;
	const char *name;        /* of the record (root) or field */
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
	return n + text_format(buf + n, size - (size_t)n, "%s%s", !w->up ? "" : w->up->up ? "." : ": ", w->name);
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

/* The value of the whole of p[n]; the caller destroys *u when 0 is returned. */
static int unpack(const char *name, struct blob bytes, msgpack_unpacked *u)
{
	struct where root = { .name = name };
	uint64_t used;
	size_t off = 0;
	const char *wrong = scan(bytes.p, bytes.n, &used);
	int rc;

	if (wrong)
		return refuse(&root, NULL, wrong);
	if (used != bytes.n)
		return refuse(&root, NULL, "something is left over");
	msgpack_unpacked_init(u);
	rc = msgpack_unpack_next(u, bytes.p, bytes.n, &off);
	if (rc == MSGPACK_UNPACK_SUCCESS && off == bytes.n)
		return 0;
	msgpack_unpacked_destroy(u);
	if (rc == MSGPACK_UNPACK_NOMEM_ERROR)
		return failed(-ENOMEM, "image: %s", name);
	return refuse(&root, NULL, "is no msgpack");
}

static int decode_map(struct arena *, const struct where *, const msgpack_object *, const struct field *, char *rec);

static int decode_list(struct arena *arena, const struct where *w, const msgpack_object *o, const struct field *f, struct list *l)
{
	struct where item = { .up = w, .item = true };
	int rc;

	if (o->type != MSGPACK_OBJECT_ARRAY)
		return refuse(w, NULL, "is not an array");
	l->n = o->via.array.size;
	l->items = arena_alloc(arena, (size_t)l->n * f->size);
	if (!l->items)
		return failed(-ENOMEM, "image: list of %u", l->n);
	for (uint32_t i = 0; i < l->n; i++) {
		item.index = i;
		rc = decode_map(arena, &item, &o->via.array.ptr[i], f->sub, (char *)l->items + (size_t)i * f->size);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int decode_unsigned(const struct where *w, const msgpack_object *o, uint64_t max, uint64_t *v)
{
	if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		return refuse(w, NULL, "out of range");
	if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return refuse(w, NULL, "is not a number");
	if (o->via.u64 > max)
		return refuse(w, NULL, "out of range");
	*v = o->via.u64;
	return 0;
}

static int decode_signed(const struct where *w, const msgpack_object *o, int64_t min, int64_t max, int64_t *v)
{
	if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
		if (o->via.u64 > (uint64_t)max)
			return refuse(w, NULL, "out of range");
		*v = (int64_t)o->via.u64;
		return 0;
	}
	if (o->type != MSGPACK_OBJECT_NEGATIVE_INTEGER)
		return refuse(w, NULL, "is not a number");
	if (o->via.i64 < min)
		return refuse(w, NULL, "out of range");
	*v = o->via.i64;
	return 0;
}

static int decode_value(struct arena *arena, const struct where *w, const msgpack_object *o, const struct field *f, void *to)
{
	uint64_t u;
	int64_t d;
	int rc;

	switch (f->type) {
	case FIELD_U32_T:
	case FIELD_OBJ_T:
		rc = decode_unsigned(w, o, UINT32_MAX, &u);
		if (rc == 0)
			*(uint32_t *)to = (uint32_t)u;
		return rc;
	case FIELD_U64_T:
		return decode_unsigned(w, o, UINT64_MAX, to);
	case FIELD_I32_T:
		rc = decode_signed(w, o, INT32_MIN, INT32_MAX, &d);
		if (rc == 0)
			*(int32_t *)to = (int32_t)d;
		return rc;
	case FIELD_I64_T:
		return decode_signed(w, o, INT64_MIN, INT64_MAX, to);
	case FIELD_STR_T:
		if (o->type != MSGPACK_OBJECT_STR)
			return refuse(w, NULL, "is not a str");
		*(struct blob *)to = (struct blob){ o->via.str.ptr, o->via.str.size };
		return 0;
	case FIELD_BIN_T:
		if (o->type != MSGPACK_OBJECT_BIN)
			return refuse(w, NULL, "is not a bin");
		*(struct blob *)to = (struct blob){ o->via.bin.ptr, o->via.bin.size };
		return 0;
	case FIELD_REC_T:
		return decode_map(arena, w, o, f->sub, to);
	case FIELD_LIST_T:
		return decode_list(arena, w, o, f, to);
	case FIELD_END_T:
		break;
	}
	return refuse(w, NULL, "is of a type this program has no decoder for");
}

/* The row of `key`; `hint` is where a writer that keeps the table's order has it. -1: none. */
static int field_row(const struct field *fields, int n, uint32_t hint, struct blob key)
{
	if (hint < (uint32_t)n && blob_is(key, fields[hint].name))
		return hint;
	for (int i = 0; i < n; i++)
		if (blob_is(key, fields[i].name))
			return i;
	return -1;
}

static int decode_map(struct arena *arena, const struct where *w, const msgpack_object *o, const struct field *fields, char *rec)
{
	bool seen[FIELDS_MAX] = { false };
	char name[PLAIN_MAX];
	int n = 0, row, rc;

	if (o->type != MSGPACK_OBJECT_MAP)
		return refuse(w, NULL, "is not a map");
	while (fields[n].type != FIELD_END_T)
		n++;
	if (n > FIELDS_MAX)
		return failed(-E2BIG, "image: a record of %d fields", n);
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		const msgpack_object_kv *kv = &o->via.map.ptr[i];
		struct where field = { .up = w };
		struct blob key;

		if (kv->key.type != MSGPACK_OBJECT_STR)
			return refuse(w, NULL, "a field whose name is not a str");
		key = (struct blob){ kv->key.via.str.ptr, kv->key.via.str.size };
		row = field_row(fields, n, i, key);
		if (row < 0)
			return refuse(w, plain(key, name), "unknown field");
		if (seen[row])
			return refuse(w, fields[row].name, "there twice");
		seen[row] = true;
		field.name = fields[row].name;
		rc = decode_value(arena, &field, &kv->val, &fields[row], rec + fields[row].offset);
		if (rc < 0)
			return rc;
	}
	for (row = 0; row < n; row++)
		if (!seen[row] && !fields[row].added)
			return refuse(w, fields[row].name, "missing");
	return 0;
}

int decode_record(struct arena *arena, const char *name, struct blob body, const struct field *fields, void *rec, uint32_t size)
{
	struct where root = { .name = name };
	msgpack_unpacked u;
	int rc;

	memset(rec, 0, size);
	rc = unpack(name, body, &u);
	if (rc < 0)
		return rc;
	rc = decode_map(arena, &root, &u.data, fields, rec);
	msgpack_unpacked_destroy(&u);
	return rc;
}

/* Cuts the next frame off, its hash checked. */
static int frame_next(struct decode *d, struct blob *tag, struct blob *body)
{
	const msgpack_object *part;
	const char *wrong;
	msgpack_unpacked u;
	uint64_t used;
	int rc;

	wrong = scan(d->p, (uint64_t)(d->end - d->p), &used);
	if (wrong)
		return failed(ERR_PLAIN, "image: %s: frame %u: %s", d->name, d->frames, wrong), -EBADMSG;
	rc = unpack(d->name, (struct blob){ d->p, used }, &u);
	if (rc < 0)
		return rc;
	part = u.data.via.array.ptr;
	if (u.data.type != MSGPACK_OBJECT_ARRAY || u.data.via.array.size != 3 || part[0].type != MSGPACK_OBJECT_STR ||
	    part[1].type != MSGPACK_OBJECT_BIN || part[2].type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
		failed(ERR_PLAIN, "image: %s: frame %u: is no [tag, body, hash]", d->name, d->frames);
		rc = -EBADMSG;
		goto out;
	}
	*tag = (struct blob){ part[0].via.str.ptr, part[0].via.str.size };
	*body = (struct blob){ part[1].via.bin.ptr, part[1].via.bin.size };
	if (image_hash(body->p, body->n) != part[2].via.u64) {
		failed(ERR_PLAIN, "image: %s: frame %u: the hash is wrong, the file is damaged", d->name, d->frames);
		rc = -EBADMSG;
		goto out;
	}
	d->p += used;
	d->frames++;
out:
	msgpack_unpacked_destroy(&u);
	return rc;
}

/* The version of a head that may have other fields than ours; 0 when it says none. */
static uint64_t head_version(const char *name, struct blob body)
{
	uint64_t version = 0;
	msgpack_unpacked u;

	if (unpack(name, body, &u) < 0)
		return 0;
	if (u.data.type == MSGPACK_OBJECT_MAP) {
		for (uint32_t i = 0; i < u.data.via.map.size; i++) {
			const msgpack_object_kv *kv = &u.data.via.map.ptr[i];

			if (kv->key.type == MSGPACK_OBJECT_STR && kv->val.type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
			    blob_is((struct blob){ kv->key.via.str.ptr, kv->key.via.str.size }, "version"))
				version = kv->val.via.u64;
		}
	}
	msgpack_unpacked_destroy(&u);
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
	version = head_version(name, body);
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
