/*
 * stack.c - where a thread of an image stood
 *
 * Unwound from the image alone, when somebody asks: nothing of this runs while
 * a program stands still, so it can't hold up a checkpoint. libunwind asks for
 * memory, registers and unwind tables, and gets them from the image and from
 * the files that were mapped.
 */
#include <libunwind-x86_64.h>
#include <string.h>
#include <ucontext.h>

#include "stack.h"

/* libunwind exports it for its own front ends; its headers don't declare it. */
extern int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t as, unw_word_t ip, unw_dyn_info_t *di,
					      unw_proc_info_t *pi, int need_unwind_info, void *arg);
#define search_unwind_table UNW_OBJ(dwarf_search_unwind_table)

struct stack {
	struct peek *memory;
	struct symbols *symbols;
	greg_t regs[NGREG];
};

struct symbol_file *stack_symbols(struct symbols *s, const struct file_record *file)
{
	char path[4096];
	struct symbol_file *f;

	if (file->path.n == 0 || file->path.n >= sizeof(path))
		return NULL;
	memcpy(path, file->path.p, file->path.n);
	path[file->path.n] = '\0';
	f = symbols_get(s, path);
	if (f == NULL)
		f = symbols_add(s, path, peek_open_file(file), NULL, 0);
	return f;
}

/* The ELF file an address lies in, and how the address is counted there. */
static struct symbol_file *stack_module(struct peek *m, struct symbols *s, uint64_t address, uint64_t *vaddr)
{
	const struct vma_record *v = peek_region(m, address);
	const struct file_record *file = peek_file(m, v);
	struct symbol_file *f = NULL;

	if (file != NULL) {
		f = stack_symbols(s, file);
	} else if (v != NULL && blob_is(v->name, "[vdso]")) {
		size_t size;
		const void *vdso = peek_vdso(m->process, &size);

		f = symbols_get(s, "[vdso]");
		if (f == NULL && vdso != NULL)
			f = symbols_add(s, "[vdso]", -1, vdso, size);
	}
	if (f == NULL || !symbols_vaddr(f, address - v->start + (file ? v->offset : 0), vaddr))
		return NULL;
	return f;
}

void stack_locate(struct peek *m, struct symbols *s, uint64_t address, bool caller, struct stack_frame *out)
{
	const struct vma_record *v = peek_region(m, address);
	const struct file_record *file = peek_file(m, v);
	uint64_t vaddr, into;
	struct symbol_file *f;

	*out = (struct stack_frame){ .address = address };
	if (file != NULL)
		out->module = file->path;
	else if (v != NULL)
		out->module = v->name;
	f = stack_module(m, s, address, &vaddr);
	if (f == NULL)
		return;
	out->offset = vaddr;
	out->function = symbols_find(f, vaddr - caller, &into);
	if (out->function != NULL)
		out->into = into + caller;
}

static int stack_find(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *pi, int need, void *arg)
{
	struct stack *st = arg;
	const struct vma_record *v = peek_region(st->memory, ip);
	uint64_t vaddr, header;
	struct symbol_file *f = stack_module(st->memory, st->symbols, ip, &vaddr);
	struct {
		uint8_t version, frame_encoding, count_encoding, table_encoding;
		int32_t frame;
		uint32_t count;
	} hdr;
	unw_dyn_info_t di = { .format = UNW_INFO_FORMAT_REMOTE_TABLE };

	if (f == NULL || f->eh_frame_hdr == 0)
		return -UNW_ENOINFO;
	header = ip - vaddr + f->eh_frame_hdr;
	/* The one shape linkers write: sorted pairs of 32 bits, relative to the header. */
	if (peek_read(st->memory, header, &hdr, sizeof(hdr)) < 0 || hdr.version != 1 || hdr.count_encoding != 0x03 ||
	    hdr.table_encoding != 0x3b || (hdr.frame_encoding & 0x0f) != 0x0b)
		return -UNW_ENOINFO;
	di.start_ip = v->start;
	di.end_ip = v->end;
	di.u.rti.segbase = header;
	di.u.rti.table_data = header + sizeof(hdr);
	di.u.rti.table_len = (unw_word_t)hdr.count * 8 / sizeof(unw_word_t);
	return search_unwind_table(as, ip, &di, pi, need, arg);
}

static void stack_put(unw_addr_space_t as, unw_proc_info_t *pi, void *arg)
{
	(void)as;
	(void)pi;
	(void)arg;
}

static int stack_dyn(unw_addr_space_t as, unw_word_t *list, void *arg)
{
	(void)as;
	(void)list;
	(void)arg;
	return -UNW_ENOINFO;
}

