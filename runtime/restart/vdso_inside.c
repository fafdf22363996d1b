/*
 * vdso_inside.c - threads that stood inside another kernel's vdso
 *
 * A thread may have been stopped in the middle of clock_gettime(), or in a
 * handler that is to return there. It goes on in the old code, which reads the
 * old data: what the image has of [vvar]. In that the clock is said to have no
 * fast source any more, and to have been set since; so the old code looks again
 * and makes the system call. What it had read completely is the time of the
 * checkpoint, as if the call had ended just before it.
 *
 * The kernel's clock (struct vdso_data, later vdso_clock) begins with a count
 * of its changes and the kind of its source, in all versions. Whether that is
 * so is tried: a child with the image's code and data calls the functions, and
 * must end up in system calls.
 *
 * Entries are overwritten by jumps (vdso.c). Who stands there goes on in a
 * second copy.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vdso.h"
#include "skshim/elf.h"

#define FUNCTIONS 64
#define SCAN_PIECE 65536ul
#define SCAN_MOST (64ul << 20)       /* of a stack */
#define STACKS 16                    /* that a thread's handlers have interrupted each other on */
#define REFUSED 93                   /* the answer of system calls in the trial */
#define MODE_MOST 3                  /* kinds of fast sources: 1 to 3 */

/* --- who ---------------------------------------------------------------------------------------------------- */

/* The kernel's frame on the stack of a thread that runs a handler, arch/x86/include/uapi/asm/sigcontext.h. */
#define UCONTEXT_PC 168
/* Counted from the program counter in it. */
#define FRAME_SP (-8)
#define FRAME_CS 16
#define FRAME_SS 22
#define FRAME_END 24
#define USER_CS 0x33
#define USER_SS 0x2b

static bool holds(const struct vdso *d, uint64_t pc)
{
	return pc >= d->region->start && pc < d->region->end;
}

static int note(struct vdso *d, uint64_t word)
{
	if (d->ninside == d->room_inside) {
		uint64_t *more = realloc(d->inside, (d->room_inside + 64) * sizeof(*more));

		if (!more)
			return failed(-ENOMEM, "memory for threads inside the vdso");
		d->inside = more;
		d->room_inside += 64;
	}
	d->inside[d->ninside++] = word;
	return 0;
}

void vdso_inside_forget(struct vdso *d)
{
	free(d->inside);
	d->inside = NULL;
	d->ninside = d->room_inside = 0;
}

/* Stack pointers of one thread, each to be looked at up to the end of its region. */
struct stacks {
	uint64_t from[STACKS], end[STACKS];
	int n;
};

static void stacks_add(struct stacks *s, const struct process_record *p, uint64_t sp)
{
	const struct vma_record *v = p->vmas.items;

	for (int i = 0; i < s->n; i++)
		if (sp >= s->from[i] && sp < s->end[i])
			return;
	for (uint32_t i = 0; i < p->vmas.n && s->n < STACKS; i++)
		if (sp >= v[i].start && sp < v[i].end) {
			s->from[s->n] = sp & ~7ull;
			s->end[s->n++] = v[i].end - sp > SCAN_MOST ? sp + SCAN_MOST : v[i].end;
		}
}

