/*
 * file_test.c - a whole image is loaded, and nothing that is wrong with it goes unnoticed
 */
#include <errno.h>

#include "image_make.h"
#include "unit.h"

static char root[] = "/tmp/file_test.XXXXXX";
static char dir[64];
static struct made made;
static struct image image;

static void begin(void)
{
	strcpy(root, "/tmp/file_test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	snprintf(dir, sizeof(dir), "%s/000001", root);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	made_begin(&made);
}

static void end(void)
{
	char command[200];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);
}

static const char *in(const char *name)
{
	static char path[2][128];
	static int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static int load(void)
{
	err_reset();
	return image_load(&image, dir, IMAGE_EVERYTHING);
}

START_TEST(good)
{
	const struct box *box;

	begin();
	made_write(&made, dir);
	ck_assert_msg(load() == 0, "%s", err_text());
	ck_assert_str_eq(image.dir, dir);
	ck_assert_uint_eq(image.nprocesses, 2);
	ck_assert_uint_eq(image.nobjects, 3);
	ck_assert_int_eq(image.processes[1].task->pid, 200);
	ck_assert_uint_eq(image.processes[1].runs.n, 3);
	ck_assert_str_eq(image.processes[1].pages_name.p, "200.pages");
	/* the shared one comes from the first process */
	ck_assert_uint_eq(image.objects[0].process, 0);
	ck_assert_ptr_eq(image.objects[0].rec, image.processes[0].objects[0].rec);
	ck_assert_uint_eq(image.objects[1].process, 0);
	ck_assert_uint_eq(image.objects[2].process, 1);
	ck_assert_ptr_eq(image.objects[2].kind, &kind_box);
	ck_assert_ptr_null(image.objects[0].lineage);
	ck_assert_uint_eq(image.objects[2].lineage->obj, 2);
	ck_assert_uint_eq(image.objects[2].common->obj, 2);
	/* numbers of process 1 have become the image's: 0 stays, 1 is 2; also inside lists */
	box = image.processes[1].objects[0].rec;
	ck_assert_uint_eq(box->other, 2);
	ck_assert_uint_eq(((struct box_item *)box->queue.items)[0].obj, 2);
	ck_assert_uint_eq(((struct fd_record *)image.processes[1].task->fds.items)[2].obj, 2);
	ck_assert_uint_eq(((struct fd_record *)image.processes[0].task->fds.items)[2].obj, 1);
	image_unload(&image);
	end();
}
END_TEST

/* Names the directory that holds checkpoints, or one that holds none. */
START_TEST(latest)
{
	char link[100];

	begin();
	err_reset();
	ck_assert_int_eq(image_load(&image, root, IMAGE_METADATA), -ENOENT);
	ck_failed("holds no complete checkpoint");
	ck_assert(!image_is_there(root));
	made_write(&made, dir);
	err_reset();
	ck_assert_msg(image_load(&image, root, IMAGE_METADATA) == 0, "%s", err_text());
	ck_assert_str_eq(image.dir, dir);
	image_unload(&image);
	ck_assert(image_is_there(root) && image_is_there(dir));
	snprintf(link, sizeof(link), "%s/latest", root);
	ck_assert_int_eq(symlink("000001", link), 0);
	err_reset();
	ck_assert_msg(image_load(&image, root, IMAGE_METADATA) == 0, "%s", err_text());
	ck_assert_str_eq(image.dir, dir);
	image_unload(&image);
	ck_assert_int_eq(image_load(&image, link, IMAGE_METADATA), 0);
	ck_assert_str_eq(image.dir, dir);
	image_unload(&image);
	unlink(link);
	ck_assert_int_eq(symlink("000007", link), 0);
	err_reset();
	ck_assert_int_eq(image_load(&image, root, IMAGE_METADATA), -ENOENT);
	ck_failed("to which latest leads is gone");
	ck_assert(!image_is_there(root));
	err_reset();
	ck_assert_int_eq(image_load(&image, "/nonexistent", IMAGE_METADATA), -ENOENT);
	ck_failed("/nonexistent: No such file");
	ck_assert_int_eq(image.dirfd, -1);
	end();
}
END_TEST

static const char *const files[] = { "manifest", "100.task", "100.runs", "100.pages", "200.task", "200.runs", "200.pages" };
#define NFILES (sizeof(files) / sizeof(files[0]))

static uint64_t slurp(const char *name, uint8_t **out)
{
	int fd = open(in(name), O_RDONLY);
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	*out = malloc((size_t)st.st_size + 1);
	ck_assert_int_eq(read(fd, *out, (size_t)st.st_size), st.st_size);
	close(fd);
	return (uint64_t)st.st_size;
}

START_TEST(every_bit_of_every_file)
{
	const char *name = files[_i];
	/* pages are many: a bit in each 61st byte */
	uint64_t n, step = strstr(name, "pages") ? 61 * 8 + 1 : 1;
	uint8_t *p, byte;
	int fd;

	begin();
	made_write(&made, dir);
	n = slurp(name, &p);
	fd = open(in(name), O_WRONLY);
	for (uint64_t bit = 0; bit < n * 8; bit += step) {
		byte = p[bit / 8] ^ (uint8_t)(1 << bit % 8);
		ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
		ck_assert_msg(load() < 0, "bit %lu of byte %lu of %s", bit % 8, bit / 8, name);
		ck_assert_str_ne(err_text(), "");
		ck_assert_int_eq(pwrite(fd, &p[bit / 8], 1, (off_t)(bit / 8)), 1);
	}
	ck_assert_int_eq(load(), 0);
	image_unload(&image);
	close(fd);
	free(p);
	end();
}
END_TEST

START_TEST(every_truncation_of_every_file)
{
	const char *name = files[_i];
	uint64_t n, step = strstr(name, "pages") ? 509 : 1;
	uint8_t *p;

	begin();
	made_write(&made, dir);
	n = slurp(name, &p);
	p[n] = 0;
	for (uint64_t len = 0; len < n; len += step) {
		made_file(dir, name, p, len);
		ck_assert_msg(load() < 0, "%s cut to %lu", name, len);
	}
	made_file(dir, name, p, n + 1);
	ck_assert_int_lt(load(), 0);
	unlink(in(name));
	ck_assert_int_lt(load(), 0);
	ck_failed(strcmp(name, "manifest") == 0 ? "holds no complete checkpoint" : "missing");
	ck_assert_int_eq(mkdir(in(name), 0700), 0);
	ck_assert_int_lt(load(), 0);
	rmdir(in(name));
	made_file(root, "elsewhere", p, n);
	ck_assert_int_eq(symlink("../elsewhere", in(name)), 0);
	ck_assert_int_lt(load(), 0);
	unlink(in(name));
	ck_assert_int_eq(mkfifo(in(name), 0600), 0);
	ck_assert_int_lt(load(), 0);
	free(p);
	end();
}
END_TEST

START_TEST(a_file_too_many)
{
	begin();
	made_write(&made, dir);
	made_file(dir, "core", "x", 1);
	ck_assert_int_lt(load(), 0);
	ck_failed("core: does not belong there");
	end();
}
END_TEST

/* Files of two checkpoints of the same program don't mix. */
START_TEST(files_of_another_checkpoint)
{
	uint8_t *p;
	uint64_t n;

	for (size_t i = 1; i < NFILES; i++) {
		begin();
		made_write(&made, dir);
		n = slurp(files[i], &p);
		made.p[0].task.umask = made.p[1].task.umask = 022;
		for (int k = 0; k < MADE_PIDS; k++) {
			struct run_record *r = made.p[k].runs;

			made.pages[0] = 77;
			r[0].hash = image_hash(made.pages, 2 * ARCH_PAGE);
		}
		made_write(&made, dir);
		ck_assert_int_eq(load(), 0);
		image_unload(&image);
		made_file(dir, files[i], p, n);
		ck_assert_msg(load() < 0, "%s", files[i]);
		free(p);
		end();
	}
}
END_TEST

/* --- records that are whole and make no sense ---------------------------------------------------------------- */

struct spoil {
	void (*how)(struct made *);
	const char *wrong;
};
#define P0 (m->p[0])
#define P1 (m->p[1])
#define SPOIL(name, ...) static void name(struct made *m) { __VA_ARGS__; }

SPOIL(arch, m->manifest.arch = BLOB("riscv64"))
SPOIL(page_size, m->manifest.page_size = 65536)
SPOIL(version, m->manifest.version = 9)
SPOIL(stopped, m->manifest.stopped = 2)
SPOIL(setup_signal, m->manifest.signal = 65)
SPOIL(setup_path, m->manifest.preload = (struct blob){ m->pages, 1024 })
SPOIL(clock_before, m->manifest.monotonic_ns = -1)
SPOIL(no_processes, m->manifest.processes.n = 0)
SPOIL(pid_twice, m->pids[1].pid = 100)
SPOIL(pid_zero, m->pids[1].pid = 0)
SPOIL(dead_twice, m->dead[0].pid = 200)
SPOIL(dead_orphan, m->dead[0].ppid = 7)
SPOIL(no_root, m->manifest.root_pid = 300)
SPOIL(manifest_tag, m->manifest_tag = "manifesto")
SPOIL(file_few, m->manifest.files.n = 5)
SPOIL(file_path, m->keep_sums = true; for (int i = 0; i < 6; i++) m->sums[i].name = BLOB("../x"))
SPOIL(file_twice, m->keep_sums = true; for (int i = 0; i < 6; i++) m->sums[i].name = BLOB("x"))
SPOIL(file_nameless, m->keep_sums = true)
SPOIL(file_pages_hash, m->pages_hash = 5)
SPOIL(member_process, m->members[0].process = 2)
SPOIL(member_obj, m->members[3].obj = 2)
SPOIL(member_global, m->members[3].global = 3)
SPOIL(member_twice, m->members[3] = m->members[2])
SPOIL(member_missing, m->manifest.members.n = 3)
SPOIL(member_same, m->members[3].global = 0; m->members[2].global = 0)
SPOIL(object_nobody, m->manifest.objects = 4)
SPOIL(object_gap, m->members[3].global = 0; m->members[2].global = 1)
SPOIL(objects_many, m->manifest.objects = OBJ_NONE)
SPOIL(object_kinds, P1.objects[0].kind = BLOB("crate"))
SPOIL(object_cookies, P1.objects[0].cookie = 5)
SPOIL(object_unknown, P0.objects[0].kind = BLOB("teapot"))
SPOIL(object_nameless, P0.objects[0].kind = BLOB("a\0b"))
SPOIL(object_number, P0.objects[1].obj = 0)
SPOIL(object_recordless, P0.no_box = true)
SPOIL(box_other, P0.boxes[1].other = 2)
SPOIL(box_queue, P1.items[0].obj = 77)
SPOIL(lineage_other, P0.lineage.obj = 0)
SPOIL(lineage_twice, P0.extra = "lineage")
SPOIL(frame_unknown, P0.extra = "surprise")
SPOIL(frame_first, P0.first = "object")
SPOIL(task_of_another, P0.task.pid = 101; P0.threads[0].tid = 101; P0.threads[1].tid = 100)
SPOIL(parent_circle, P0.task.ppid = 200)
SPOIL(parent_itself, P0.task.ppid = 100)
SPOIL(threads_none, P0.task.threads.n = 0)
SPOIL(thread_main, P0.threads[0].tid = 105)
SPOIL(thread_ended, P0.task.first_ended = 1)
SPOIL(thread_twice, P0.threads[1].tid = 100; P0.task.leader_tid = 100)
SPOIL(thread_zero, P0.threads[1].tid = 0)
SPOIL(thread_leader, P0.task.leader_tid = 7)
SPOIL(thread_kernel, P0.threads[1].resume_pc = 0xffffffff81000000)
SPOIL(thread_signal, P0.pending[0].sig = 65)
SPOIL(thread_siginfo, P0.pending[0].info.n = 127)
SPOIL(fd_order, P0.fds[1].fd = 0)
SPOIL(fd_negative, P0.fds[0].fd = -1)
SPOIL(fd_object, P0.fds[2].obj = 2)
SPOIL(fd_none, P0.fds[2].obj = OBJ_NONE)
SPOIL(fd_cloexec, P0.fds[2].cloexec = 2)
SPOIL(vma_order, struct vma_record v = P0.vmas[0]; P0.vmas[0] = P0.vmas[1]; P0.vmas[1] = v)
SPOIL(vma_overlap, P0.vmas[0].end = P0.vmas[1].start + ARCH_PAGE)
SPOIL(vma_empty, P0.vmas[0].end = P0.vmas[0].start)
SPOIL(vma_unaligned, P0.vmas[0].end -= 1)
SPOIL(vma_kernel, P0.vmas[2].end = ARCH_TASK_END + ARCH_PAGE)
SPOIL(vma_prot, P0.vmas[0].prot = 8)
SPOIL(vma_content, P0.vmas[0].content = 77)
SPOIL(vma_file, P0.vmas[0].file = 1)
SPOIL(vma_fileless, P0.vmas[0].file = OBJ_NONE)
SPOIL(vma_shm, P0.vmas[0].shm = 0)
SPOIL(vma_shmless, P0.vmas[1].content = VMA_SHARED; P0.vmas[1].map_flags = MAP_SHARED)
SPOIL(vma_flags, P0.vmas[1].map_flags = MAP_SHARED)
SPOIL(vma_offset, P0.vmas[0].offset = 12)
SPOIL(task_exe, P0.task.exe_file = 1)
SPOIL(task_groups, P0.task.groups.n = 7)
SPOIL(task_rlimits, P0.task.rlimits.n = 16)
SPOIL(task_auxv, P0.task.auxv.n = 8)
SPOIL(task_brk, P0.task.brk = P0.task.start_brk - 1)
SPOIL(task_handover, P0.task.handover = UINT64_MAX)
SPOIL(task_ledger, P0.task.ledger_size = ARCH_TASK_END)
SPOIL(task_itimers, P0.task.itimers.n = 2)
SPOIL(task_action, P0.actions[0].sig = 15)
SPOIL(task_action_kill, P0.actions[0].sig = 9)
SPOIL(task_action_range, P0.actions[1].sig = 65)
SPOIL(task_timer, P0.timers[0].signo = 65)
SPOIL(task_pgid, P0.task.pgid = -1)
SPOIL(run_empty, P0.runs[0].pages = 0)
SPOIL(run_unaligned, P0.runs[0].start++)
SPOIL(run_huge, P0.runs[0].pages = UINT64_MAX / ARCH_PAGE)
SPOIL(run_kernel, P0.runs[0].start = 0xffffffff80000000)
SPOIL(run_gap, P0.runs[1].at += ARCH_PAGE)
SPOIL(run_long, P0.runs[2].pages = 3)
SPOIL(run_few, P0.nruns = 2)
SPOIL(run_outside, P0.runs[0].start -= 2 * ARCH_PAGE)
SPOIL(run_over_end, P0.runs[2].start += ARCH_PAGE)
SPOIL(run_overlap, P0.runs[1].start = P0.runs[0].start + ARCH_PAGE)
SPOIL(run_keeps, P0.vmas[1].content = VMA_LEDGER)
SPOIL(run_hash, P0.runs[1].hash ^= 1)

static const struct spoil spoils[] = {
	{ arch, "of a riscv64 machine, this one is " ARCH_NAME },
	{ page_size, "pages of 65536 bytes" },
	{ version, "version 9" },
	{ stopped, "stopped is 2" },
	{ setup_signal, "set up" },
	{ setup_path, "set up" },
	{ clock_before, "before its beginning" },
	{ no_processes, "has no processes" },
	{ pid_twice, "pid 100 is there twice" },
	{ pid_zero, "0 is no pid" },
	{ dead_twice, "pid 200 is there twice" },
	{ dead_orphan, "nobody waits for the dead process 300" },
	{ no_root, "the root 300 is no process" },
	{ manifest_tag, "begins with no manifest" },
	{ file_few, "5 files for 2 processes" },
	{ file_path, "no possible name" },
	{ file_twice, "x is there twice" },
	{ file_nameless, "no possible name" },
	{ file_pages_hash, "manifest: 100.pages is missing or has a hash" },
	{ member_process, "member 0 of process 2" },
	{ member_obj, "member 2 of process 1" },
	{ member_global, "member 1 of process 1 as 3" },
	{ member_twice, "member 0 of process 1" },
	{ member_missing, "3 members and 3 objects, the processes have 4" },
	{ member_same, "200: has object 0 twice" },
	{ object_nobody, "nobody has object 3" },
	{ object_gap, "nobody has object 2" },
	{ objects_many, "4294967295 objects" },
	{ object_kinds, "object 0 is a box in one process and a crate in another" },
	{ object_cookies, "object 0 is a" },
	{ object_unknown, "object 0 is a teapot, which this skshim does not know" },
	{ object_nameless, "no possible kind" },
	{ object_number, "object 1 has the number 0" },
	{ object_recordless, "a box without its record" },
	{ box_other, "100: other: there is no object 2" },
	{ box_queue, "200: obj: there is no object 77" },
	{ lineage_other, "object 1 has the lineage of 0" },
	{ lineage_twice, "is not expected there" },
	{ frame_unknown, "is not expected there" },
	{ frame_first, "begins with no process" },
	{ task_of_another, "100.task: is of process 101" },
	{ parent_circle, "100: is its own ancestor" },
	{ parent_itself, "100: is its own ancestor" },
	{ threads_none, "100: its first thread is missing" },
	{ thread_ended, "100: its first thread has ended, and is there" },
	{ thread_main, "100: its first thread is missing" },
	{ thread_twice, "thread 100 is there twice" },
	{ thread_zero, "0 is no thread id" },
	{ thread_leader, "the leader 7 is no thread" },
	{ thread_kernel, "thread 101: an address" },
	{ thread_signal, "pending signal 65" },
	{ thread_siginfo, "127 bytes" },
	{ fd_order, "descriptor 0 behind 0" },
	{ fd_negative, "descriptor -1" },
	{ fd_object, "descriptor 7 is of no object" },
	{ fd_none, "descriptor 7 is of no object" },
	{ fd_cloexec, "close on exec 2" },
	{ vma_order, "region 0x400000-0x402000: order" },
	{ vma_overlap, ": order" },
	{ vma_empty, ": bounds" },
	{ vma_unaligned, ": bounds" },
	{ vma_kernel, ": bounds" },
	{ vma_prot, ": protection" },
	{ vma_content, ": content" },
	{ vma_file, ": file" },
	{ vma_fileless, ": file" },
	{ vma_shm, ": shared object" },
	{ vma_shmless, ": shared object" },
	{ vma_flags, ": flags" },
	{ vma_offset, ": offset" },
	{ task_exe, "its program is no file" },
	{ task_groups, "wrong length" },
	{ task_rlimits, "wrong length" },
	{ task_auxv, "wrong length" },
	{ task_brk, "end before they begin" },
	{ task_handover, "an address that no program has" },
	{ task_ledger, "an address that no program has" },
	{ task_itimers, "2 interval timers" },
	{ task_action, "action of signal 15" },
	{ task_action_kill, "action of signal 9" },
	{ task_action_range, "action of signal 65" },
	{ task_timer, "timer 0" },
	{ task_pgid, "group or session" },
	{ run_empty, "run of 0 pages" },
	{ run_unaligned, "run of 2 pages at 0x10001001" },
	{ run_huge, "run of " },
	{ run_kernel, "run of 2 pages at 0xffffffff80000000" },
	{ run_gap, "8192 expected" },
	{ run_long, "expected" },
	{ run_few, "8192 bytes of pages that nobody asked for" },
	{ run_outside, "of no region" },
	{ run_over_end, "of no region" },
	{ run_overlap, "are there twice" },
	{ run_keeps, "of a region that keeps its own" },
	{ run_hash, "the pages of 0x400000-0x401000 are damaged" },
};
#define NSPOILS (sizeof(spoils) / sizeof(spoils[0]))

START_TEST(spoiled)
{
	for (size_t i = 0; i < NSPOILS; i++) {
		int rc;

		begin();
		spoils[i].how(&made);
		made_write(&made, dir);
		rc = load();
		if (rc == 0)
			image_unload(&image);
		ck_assert_msg(rc < 0, "not noticed: %s", spoils[i].wrong);
		ck_failed(spoils[i].wrong);
		ck_assert_int_eq(image.dirfd, -1);
		end();
	}
}
END_TEST

static int fds_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A load leaves no descriptor, whether it fails or not. */
START_TEST(nothing_left_open)
{
	int before;

	begin();
	made_write(&made, dir);
	before = fds_open();
	ck_assert_int_eq(load(), 0);
	ck_assert_int_eq(fds_open(), before + 1);
	image_unload(&image);
	ck_assert_int_eq(fds_open(), before);
	for (size_t i = 0; i < NFILES; i++) {
		ck_assert_int_eq(truncate(in(files[i]), 10), 0);
		ck_assert_int_lt(load(), 0);
		ck_assert_int_eq(fds_open(), before);
		made_write(&made, dir);
	}
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("file");
	TCase *tc = tcase_create("file");
	SRunner *runner;
	int bad;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, good);
	tcase_add_test(tc, latest);
	tcase_add_loop_test(tc, every_bit_of_every_file, 0, NFILES);
	tcase_add_loop_test(tc, every_truncation_of_every_file, 0, NFILES);
	tcase_add_test(tc, a_file_too_many);
	tcase_add_test(tc, files_of_another_checkpoint);
	tcase_add_test(tc, spoiled);
	tcase_add_test(tc, nothing_left_open);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
