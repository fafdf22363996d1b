/*
 * preload_carry_test.c - environments and programs: what exec is given, what it will find
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/family.h"
#include "skshim/treefile.h"

#include "unit.h"

struct shim shim;

bool unwind_load(struct unwinder *u)
{
	(void)u;
	return false;
}

#define LIB "/opt/x/libskshim.so"
#define TREE "SKSHIM_TREE=/dev/shm/tree"
#define ENV(...) ((char *const[]){ __VA_ARGS__, NULL })

static void begin(void)
{
	shim.tree = mmap(NULL, sizeof(*shim.tree), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	strcpy(shim.tree->shim_path, LIB);
	strcpy(shim.tree->path, "/dev/shm/tree");
	shim.active = true;
	shim.pid = getpid();
	shim.signal = 12;
}

/* The variables after packing, joined by '|'. */
static const char *packed(char *const envp[], enum carry_how how)
{
	static char out[65536];
	struct carried c;
	size_t n = 0;

	carry_pack(&c, envp, how);
	if (c.envp == envp)
		return "same";
	out[0] = 0;
	for (size_t i = 0; c.envp[i]; i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s", i ? "|" : "", c.envp[i]);
	carry_unpack(&c);
	return out;
}

START_TEST(with_the_shim)
{
	static const struct {
		const char *env[4], *want;
	} table[] = {
		{ { NULL }, "LD_PRELOAD=" LIB "|" TREE },
		{ { "A=1" }, "LD_PRELOAD=" LIB "|A=1|" TREE },
		{ { "LD_PRELOAD=" LIB, TREE }, "same" },
		{ { TREE, "B=2", "LD_PRELOAD=/other.so:" LIB }, "same" },
		{ { "LD_PRELOAD=/a.so /b.so", TREE }, "LD_PRELOAD=" LIB ":/a.so:/b.so|" TREE },
		{ { "LD_PRELOAD=libskshim.so:/a.so", TREE }, "LD_PRELOAD=" LIB ":/a.so|" TREE },
		{ { "LD_PRELOAD=", TREE }, "LD_PRELOAD=" LIB "|" TREE },
		{ { "LD_PRELOAD=" LIB, "SKSHIM_TREE=/dev/shm/old" }, "LD_PRELOAD=" LIB "|" TREE },
		{ { "SKSHIM_TREE=/dev/shm/tree2", "LD_PRELOAD=" LIB }, "LD_PRELOAD=" LIB "|" TREE },
		{ { "LD_PRELOADX=1", "XLD_PRELOAD=2" }, "LD_PRELOAD=" LIB "|LD_PRELOADX=1|XLD_PRELOAD=2|" TREE },
	};

	begin();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		ck_assert_str_eq(packed((char *const *)(uintptr_t)table[i].env, CARRY_SHIM), table[i].want);
	ck_assert_str_eq(packed(NULL, CARRY_SHIM), "LD_PRELOAD=" LIB "|" TREE);
}
END_TEST

START_TEST(without_the_shim)
{
	begin();
	ck_assert_str_eq(packed(ENV("A=1"), CARRY_WITHOUT), "same");
	ck_assert_str_eq(packed(ENV("A=1", "LD_PRELOAD=/a.so"), CARRY_WITHOUT), "same");
	ck_assert_str_eq(packed(ENV("A=1", "LD_PRELOAD=" LIB, TREE), CARRY_WITHOUT), "A=1|" TREE);
	ck_assert_str_eq(packed(ENV("LD_PRELOAD=/a.so:" LIB), CARRY_WITHOUT), "LD_PRELOAD=/a.so");
	ck_assert_str_eq(packed(ENV("LD_PRELOAD=" LIB), CARRY_NOTHING), "same");
	shim.active = false;
	ck_assert_str_eq(packed(ENV("A=1"), CARRY_SHIM), "same");
}
END_TEST

START_TEST(large)
{
	static char *env[3001], text[3000][16], *preload;
	struct carried c;

	begin();
	for (int i = 0; i < 3000; i++) {
		snprintf(text[i], sizeof(text[i]), "V%d=%d", i, i);
		env[i] = text[i];
	}
	carry_pack(&c, env, CARRY_SHIM);
	ck_assert_str_eq(c.envp[0], "LD_PRELOAD=" LIB);
	ck_assert_ptr_eq(c.envp[3000], env[2999]);
	ck_assert_str_eq(c.envp[3001], TREE);
	ck_assert_ptr_null(c.envp[3002]);
	carry_unpack(&c);
	ck_assert_ptr_null(c.map);

	preload = malloc(10000);
	strcpy(preload, "LD_PRELOAD=");
	memset(preload + 11, 'x', 9000);
	strcpy(preload + 9011, ".so");
	carry_pack(&c, ENV(preload), CARRY_SHIM);
	ck_assert_ptr_nonnull(strstr(c.envp[0], "xxx.so"));
	ck_assert_uint_eq(strlen(c.envp[0]), strlen(preload) + strlen(LIB) + 1);
	carry_unpack(&c);
}
END_TEST

/* --- what a program will do --------------------------------------------------------------------------------- */

static void look(struct target *t, const char *path)
{
	target_look(t, AT_FDCWD, path, 0);
}

static void put(const char *path, const void *text, size_t n, int mode)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0700);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, n), n);
	fchmod(fd, (mode_t)mode);
	close(fd);
}

