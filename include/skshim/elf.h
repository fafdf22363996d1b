/*
 * elf.h - what is looked at of an ELF file in memory: its build id, its functions
 *
 * The file is input: every offset is checked against its size.
 */
#ifndef SKSHIM_ELF_H
#define SKSHIM_ELF_H

#include <stdbool.h>
#include <stdint.h>

#include "skshim/str.h"

/* GNU build id, a piece of elf[size]; empty when there is none in it. */
struct blob elf_build_id(const void *elf, uint64_t size);

/* A dynamic symbol that is a function. */
struct elf_function {
	struct blob name;
	struct blob version;       /* "" where it has none */
	uint64_t at;               /* offset from the start */
	uint64_t size;
};
/*
 * Of a shared object as it lies in memory (the kernel's vdso): fills list[room] with the functions it defines and returns
 * their number, or -EINVAL when it makes no sense, -E2BIG when there are more.
 */
int elf_functions(const void *elf, uint64_t size, struct elf_function *list, uint32_t room);

#endif
