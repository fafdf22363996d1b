/*
 * symbols.h - names of functions in ELF files
 */
#ifndef SYMBOLS_H
#define SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

struct symbol {
	uint64_t value, size;
	const char *name;
};

struct symbol_segment {
	uint64_t vaddr, offset, size;
};

/* One ELF file, opened once. */
struct symbol_file {
	char *path;
	struct symbol *symbols;      /* ascending by value */
	size_t n;
	struct symbol_segment segments[16];
	unsigned nsegments;
	uint64_t eh_frame_hdr;       /* as the file counts addresses, 0 none */
	struct symbol_file *next;
	void *elf, *debug;           /* libelf's, kept for the names' sake */
};

struct symbols {
	struct symbol_file *files;
};

/*
 * The file's symbols, read at the first question: from `fd` (closed here), or
 * from `memory[size]` when that isn't NULL. NULL when it isn't an ELF file.
 */
struct symbol_file *symbols_add(struct symbols *, const char *path, int fd, const void *memory, uint64_t size);
struct symbol_file *symbols_get(struct symbols *, const char *path);
/* The function that holds a file address, and how far into it; NULL when unknown. */
const char *symbols_find(const struct symbol_file *, uint64_t vaddr, uint64_t *into);
/* Length of a name without the version behind it ("read@@GLIBC_2.2.5"). */
int symbols_plain(const char *name);
/* What the file counts as address, for an offset in the file. */
bool symbols_vaddr(const struct symbol_file *, uint64_t offset, uint64_t *vaddr);
void symbols_free(struct symbols *);

#endif
