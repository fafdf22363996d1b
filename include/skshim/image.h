/*
 * image.h - writing and reading the files of a checkpoint
 *
 * A metadata file is a row of frames, each a msgpack array [tag, body, hash]:
 * tag a str, body a bin that holds one msgpack map (see field.h), hash the
 * XXH3 64 of body. The first frame is "skshim" (version, what the file is),
 * the last "end" (how many frames stand before it). See docs/IMAGE.md.
 *
 * encode is frozen code. decode is ordinary.
 */
#ifndef SKSHIM_IMAGE_H
#define SKSHIM_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "skshim/arena.h"
#include "skshim/field.h"
#include "skshim/kind.h"
#include "skshim/task.h"

#define IMAGE_MANIFEST "manifest"
/* Per process: "812.task" (metadata), "812.pages" (raw pages), "812.runs" (index of the pages). */
#define IMAGE_TASK "%d.task"
#define IMAGE_PAGES "%d.pages"
#define IMAGE_RUNS "%d.runs"
#define IMAGE_NAME_MAX 32
/* A writer cuts longer runs of pages here, so that two threads can check a big region. */
#define IMAGE_RUN_PAGES 1024
/* Runs from this address on hold no memory but contents of files, one after the other; struct extent says what is where. */
#define IMAGE_CONTENTS (1ull << 62)

/* --- encode (frozen) ---------------------------------------------------------------------------------------- */

/* Bytes of a metadata file growing in an arena; the first failure stays in rc. */
struct encode {
	struct arena *arena;
	char *p;
	uint64_t n, room;
	uint32_t frames;
	int rc;
};

/* Starts with the "skshim" frame: `what` is "manifest", "task" or "runs". */
int encode_begin(struct encode *, struct arena *, const char *what);
int encode_frame(struct encode *, const char *tag, const struct field *fields, const void *rec);
int encode_end(struct encode *);
uint64_t image_hash(const void *p, uint64_t n);
/* Of the `size` bytes of a file, read piece by piece through buf[room]; 0, or a negative errno (-EIO: it ends early). */
int image_hash_file(int fd, uint64_t size, void *buf, size_t room, uint64_t *hash);

/* First and last frame of every metadata file. */
struct head_record {
	uint32_t version;          /* IMAGE_VERSION */
	struct blob what;
};
struct end_record {
	uint32_t frames;           /* that stand before it, "skshim" included */
};
extern const struct field fields_head[], fields_end[];

/* --- decode (ordinary) -------------------------------------------------------------------------------------- */

/* A metadata file in memory, walked frame by frame. */
struct decode {
	const char *name;          /* for messages */
	struct arena *arena;
	const uint8_t *p, *end;
	uint32_t frames;
	bool ended;
};

/* Checks the "skshim" frame. p[n] must outlive the records: blobs point into it. */
int decode_begin(struct decode *, struct arena *, const char *name, const void *p, uint64_t n, const char *what);
/* The next frame's tag and body; 1, 0 at the (checked) end, or a negative errno. */
int decode_frame(struct decode *, struct blob *tag, struct blob *body);
/* Strict: every field present once, nothing else, right types, numbers in range, nothing left over. */
int decode_record(struct arena *, const char *name, struct blob body, const struct field *fields, void *rec, uint32_t size);
/* The same of the record `what` in file `name`. */
int decode_body(struct arena *, const char *name, const char *what, struct blob body, const struct field *fields, void *rec, uint32_t size);

/* --- a whole image, loaded ---------------------------------------------------------------------------------- */

struct image_object {
	const struct kind *kind;
	struct object_record *common;
	void *rec;
	struct lineage_record *lineage;  /* NULL where the shim knew nothing */
	uint32_t process;          /* index of the process whose record this is (the lowest that has it) */
};

struct image_process {
	struct process_record *task;
	uint32_t nobjects;
	struct image_object *objects;    /* by the process's own number, OBJ fields already the image's */
	uint32_t *global;                /* own number -> the image's */
	struct list runs;                /* struct run_record */
	struct blob pages_name;
};

#define IMAGE_HELPERS 3            /* threads that load it, beside the first */

struct image {
	struct arena arena;
	struct arena helpers[IMAGE_HELPERS];
	uint64_t metadata;         /* bytes of it on disk */
	int dirfd;
	char dir[4096];            /* absolute, the numbered directory */
	struct manifest_record *manifest;
	uint32_t nprocesses;
	struct image_process *processes;
	uint32_t nobjects;
	struct image_object *objects;    /* by the image's number: what shall be made */
};

enum image_how { IMAGE_METADATA, IMAGE_EVERYTHING };  /* EVERYTHING also hashes all pages */

/*
 * Loads and cross-checks a checkpoint. `dir` is a checkpoint or the directory
 * that holds them. 0 or a negative errno with failed() called.
 */
int image_load(struct image *, const char *dir, enum image_how how);
/* Whether it is one, or holds one. */
bool image_is_there(const char *dir);
void image_unload(struct image *);

/* A socket's lineage as the image holds it. */
struct frame_record {
	uint64_t address;
	struct blob module;        /* path of the file mapped there, "" */
	uint64_t offset;           /* address as the ELF file counts it (address - load bias) */
	struct blob function;      /* "" until `inspect` looks it up */
};
struct lineage_record {
	uint32_t obj;              /* FIELD_OBJ: whose */
	uint32_t origin;
	int32_t pid, tid;
	int64_t when;
	struct blob program;
	uint64_t mate, listener;
	int32_t backlog;
	struct blob bound, peer;
	uint64_t cwd_dev, cwd_ino, file_dev, file_ino;
	struct blob file_path;     /* where the anchor says the file is now */
	struct blob cwd;
	struct blob notes;
	uint32_t notes_lost;
	struct list frames;        /* struct frame_record */
};
extern const struct field fields_frame[];

#endif
