/*
 * seeds.c - something good for the fuzzers to spoil
 *
 *	seeds DIR	writes DIR/decode and DIR/manifest
 *
 * The bodies of the frames of a small image, with the byte before them by which
 * the harnesses choose; and the files whole.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/image_make.h"

static const char *root;
static int count;

static void seed(const char *harness, uint8_t choice, struct blob body)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%03d", root, harness, count++);
	f = fopen(path, "w");
	if (!f || fputc(choice, f) == EOF || fwrite(body.p, 1, body.n, f) != body.n || fclose(f)) {
		perror(path);
		exit(1);
	}
}

/* Which table of decode_fuzz.c, which record of manifest_fuzz.c; -1 none. */
static const struct {
	const char *tag;
	int decode, manifest;
} choices[] = {
	{ "process", 0, 1 }, { "manifest", 1, 0 }, { "object", 2, 2 }, { "lineage", 3, 4 }, { "run", 4, 5 }, { "box", -1, 3 }, { "end", 8, -1 },
};

static void seeds_of(struct arena *arena, const char *name, const char *what)
{
	struct blob file, tag, body;
	char path[300];
	struct decode d;
	int rc;

	snprintf(path, sizeof(path), "%s/image/%s", root, name);
	if (arena_read_file(arena, AT_FDCWD, path, &file) < 0 || decode_begin(&d, arena, name, file.p, file.n, what) < 0)
		exit(1);
	if (strcmp(what, "task") == 0)
		seed("decode", 0xff, file);
	while ((rc = decode_frame(&d, &tag, &body)) > 0) {
		for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
			if (!blob_is(tag, choices[i].tag))
				continue;
			if (choices[i].decode >= 0)
				seed("decode", (uint8_t)choices[i].decode, body);
			if (choices[i].manifest >= 0)
				seed("manifest", (uint8_t)choices[i].manifest, body);
		}
	}
	if (rc < 0)
		exit(1);
}

int main(int argc, char **argv)
{
	static struct made made;
	struct arena arena;
	char path[300];

	if (argc != 2 || arena_begin(&arena, 64 << 20) < 0)
		return 2;
	root = argv[1];
	mkdir(root, 0700);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", root, (const char *[]){ "image", "decode", "manifest" }[i]);
		mkdir(path, 0700);
	}
	made_begin(&made);
	snprintf(path, sizeof(path), "%s/image", root);
	made_write(&made, path);
	seeds_of(&arena, "manifest", "manifest");
	seeds_of(&arena, "200.task", "task");
	seeds_of(&arena, "200.runs", "runs");
	return 0;
}
