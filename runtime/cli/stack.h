/*
 * stack.h - where a thread of an image stood
 */
#ifndef STACK_H
#define STACK_H

#include <stddef.h>
#include <stdint.h>

#include "peek.h"
#include "symbols.h"

#define STACK_FRAMES 256

struct stack_frame {
	uint64_t address;
	struct blob module;          /* path of the mapped file, "[vdso]", or "" */
	uint64_t offset;             /* address as the ELF file counts it, 0 where there is none */
	const char *function;        /* NULL unknown */
	uint64_t into;               /* bytes behind the function's start */
};

/* Fills frames, innermost first; returns how many. */
size_t stack_unwind(struct peek *, struct symbols *, const struct thread_record *, struct stack_frame *frames,
		    size_t room);
/* Module, offset and function of one address. `caller`: it is a return address, which may lie behind its function. */
void stack_locate(struct peek *, struct symbols *, uint64_t address, bool caller, struct stack_frame *out);
/* The symbols of a mapped file that is still the same; NULL when there are none to be had. */
struct symbol_file *stack_symbols(struct symbols *, const struct file_record *);

#endif