START_TEST(programs)
{
	struct target t;
	char dir[] = "/tmp/carryXXXXXX";
	static const char elf32[64] = "\177ELF\1\1\1";
	int fd;

	begin();
	/* the library and the tree have to be there to be found by the program */
	strcpy(shim.tree->shim_path, "/bin/sh");
	/* one of its own: whoever leaves the tree last removes it */
	strcpy(shim.tree->path, "/tmp/carry_test.XXXXXX");
	ck_assert_int_ge(mkstemp(shim.tree->path), 0);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);

	look(&t, "/bin/sh");
	ck_assert(t.found && t.shim);
	ck_assert_str_eq(t.comm, "sh");
	look(&t, "/no/such/program");
	ck_assert(!t.found);
	look(&t, "/tmp");
	ck_assert(!t.found);

	put("s", "#! /bin/sh -e\n", 14, 0700);
	look(&t, "s");
	ck_assert(t.found && t.shim);
	ck_assert_str_eq(t.comm, "s");
	put("s2", "#!./s\n", 6, 0700);
	look(&t, "s2");
	ck_assert(t.found && t.shim);
	put("loop", "#!./loop\n", 9, 0700);
	look(&t, "loop");
	put("none", "echo\n", 5, 0700);
	look(&t, "none");
	ck_assert(t.found && !t.shim);
	put("bits", elf32, sizeof(elf32), 0700);
	look(&t, "bits");
	ck_assert(t.found && !t.shim && t.strip);
	ck_assert_int_eq(t.why, SHIMLESS_FOREIGN);
	put("short", "\177ELF", 4, 0700);
	look(&t, "short");
	ck_assert(t.found && !t.shim);

	fd = open("/bin/sh", O_RDONLY);
	target_look(&t, fd, "", AT_EMPTY_PATH);
	ck_assert(t.found && t.shim);
	fd = open("/bin", O_PATH);
	target_look(&t, fd, "sh", 0);
	ck_assert(t.found && t.shim);

	target_search(&t, "sh");
	ck_assert(t.found && t.shim);
	target_search(&t, "no-such-program-anywhere");
	ck_assert(!t.found);
	strcpy(shim.tree->shim_path, "/no/lib.so");
	look(&t, "/bin/sh");
	ck_assert(t.found && !t.shim);
	ck_assert_int_eq(t.why, SHIMLESS_UNREADABLE);
	unlink(shim.tree->path);
}
END_TEST

UNIT_MAIN("preload_carry", with_the_shim, without_the_shim, large, programs)
