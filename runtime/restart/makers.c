/*
 * makers.c - threads that are there before their process's memory
 *
 * A child is one of a thread of its parent (tests/kernel/child_of_thread.c): waits with __WNOTHREAD go by that,
 * and so does a parent-death signal. So a child that a thread had made is
 * made by that thread, cloned with its tid long before the others: while the
 * tree is made it does what the first thread tells it, one thing at a time,
 * while that waits. It has no thread-local storage of its own until it goes
 * into the blob, where it waits for its turn (restorer.c), and who it is
 * (users, personality) it must be told apart from the first thread.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "restart.h"

#define STACK (1ul << 20)
#define FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

enum job { JOB_NONE, JOB_CHILD, JOB_IDENTITY, JOB_PARK };

static struct maker {
	int32_t tid;
	uint32_t turn;               /* odd: the maker's */
	enum job job;
	struct launch *launch;
	uint32_t who;                /* JOB_CHILD: index in the plan */
	const struct process_record *process;
	uint64_t code, script, thread, stack;   /* JOB_PARK: the restorer's entry, its arguments, its stack */
	int rc;
} *makers;
static uint32_t nmakers;

static void next_turn(uint32_t *turn)
{
	__atomic_fetch_add(turn, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, turn, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
}

static void await_turn(uint32_t *turn, bool odd)
{
	uint32_t now;

	while (((now = __atomic_load_n(turn, __ATOMIC_SEQ_CST)) & 1) != odd)
		syscall(SYS_futex, turn, FUTEX_WAIT, now, NULL, NULL, 0);
}

__attribute__((noreturn)) static void park(const struct maker *m)
{
	__asm__ volatile("mov %0, %%rsp\n\tcall *%1"
			 :
			 : "r"(m->stack), "r"(m->code), "D"(m->script), "S"(m->thread)
			 : "memory");
	__builtin_unreachable();
}

__attribute__((noreturn, used)) static void maker_main(struct maker *m)
{
	for (;;) {
		await_turn(&m->turn, true);
		if (m->job == JOB_PARK)
			park(m);
		m->rc = m->job == JOB_CHILD ? tree_make(m->launch, m->who) : identity_thread(m->process);
		next_turn(&m->turn);
	}
}

static int tell(struct maker *m, enum job job)
{
	m->job = job;
	next_turn(&m->turn);
	if (job == JOB_PARK)
		return 0;
	await_turn(&m->turn, false);
	return m->rc;
}

static long clone_maker(struct clone_args *args, struct maker *m)
{
	long rc;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %[m], %%rdi\n\t"
			 "call *%[fn]\n\t"
			 "1:"
			 : "=a"(rc)
			 : "a"((long)SYS_clone3), "D"(args), "S"(sizeof(*args)), [m] "r"(m), [fn] "r"(maker_main)
			 : "rcx", "r11", "memory");
	return rc;
}

static int start(struct maker *m)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	struct clone_args args = {
		.flags = FLAGS, .stack = (uint64_t)stack, .stack_size = STACK, .set_tid = (uint64_t)&m->tid, .set_tid_size = 1,
	};
	int32_t tries = 0;
	long rc;

	if (stack == MAP_FAILED)
		return failed(-errno, "thread %d: a stack", m->tid);
	do
		rc = clone_maker(&args, m);
	while (rc == -EEXIST && pid_lingers(m->tid, &tries));
	return rc < 0 ? failed((int)rc, "thread %d%s", m->tid, rc == -EEXIST ? " is taken" : " can't be had") : 0;
}

static struct maker *find(int32_t tid)
{
	for (uint32_t i = 0; i < nmakers; i++)
		if (makers[i].tid == tid)
			return &makers[i];
	return NULL;
}

int makers_begin(struct launch *l, uint32_t who)
{
	int rc = 0;

	/* those that we may remember are our parent's */
	makers = calloc(l->plan.n, sizeof(*makers));
	nmakers = 0;
	if (!makers)
		return failed(-ENOMEM, "memory for the processes");
	for (uint32_t i = who + 1; i < l->plan.n && rc == 0; i++) {
		const struct planned *d = &l->plan.list[i];

		if (d->parent != (int32_t)who || !d->thread || find(d->thread))
			continue;
		makers[nmakers] = (struct maker){ .tid = d->thread, .launch = l };
		rc = start(&makers[nmakers++]);
	}
	return rc;
}

int makers_child(uint32_t who, int32_t tid)
{
	struct maker *m = find(tid);

	m->who = who;
	return tell(m, JOB_CHILD);
}

int makers_identity(const struct process_record *p)
{
	int rc = 0;

	for (uint32_t i = 0; i < nmakers && rc == 0; i++) {
		makers[i].process = p;
		rc = tell(&makers[i], JOB_IDENTITY);
	}
	return rc;
}

bool makers_has(int32_t tid)
{
	return find(tid);
}

/* They take no part in anything outside the blob from then on. */
void makers_park(const struct script *script, uint64_t code)
{
	struct script_thread *t = (struct script_thread *)script->threads;
	uint32_t now, parked = 0;

	for (uint32_t i = 0; i < script->nthreads; i++) {
		struct maker *m = t[i].state == SCRIPT_PARKED ? find(t[i].tid) : NULL;

		if (!m)
			continue;
		m->code = code;
		m->script = (uint64_t)script;
		m->thread = (uint64_t)&t[i];
		m->stack = t[i].stack;
		tell(m, JOB_PARK);
		parked++;
	}
	while ((now = __atomic_load_n(&script->parked, __ATOMIC_SEQ_CST)) < parked)
		syscall(SYS_futex, &script->parked, FUTEX_WAIT, now, NULL, NULL, 0);
}
