/*
 * elf.c - build id and functions of an ELF file in memory
 *
 * The vdso has no section headers in memory that one may count on, so its
 * symbols are found as the loader finds them, through the dynamic segment. How
 * many there are only a hash table tells.
 */
#include <asm/errno.h>
#include <elf.h>

#include "skshim/elf.h"

#include "skshim/frozen.h"

#define VERSION_HIDDEN 0x8000u

/* elf[at, at + n) when that lies inside. */
static const void *piece(const void *elf, uint64_t size, uint64_t at, uint64_t n)
{
	return at <= size && n <= size - at ? (const char *)elf + at : NULL;
}

static const Elf64_Ehdr *header(const void *elf, uint64_t size)
{
	const Elf64_Ehdr *e = piece(elf, size, 0, sizeof(*e));

	if (!e || memcmp(e->e_ident, ELFMAG, SELFMAG) != 0 || e->e_ident[EI_CLASS] != ELFCLASS64 ||
	    e->e_ident[EI_DATA] != ELFDATA2LSB || e->e_phentsize != sizeof(Elf64_Phdr) || (uint64_t)elf % sizeof(uint64_t))
		return NULL;
	return e->e_phoff % sizeof(uint64_t) ? NULL : e;
}

static const Elf64_Phdr *segment(const void *elf, uint64_t size, const Elf64_Ehdr *e, unsigned i)
{
	return piece(elf, size, e->e_phoff + i * sizeof(Elf64_Phdr), sizeof(Elf64_Phdr));
}

static struct blob note_build_id(const char *p, uint64_t size)
{
	for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= size;) {
		Elf64_Nhdr n;
		uint64_t name;

		memcpy(&n, p + at, sizeof(n));
		at += sizeof(n);
		name = ((uint64_t)n.n_namesz + 3) & ~3ull;
		if (name > size - at || n.n_descsz > size - at - name)
			break;
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && memcmp(p + at, "GNU", 4) == 0)
			return (struct blob){ p + at + name, n.n_descsz };
		at += name + (((uint64_t)n.n_descsz + 3) & ~3ull);
	}
	return BLOB("");
}

struct blob elf_build_id(const void *elf, uint64_t size)
{
	const Elf64_Ehdr *e = header(elf, size);

	for (unsigned i = 0; e && i < e->e_phnum; i++) {
		const Elf64_Phdr *ph = segment(elf, size, e, i);
		const char *notes = ph && ph->p_type == PT_NOTE ? piece(elf, size, ph->p_offset, ph->p_filesz) : NULL;
		struct blob id = notes ? note_build_id(notes, ph->p_filesz) : BLOB("");

		if (id.n)
			return id;
	}
	return BLOB("");
}

/* --- functions ---------------------------------------------------------------------------------------------- */

struct dynamic {
	uint64_t symbols, strings, strings_size, versions, definitions, ndefinitions, hash, gnu_hash;
};

/* Where an address of the file's own lies in it; ~0 when nowhere. */
static uint64_t offset_of(const void *elf, uint64_t size, const Elf64_Ehdr *e, uint64_t address)
{
	for (unsigned i = 0; i < e->e_phnum; i++) {
		const Elf64_Phdr *ph = segment(elf, size, e, i);

		if (ph && ph->p_type == PT_LOAD && address >= ph->p_vaddr && address - ph->p_vaddr < ph->p_memsz)
			return address - ph->p_vaddr + ph->p_offset;
	}
	return ~0ull;
}

static bool read_dynamic(const void *elf, uint64_t size, const Elf64_Ehdr *e, struct dynamic *d)
{
	uint64_t *const where[] = { [DT_SYMTAB] = &d->symbols, [DT_STRTAB] = &d->strings, [DT_HASH] = &d->hash };
	const Elf64_Phdr *ph = NULL;

	memset(d, 0xff, sizeof(*d));
	for (unsigned i = 0; i < e->e_phnum; i++) {
		ph = segment(elf, size, e, i);
		if (ph && ph->p_type == PT_DYNAMIC)
			break;
		ph = NULL;
	}
	if (!ph || ph->p_offset % sizeof(uint64_t))
		return false;
	for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= ph->p_filesz; at += sizeof(Elf64_Dyn)) {
		const Elf64_Dyn *dyn = piece(elf, size, ph->p_offset + at, sizeof(*dyn));
		uint64_t to = dyn ? offset_of(elf, size, e, dyn->d_un.d_ptr) : 0;

		if (!dyn || dyn->d_tag == DT_NULL)
			break;
		if (dyn->d_tag == DT_SYMTAB || dyn->d_tag == DT_STRTAB || dyn->d_tag == DT_HASH)
			*where[dyn->d_tag] = to;
		else if (dyn->d_tag == DT_GNU_HASH)
			d->gnu_hash = to;
		else if (dyn->d_tag == DT_VERSYM)
			d->versions = to;
		else if (dyn->d_tag == DT_VERDEF)
			d->definitions = to;
		else if (dyn->d_tag == DT_VERDEFNUM)
			d->ndefinitions = dyn->d_un.d_val;
		else if (dyn->d_tag == DT_STRSZ)
			d->strings_size = dyn->d_un.d_val;
	}
	return d->symbols != ~0ull && d->strings != ~0ull && d->strings_size != ~0ull && d->symbols % sizeof(uint64_t) == 0 &&
	       piece(elf, size, d->strings, d->strings_size);
}

