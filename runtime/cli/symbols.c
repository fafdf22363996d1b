/*
 * symbols.c - names of functions in ELF files
 *
 * .symtab where the file has one, else .dynsym; and the .symtab of a separate
 * debug file (/usr/lib/debug/.build-id), when one is installed.
 */
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbols.h"

struct symbol_file *symbols_get(struct symbols *s, const char *path)
{
	for (struct symbol_file *f = s->files; f != NULL; f = f->next)
		if (strcmp(f->path, path) == 0)
			return f;
	return NULL;
}

static int symbols_compare(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->value != y->value)
		return x->value > y->value ? 1 : -1;
	/* Of several names for one place the last is found: prefer the sized, then the one with fewer underscores. */
	if ((x->size != 0) != (y->size != 0))
		return x->size != 0 ? 1 : -1;
	return (int)strspn(y->name, "_") - (int)strspn(x->name, "_");
}

static void symbols_read_section(struct symbol_file *f, Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t count = data != NULL && sh->sh_entsize > 0 ? data->d_size / sh->sh_entsize : 0;
	struct symbol *grown = count > 0 ? realloc(f->symbols, (f->n + count) * sizeof(*grown)) : NULL;

	if (grown == NULL)
		return;
	f->symbols = grown;
	for (size_t i = 0; i < count; i++) {
		GElf_Sym sym;
		const char *name;

		if (gelf_getsym(data, (int)i, &sym) == NULL || sym.st_shndx == SHN_UNDEF ||
		    (GELF_ST_TYPE(sym.st_info) != STT_FUNC && GELF_ST_TYPE(sym.st_info) != STT_GNU_IFUNC))
			continue;
		name = elf_strptr(elf, sh->sh_link, sym.st_name);
		if (name == NULL || *name == '\0')
			continue;
		f->symbols[f->n++] = (struct symbol){ sym.st_value, sym.st_size, name };
	}
}

/* Reads the section of a type; true when there was one. */
static bool symbols_read(struct symbol_file *f, Elf *elf, uint32_t type)
{
	Elf_Scn *scn = NULL;
	size_t before = f->n;

	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		GElf_Shdr sh;

		if (gelf_getshdr(scn, &sh) != NULL && sh.sh_type == type)
			symbols_read_section(f, elf, scn, &sh);
	}
	return f->n > before;
}

static void symbols_segments(struct symbol_file *f, Elf *elf)
{
	size_t n = 0;

	if (elf_getphdrnum(elf, &n) != 0)
		return;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr ph;

		if (gelf_getphdr(elf, (int)i, &ph) == NULL)
			continue;
		if (ph.p_type == PT_GNU_EH_FRAME)
			f->eh_frame_hdr = ph.p_vaddr;
		else if (ph.p_type == PT_LOAD && f->nsegments < sizeof(f->segments) / sizeof(f->segments[0]))
			f->segments[f->nsegments++] = (struct symbol_segment){ ph.p_vaddr, ph.p_offset, ph.p_filesz };
	}
}

static void symbols_debug_path(const unsigned char *id, size_t n, char *out, size_t size)
{
	size_t at = (size_t)snprintf(out, size, "/usr/lib/debug/.build-id/%02x/", id[0]);

	for (size_t i = 1; i < n && at + 16 < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%02x", id[i]);
	snprintf(out + at, size - at, ".debug");
}

/* The separate debug file that belongs to the build-id. */
static void symbols_debug(struct symbol_file *f, Elf *elf)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		size_t at = 0, name, desc;
		GElf_Shdr sh;
		GElf_Nhdr note;
		Elf_Data *data;
		char path[256];
		int fd;

		if (gelf_getshdr(scn, &sh) == NULL || sh.sh_type != SHT_NOTE ||
		    (data = elf_getdata(scn, NULL)) == NULL || gelf_getnote(data, at, &note, &name, &desc) == 0 ||
		    note.n_type != NT_GNU_BUILD_ID || note.n_descsz < 2)
			continue;
		symbols_debug_path((unsigned char *)data->d_buf + desc, note.n_descsz, path, sizeof(path));
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		f->debug = elf_begin(fd, ELF_C_READ_MMAP, NULL);
		if (f->debug != NULL) {
			elf_cntl(f->debug, ELF_C_FDREAD);
			symbols_read(f, f->debug, SHT_SYMTAB);
		}
		close(fd);
		return;
	}
}

struct symbol_file *symbols_add(struct symbols *s, const char *path, int fd, const void *memory, uint64_t size)
{
	struct symbol_file *f = NULL;
	Elf *elf = NULL;

	elf_version(EV_CURRENT);
	if (memory != NULL)
		elf = elf_memory((char *)memory, size);
	else if (fd >= 0)
		elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (elf != NULL && elf_kind(elf) == ELF_K_ELF)
		f = calloc(1, sizeof(*f));
	if (f != NULL)
		f->path = strdup(path);
	if (f == NULL || f->path == NULL) {
		free(f);
		elf_end(elf);
		f = NULL;
		goto out;
	}
	f->elf = elf;
	symbols_segments(f, elf);
	if (!symbols_read(f, elf, SHT_SYMTAB)) {
		symbols_read(f, elf, SHT_DYNSYM);
		symbols_debug(f, elf);
	}
	if (f->n > 0)
		qsort(f->symbols, f->n, sizeof(f->symbols[0]), symbols_compare);
	f->next = s->files;
	s->files = f;
out:
	if (fd >= 0)
		close(fd);
	return f;
}

const char *symbols_find(const struct symbol_file *f, uint64_t vaddr, uint64_t *into)
{
	size_t low = 0, high = f->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->symbols[mid].value <= vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return NULL;
	low--;
	*into = vaddr - f->symbols[low].value;
	/* Beyond the end of the nearest function lies one whose name was stripped. */
	if (f->symbols[low].size != 0 ? *into >= f->symbols[low].size : *into > 0)
		return NULL;
	return f->symbols[low].name;
}

int symbols_plain(const char *name)
{
	return (int)strcspn(name, "@");
}

bool symbols_vaddr(const struct symbol_file *f, uint64_t offset, uint64_t *vaddr)
{
	for (unsigned i = 0; i < f->nsegments; i++) {
		if (offset < f->segments[i].offset || offset - f->segments[i].offset >= f->segments[i].size)
			continue;
		*vaddr = offset - f->segments[i].offset + f->segments[i].vaddr;
		return true;
	}
	return false;
}

void symbols_free(struct symbols *s)
{
	while (s->files != NULL) {
		struct symbol_file *next = s->files->next;

		elf_end(s->files->debug);
		elf_end(s->files->elf);
		free(s->files->symbols);
		free(s->files->path);
		free(s->files);
		s->files = next;
	}
}