/* Frames in buf[n], the memory at `at`. */
static int look_at(struct vdso *d, const struct process_record *p, struct stacks *s, const char *buf, uint64_t n, uint64_t at)
{
	for (uint64_t i = 8; i + FRAME_END <= n; i += 8) {
		uint64_t pc, sp;
		uint16_t cs, ss;

		memcpy(&cs, buf + i + FRAME_CS, 2);
		memcpy(&ss, buf + i + FRAME_SS, 2);
		if (cs != USER_CS || ss != USER_SS)
			continue;
		memcpy(&pc, buf + i, 8);
		memcpy(&sp, buf + i + FRAME_SP, 8);
		stacks_add(s, p, sp);
		if (holds(d, pc) && note(d, at + i) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int look_thread(struct vdso *d, const struct image *image, const struct image_process *ip, const struct thread_record *t)
{
	struct stacks s = { .n = 0 };
	char *buf = malloc(SCAN_PIECE);
	int rc = buf ? 0 : failed(-ENOMEM, "memory to look at stacks");

	if (rc == 0 && holds(d, t->pc))
		rc = note(d, t->frame + UCONTEXT_PC);
	stacks_add(&s, ip->task, t->sp);
	for (int i = 0; i < s.n && rc == 0; i++)
		/* pieces overlap by what a frame may lack at the end of one */
		for (uint64_t at = s.from[i]; at < s.end[i] && rc == 0; at += SCAN_PIECE - FRAME_END) {
			uint64_t n = s.end[i] - at < SCAN_PIECE ? s.end[i] - at : SCAN_PIECE;

			rc = vdso_read(image, ip, at, buf, n);
			if (rc == 0)
				rc = look_at(d, ip->task, &s, buf, n, at);
		}
	free(buf);
	return rc;
}

/* --- the data ----------------------------------------------------------------------------------------------- */

static void settle_data(struct vdso *d)
{
	for (int i = 0; i < d->nold; i++) {
		char *from = d->bytes + (d->old[i]->start - d->start), *to = d->bytes + (d->old[i]->end - d->start);

		for (char *p = d->old[i] == d->region ? to : from; p < to; p += 8) {
			uint32_t changes, mode;

			memcpy(&changes, p, 4);
			memcpy(&mode, p + 4, 4);
			if (!changes || !mode || mode > MODE_MOST)
				continue;
			changes = (changes | 1) + 1;     /* even: it is not being changed */
			mode = 0;
			memcpy(p, &changes, 4);
			memcpy(p + 4, &mode, 4);
		}
	}
}

/* In the trial's child: from here on the calls that the functions stand for are refused. */
static int refuse_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 228 /* clock_gettime */, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 96 /* gettimeofday */, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | REFUSED),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool asks_kernel(const char *code, const struct elf_function *f)
{
	static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME };
	long (*call)(long, void *) = (long (*)(long, void *))(code + f->at);
	long (*day)(void *, void *) = (long (*)(void *, void *))(code + f->at);
	uint64_t room[2];

	if (vdso_call(f->name) == 96)
		return day(room, NULL) == -REFUSED;
	for (size_t i = 0; vdso_call(f->name) == 228 && i < sizeof(clocks) / sizeof(*clocks); i++)
		if (call(clocks[i], room) != -REFUSED)
			return false;
	return true;
}

__attribute__((noreturn)) static void trial_child(const struct vdso *d)
{
	struct elf_function f[FUNCTIONS];
	char *copy = mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const char *code = copy + (d->region->start - d->start);
	int n = elf_functions(vdso_code(d), d->region->end - d->region->start, f, FUNCTIONS);

	if (copy == MAP_FAILED)
		_exit(1);
	memcpy(copy, d->bytes, d->size);
	if (mprotect(copy, d->size, PROT_READ | PROT_EXEC) < 0 || !refuse_calls())
		_exit(1);
	alarm(2);
	for (int i = 0; i < n; i++)
		if (!asks_kernel(code, &f[i]))
			_exit(1);
	_exit(n > 0 ? 0 : 1);
}

bool vdso_inside_try(const struct vdso *d)
{
	pid_t pid = fork();
	int status = 1;

	if (pid == 0)
		trial_child(d);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int vdso_inside(struct vdso *d, const struct image *image, const struct image_process *ip)
{
	const struct thread_record *t = ip->task->threads.items;
	int rc = 0;

	for (uint32_t i = 0; i < ip->task->threads.n && rc == 0; i++)
		rc = look_thread(d, image, ip, &t[i]);
	settle_data(d);
	return rc;
}

/* --- steps -------------------------------------------------------------------------------------------------- */

static bool overwritten(const struct vdso *d, uint64_t pc)
{
	struct elf_function f[FUNCTIONS];
	int n = elf_functions(vdso_code(d), d->region->end - d->region->start, f, FUNCTIONS);
	uint64_t at = pc - d->region->start;

	for (int i = 0; i < n; i++)
		if (at > f[i].at && at < f[i].at + VDSO_PATCH)
			return true;
	return false;
}

int vdso_inside_place(struct script_builder *s, const struct vdso *d, const struct image *image, const struct image_process *ip)
{
	uint64_t distance = d->spare - d->start, pc;
	bool copied = false;

	for (uint32_t i = 0; i < d->ninside; i++) {
		int rc = vdso_read(image, ip, d->inside[i], (char *)&pc, sizeof(pc));

		if (rc < 0)
			return rc;
		if (!overwritten(d, pc))
			continue;
		if (!copied)
			vdso_put(s, d, distance);
		copied = true;
		pc += distance;
		script_step(s, "", STEP_COPY, 0, script_put(s, &pc, sizeof(pc)), d->inside[i], sizeof(pc), 0, 0, 0);
	}
	return 0;
}
