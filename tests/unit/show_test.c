/*
 * show_test.c - whatever the bytes are, the result is JSON
 */
#include <stdio.h>
#include <string.h>

#include "skshim/show.h"

#include "unit.h"

static char *text;
static size_t size;

static struct show begin(void)
{
	struct show s;

	show_begin(&s, open_memstream(&text, &size));
	return s;
}

static void end(struct show *s, const char *expected)
{
	ck_assert_int_eq(show_end(s), 0);
	fclose(s->out);
	ck_assert_str_eq(text, expected);
	free(text);
}

static const struct {
	struct blob in;
	const char *out;
} strings[] = {
	{ BLOB(""), "\"\"" },
	{ BLOB("plain"), "\"plain\"" },
	{ BLOB("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"" },
	{ BLOB("a\0b\n\t\x1f\x7f"), "\"a\\u0000b\\u000a\\u0009\\u001f\\u007f\"" },
	{ BLOB("gr\xc3\xbc\xc3\x9f"), "\"gr\xc3\xbc\xc3\x9f\"" },
	{ BLOB("\xe2\x82\xac \xf0\x9f\x98\x80"), "\"\xe2\x82\xac \xf0\x9f\x98\x80\"" },
	{ BLOB("\xff"), "\"\\udcff\"" },
	{ BLOB("\xc3"), "\"\\udcc3\"" },                            /* cut */
	{ BLOB("\xe2\x82"), "\"\\udce2\\udc82\"" },
	{ BLOB("\xc0\xaf"), "\"\\udcc0\\udcaf\"" },                 /* overlong */
	{ BLOB("\xe0\x80\x80"), "\"\\udce0\\udc80\\udc80\"" },
	{ BLOB("\xed\xa0\x80"), "\"\\udced\\udca0\\udc80\"" },      /* surrogate */
	{ BLOB("\xf4\x90\x80\x80"), "\"\\udcf4\\udc90\\udc80\\udc80\"" },
	{ BLOB("\xf0\x80\x80\x80"), "\"\\udcf0\\udc80\\udc80\\udc80\"" },
	{ BLOB("\xf5\x80\x80\x80"), "\"\\udcf5\\udc80\\udc80\\udc80\"" },
	{ BLOB("\x80x"), "\"\\udc80x\"" },
};

START_TEST(escaping)
{
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		char expected[200];
		struct show s = begin();
		/* of its own size, so that the sanitizer sees a step too far */
		char *p = malloc(strings[i].in.n);

		memcpy(p, strings[i].in.p, strings[i].in.n);
		show_string(&s, NULL, (struct blob){ p, strings[i].in.n });
		free(p);
		snprintf(expected, sizeof(expected), "%s\n", strings[i].out);
		end(&s, expected);
	}
}
END_TEST

struct inner {
	uint32_t obj;
};
struct outer {
	uint32_t u;
	uint64_t big;
	int32_t i;
	int64_t far;
	struct blob s, b;
	struct inner one;
	struct list many, none;
};
static const struct field inner_fields[] = { FIELD_OBJ(struct inner, obj), FIELD_END };
static const struct field outer_fields[] = {
	FIELD_U32(struct outer, u),
	FIELD_U64(struct outer, big),
	FIELD_I32(struct outer, i),
	FIELD_I64(struct outer, far),
	FIELD_STR(struct outer, s),
	FIELD_BIN(struct outer, b),
	FIELD_REC(struct outer, one, struct inner, inner_fields),
	FIELD_LIST(struct outer, many, struct inner, inner_fields),
	FIELD_LIST(struct outer, none, struct inner, inner_fields),
	FIELD_END
};

START_TEST(record)
{
	struct inner items[2] = { { 3 }, { OBJ_NONE } };
	struct outer o = { 1, UINT64_MAX, -1, INT64_MIN, BLOB("x"), BLOB("\0\xff"), { 0 }, { items, 2 }, { NULL, 0 } };
	struct show s = begin();

	show_open(&s, NULL, '{');
	show_bool(&s, "yes", true);
	show_fields(&s, outer_fields, &o);
	show_null(&s, "end");
	show_close(&s, '}');
	end(&s, "{\n"
		"  \"yes\": true,\n"
		"  \"u\": 1,\n"
		"  \"big\": 18446744073709551615,\n"
		"  \"i\": -1,\n"
		"  \"far\": -9223372036854775808,\n"
		"  \"s\": \"x\",\n"
		"  \"b\": \"00ff\",\n"
		"  \"one\": {\n"
		"    \"obj\": 0\n"
		"  },\n"
		"  \"many\": [\n"
		"    {\n"
		"      \"obj\": 3\n"
		"    },\n"
		"    {\n"
		"      \"obj\": null\n"
		"    }\n"
		"  ],\n"
		"  \"none\": [],\n"
		"  \"end\": null\n"
		"}\n");
}
END_TEST

/* A full disk is told. */
START_TEST(no_space)
{
	struct show s;

	show_begin(&s, fopen("/dev/full", "w"));
	show_string(&s, NULL, (struct blob)BLOB("x"));
	ck_assert_int_lt(show_end(&s), 0);
	fclose(s.out);
}
END_TEST

UNIT_MAIN("show", escaping, record, no_space)
