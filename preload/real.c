/*
 * real.c - finding the calls behind the interposed ones
 *
 * Other libraries' constructors run before ours and may call a wrapper: until
 * real_load() has run, a member of `real` points to a stub of its own
 * (first_NAME) that keeps the arguments, loads, and jumps to the real call.
 *
 * real_redirect() is for calls on the data path, which are not interposed:
 * only a program that needs one watched (wrap_signalfd.c) pays for it.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "shim.h"

/* --- stubs -------------------------------------------------------------------------------------------------- */

#define REAL(result, name, arguments) \
	extern char first_##name[]; \
	__asm__(".text\n\t.globl first_" #name "\n\t.hidden first_" #name "\n\t.type first_" #name ", @function\n" \
		"first_" #name ":\n\tlea 1f(%rip), %r11\n\tjmp real_first\n" \
		".section .rodata.str1.1,\"aMS\",@progbits,1\n1:\n\t.asciz \"" #name "\"\n\t.text\n");
#include "real.def"
#undef REAL

/* r11: the call's name. The arguments of no interposed call are in vector registers. */
__asm__(".text\n\t.type real_first, @function\n"
	"real_first:\n\t"
	".cfi_startproc\n\t"
	"push %rdi\n\tpush %rsi\n\tpush %rdx\n\tpush %rcx\n\tpush %r8\n\tpush %r9\n\tpush %rax\n\t"
	".cfi_adjust_cfa_offset 56\n\t"
	"mov %r11, %rdi\n\tcall real_resolve\n\tmov %rax, %r11\n\t"
	"pop %rax\n\tpop %r9\n\tpop %r8\n\tpop %rcx\n\tpop %rdx\n\tpop %rsi\n\tpop %rdi\n\t"
	".cfi_adjust_cfa_offset -56\n\t"
	"jmp *%r11\n\t"
	".cfi_endproc\n");

#define REAL(result, name, arguments) .name = (void *)first_##name,
struct real real = {
#include "real.def"
};
#undef REAL

static const struct row {
	const char *name;
	size_t at;
} rows[] = {
#define REAL(result, name, arguments) { #name, offsetof(struct real, name) },
#include "real.def"
#undef REAL
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static int missing(void)
{
	errno = ENOSYS;
	return -1;
}

void real_load(void)
{
	for (size_t i = 0; i < ROWS; i++) {
		void *p = dlsym(RTLD_NEXT, rows[i].name);

		__atomic_store_n((void **)((char *)&real + rows[i].at), p ? p : (void *)missing, __ATOMIC_RELEASE);
	}
}

__attribute__((used)) static void *real_resolve(const char *name)
{
	int saved = errno;

	real_load();
	errno = saved;
	for (size_t i = 0; i < ROWS; i++)
		if (strcmp(rows[i].name, name) == 0)
			return *(void **)((char *)&real + rows[i].at);
	return (void *)missing;
}

/* --- redirection -------------------------------------------------------------------------------------------- */

struct redirect {
	const char *name;
	void *from, *to;
	uint64_t libc;             /* base of the module that defines it */
};

/* What of a module's dynamic section says where its relocations are. */
struct dynamic {
	const Elf64_Sym *symbols;
	const char *strings;
	const Elf64_Rela *rela, *plt;
	size_t rela_size, plt_size;
};

static const void *address(uint64_t base, Elf64_Addr value)
{
	/* glibc has added the base already, but not for the vdso */
	return (const void *)(value < base ? base + value : value);
}

static void dynamic_read(const struct dl_phdr_info *m, const Elf64_Dyn *d, struct dynamic *out)
{
	memset(out, 0, sizeof(*out));
	for (; d->d_tag != DT_NULL; d++) {
		const void *p = address(m->dlpi_addr, d->d_un.d_ptr);

		switch (d->d_tag) {
		case DT_SYMTAB:
			out->symbols = p;
			break;
		case DT_STRTAB:
			out->strings = p;
			break;
		case DT_RELA:
			out->rela = p;
			break;
		case DT_RELASZ:
			out->rela_size = d->d_un.d_val;
			break;
		case DT_JMPREL:
			out->plt = p;
			break;
		case DT_PLTRELSZ:
			out->plt_size = d->d_un.d_val;
			break;
		}
	}
}

static void store(const struct dl_phdr_info *m, void **slot, void *to)
{
	char *page = (char *)((uint64_t)slot & ~(ARCH_PAGE - 1));
	bool readonly = false;

	for (int i = 0; i < m->dlpi_phnum; i++) {
		const Elf64_Phdr *h = &m->dlpi_phdr[i];
		uint64_t start = m->dlpi_addr + h->p_vaddr;

		if (h->p_type == PT_GNU_RELRO && (uint64_t)slot >= start && (uint64_t)slot < start + h->p_memsz)
			readonly = true;
	}
	if (readonly && mprotect(page, ARCH_PAGE, PROT_READ | PROT_WRITE) < 0)
		return;
	__atomic_store_n(slot, to, __ATOMIC_RELEASE);
	if (readonly)
		mprotect(page, ARCH_PAGE, PROT_READ);
}

static bool within(const struct dl_phdr_info *m, const void *p)
{
	for (int i = 0; i < m->dlpi_phnum; i++) {
		const Elf64_Phdr *h = &m->dlpi_phdr[i];

		if (h->p_type == PT_LOAD && (uint64_t)p - (m->dlpi_addr + h->p_vaddr) < h->p_memsz)
			return true;
	}
	return false;
}

/* A slot of the PLT that isn't bound yet points into its own module; others may be what the program made them. */
static void redirect_table(const struct dl_phdr_info *m, const struct dynamic *d, const Elf64_Rela *r, size_t size,
			   const struct redirect *want)
{
	for (size_t i = 0; i < size / sizeof(*r); i++) {
		uint32_t type = ELF64_R_TYPE(r[i].r_info);
		const Elf64_Sym *sym = &d->symbols[ELF64_R_SYM(r[i].r_info)];
		void **slot = (void **)(m->dlpi_addr + r[i].r_offset);

		if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64)
			continue;
		if (strcmp(d->strings + sym->st_name, want->name) != 0 || r[i].r_addend != 0)
			continue;
		if (*slot == want->from || (type == R_X86_64_JUMP_SLOT && within(m, *slot)))
			store(m, slot, want->to);
	}
}

static int redirect_module(struct dl_phdr_info *m, size_t size, void *arg)
{
	const struct redirect *want = arg;
	struct dynamic d;

	(void)size;
	if (m->dlpi_addr == want->libc || m->dlpi_addr == shim.base)
		return 0;
	for (int i = 0; i < m->dlpi_phnum; i++) {
		if (m->dlpi_phdr[i].p_type != PT_DYNAMIC)
			continue;
		dynamic_read(m, (const Elf64_Dyn *)(m->dlpi_addr + m->dlpi_phdr[i].p_vaddr), &d);
		if (!d.symbols || !d.strings)
			continue;
		if (d.rela)
			redirect_table(m, &d, d.rela, d.rela_size, want);
		if (d.plt)
			redirect_table(m, &d, d.plt, d.plt_size, want);
	}
	return 0;
}

void real_redirect(const char *name, void *to)
{
	struct redirect want = { .name = name, .to = to };
	Dl_info info;

	want.from = dlsym(RTLD_NEXT, name);
	if (!want.from || !dladdr(want.from, &info))
		return;
	want.libc = (uint64_t)info.dli_fbase;
	dl_iterate_phdr(redirect_module, &want);
}
