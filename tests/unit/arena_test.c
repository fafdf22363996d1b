/*
 * arena_test.c - memory that is only given out
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "skshim/arena.h"

#include "unit.h"

START_TEST(alloc)
{
	struct arena a;
	char *p, *q;

	ck_assert_int_eq(arena_begin(&a, 1 << 20), 0);
	p = arena_alloc(&a, 3);
	q = arena_alloc(&a, 100);
	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq((uintptr_t)p % 16, 0);
	ck_assert_ptr_eq(q, p + 16);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(q[i], 0);
	ck_assert_ptr_nonnull(arena_alloc(&a, 0));
	ck_assert_ptr_null(arena_alloc(&a, 1 << 20));
	ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX));
	ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX - 8));
	ck_assert_ptr_nonnull(arena_alloc(&a, (1 << 20) - 128));
	ck_assert_ptr_null(arena_alloc(&a, 1));
	arena_end(&a);
	ck_assert_ptr_null(a.base);
	arena_end(&a);
}
END_TEST

START_TEST(trim)
{
	struct arena a;
	unsigned char there;
	char *p, *end;

	ck_assert_int_eq(arena_begin(&a, 1 << 20), 0);
	end = a.base + a.size;
	p = arena_alloc(&a, 5000);
	memset(p, 1, 5000);
	arena_trim(&a);
	ck_assert_uint_eq(a.size, 8192);
	ck_assert_int_eq(p[4999], 1);
	ck_assert_ptr_nonnull(arena_alloc(&a, 3000));
	ck_assert_ptr_null(arena_alloc(&a, 3000));
	/* the guard page is the last that is there */
	ck_assert_int_eq(mincore(p + 8192, 4096, &there), 0);
	ck_assert_int_eq(mincore(p + 12288, 4096, &there), -1);
	ck_assert_int_eq(mincore(end, 4096, &there), -1);
	arena_trim(&a);
	ck_assert_uint_eq(a.size, 8192);
	arena_end(&a);
	ck_assert_int_eq(mincore(p, 4096, &there), -1);
	ck_assert_int_eq(arena_begin(&a, 1 << 20), 0);
	arena_trim(&a);
	ck_assert_ptr_null(arena_alloc(&a, 1));
	arena_end(&a);
}
END_TEST

START_TEST(copies)
{
	struct arena a;
	struct blob b;

	ck_assert_int_eq(arena_begin(&a, 1 << 20), 0);
	b = arena_blob(&a, "abc", 2);
	ck_assert(blob_is(b, "ab"));
	ck_assert_str_eq(b.p, "ab");
	b = arena_blob(&a, NULL, 0);
	ck_assert_str_eq(b.p, "");
	ck_assert_uint_eq(b.n, 0);
	b = arena_format(&a, "%d-%s", 7, "x");
	ck_assert_str_eq(b.p, "7-x");
	b = arena_blob(&a, "x", SIZE_MAX);
	ck_assert_ptr_null(b.p);
	b = arena_blob(&a, "x", 2 << 20);
	ck_assert_ptr_null(b.p);
	ck_assert_uint_eq(b.n, 0);
	arena_end(&a);
}
END_TEST

/* Where address space is scarce, less is reserved. */
START_TEST(limited)
{
#ifndef __SANITIZE_ADDRESS__     /* has reserved more itself */
	struct rlimit r = { 256ul << 20, 256ul << 20 };
	struct arena a;

	ck_assert_int_eq(setrlimit(RLIMIT_AS, &r), 0);
	ck_assert_int_eq(arena_begin(&a, 64ul << 30), 0);
	ck_assert_uint_gt(a.size, 1 << 20);
	ck_assert_uint_lt(a.size, 256ul << 20);
	arena_end(&a);
#endif
}
END_TEST

START_TEST(files)
{
	char path[] = "/tmp/arena_test.XXXXXX";
	struct blob text;
	struct arena a;
	int fd = mkstemp(path);
	char *p;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(arena_begin(&a, 1 << 20), 0);
	ck_assert_int_eq(arena_read_file(&a, AT_FDCWD, path, &text), 0);
	ck_assert_uint_eq(text.n, 0);
	ck_assert_int_eq(write(fd, "hello", 5), 5);
	ck_assert_int_eq(arena_read_file(&a, AT_FDCWD, path, &text), 0);
	ck_assert_str_eq(text.p, "hello");
	ck_assert_uint_eq(text.n, 5);
	ck_assert_int_eq(arena_read_file(&a, AT_FDCWD, "/proc/self/maps", &text), 0);
	ck_assert_uint_gt(text.n, 1000);
	ck_assert_int_eq(((const char *)text.p)[text.n - 1], '\n');
	ck_assert_int_eq(arena_read_file(&a, AT_FDCWD, "/nonexistent", &text), -ENOENT);
	ck_assert_int_eq(arena_read_file(&a, AT_FDCWD, "/tmp", &text), -EISDIR);
	ck_assert_int_eq(ftruncate(fd, 2 << 20), 0);
	ck_assert_int_eq(arena_read_file(&a, AT_FDCWD, path, &text), -ENOMEM);
	ck_assert_ptr_null(text.p);
	p = arena_alloc(&a, 16);
	if (p)
		ck_assert_int_eq(p[0], 0);
	arena_end(&a);
	close(fd);
	unlink(path);
}
END_TEST

UNIT_MAIN("arena", alloc, trim, copies, limited, files)
