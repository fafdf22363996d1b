/*
 * docs_test.c - docs/IMAGE.md says what the field tables say
 *
 * Every record has a section, in which its rows are the table's, in order. What
 * is missing is printed as it should be pasted, but for the meaning.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "skshim/image.h"

#include "unit.h"

static char *doc;

static void read_doc(void)
{
	FILE *f = fopen("docs/IMAGE.md", "r");
	size_t n;

	ck_assert_msg(f != NULL, "docs/IMAGE.md: run from the top directory");
	doc = calloc(1, 1 << 20);
	n = fread(doc, 1, (1 << 20) - 1, f);
	ck_assert_uint_gt(n, 1000);
	fclose(f);
}

static const char *type_of(const struct field *f)
{
	static const char *const types[] = {
		[FIELD_U32_T] = "u32", [FIELD_U64_T] = "u64", [FIELD_I32_T] = "i32", [FIELD_I64_T] = "i64", [FIELD_STR_T] = "str",
		[FIELD_BIN_T] = "bin", [FIELD_OBJ_T] = "obj", [FIELD_REC_T] = "[", [FIELD_LIST_T] = "list of [",
	};

	return types[f->type];
}

/* The rows of the section "### name" against the table; prints all that is wrong. The number of differences. */
static int compare(const char *name, const char *heading, const struct field *fields)
{
	char *at, *row = NULL, title[100];
	int bad = 0;

	snprintf(title, sizeof(title), "\n%s %s\n", heading, name);
	at = strstr(doc, title);
	if (at)
		row = strstr(at, "| --- |");
	if (row)
		row = strchr(row, '\n') + 1;
	else
		printf("docs/IMAGE.md: no section %s with a table:\n%s\n| field | type | meaning |\n| --- | --- | --- |\n", name, title + 1);
	for (const struct field *f = fields; f->type != FIELD_END_T; f++) {
		char start[100];

		snprintf(start, sizeof(start), "| `%s` | %s", f->name, type_of(f));
		if (row && strncmp(row, start, strlen(start)) == 0) {
			row = strchr(row, '\n') + 1;
			continue;
		}
		printf("%s%s | ... |\n", row ? "docs/IMAGE.md: expected: " : "", start);
		bad++;
		if (row && *row == '|' && strstr(row, " | ") < strchr(row, '\n'))
			row = strchr(row, '\n') + 1;
	}
	if (row && *row == '|') {
		printf("docs/IMAGE.md: %s: a row too many: %.40s\n", name, row);
		bad++;
	}
	return bad + !row;
}

START_TEST(records)
{
	int bad = 0;

	read_doc();
#define RECORD(name) bad += compare(#name, "###", fields_##name)
	RECORD(head);
	RECORD(end);
	RECORD(manifest);
	RECORD(pid);
	RECORD(dead);
	RECORD(member);
	RECORD(file_sum);
	RECORD(process);
	RECORD(thread);
	RECORD(siginfo);
	RECORD(sigaction);
	RECORD(timer);
	RECORD(itimer);
	RECORD(fd);
	RECORD(vma);
	RECORD(shared);
	RECORD(range);
	RECORD(ipc);
	RECORD(piece);
	RECORD(file);
	RECORD(object);
	RECORD(lineage);
	RECORD(frame);
	RECORD(run);
	ck_assert_int_eq(bad, 0);
}
END_TEST

/* Lists inside a kind's record are described by sections "#### kind.x" linked from their row. */
static int compare_kind(const char *name, const char *heading, const struct field *fields)
{
	int bad = compare(name, heading, fields);

	for (const struct field *f = fields; f->type != FIELD_END_T && !bad; f++) {
		char link[100], title[64];
		char *row, *section;
		size_t n;

		if (!f->sub)
			continue;
		snprintf(title, sizeof(title), "\n%s %s\n", heading, name);
		section = strstr(doc, title);
		snprintf(link, sizeof(link), "| `%s` | %s", f->name, type_of(f));
		row = section ? strstr(section, link) : NULL;
		if (!row)
			return bad + 1;
		row += strlen(link);
		n = strcspn(row, "]");
		snprintf(title, sizeof(title), "%.*s", (int)n, row);
		bad += compare_kind(title, "####", f->sub);
	}
	return bad;
}

START_TEST(every_kind)
{
	int bad = 0;

	read_doc();
	for (const struct kind *const *k = kinds; *k; k++)
		if (strcmp((*k)->tag, "unsupported") != 0)       /* refuses every checkpoint */
			bad += compare_kind((*k)->tag, "###", (*k)->fields);
	ck_assert_int_eq(bad, 0);
}
END_TEST

UNIT_MAIN("docs", records, every_kind)
