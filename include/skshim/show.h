/*
 * show.h - records as JSON, through their field tables (ordinary)
 *
 * The result is valid JSON whatever the bytes are: a STR is printed as text,
 * bytes of it that aren't UTF-8 as \udc80..\udcff (Python's surrogateescape, so
 * nothing is lost); a BIN as hexadecimal digits; OBJ_NONE as null; numbers as
 * they are (64 bits: a reader that keeps doubles loses the low ones).
 */
#ifndef SKSHIM_SHOW_H
#define SKSHIM_SHOW_H

#include <stdio.h>

#include "skshim/field.h"

/* Where in the document: commas and indentation are the writer's. */
struct show {
	FILE *out;
	int depth;
	bool more;               /* something stands before in this object or array */
};

void show_begin(struct show *, FILE *out);
/* A newline; 0, or -EIO when something could not be written. */
int show_end(struct show *);

/* `name` is NULL inside an array and at the top. */
void show_open(struct show *, const char *name, char bracket /* '{' or '[' */);
void show_close(struct show *, char bracket /* '}' or ']' */);
void show_string(struct show *, const char *name, struct blob text);
void show_hex(struct show *, const char *name, struct blob bytes);
void show_unsigned(struct show *, const char *name, uint64_t v);
void show_signed(struct show *, const char *name, int64_t v);
void show_bool(struct show *, const char *name, bool v);
void show_null(struct show *, const char *name);

/* A whole record as an object, or only its members (to add others beside them). */
void show_record(struct show *, const char *name, const struct field *fields, const void *rec);
void show_fields(struct show *, const struct field *fields, const void *rec);

#endif
