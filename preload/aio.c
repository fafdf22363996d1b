/*
 * aio.c - contexts of asynchronous I/O (io_setup)
 *
 * A context is a mapping: its address is its number, and completions that nobody
 * has taken stand in it. What is under way the kernel doesn't tell; but there are
 * so many places for requests. So it is asked for more, that do nothing, until
 * there is no place left (tests/kernel/aio_places.c); each processor keeps some in
 * stock, so a task goes round them all. Their completions are taken out of the
 * mapping again, and the program's stand where they ended: only who reads the
 * mapping itself, and remembers where head and tail were, sees them elsewhere.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "stop.h"

#include "skshim/frozen.h"

#define MAGIC 0xa10a10a1u
#define NOTHING 0x736b7368696d2e61ull  /* data of our requests; they are told by it and by their address */
#define PATIENCE 500                   /* ms for what is under way to end */
#define HELPER_STACK 16384

/* The kernel's struct aio_ring. */
struct ring {
	uint32_t id, nr, head, tail, magic, compat, incompat, header;
	struct io_event events[];
};

struct asking {
	struct ring *ring;
	struct iocb request;
	uint32_t processors, placed;
	int rc;
};

/* "0-3,8-11": how many, and the highest behind the last. */
static int possible(struct arena *a, uint32_t *count, uint32_t *end)
{
	struct blob text;
	const char *p, *stop;
	uint64_t from, to;
	int rc = arena_read_file(a, AT_FDCWD, "/sys/devices/system/cpu/possible", &text);

	*count = *end = 0;
	if (rc < 0)
		return rc;
	for (p = text.p, stop = p + text.n; p < stop && *p >= '0' && *p <= '9'; p++) {
		if (!text_number(&p, stop, 10, &from))
			return -EINVAL;
		to = from;
		if (p < stop && *p == '-' && (p++, !text_number(&p, stop, 10, &to)))
			return -EINVAL;
		if (to < from || to >= SLOT_AFFINITY * 8)
			return -EINVAL;
		*count += (uint32_t)(to - from + 1);
		*end = (uint32_t)to + 1;
	}
	return *count ? 0 : -EINVAL;
}

/* Until there is no place on this processor. */
static int ask_here(struct asking *k)
{
	struct iocb *list[64];
	long rc;

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		list[i] = &k->request;
	while ((rc = SYS3(__NR_io_submit, k->ring, sizeof(list) / sizeof(list[0]), list)) > 0)
		k->placed += (uint32_t)rc;
	return rc == -EAGAIN ? 0 : rc < 0 ? (int)rc : -EIO;
}

/* In a task of its own, which goes round the processors. */
static int ask_everywhere(void *arg)
{
	struct asking *k = arg;
	uint8_t one[SLOT_AFFINITY];

	k->rc = ask_here(k);
	for (uint32_t i = 0; i < k->processors && k->rc == 0; i++) {
		memset(one, 0, sizeof(one));
		one[i / 8] = (uint8_t)(1u << i % 8);
		if (SYS3(__NR_sched_setaffinity, 0, sizeof(one), one) >= 0)
			k->rc = ask_here(k);
	}
	return 0;
}

static bool is_ours(const struct asking *k, const struct io_event *e)
{
	return e->data == NOTHING && e->obj == (uintptr_t)&k->request;
}

/* The program's completions, at the end; how many. */
static uint32_t take_out(const struct asking *k)
{
	struct ring *r = k->ring;
	uint32_t tail = r->tail % r->nr, head = r->head % r->nr, from = tail, to = tail, kept = 0;

	while (from != head) {
		from = (from + r->nr - 1) % r->nr;
		if (is_ours(k, &r->events[from]))
			continue;
		to = (to + r->nr - 1) % r->nr;
		r->events[to] = r->events[from];
		kept++;
	}
	__atomic_store_n(&r->head, to, __ATOMIC_SEQ_CST);
	return kept;
}

