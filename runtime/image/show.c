/*
 * show.c - records as JSON
 *
 * Nothing is escaped by hand elsewhere: names, texts and bytes all come through
 * here, so what a program calls itself can't break out of a string.
 */
#include <errno.h>
#include <inttypes.h>

#include "skshim/show.h"

void show_begin(struct show *s, FILE *out)
{
	*s = (struct show){ .out = out };
}

int show_end(struct show *s)
{
	fputc('\n', s->out);
	return fflush(s->out) || ferror(s->out) ? -EIO : 0;
}

/* Length of the UTF-8 sequence at p, 0 when it isn't one (overlong, surrogate, beyond U+10FFFF, cut). */
static unsigned utf8(const uint8_t *p, uint64_t n)
{
	unsigned len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (len > n)
		return 0;
	for (unsigned i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

static void quoted(FILE *out, struct blob text)
{
	const uint8_t *p = text.p;
	uint64_t left = text.n;
	unsigned len;

	fputc('"', out);
	while (left) {
		len = utf8(p, left);
		if (len == 0)
			fprintf(out, "\\udc%02x", *p);
		else if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			fprintf(out, "\\u%04x", *p);
		else
			fwrite(p, 1, len, out);
		len += len == 0;
		p += len;
		left -= len;
	}
	fputc('"', out);
}

/* What stands before a value. */
static void lead(struct show *s, const char *name)
{
	if (s->more)
		fputc(',', s->out);
	if (s->depth)
		fprintf(s->out, "\n%*s", 2 * s->depth, "");
	if (name) {
		quoted(s->out, (struct blob){ name, strlen(name) });
		fputs(": ", s->out);
	}
	s->more = true;
}

void show_open(struct show *s, const char *name, char bracket)
{
	lead(s, name);
	fputc(bracket, s->out);
	s->depth++;
	s->more = false;
}

void show_close(struct show *s, char bracket)
{
	s->depth--;
	if (s->more)
		fprintf(s->out, "\n%*s", 2 * s->depth, "");
	fputc(bracket, s->out);
	s->more = true;
}

void show_string(struct show *s, const char *name, struct blob text)
{
	lead(s, name);
	quoted(s->out, text);
}

void show_hex(struct show *s, const char *name, struct blob bytes)
{
	lead(s, name);
	fputc('"', s->out);
	for (uint64_t i = 0; i < bytes.n; i++)
		fprintf(s->out, "%02x", ((const uint8_t *)bytes.p)[i]);
	fputc('"', s->out);
}

void show_unsigned(struct show *s, const char *name, uint64_t v)
{
	lead(s, name);
	fprintf(s->out, "%" PRIu64, v);
}

void show_signed(struct show *s, const char *name, int64_t v)
{
	lead(s, name);
	fprintf(s->out, "%" PRId64, v);
}

void show_bool(struct show *s, const char *name, bool v)
{
	lead(s, name);
	fputs(v ? "true" : "false", s->out);
}

void show_null(struct show *s, const char *name)
{
	lead(s, name);
	fputs("null", s->out);
}

static void show_list(struct show *s, const struct field *f, const struct list *l)
{
	show_open(s, f->name, '[');
	for (uint32_t i = 0; i < l->n; i++)
		show_record(s, NULL, f->sub, (const char *)l->items + (size_t)i * f->size);
	show_close(s, ']');
}

static void show_field(struct show *s, const struct field *f, const void *v)
{
	switch (f->type) {
	case FIELD_U32_T:
		show_unsigned(s, f->name, *(const uint32_t *)v);
		break;
	case FIELD_U64_T:
		show_unsigned(s, f->name, *(const uint64_t *)v);
		break;
	case FIELD_I32_T:
		show_signed(s, f->name, *(const int32_t *)v);
		break;
	case FIELD_I64_T:
		show_signed(s, f->name, *(const int64_t *)v);
		break;
	case FIELD_STR_T:
		show_string(s, f->name, *(const struct blob *)v);
		break;
	case FIELD_BIN_T:
		show_hex(s, f->name, *(const struct blob *)v);
		break;
	case FIELD_OBJ_T:
		if (*(const uint32_t *)v == OBJ_NONE)
			show_null(s, f->name);
		else
			show_unsigned(s, f->name, *(const uint32_t *)v);
		break;
	case FIELD_REC_T:
		show_record(s, f->name, f->sub, v);
		break;
	case FIELD_LIST_T:
		show_list(s, f, v);
		break;
	case FIELD_END_T:
		break;
	}
}

void show_fields(struct show *s, const struct field *fields, const void *rec)
{
	for (const struct field *f = fields; f->type != FIELD_END_T; f++)
		show_field(s, f, (const char *)rec + f->offset);
}

void show_record(struct show *s, const char *name, const struct field *fields, const void *rec)
{
	show_open(s, name, '{');
	show_fields(s, fields, rec);
	show_close(s, '}');
}