static int stack_mem(unw_addr_space_t as, unw_word_t at, unw_word_t *value, int write, void *arg)
{
	struct stack *st = arg;

	(void)as;
	if (write || peek_read(st->memory, at, value, sizeof(*value)) < 0)
		return -UNW_EINVAL;
	return 0;
}

static int stack_reg(unw_addr_space_t as, unw_regnum_t reg, unw_word_t *value, int write, void *arg)
{
	static const int where[] = {
		[UNW_X86_64_RAX] = REG_RAX, [UNW_X86_64_RDX] = REG_RDX, [UNW_X86_64_RCX] = REG_RCX,
		[UNW_X86_64_RBX] = REG_RBX, [UNW_X86_64_RSI] = REG_RSI, [UNW_X86_64_RDI] = REG_RDI,
		[UNW_X86_64_RBP] = REG_RBP, [UNW_X86_64_RSP] = REG_RSP, [UNW_X86_64_R8] = REG_R8,
		[UNW_X86_64_R9] = REG_R9,   [UNW_X86_64_R10] = REG_R10, [UNW_X86_64_R11] = REG_R11,
		[UNW_X86_64_R12] = REG_R12, [UNW_X86_64_R13] = REG_R13, [UNW_X86_64_R14] = REG_R14,
		[UNW_X86_64_R15] = REG_R15, [UNW_X86_64_RIP] = REG_RIP,
	};
	struct stack *st = arg;

	(void)as;
	if (write || reg < 0 || (size_t)reg >= sizeof(where) / sizeof(where[0]))
		return -UNW_EBADREG;
	*value = (unw_word_t)st->regs[where[reg]];
	return 0;
}

static int stack_fpreg(unw_addr_space_t as, unw_regnum_t reg, unw_fpreg_t *value, int write, void *arg)
{
	(void)as;
	(void)reg;
	(void)value;
	(void)write;
	(void)arg;
	return -UNW_EBADREG;
}

static int stack_resume(unw_addr_space_t as, unw_cursor_t *c, void *arg)
{
	(void)as;
	(void)c;
	(void)arg;
	return -UNW_EINVAL;
}

static int stack_name(unw_addr_space_t as, unw_word_t ip, char *buf, size_t n, unw_word_t *into, void *arg)
{
	(void)as;
	(void)ip;
	(void)buf;
	(void)n;
	(void)into;
	(void)arg;
	return -UNW_ENOINFO;
}

/* The registers the kernel saved when the checkpoint signal came; without its frame, what the record repeats. */
static void stack_registers(struct stack *st, const struct thread_record *t)
{
	if (t->frame != 0 && peek_read(st->memory, t->frame + offsetof(ucontext_t, uc_mcontext.gregs), st->regs,
					 sizeof(st->regs)) == 0)
		return;
	memset(st->regs, 0, sizeof(st->regs));
	st->regs[REG_RIP] = (greg_t)t->pc;
	st->regs[REG_RSP] = (greg_t)t->sp;
	st->regs[REG_RBP] = (greg_t)t->fp;
}

size_t stack_unwind(struct peek *m, struct symbols *s, const struct thread_record *t, struct stack_frame *frames,
		    size_t room)
{
	static unw_accessors_t access = {
		.find_proc_info = stack_find, .put_unwind_info = stack_put, .get_dyn_info_list_addr = stack_dyn,
		.access_mem = stack_mem, .access_reg = stack_reg, .access_fpreg = stack_fpreg,
		.resume = stack_resume, .get_proc_name = stack_name,
	};
	struct stack st = { .memory = m, .symbols = s };
	unw_addr_space_t as = unw_create_addr_space(&access, 0);
	unw_cursor_t cursor;
	size_t n = 0;
	bool caller = false;

	stack_registers(&st, t);
	if (as == NULL || unw_init_remote(&cursor, as, &st) != 0) {
		stack_locate(m, s, (uint64_t)st.regs[REG_RIP], false, &frames[n++]);
		goto out;
	}
	while (n < room) {
		unw_word_t ip;

		if (unw_get_reg(&cursor, UNW_REG_IP, &ip) != 0 || ip == 0)
			break;
		stack_locate(m, s, ip, caller, &frames[n++]);
		/* What a signal interrupted stands at its instruction, everybody else behind a call. */
		caller = unw_is_signal_frame(&cursor) <= 0;
		if (unw_step(&cursor) <= 0)
			break;
	}
out:
	if (as != NULL)
		unw_destroy_addr_space(as);
	return n;
}