/* How many requests are under way, or a negative errno. */
static int64_t under_way(struct asking *k, uint32_t count, char *stack)
{
	uint32_t all = k->ring->nr - 1, batch = all / (count * 4), kept;
	int status;
	long pid;

	k->placed = 0;
	k->rc = -ECHILD;
	pid = context_clone(CLONE_VM | CLONE_FS | CLONE_FILES, stack + HELPER_STACK, ask_everywhere, k);
	if (pid < 0)
		k->rc = ask_here(k);
	while (pid > 0 && sys_wait4((int)pid, &status, __WCLONE) == -EINTR)
		;
	kept = take_out(k);
	if (k->rc < 0)
		return k->rc;
	/* what is left of whole batches is never given out */
	return (int64_t)(all - (batch ? all % batch : 0)) - k->placed - kept;
}

static bool is_alive(const struct ring *r)
{
	const struct __kernel_timespec none = { 0 };

	return SYS5(__NR_io_getevents, r, 0, 0, NULL, &none) == 0;
}

static int note(struct arena *a, const struct ring *r, struct aio_record *out)
{
	uint32_t n = (r->tail % r->nr + r->nr - r->head % r->nr) % r->nr, i;
	struct io_event *events = arena_alloc(a, (n + 1) * sizeof(*events));

	if (!events)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		events[i] = r->events[(r->head + i) % r->nr];
	*out = (struct aio_record){ .start = (uint64_t)r, .events = { events, n * sizeof(*events) } };
	return 0;
}

static int look(struct arena *a, struct ring *r, struct aio_record *out)
{
	struct asking k = { .ring = r };
	char *stack = arena_alloc(a, HELPER_STACK);
	uint32_t count;
	int64_t busy = -ENOMEM;
	int tries, rc = possible(a, &count, &k.processors), null = sys_openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0);

	if (null < 0 && rc >= 0)
		rc = null;
	k.request = (struct iocb){ .aio_data = NOTHING, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)null };
	for (tries = 0; rc >= 0 && stack && tries < PATIENCE; tries++) {
		busy = under_way(&k, count, stack);
		if (busy <= 0)
			break;
		(void)sys_poll(NULL, 0, 1);
	}
	if (null >= 0)
		sys_close(null);
	if (rc < 0 || busy < 0)
		return failed(rc < 0 ? rc : -EIO, "pid %d memory %lx: asynchronous I/O (io_setup), whether any is under way", shim.pid,
			      (unsigned long)r);
	if (busy > 0)
		return failed(ERR_PLAIN, "pid %d memory %lx: asynchronous I/O (io_setup) is not supported while requests are under way: %d",
			      shim.pid, (unsigned long)r, (int)busy);
	rc = note(a, r, out);
	return rc < 0 ? failed(rc, "pid %d memory %lx: asynchronous I/O", shim.pid, (unsigned long)r) : 0;
}

int aio_collect(struct arena *a, struct memory *m, struct region *r)
{
	struct ring *ring = (struct ring *)r->vma.start;
	uint64_t size = r->vma.end - r->vma.start;
	struct aio_record *list;

	if (r->vma.prot != (PROT_READ | PROT_WRITE) || ring->magic != MAGIC || ring->nr != (size - sizeof(*ring)) / sizeof(*ring->events))
		return failed(ERR_PLAIN, "pid %d memory %lx-%lx: a part of a context of asynchronous I/O is not supported", shim.pid, r->vma.start,
			      r->vma.end);
	r->copied = true;
	/* what a child inherits is memory and nothing else */
	if (!is_alive(ring)) {
		r->vma.content = VMA_ANON;
		r->vma.map_flags = MAP_PRIVATE;
		r->vma.offset = 0;
		r->embed = true;
		return 0;
	}
	r->vma.content = VMA_AIO;
	list = arena_alloc(a, (m->naio + 1) * sizeof(*list));
	if (!list)
		return failed(-ENOMEM, "pid %d: memory for its contexts of asynchronous I/O", shim.pid);
	if (m->naio)
		memcpy(list, m->aio, m->naio * sizeof(*list));
	m->aio = list;
	return look(a, ring, &list[m->naio++]);
}
