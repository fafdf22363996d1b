/*
 * stack_test.c - a stack is walked from what an image holds
 *
 * The image is made by hand: a child stands in a signal handler, and its maps
 * and changed pages are put where a checkpoint would put them.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "runtime/cli/stack.h"

#include "unit.h"

#define VMAS 256

static struct image image;
static struct image_process process;
static struct process_record task;
static struct vma_record vmas[VMAS];
static struct file_record files[VMAS];
static struct run_record runs[VMAS];
static char names[VMAS][512];
static char dir[] = "/tmp/stack_test.XXXXXX";
static uint64_t *frame;      /* shared with the child: where its handler was given its context */

static void handler(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	__atomic_store_n(frame, (uint64_t)context, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
}

__attribute__((noinline)) int stack_inner(int fd)
{
	char c;
	int rc = (int)read(fd, &c, 1);

	__asm__ volatile("");
	return rc + 1;
}

__attribute__((noinline)) int stack_outer(int fd)
{
	int rc = stack_inner(fd);

	__asm__ volatile("");
	return rc + 1;
}

/* A child that waits in stack_inner(), then in its handler. */
static pid_t child_begin(void)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	int pipes[2];
	pid_t pid;

	frame = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(frame, MAP_FAILED);
	ck_assert_int_eq(pipe(pipes), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		sigaction(SIGUSR1, &sa, NULL);
		__atomic_store_n(frame, 1, __ATOMIC_SEQ_CST);
		_exit(stack_outer(pipes[0]));
	}
	while (__atomic_load_n(frame, __ATOMIC_SEQ_CST) != 1)
		usleep(1000);
	for (int asleep = 0; !asleep;) {
		char path[64], call[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
		f = fopen(path, "r");
		ck_assert_ptr_nonnull(f);
		asleep = fscanf(f, "%31s", call) == 1 && strcmp(call, "0") == 0;
		fclose(f);
		usleep(1000);
	}
	kill(pid, SIGUSR1);
	while (__atomic_load_n(frame, __ATOMIC_SEQ_CST) == 1)
		usleep(1000);
	return pid;
}

static void add_pages(int mem, int pages, const struct vma_record *v)
{
	static char page[4096];
	uint64_t at = (uint64_t)lseek(pages, 0, SEEK_END);
	struct run_record *r = &runs[process.runs.n];

	*r = (struct run_record){ .start = v->start, .at = at };
	for (uint64_t a = v->start; a < v->end; a += sizeof(page), r->pages++)
		if (pread(mem, page, sizeof(page), (off_t)a) != (ssize_t)sizeof(page) ||
		    write(pages, page, sizeof(page)) != (ssize_t)sizeof(page))
			break;
	process.runs.n += r->pages > 0;
}

static void add_vma(const char *line, int mem, int pages)
{
	struct vma_record *v = &vmas[task.vmas.n];
	char perms[8], *name = names[task.vmas.n];
	unsigned long start, end, offset;
	struct stat st;

	name[0] = '\0';
	ck_assert_int_ge(sscanf(line, "%lx-%lx %7s %lx %*s %*s %511s", &start, &end, perms, &offset, name), 4);
	ck_assert_uint_lt(++task.vmas.n, VMAS);
	*v = (struct vma_record){ .start = start, .end = end, .offset = offset, .file = OBJ_NONE, .shm = OBJ_NONE,
				  .name = { name, strlen(name) } };
	if (name[0] == '/' && stat(name, &st) == 0 && S_ISREG(st.st_mode)) {
		v->content = VMA_FILE_PRIVATE;
		v->file = task.files.n++;
		files[v->file] = (struct file_record){ .path = v->name, .size = (uint64_t)st.st_size,
						       .mtime_ns = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec };
	}
	if (perms[1] == 'w' && perms[3] == 'p')
		add_pages(mem, pages, v);
}

static void image_begin(pid_t pid)
{
	char path[64], line[1024];
	int mem, pages;
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	image.dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	pages = openat(image.dirfd, "1.pages", O_RDWR | O_CREAT, 0600);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "r");
	ck_assert(pages >= 0 && mem >= 0 && f != NULL);
	image.processes = &process;
	image.nprocesses = 1;
	process.task = &task;
	process.pages_name = BLOB("1.pages");
	process.runs.items = runs;
	task.pid = pid;
	task.vmas.items = vmas;
	task.files.items = files;
	while (fgets(line, sizeof(line), f) != NULL)
		add_vma(line, mem, pages);
	fclose(f);
	close(mem);
	close(pages);
}

static void image_end(void)
{
	unlinkat(image.dirfd, "1.pages", 0);
	close(image.dirfd);
	rmdir(dir);
}

static int frame_named(const struct stack_frame *frames, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (frames[i].function != NULL && (int)strlen(name) == symbols_plain(frames[i].function) &&
		    memcmp(frames[i].function, name, strlen(name)) == 0)
			return (int)i;
	return -1;
}

START_TEST(callers_in_order)
{
	static struct stack_frame frames[STACK_FRAMES];
	struct symbols symbols = { 0 };
	struct thread_record t = { .syscall = 0 };
	pid_t pid = child_begin();
	struct peek peek;
	ucontext_t uc;
	size_t n;

	image_begin(pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	t.frame = *frame;
	ck_assert_int_eq(peek_open(&peek, &image, &process), 0);
	ck_assert_int_eq(peek_read(&peek, t.frame, &uc, sizeof(uc)), 0);
	n = stack_unwind(&peek, &symbols, &t, frames, STACK_FRAMES);
	ck_assert_uint_gt(n, 3);
	ck_assert_uint_eq(frames[0].address, (uint64_t)uc.uc_mcontext.gregs[REG_RIP]);
	ck_assert_int_gt(frame_named(frames, n, "stack_inner"), 0);
	ck_assert_int_eq(frame_named(frames, n, "stack_outer"), frame_named(frames, n, "stack_inner") + 1);
	ck_assert_int_gt(frame_named(frames, n, "main"), frame_named(frames, n, "stack_outer"));
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_lt(frames[i].into, 1 << 20);
	peek_close(&peek);
	symbols_free(&symbols);
	image_end();
}
END_TEST

START_TEST(nothing_to_walk)
{
	struct stack_frame frames[4];
	struct symbols symbols = { 0 };
	struct thread_record t = { .pc = 0x1000, .sp = 0x2000 };
	struct peek peek;
	char byte;

	process.task = &task;
	ck_assert_int_eq(peek_open(&peek, &image, &process), 0);
	ck_assert_uint_ge(stack_unwind(&peek, &symbols, &t, frames, 4), 1);
	ck_assert_uint_eq(frames[0].address, 0x1000);
	ck_assert_ptr_null(frames[0].function);
	ck_assert_int_lt(peek_read(&peek, 0x1000, &byte, 1), 0);
	peek_close(&peek);
}
END_TEST

UNIT_MAIN("stack", callers_in_order, nothing_to_walk)
