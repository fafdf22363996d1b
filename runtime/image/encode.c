/*
 * encode.c - records to bytes, in a stopped world
 *
 * Frames are packed one after the other into a buffer that grows in an arena.
 * The body of a frame is packed in place behind a bin header of fixed width,
 * whose length is filled in afterwards; so nothing is packed or copied twice.
 * The first failure stays in encode.rc and makes later calls do nothing.
 */
#include <asm/errno.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
#include <msgpack/pack.h>

#include "skshim/err.h"
#include "skshim/image.h"
#include "skshim/sys.h"

#include "skshim/frozen.h"

#define ENCODE_FIRST (64ul << 10)
#define BIN32 0xc6
#define BIN32_HEAD 5

uint64_t image_hash(const void *p, uint64_t n)
{
	return XXH3_64bits(p, n);
}

int image_hash_file(int fd, uint64_t size, void *buf, size_t room, uint64_t *hash)
{
	XXH3_state_t state;
	uint64_t at = 0;

	XXH3_64bits_reset(&state);
	while (at < size) {
		long n = sys_pread(fd, buf, size - at < room ? size - at : room, (int64_t)at);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		XXH3_64bits_update(&state, buf, (size_t)n);
		at += (uint64_t)n;
	}
	*hash = XXH3_64bits_digest(&state);
	return 0;
}

/* Room for n more bytes: the buffer is extended where it lies when nothing lies behind it, else moved. */
static int encode_room(struct encode *e, uint64_t n)
{
	struct arena *a = e->arena;
	uint64_t room;
	char *p;

	if (n <= e->room - e->n)
		return 0;
	for (room = e->room ? e->room : ENCODE_FIRST; room - e->n < n; room *= 2)
		if (room > UINT64_MAX / 4)
			return -ENOMEM;
	if (e->p && e->p + e->room == a->base + a->used && arena_alloc(a, room - e->room)) {
		e->room = room;
		return 0;
	}
	p = arena_alloc(a, room);
	if (!p)
		return -ENOMEM;
	if (e->n)
		memcpy(p, e->p, e->n);
	e->p = p;
	e->room = room;
	return 0;
}

static int encode_bytes(void *data, const char *p, size_t n)
{
	struct encode *e = data;

	if (e->rc == 0 && encode_room(e, n) < 0)
		e->rc = failed(-ENOMEM, "image: no memory for metadata beyond %lu bytes", e->n);
	if (e->rc < 0)
		return e->rc;
	if (n)
		memcpy(e->p + e->n, p, n);
	e->n += n;
	return 0;
}

static void encode_blob(msgpack_packer *pk, struct encode *e, const struct field *f, struct blob b)
{
	if (b.n > UINT32_MAX) {
		e->rc = failed(-E2BIG, "image: field %s has %lu bytes", f->name, b.n);
		return;
	}
	if (f->type == FIELD_STR_T)
		msgpack_pack_str_with_body(pk, b.p, b.n);
	else
		msgpack_pack_bin_with_body(pk, b.p, b.n);
}

static void encode_map(msgpack_packer *pk, struct encode *e, const struct field *fields, const char *rec)
{
	const struct field *f;
	size_t n = 0;

	while (fields[n].type != FIELD_END_T)
		n++;
	msgpack_pack_map(pk, n);
	for (f = fields; f->type != FIELD_END_T && e->rc == 0; f++) {
		const void *v = rec + f->offset;

		msgpack_pack_str_with_body(pk, f->name, strlen(f->name));
		switch (f->type) {
		case FIELD_U32_T:
		case FIELD_OBJ_T:
			msgpack_pack_uint32(pk, *(const uint32_t *)v);
			break;
		case FIELD_U64_T:
			msgpack_pack_uint64(pk, *(const uint64_t *)v);
			break;
		case FIELD_I32_T:
			msgpack_pack_int32(pk, *(const int32_t *)v);
			break;
		case FIELD_I64_T:
			msgpack_pack_int64(pk, *(const int64_t *)v);
			break;
		case FIELD_STR_T:
		case FIELD_BIN_T:
			encode_blob(pk, e, f, *(const struct blob *)v);
			break;
		case FIELD_REC_T:
			encode_map(pk, e, f->sub, v);
			break;
		case FIELD_LIST_T: {
			const struct list *l = v;

			msgpack_pack_array(pk, l->n);
			for (uint32_t i = 0; i < l->n && e->rc == 0; i++)
				encode_map(pk, e, f->sub, (const char *)l->items + (size_t)i * f->size);
			break;
		}
		case FIELD_END_T:
			break;
		}
	}
}

int encode_frame(struct encode *e, const char *tag, const struct field *fields, const void *rec)
{
	msgpack_packer pk;
	uint64_t head, body;

	if (e->rc < 0)
		return e->rc;
	msgpack_packer_init(&pk, e, encode_bytes);
	msgpack_pack_array(&pk, 3);
	msgpack_pack_str_with_body(&pk, tag, strlen(tag));
	head = e->n;
	encode_bytes(e, (const char[BIN32_HEAD]){ (char)BIN32 }, BIN32_HEAD);
	body = e->n;
	encode_map(&pk, e, fields, rec);
	if (e->rc == 0 && e->n - body > UINT32_MAX)
		e->rc = failed(-E2BIG, "image: record %s has %lu bytes", tag, e->n - body);
	if (e->rc < 0)
		return e->rc;
	for (int i = 0; i < 4; i++)
		e->p[head + 1 + (uint64_t)i] = (char)((e->n - body) >> (24 - 8 * i));
	msgpack_pack_uint64(&pk, image_hash(e->p + body, e->n - body));
	e->frames++;
	return e->rc;
}

/* The first and the last frame of every file. */
const struct field fields_head[] = {
	FIELD_U32(struct head_record, version),
	FIELD_STR(struct head_record, what),
	FIELD_END
};

const struct field fields_end[] = {
	FIELD_U32(struct end_record, frames),
	FIELD_END
};

int encode_begin(struct encode *e, struct arena *arena, const char *what)
{
	struct head_record head = { .version = IMAGE_VERSION, .what = { what, strlen(what) } };

	*e = (struct encode){ .arena = arena };
	return encode_frame(e, "skshim", fields_head, &head);
}

int encode_end(struct encode *e)
{
	struct end_record end = { .frames = e->frames };

	return encode_frame(e, "end", fields_end, &end);
}
