/*
 * field.h - a record, declared once
 *
 * A table of fields is walked by the encoder, the decoder, the checks and by
 * `skshim inspect`. On disk a record is a msgpack map from the field's name to
 * its value, in the table's order; see docs/IMAGE.md. A field whose C type
 * differs from its row does not compile.
 */
#ifndef SKSHIM_FIELD_H
#define SKSHIM_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "skshim/str.h"

enum field_type {
	FIELD_END_T,
	FIELD_U32_T,
	FIELD_U64_T,
	FIELD_I32_T,
	FIELD_I64_T,
	FIELD_STR_T,     /* struct blob, shown as text; msgpack str (may hold any bytes) */
	FIELD_BIN_T,     /* struct blob, msgpack bin */
	FIELD_OBJ_T,     /* uint32_t: an open file description, OBJ_NONE for none. The loader turns a process's own numbers into the image's. */
	FIELD_REC_T,     /* an embedded record */
	FIELD_LIST_T,    /* struct list of records */
};

#define OBJ_NONE 0xffffffffu

struct list {
	void *items;     /* n records of the sub-table's size, one after the other */
	uint32_t n;
};

struct field {
	const char *name;
	uint32_t length;             /* of the name */
	enum field_type type;
	uint32_t offset;
	uint32_t size;               /* of a list's item */
	const struct field *sub;     /* of an embedded record, of a list's item */
	bool added;                  /* younger than the first images: absent, it is zero, "" or empty */
};

#define FIELD_CHECK_(T, m, type_) \
	(sizeof(char[__builtin_types_compatible_p(__typeof__(((T *)0)->m), type_) ? 1 : -1]) * 0)
#define FIELD_PLAIN_(T, m, t, type_) \
	{ .name = #m, .length = sizeof(#m) - 1, .type = (t), .offset = (uint32_t)(offsetof(T, m) + FIELD_CHECK_(T, m, type_)) }

#define FIELD_U32(T, m) FIELD_PLAIN_(T, m, FIELD_U32_T, uint32_t)
#define FIELD_U64(T, m) FIELD_PLAIN_(T, m, FIELD_U64_T, uint64_t)
#define FIELD_I32(T, m) FIELD_PLAIN_(T, m, FIELD_I32_T, int32_t)
#define FIELD_I64(T, m) FIELD_PLAIN_(T, m, FIELD_I64_T, int64_t)
#define FIELD_STR(T, m) FIELD_PLAIN_(T, m, FIELD_STR_T, struct blob)
#define FIELD_BIN(T, m) FIELD_PLAIN_(T, m, FIELD_BIN_T, struct blob)
#define FIELD_OBJ(T, m) FIELD_PLAIN_(T, m, FIELD_OBJ_T, uint32_t)
#define FIELD_REC(T, m, type_, table) \
	{ .name = #m, .length = sizeof(#m) - 1, .type = FIELD_REC_T, .offset = (uint32_t)(offsetof(T, m) + FIELD_CHECK_(T, m, type_)), \
	  .size = (uint32_t)sizeof(type_), .sub = (table) }
#define FIELD_LIST(T, m, item, table) \
	{ .name = #m, .length = sizeof(#m) - 1, .type = FIELD_LIST_T, .offset = (uint32_t)(offsetof(T, m) + FIELD_CHECK_(T, m, struct list)), \
	  .size = (uint32_t)sizeof(item), .sub = (table) }
/* The same, of fields that images made before don't have. */
#define FIELD_LIST_ADDED(T, m, item, table) \
	{ .name = #m, .length = sizeof(#m) - 1, .type = FIELD_LIST_T, .offset = (uint32_t)(offsetof(T, m) + FIELD_CHECK_(T, m, struct list)), \
	  .size = (uint32_t)sizeof(item), .sub = (table), .added = true }
#define FIELD_BIN_ADDED(T, m) \
	{ .name = #m, .length = sizeof(#m) - 1, .type = FIELD_BIN_T, .offset = (uint32_t)(offsetof(T, m) + FIELD_CHECK_(T, m, struct blob)), .added = true }
#define FIELD_U64_ADDED(T, m) \
	{ .name = #m, .length = sizeof(#m) - 1, .type = FIELD_U64_T, .offset = (uint32_t)(offsetof(T, m) + FIELD_CHECK_(T, m, uint64_t)), .added = true }
#define FIELD_U32_ADDED(T, m) \
	{ .name = #m, .length = sizeof(#m) - 1, .type = FIELD_U32_T, .offset = (uint32_t)(offsetof(T, m) + FIELD_CHECK_(T, m, uint32_t)), .added = true }
#define FIELD_STR_ADDED(T, m) \
	{ .name = #m, .length = sizeof(#m) - 1, .type = FIELD_STR_T, .offset = (uint32_t)(offsetof(T, m) + FIELD_CHECK_(T, m, struct blob)), .added = true }
#define FIELD_END { .name = NULL, .type = FIELD_END_T }

#endif