/* Number of symbols: the longest chain's end, or what the older table says. */
static uint64_t count_gnu(const void *elf, uint64_t size, uint64_t at)
{
	const uint32_t *head = at % sizeof(uint32_t) ? NULL : piece(elf, size, at, 16);
	uint64_t chains = head ? at + 16 + head[2] * 8ull + head[0] * 4ull : 0, last = 0;
	const uint32_t *buckets = head ? piece(elf, size, at + 16 + head[2] * 8ull, head[0] * 4ull) : NULL;

	if (!buckets)
		return 0;
	for (uint32_t i = 0; i < head[0]; i++)
		last = buckets[i] > last ? buckets[i] : last;
	if (last < head[1])
		return head[1];
	for (;; last++) {
		const uint32_t *link = piece(elf, size, chains + (last - head[1]) * 4, 4);

		if (!link)
			return 0;
		if (*link & 1)
			return last + 1;
	}
}

static uint64_t count_symbols(const void *elf, uint64_t size, const struct dynamic *d)
{
	const uint32_t *head = d->hash % sizeof(uint32_t) ? NULL : piece(elf, size, d->hash, 8);

	if (head)
		return head[1];
	return d->gnu_hash != ~0ull ? count_gnu(elf, size, d->gnu_hash) : 0;
}

static struct blob string_at(const void *elf, const struct dynamic *d, uint64_t at)
{
	const char *p = (const char *)elf + d->strings + at;

	for (uint64_t n = 0; at < d->strings_size && n < d->strings_size - at; n++)
		if (!p[n])
			return (struct blob){ p, n };
	return BLOB("");
}

static struct blob version_name(const void *elf, uint64_t size, const struct dynamic *d, uint64_t symbol)
{
	const uint16_t *index = d->versions % sizeof(uint16_t) ? NULL : piece(elf, size, d->versions + symbol * 2, 2);
	uint64_t at = d->definitions;

	for (uint64_t i = 0; index && d->ndefinitions != ~0ull && i < d->ndefinitions; i++) {
		const Elf64_Verdef *v = at % sizeof(uint32_t) ? NULL : piece(elf, size, at, sizeof(*v));
		const Elf64_Verdaux *aux = v && v->vd_aux % sizeof(uint32_t) == 0 ? piece(elf, size, at + v->vd_aux, sizeof(*aux)) : NULL;

		if (!aux)
			break;
		if (v->vd_ndx == (*index & ~VERSION_HIDDEN))
			return string_at(elf, d, aux->vda_name);
		if (!v->vd_next)
			break;
		at += v->vd_next;
	}
	return BLOB("");
}

int elf_functions(const void *elf, uint64_t size, struct elf_function *list, uint32_t room)
{
	const Elf64_Ehdr *e = header(elf, size);
	struct dynamic d;
	uint64_t n;
	int found = 0;

	if (!e || !read_dynamic(elf, size, e, &d))
		return -EINVAL;
	n = count_symbols(elf, size, &d);
	if (n > size / sizeof(Elf64_Sym) || !piece(elf, size, d.symbols, n * sizeof(Elf64_Sym)))
		return -EINVAL;
	for (uint64_t i = 0; i < n; i++) {
		const Elf64_Sym *s = piece(elf, size, d.symbols + i * sizeof(*s), sizeof(*s));
		uint64_t at = offset_of(elf, size, e, s->st_value);

		if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || s->st_shndx == SHN_UNDEF)
			continue;
		if (!piece(elf, size, at, s->st_size))
			return -EINVAL;
		if ((uint32_t)found == room)
			return -E2BIG;
		list[found++] = (struct elf_function){ string_at(elf, &d, s->st_name), version_name(elf, size, &d, i), at, s->st_size };
	}
	return found;
}
