/*
 * script.c - the blob: script, restorer, stack and data in one mapping
 *
 * It is written in ordinary memory with the addresses it will have, and copied
 * to its place at the very end. Layout: struct script, the restorer's code, its
 * stack, then data and steps.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "restart.h"

#define CODE_AT 4096ul
#define STACK_SIZE 32768ul
#define GAP (1ul << 21)             /* left free on both sides, for stacks that grow */
#define HOLE_FROM 0x10000000000ul

extern const char _binary_restorer_bin_start[], _binary_restorer_bin_end[];

static uint64_t code_size(void)
{
	return (uintptr_t)_binary_restorer_bin_end - (uintptr_t)_binary_restorer_bin_start;
}

struct range {
	uint64_t start, end;
};

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static uint32_t own_ranges(struct range **list)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4352];
	uint32_t n = 0, room = 0;
	struct range r;

	*list = NULL;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &r.start, &r.end) != 2)
			continue;
		if (n == room) {
			struct range *more = realloc(*list, (room = room * 2 + 256) * sizeof(*more));

			if (!more)
				break;
			*list = more;
		}
		(*list)[n++] = r;
	}
	if (f)
		fclose(f);
	return n;
}

uint64_t script_hole(const struct image_process *p, uint64_t size)
{
	const struct vma_record *v = p->task->vmas.items;
	struct range *list, *more;
	uint32_t n = own_ranges(&list);
	uint64_t at = HOLE_FROM;

	more = n ? realloc(list, (n + p->task->vmas.n) * sizeof(*more)) : NULL;
	if (!more) {
		free(list);
		return 0;
	}
	list = more;
	for (uint32_t i = 0; i < p->task->vmas.n; i++)
		list[n++] = (struct range){ v[i].start, v[i].end };
	qsort(list, n, sizeof(*list), by_start);
	for (uint32_t i = 0; i < n; i++) {
		if (list[i].end <= at)
			continue;
		if (list[i].start >= at + size + GAP)
			break;
		at = list[i].end + GAP;
	}
	free(list);
	return at + size + GAP < ARCH_TASK_END ? at : 0;
}

int script_begin(struct script_builder *s, const struct image_process *p, uint64_t size)
{
	uint64_t code = code_size();

	memset(s, 0, sizeof(*s));
	s->size = ((size + ARCH_PAGE - 1) & ~(ARCH_PAGE - 1ul)) + ARCH_PAGE;
	s->base = script_hole(p, s->size + SHARED_SIZE);
	if (!s->base)
		return failed(ERR_PLAIN, "pid %d: no free place of %lu bytes in its address space", p->task->pid, s->size);
	s->memory = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->memory == MAP_FAILED)
		return failed(-ENOMEM, "pid %d: memory for its script", p->task->pid);
	memcpy(s->memory + CODE_AT, _binary_restorer_bin_start, code);
	s->used = (CODE_AT + code + STACK_SIZE + 4095) & ~4095ul;
	return 0;
}

uint64_t script_room(struct script_builder *s, size_t n)
{
	uint64_t at = (s->used + 15) & ~15ul;

	if (s->rc < 0)
		return 0;
	if (at + n > s->size - ARCH_PAGE) {
		s->rc = failed(-ENOMEM, "the script needs more than %lu bytes", s->size);
		return 0;
	}
	s->used = at + n;
	return s->base + at;
}

uint64_t script_put(struct script_builder *s, const void *p, size_t n)
{
	uint64_t at = script_room(s, n);

	if (at)
		memcpy(s->memory + (at - s->base), p, n);
	return at;
}

void script_step(struct script_builder *s, const char *what, enum step_op op, int64_t nr, uint64_t a, uint64_t b, uint64_t c,
		 uint64_t d, uint64_t e, uint64_t f)
{
	uint64_t text;

	if (s->rc < 0)
		return;
	if (s->nsteps == s->room) {
		struct step *more = realloc(s->steps, (s->room = s->room * 2 + 1024) * sizeof(*more));

		if (!more) {
			s->rc = failed(-ENOMEM, "memory for the script");
			return;
		}
		s->steps = more;
	}
	text = *what ? script_put(s, what, strlen(what) + 1) : s->base;
	s->steps[s->nsteps++] = (struct step){ op, (uint32_t)(text - s->base), nr, { a, b, c, d, e, f } };
}

/* The kernel writes the processor's number there at every switch; the memory is about to go. */
static void leave_rseq(void)
{
	unsigned n = __rseq_size < 32 ? 32 : __rseq_size;

	if (__rseq_size)
		syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, n, 1 /* RSEQ_FLAG_UNREGISTER */, RSEQ_SIG);
}

/* Who asks for a checkpoint meanwhile finds the tree by it: the script's last page shows the head of the tree's file. */
static int map_tree(const struct script_builder *s, struct tree *tree)
{
	void *at = (void *)(s->base + s->size - ARCH_PAGE);

	if (tree && mremap(tree, 0, ARCH_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at)
		return failed(-errno, "the restorer's view of the tree");
	return 0;
}

int script_run(struct script_builder *s, struct shared *shared, struct tree *tree, const struct script_thread *threads,
	       uint32_t nthreads)
{
	struct script *head = (struct script *)s->memory;
	void *at;

	head->base = s->base;
	head->size = s->size + SHARED_SIZE;
	head->status = s->base + s->size;      /* the shared page is moved behind the blob */
	head->nsteps = s->nsteps;
	head->nthreads = nthreads;
	head->parked = 0;
	head->threads = script_put(s, threads, nthreads * sizeof(*threads));
	head->steps = script_put(s, s->steps, s->nsteps * sizeof(*s->steps));
	head->stack_top = s->base + CODE_AT + code_size() + STACK_SIZE;
	head->stack_top &= ~15ul;
	if (s->rc < 0)
		return s->rc;
	at = mmap((void *)s->base, s->size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		  -1, 0);
	if (at != (void *)s->base)
		return failed(-errno, "the restorer's memory at %lx", s->base);
	memcpy(at, s->memory, s->used);
	if (map_tree(s, tree) < 0)
		return ERR_PLAIN;
	/* last of what may fail: who gives up tells it in there */
	if (mremap(shared, SHARED_SIZE, SHARED_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(s->base + s->size)) == MAP_FAILED)
		return failed(-errno, "the restorer's shared page");
	makers_park(at, s->base + CODE_AT);
	leave_rseq();
	__asm__ volatile("mov %0, %%rsp\n\tcall *%1"
			 :
			 : "r"(head->stack_top), "r"(s->base + CODE_AT), "D"(s->base), "S"(NULL)
			 : "memory");
	__builtin_unreachable();
}

static const char *const op_names[] = { "end", "call", "try", "map", "load", "copy", "spawn", "post", "await", "resume" };

void script_print(const struct script_builder *s)
{
	for (uint32_t i = 0; i < s->nsteps; i++) {
		const struct step *t = &s->steps[i];

		printf("  %-6s %-24s", op_names[t->op], t->what ? s->memory + t->what : "");
		if (t->op <= STEP_TRY)
			printf(" %ld", (long)t->nr);
		for (int k = 0; k < 6; k++)
			printf(" %lx", t->args[k]);
		printf("\n");
	}
}
