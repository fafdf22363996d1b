/*
 * manifest_fuzz.c - a whole image around bytes that are one of its records
 *
 * The first byte chooses which frame's body the rest stands for: the manifest,
 * a process, an object of it, a kind's record, a run. All hashes are right, so
 * what is fuzzed are the checks of runtime/image/{file,check}.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/image_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char dir[] = "/dev/shm/manifest_fuzz.XXXXXX";
static struct made made;

static void remove_dir(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command) != 0)
		fprintf(stderr, "%s is left over\n", dir);
}

/* A copy that outlives the input; blobs of the record point into it. */
static int take(struct arena *arena, struct blob body, const struct field *fields, void *rec, uint32_t size)
{
	body = arena_blob(arena, body.p, body.n);
	return body.p ? decode_record(arena, "fuzz", body, fields, rec, size) : -1;
}

static int fuzz(struct arena *arena, unsigned what, struct blob body)
{
	struct made_process *p = &made.p[1];

	switch (what) {
	case 0:
		/* the sums must stay those of the files, or nothing is reached */
		made.keep_sums = false;
		if (take(arena, body, fields_manifest, &made.manifest, sizeof(made.manifest)) < 0)
			return -1;
		made.manifest.files = (struct list){ made.sums, 6 };
		return 0;
	case 1:
		return take(arena, body, fields_process, &p->task, sizeof(p->task));
	case 2:
		return take(arena, body, fields_object, &p->objects[1], sizeof(p->objects[1]));
	case 3:
		return take(arena, body, box_fields, &p->boxes[1], sizeof(p->boxes[1]));
	case 4:
		return take(arena, body, fields_lineage, &p->lineage, sizeof(p->lineage));
	default:
		return take(arena, body, fields_run, &p->runs[1], sizeof(p->runs[1]));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static bool ready;
	struct arena arena;
	struct image image;

	if (!ready) {
		if (!mkdtemp(dir))
			abort();
		atexit(remove_dir);
		ready = true;
	}
	if (n == 0 || arena_begin(&arena, 1ul << 28) < 0)
		return 0;
	made_begin(&made);
	err_reset();
	if (fuzz(&arena, data[0] % 6, (struct blob){ data + 1, n - 1 }) == 0) {
		made_write(&made, dir);
		err_reset();
		if (image_load(&image, dir, IMAGE_EVERYTHING) == 0)
			image_unload(&image);
		else if (!*err_text())
			abort();
	}
	arena_end(&arena);
	return 0;
}
