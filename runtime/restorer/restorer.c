/*
 * restorer.c - the loop over the script
 *
 * Runs in the blob (script.h) when everything else of the address space is
 * gone: no libc, no static data, no relocations. The first function is the
 * entry. A failed step is noted in the page shared with the launcher, which
 * tells the user; this process then ends.
 */
#undef SKSHIM_FAULT          /* nothing to link with */
#include <stddef.h>
#include <stdint.h>

#include "skshim/sys.h"
#include "skshim/script.h"

#define EINTR_ 4
#define ENODATA_ 61
#define SPANS_MAX 1024       /* IOV_MAX */
#define FUTEX_WAIT_ 0
#define FUTEX_WAKE_ 1
#define EXIT_REFUSED 125

/* clone3's arguments, linux/sched.h */
struct clone_args_ {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

/* Signal handlers, memory, files, the rest: what pthread_create asks for, but for the tid addresses. */
#define THREAD_FLAGS (0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x80000)
/* The same without a TLS of its own, and without SysV semaphores: it lives in this process for a moment only. */
#define HELPER_FLAGS (0x100 | 0x200 | 0x400 | 0x800 | 0x10000)

/* `me` is a thread that was there before; NULL: the first. */
__attribute__((noreturn, section(".text.start"))) void restorer(struct script *script, struct script_thread *me);

__attribute__((noreturn)) static void give_up(const struct script *script, uint32_t step, int64_t result)
{
	struct script_status *s = (struct script_status *)script->status;
	uint32_t what = ((const struct step *)script->steps)[step].what;
	const volatile char *text = what ? (const char *)script->base + what : NULL;
	uint32_t none = 0;

	if (__atomic_compare_exchange_n(&s->failed, &none, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		s->step = step;
		s->result = result;
		s->pid = (int32_t)SYS0(__NR_getpid);
		for (uint32_t i = 0; text && text[i] && i < SCRIPT_WHAT - 1; i++)
			((volatile char *)s->what)[i] = text[i];
		__atomic_store_n(&s->failed, 2, __ATOMIC_SEQ_CST);
	}
	sys_exit_group(EXIT_REFUSED);
}

/* By hand: there is no memset. */
static void clear(struct clone_args_ *args)
{
	for (size_t i = 0; i < sizeof(*args) / 8; i++)
		((volatile uint64_t *)args)[i] = 0;
}

/* Its number may be free a moment after nobody has it any more (runtime/restart/tree.c). */
static int lingers(int32_t tid, int *tries)
{
	struct __kernel_timespec t = { 0, 1000000 };

	if (sys_kill(tid, 0) != -3 /* ESRCH */ || ++*tries > 2000)
		return 0;
	SYS2(__NR_nanosleep, &t, NULL);
	return 1;
}

/* The new thread comes out of clone3 with its old stack pointer and jumps; nothing of ours is touched again. */
static int64_t spawn(struct script_thread *t)
{
	int32_t tid = t->tid;
	struct clone_args_ args;
	long rc;

	if (t->state == SCRIPT_PARKED) {
		__atomic_store_n(&t->state, SCRIPT_RESUMED, __ATOMIC_SEQ_CST);
		sys_futex(&t->state, FUTEX_WAKE_, 1, NULL);
		return 0;
	}
	clear(&args);
	args.flags = THREAD_FLAGS;
	args.stack = t->sp - 16;     /* the kernel adds the size to it */
	args.stack_size = 16;
	args.tls = t->fs_base;
	args.set_tid = (uint64_t)&tid;
	args.set_tid_size = 1;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "jmp *%[pc]\n\t"
			 "1:"
			 : "=a"(rc)
			 : "a"((long)__NR_clone3), "D"(&args), "S"(sizeof(args)), [pc] "r"(t->pc)
			 : "rcx", "r11", "memory");
	return rc;
}

__attribute__((noreturn)) static void resume(const struct script_thread *t)
{
	SYS2(__NR_arch_prctl, 0x1002 /* ARCH_SET_FS */, t->fs_base);
	__asm__ volatile("mov %0, %%rsp\n\tjmp *%1" : : "r"(t->sp), "r"(t->pc) : "memory");
	__builtin_unreachable();
}

__attribute__((noreturn)) static void park(struct script *script, struct script_thread *t)
{
	__atomic_fetch_add(&script->parked, 1, __ATOMIC_SEQ_CST);
	sys_futex(&script->parked, FUTEX_WAKE_, 1, NULL);
	while (__atomic_load_n(&t->state, __ATOMIC_SEQ_CST) == SCRIPT_PARKED)
		sys_futex(&t->state, FUTEX_WAIT_, SCRIPT_PARKED, NULL);
	resume(t);
}

static int64_t await(const struct step *s)
{
	uint32_t *word = (uint32_t *)s->args[0], *stop = (uint32_t *)s->args[2], *alive = (uint32_t *)s->args[3], v;

	while ((v = __atomic_load_n(word, __ATOMIC_SEQ_CST)) < s->args[1]) {
		struct __kernel_timespec t = { 0, 100000000 };

		if (__atomic_load_n(stop, __ATOMIC_SEQ_CST) || (__atomic_load_n(alive, __ATOMIC_SEQ_CST) & SCRIPT_LOST))
			sys_exit_group(EXIT_REFUSED);
		sys_futex(word, FUTEX_WAIT_, v, &t);
	}
	return 0;
}

static void copy(const struct step *s)
{
	const volatile char *from = (const char *)s->args[0];
	volatile char *to = (char *)s->args[1];

	for (uint64_t i = 0; i < s->args[2]; i++)
		to[i] = from[i];
}

/* Of the processor, not of the clock: waiting for it on a busy machine says nothing of the kernel's work. */
static int64_t spent(void)
{
	struct __kernel_timespec t = { 0, 0 };

	sys_clock_gettime(3 /* CLOCK_THREAD_CPUTIME_ID */, &t);
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* By how many ns the blocks took longer than they may. */
static int64_t huge(const struct script_load *l, const struct script_part *p)
{
	int64_t began = spent(), n = 0;

	for (uint32_t i = 0; i < 64 && p->blocks >> i; i++) {
		uint32_t first = i;

		/* changes nothing: another part's bytes may be there already */
		for (; i < 64 && (p->blocks >> i & 1); i++, n++)
			__atomic_fetch_or((char *)(p->huge + i * l->block), 0, __ATOMIC_RELAXED);
		if (i > first)
			sys_madvise((void *)(p->huge + first * l->block), (i - first) * l->block, 25 /* MADV_COLLAPSE */);
	}
	return spent() - began - n * (int64_t)l->block_ns;
}

/* A span that was read in part is shortened: the script is ours. */
static int64_t read_part(int fd, const struct script_part *p)
{
	struct script_span *span = (struct script_span *)p->spans, *end = span + p->nspans;
	uint64_t offset = p->offset;

	while (span < end) {
		uint64_t n = (uint64_t)(end - span) < SPANS_MAX ? (uint64_t)(end - span) : SPANS_MAX;
		long rc = SYS4(__NR_preadv, fd, span, n, offset);

		if (rc == -EINTR_)
			continue;
		if (rc <= 0)
			return rc ? rc : -ENODATA_;
		offset += (uint64_t)rc;
		for (; span < end && (uint64_t)rc >= span->bytes; span++)
			rc -= (long)span->bytes;
		if (rc) {
			span->at += (uint64_t)rc;
			span->bytes -= (uint64_t)rc;
		}
	}
	return 0;
}

/* Takes parts until there are none. The first failure stays, and stops all. */
static void take_parts(struct script_load *l)
{
	const struct script_part *parts = (const struct script_part *)l->parts;
	int64_t over = 0;
	uint32_t i;

	while (!__atomic_load_n(&l->rc, __ATOMIC_SEQ_CST) &&
	       (i = __atomic_fetch_add(&l->next, 1, __ATOMIC_SEQ_CST)) < l->nparts) {
		int32_t rc, none = 0;

		if (parts[i].blocks && !__atomic_load_n(&l->slow, __ATOMIC_RELAXED))
			over += huge(l, &parts[i]);
		if (over > (int64_t)l->over_ns)
			__atomic_store_n(&l->slow, 1, __ATOMIC_RELAXED);
		rc = (int32_t)read_part(l->fd, &parts[i]);
		if (rc < 0)
			__atomic_compare_exchange_n(&l->rc, &none, rc, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
}

__attribute__((noreturn)) static void helper(struct script_load *l)
{
	take_parts(l);
	__atomic_fetch_add(&l->done, 1, __ATOMIC_SEQ_CST);
	sys_futex(&l->done, FUTEX_WAKE_, 1, NULL);
	sys_exit(0);
	__builtin_unreachable();
}

static int64_t start_helper(struct script_load *l, const struct script_helper *h)
{
	struct clone_args_ args;
	int32_t tid = h->tid;
	long rc;

	clear(&args);
	args.flags = HELPER_FLAGS;
	args.stack = h->stack - 4096;
	args.stack_size = 4096;
	args.set_tid = (uint64_t)&tid;
	args.set_tid_size = 1;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "mov %[l], %%rdi\n\t"
			 "call *%[helper]\n\t"
			 "1:"
			 : "=a"(rc)
			 : "a"((long)__NR_clone3), "D"(&args), "S"(sizeof(args)), [l] "r"(l), [helper] "r"(helper)
			 : "rcx", "r11", "memory");
	return rc;
}

/* Where a helper can't be had, there are fewer. In the end no trace of them is left; nothing else tells when. */
static int64_t load(struct script_load *l)
{
	const struct script_helper *h = (const struct script_helper *)l->helpers;
	uint32_t n = 0, done;

	while (n < l->nhelpers && start_helper(l, &h[n]) > 0)
		n++;
	take_parts(l);
	while ((done = __atomic_load_n(&l->done, __ATOMIC_SEQ_CST)) < n)
		sys_futex(&l->done, FUTEX_WAIT_, done, NULL);
	while (n > 0) {
		if (sys_tgkill(sys_getpid(), h[n - 1].tid, 0) < 0)
			n--;
		else
			sys_sched_yield();
	}
	return l->rc;
}

void restorer(struct script *script, struct script_thread *me)
{
	const struct step *steps = (const struct step *)script->steps;
	struct script_thread *threads = (struct script_thread *)script->threads;

	if (me)
		park(script, me);
	for (uint32_t i = 0; i < script->nsteps; i++) {
		const struct step *s = &steps[i];
		int64_t rc = 0;

		if (s->op == STEP_CALL) {
			rc = arch_syscall(s->nr, (long)s->args[0], (long)s->args[1], (long)s->args[2], (long)s->args[3],
					  (long)s->args[4], (long)s->args[5]);
		} else if (s->op == STEP_TRY) {
			arch_syscall(s->nr, (long)s->args[0], (long)s->args[1], (long)s->args[2], (long)s->args[3],
				     (long)s->args[4], (long)s->args[5]);
		} else if (s->op == STEP_MAP) {
			rc = arch_syscall(__NR_mmap, (long)s->args[0], (long)s->args[1], (long)s->args[2], (long)s->args[3],
					  (long)s->args[4], (long)s->args[5]);
			rc = rc == (int64_t)s->args[0] ? 0 : rc < 0 ? rc : -17;
		} else if (s->op == STEP_LOAD) {
			rc = load((struct script_load *)s->args[0]);
		} else if (s->op == STEP_COPY) {
			copy(s);
		} else if (s->op == STEP_SPAWN) {
			int tries = 0;

			do
				rc = spawn(&threads[s->args[0]]);
			while (rc == -17 /* EEXIST */ && lingers(threads[s->args[0]].tid, &tries));
		} else if (s->op == STEP_POST) {
			__atomic_fetch_add((uint32_t *)s->args[0], 1, __ATOMIC_SEQ_CST);
			sys_futex((uint32_t *)s->args[0], FUTEX_WAKE_, 0x7fffffff, NULL);
		} else if (s->op == STEP_AWAIT) {
			rc = await(s);
		} else if (s->op == STEP_RESUME) {
			resume(&threads[s->args[0]]);
		} else {
			rc = -38;
		}
		if (rc < 0 && rc >= -4095)
			give_up(script, i, rc);
	}
	give_up(script, script->nsteps - 1, -38);
}
