/*
 * elf_test.c - the kernel's vdso, whole, cut and spoilt
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>

#include "skshim/elf.h"

#include "unit.h"

#define ROOM 64

static const char *vdso;
static uint64_t size;

static void begin(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];

	vdso = (const char *)getauxval(AT_SYSINFO_EHDR);
	while (f && fgets(line, sizeof(line), f)) {
		uint64_t start, end;

		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && start == (uint64_t)vdso)
			size = end - start;
	}
	fclose(f);
	ck_assert_uint_gt(size, 0);
}

/* A copy whose end nothing may read behind. */
static char *copy_of(const void *p, uint64_t n)
{
	char *room = mmap(NULL, n + 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *end = room + ((n + 4095) & ~4095ull);

	ck_assert_ptr_ne(room, MAP_FAILED);
	ck_assert_int_eq(mprotect(end, 4096, PROT_NONE), 0);
	return memcpy(end - ((n + 7) & ~7ull), p, n);
}

START_TEST(functions)
{
	struct elf_function f[ROOM];
	int n, found = 0;

	begin();
	n = elf_functions(vdso, size, f, ROOM);
	ck_assert_int_gt(n, 0);
	for (int i = 0; i < n; i++) {
		struct timespec a = { 0 }, b;
		int (*gettime)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))(vdso + f[i].at);

		ck_assert(blob_is(f[i].version, "LINUX_2.6"));
		ck_assert_uint_gt(f[i].size, 13);
		if (!blob_is(f[i].name, "__vdso_clock_gettime"))
			continue;
		found++;
		ck_assert_int_eq(gettime(CLOCK_MONOTONIC, &a), 0);
		clock_gettime(CLOCK_MONOTONIC, &b);
		ck_assert_int_ge(b.tv_sec, a.tv_sec);
	}
	ck_assert_int_eq(found, 1);
	ck_assert_int_eq(elf_functions(vdso, size, f, (uint32_t)n - 1), -E2BIG);
}
END_TEST

START_TEST(build_id)
{
	struct blob id;

	begin();
	id = elf_build_id(vdso, size);
	ck_assert_uint_ge(id.n, 16);
	ck_assert(memmem(vdso, size, id.p, id.n) == id.p);
	ck_assert_uint_eq(elf_build_id("no ELF file at all, but long enough for the head of one, is it not? yes", 70).n, 0);
}
END_TEST

/* Either hash table alone tells how many symbols there are. */
START_TEST(one_table)
{
	struct elf_function f[ROOM];
	const Elf64_Ehdr *e;
	int all;

	begin();
	e = (const void *)vdso;
	all = elf_functions(vdso, size, f, ROOM);
	for (Elf64_Sxword without = DT_HASH;; without = DT_GNU_HASH) {
		char *elf = copy_of(vdso, size);
		int tables = 0, hidden = 0;

		for (unsigned i = 0; i < e->e_phnum; i++) {
			const Elf64_Phdr *ph = (const void *)(elf + e->e_phoff + i * sizeof(*ph));
			Elf64_Dyn *d = (void *)(elf + ph->p_offset);

			for (; ph->p_type == PT_DYNAMIC && d->d_tag != DT_NULL; d++) {
				tables += d->d_tag == DT_HASH || d->d_tag == DT_GNU_HASH;
				hidden += d->d_tag == without;
				d->d_tag = d->d_tag == without ? DT_DEBUG : d->d_tag;
			}
		}
		ck_assert_int_eq(elf_functions(elf, size, f, ROOM), tables > hidden ? all : 0);
		if (without == DT_GNU_HASH)
			break;
	}
}
END_TEST

START_TEST(cut)
{
	struct elf_function f[ROOM];

	begin();
	for (uint64_t n = 0; n < size; n += n < 2048 ? 8 : 64) {
		char *elf = copy_of(vdso, n);

		elf_functions(elf, n, f, ROOM);
		elf_build_id(elf, n);
		munmap((void *)((uint64_t)elf & ~4095ull), 4096);
	}
}
END_TEST

START_TEST(spoilt)
{
	static const unsigned char other[] = { 0, 1, 0x7f, 0x80, 0xff };
	struct elf_function f[ROOM];
	char *elf;

	begin();
	elf = copy_of(vdso, size);
	for (uint64_t i = 0; i < 2048 && i < size; i++)
		for (size_t k = 0; k < sizeof(other); k++) {
			int n;

			elf[i] = (char)other[k];
			n = elf_functions(elf, size, f, ROOM);
			for (int m = 0; m < n; m++)
				ck_assert(f[m].at <= size && f[m].size <= size - f[m].at);
			elf_build_id(elf, size);
			elf[i] = vdso[i];
		}
}
END_TEST

UNIT_MAIN("elf", functions, build_id, one_table, cut, spoilt)
