/*
 * io_uring.c - rings on which nothing is under way
 *
 * A program keeps the positions of its ring in its own memory, and the kernel
 * compares them with counters that only grow. So a new ring is made, and does
 * as many requests that do nothing as the old one had done; then its memory is
 * given the old contents, with the completions that nobody has read and the
 * entries that are not submitted yet (tests/kernel/io_uring_counters.c).
 *
 * What is under way the kernel doesn't say: a request that has been taken must
 * have been completed, once. How a ring was set up it doesn't say either, but
 * how it answers tells what matters. Who is refused is told why.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "file.h"

#include "skshim/frozen.h"

/* linux/io_uring.h of 6.6 and 6.8; the headers may be older */
#define STATE_TRIES 200         /* of 1 ms */
#define SETUP_SINGLE_ISSUER (1u << 12)
#define SETUP_DEFER_TASKRUN (1u << 13)
#define SETUP_NO_SQARRAY (1u << 16)
#define REGISTER_PBUF_STATUS 26
#define ENTER_REGISTERED_RING (1u << 4)
#define RINGS_REGISTERED 16          /* IO_RINGFD_REG_MAX */
#define GROUPS 65536u

#define IO_URING_MOST (1u << 24)     /* requests done again take a second for some millions */

struct io_uring {
	uint32_t sq_entries, cq_entries;
	uint32_t setup;              /* IORING_SETUP_* */
	uint32_t mine;               /* 0: only one thread may use it, and it is another process's */
	uint32_t done;               /* requests taken and completed */
	uint32_t eventfd;            /* told of completions */
	struct blob layout;          /* struct io_sqring_offsets and io_cqring_offsets */
	struct list buffers, files;  /* registered */
};

struct io_uring_buffer {
	uint64_t at, size;
};

struct io_uring_file {
	uint32_t obj;
};

static const struct field io_uring_buffer_fields[] = {
	FIELD_U64(struct io_uring_buffer, at),
	FIELD_U64(struct io_uring_buffer, size),
	FIELD_END
};

static const struct field io_uring_file_fields[] = {
	FIELD_OBJ(struct io_uring_file, obj),
	FIELD_END
};

static const struct field io_uring_fields[] = {
	FIELD_U32(struct io_uring, sq_entries),
	FIELD_U32(struct io_uring, cq_entries),
	FIELD_U32(struct io_uring, setup),
	FIELD_U32(struct io_uring, mine),
	FIELD_U32(struct io_uring, done),
	FIELD_OBJ(struct io_uring, eventfd),
	FIELD_BIN(struct io_uring, layout),
	FIELD_LIST(struct io_uring, buffers, struct io_uring_buffer, io_uring_buffer_fields),
	FIELD_LIST(struct io_uring, files, struct io_uring_file, io_uring_file_fields),
	FIELD_END
};

struct layout {
	struct io_sqring_offsets sq;
	struct io_cqring_offsets cq;
};

static long enter(int fd, unsigned submit, unsigned wait, unsigned flags)
{
	return SYS6(__NR_io_uring_enter, fd, submit, wait, flags, 0, 8);
}

static long registers(int fd, unsigned what, const void *arg, unsigned n)
{
	return SYS4(__NR_io_uring_register, fd, what, arg, n);
}

/* A ring like the one described, or a negative errno. */
static int setup(const struct io_uring *u, uint32_t more, struct layout *l)
{
	struct io_uring_params p;
	int fd;

	memset(&p, 0, sizeof(p));
	p.flags = u->setup | more | IORING_SETUP_CQSIZE;
	p.cq_entries = u->cq_entries;
	fd = (int)SYS2(__NR_io_uring_setup, u->sq_entries, &p);
	l->sq = p.sq_off;
	l->cq = p.cq_off;
	if (fd >= 0 && (p.sq_entries != u->sq_entries || p.cq_entries != u->cq_entries)) {
		sys_close(fd);
		return -EINVAL;
	}
	return fd;
}

static uint64_t ring_size(const struct io_uring *u, const struct layout *l)
{
	uint64_t cq = l->cq.cqes + u->cq_entries * sizeof(struct io_uring_cqe);
	uint64_t sq = u->setup & SETUP_NO_SQARRAY ? 0 : l->sq.array + u->sq_entries * sizeof(uint32_t);

	return cq > sq ? cq : sq;
}

/* --- looking ---------------------------------------------------------------------------------------------------- */

static bool io_uring_match(const struct probe *p)
{
	return blob_is(p->path, "anon_inode:[io_uring]");
}

static int refuse(struct collection *c, const struct probe *p, const char *why)
{
	return collection_refuse(c, p, -EOPNOTSUPP, "io_uring is not supported with %s", why);
}

/* What a task that has everything in common with this one but isn't it is answered. */
static __attribute__((noinline)) long elsewhere(long nr, int fd, long b, long c, long d)
{
	volatile long answer = -ENOSYS;
	/* CLONE_VM|CLONE_FILES|CLONE_VFORK: it runs on this stack while we wait, and says nothing when it ends */
	long pid = SYS5(__NR_clone, 0x100 | 0x400 | 0x4000, 0, 0, 0, 0);

	if (pid == 0) {
		answer = SYS6(nr, fd, b, c, d, 0, 8);
		sys_exit(0);
	}
	if (pid < 0)
		return pid;
	SYS4(__NR_wait4, pid, 0, 0x40000000 /* __WALL */, 0);
	return answer;
}

/* The lines behind the one that begins with `key` that are indented. */
static bool section(struct blob text, const char *key, struct blob *rest)
{
	struct blob line;

	while (text_line(&text, &line))
		if (blob_starts(line, key)) {
			*rest = text;
			return true;
		}
	return false;
}

static bool indented(struct blob *rest, struct blob *line)
{
	return text_line(rest, line) && line->n && *(const char *)line->p == ' ';
}

/* The counters; NULL or what stands against making it again. */
static const char *counters(const struct probe *p, struct io_uring *u)
{
	static const char *const names[] = { "SqMask:", "SqHead:", "CachedSqHead:", "CqMask:", "CqTail:", "CachedCqTail:", "SqThread:" };
	uint64_t v[7];
	struct blob rest, line;

	for (int i = 0; i < 6; i++)
		if (!text_field(p->fdinfo, names[i], i % 3 ? 10 : 16, &v[i]))
			return "a kernel that doesn't tell its state";
	/* -1 where there is none */
	if (text_field(p->fdinfo, names[6], 10, &v[6]))
		return "a thread of the kernel's that submits (SQPOLL)";
	if (v[1] != v[2] || v[4] != v[5] || v[2] != v[4] || (section(p->fdinfo, "PollList:", &rest) && indented(&rest, &line)))
		return "requests under way";
	if (section(p->fdinfo, "CqOverflowList:", &rest) && indented(&rest, &line))
		return "completions that found no room";
	if (section(p->fdinfo, "Personalities:", &rest))
		return "registered personalities";
	if (v[2] > IO_URING_MOST)
		return "more than 16777216 requests done";
	u->sq_entries = (uint32_t)v[0] + 1;
	u->cq_entries = (uint32_t)v[3] + 1;
	u->done = (uint32_t)v[2];
	return NULL;
}

/* Has this process one thread? */
static bool alone(void)
{
	struct stat st;

	return sys_fstatat(AT_FDCWD, "/proc/self/task", &st, 0) == 0 && st.st_nlink == 3;
}

/* Who may use it, and by whom completions are brought home. */
static const char *issuer(const struct collection *c, int fd, struct io_uring *u)
{
	char probe[sizeof(struct io_uring_probe) + sizeof(struct io_uring_probe_op)] = { 0 };
	long rc;

	if (enter(fd, 0, 0, 0) == -EBADFD)
		return "a ring that is not enabled yet";
	if (elsewhere(__NR_io_uring_register, fd, IORING_REGISTER_PROBE, (long)probe, 1) == -EEXIST)
		u->setup |= SETUP_SINGLE_ISSUER;
	memset(probe, 0, sizeof(probe));
	rc = registers(fd, IORING_REGISTER_PROBE, probe, 1);
	u->mine = !(u->setup & SETUP_SINGLE_ISSUER) || rc >= 0;
	if (rc < 0 && rc != -EEXIST)
		return "restrictions";
	/* a child inherits what only its parent may use */
	if ((u->setup & SETUP_SINGLE_ISSUER) && (u->mine ? sys_gettid() != c->pid : !alone()))
		return "one thread that may submit and isn't the first";
	if (elsewhere(__NR_io_uring_enter, fd, 0, 0, IORING_ENTER_GETEVENTS) == -EEXIST)
		u->setup |= SETUP_DEFER_TASKRUN;
	for (int i = 0; i < RINGS_REGISTERED; i++)
		if (enter(i, 0, 0, ENTER_REGISTERED_RING) == 0)
			return "a registered ring descriptor";
	return NULL;
}

static bool has_buffer_groups(int fd)
{
	struct {
		uint32_t group, head, resv[8];
	} status = { 0, 0, { 0 } };

	/* before Linux 6.8 nobody tells */
	status.group = GROUPS - 1;
	if (registers(fd, REGISTER_PBUF_STATUS, &status, 1) == -EINVAL)
		return false;
	for (status.group = 0; status.group < GROUPS; status.group++)
		if (registers(fd, REGISTER_PBUF_STATUS, &status, 1) != -ENOENT)
			return true;
	return false;
}

/* Completions of which more were promised, and the last is not there. */
static bool promised(const struct io_uring *u, const struct io_uring_cqe *cqes)
{
	uint32_t n = u->done < u->cq_entries ? u->done : u->cq_entries;

	for (uint32_t i = u->done - n; i != u->done; i++) {
		const struct io_uring_cqe *e = &cqes[i & (u->cq_entries - 1)];
		bool more = e->flags & IORING_CQE_F_MORE;

		for (uint32_t k = i + 1; more && k != u->done; k++)
			more = cqes[k & (u->cq_entries - 1)].user_data != e->user_data ||
			       (cqes[k & (u->cq_entries - 1)].flags & IORING_CQE_F_MORE);
		if (more)
			return true;
	}
	return false;
}

/* Memory that may not be there: a mapping may be longer than what it is of. */
static bool peek(void *to, const void *from, uint64_t n)
{
	struct iovec here = { to, n }, there = { (void *)from, n };

	return SYS6(__NR_process_vm_readv, sys_gettid(), &here, 1, &there, 1, 0) == (long)n;
}

/*
 * Whether entries are taken through the array of their numbers. Without it
 * the memory ends before, or, in a ring that has been used, the second entry
 * was written to and the array not.
 */
static bool has_array(struct collection *c, const struct io_uring *u, const struct layout *l, const char *ring, const char *sqes)
{
	uint32_t *array = arena_alloc(c->arena, u->sq_entries * sizeof(*array));
	char second[sizeof(struct io_uring_sqe)];

	if (!array || !peek(array, ring + l->sq.array, u->sq_entries * sizeof(*array)))
		return false;
	for (uint32_t i = 0; i < u->sq_entries; i++)
		if (array[i])
			return true;
	if (u->sq_entries < 2 || u->done < 2 || !peek(second, sqes + sizeof(second), sizeof(second)))
		return true;
	for (uint32_t i = 0; i < sizeof(second); i++)
		if (second[i])
			return false;
	return true;
}

static const char *contents(struct collection *c, const struct probe *p, struct io_uring *u, const struct layout *l)
{
	uint64_t size = ring_size(u, l), entries = u->sq_entries * sizeof(struct io_uring_sqe);
	char *ring = sys_mmap(NULL, size, PROT_READ, MAP_SHARED, p->fd, IORING_OFF_SQ_RING), *sqes;
	const char *why = NULL;

	if (sys_is_err(ring)) {      /* older kernels map nothing that isn't there */
		u->setup |= SETUP_NO_SQARRAY;
		size = ring_size(u, l);
		ring = sys_mmap(NULL, size, PROT_READ, MAP_SHARED, p->fd, IORING_OFF_SQ_RING);
	}
	sqes = sys_mmap(NULL, entries, PROT_READ, MAP_SHARED, p->fd, IORING_OFF_SQES);
	if (sys_is_err(ring) || sys_is_err(sqes))
		why = "memory of the program's own for its ring";
	else if (promised(u, (const struct io_uring_cqe *)(ring + l->cq.cqes)))
		why = "requests under way";
	else if (!(u->setup & SETUP_NO_SQARRAY) && !has_array(c, u, l, ring, sqes))
		u->setup |= SETUP_NO_SQARRAY;
	if (!sys_is_err(sqes))
		sys_munmap(sqes, entries);
	if (!sys_is_err(ring))
		sys_munmap(ring, size);
	return why;
}

static const char *eventfd(const struct collection *c, int fd, struct io_uring *u)
{
	int own = sys_eventfd2(0, 02000000 /* EFD_CLOEXEC */);
	long rc = own < 0 ? own : registers(fd, IORING_REGISTER_EVENTFD, &own, 1);

	if (rc == 0)
		registers(fd, IORING_UNREGISTER_EVENTFD, NULL, 0);
	if (own >= 0)
		sys_close(own);
	if (rc != -EBUSY)
		return NULL;
	for (uint32_t i = 0; i < c->nprobes; i++) {
		if (!blob_is(c->probes[i].path, "anon_inode:[eventfd]"))
			continue;
		if (u->eventfd != OBJ_NONE)
			return "an eventfd registered, and several to choose from";
		u->eventfd = c->probes[i].obj;
	}
	return u->eventfd == OBJ_NONE ? "an eventfd registered that isn't open any more" : NULL;
}

/* "    0: /name" or "    0: 0x7f0000/4096"; places without one are left out. */
static bool entry(struct blob *rest, uint64_t *at, struct blob *text)
{
	struct blob line;
	const char *p, *end;

	if (!indented(rest, &line))
		return false;
	p = line.p;
	end = p + line.n;
	while (p < end && *p == ' ')
		p++;
	if (!text_number(&p, end, 10, at) || p == end || *p != ':')
		return false;
	for (p++; p < end && *p == ' ';)
		p++;
	*text = (struct blob){ p, (uint64_t)(end - p) };
	return true;
}

static const char *registered_files(struct collection *c, const struct probe *p, struct io_uring *u)
{
	struct io_uring_file *f;
	struct blob rest, text;
	uint64_t n, at;

	if (!text_field(p->fdinfo, "UserFiles:", 10, &n) || !n || !section(p->fdinfo, "UserFiles:", &rest))
		return NULL;
	f = arena_alloc(c->arena, n * sizeof(*f));
	if (!f)
		return "so many registered files";
	u->files = (struct list){ f, (uint32_t)n };
	for (uint64_t i = 0; i < n; i++)
		f[i].obj = OBJ_NONE;
	while (entry(&rest, &at, &text) && at < n) {
		for (uint32_t i = 0; i < c->nprobes && !blob_is(text, "<none>"); i++) {
			if (!blob_eq(c->probes[i].path, text))
				continue;
			if (f[at].obj != OBJ_NONE)
				return "a registered file that is open twice";
			f[at].obj = c->probes[i].obj;
		}
		if (f[at].obj == OBJ_NONE && !blob_is(text, "<none>"))
			return "a registered file that isn't open otherwise";
	}
	return NULL;
}

static const char *registered_buffers(struct collection *c, const struct probe *p, struct io_uring *u)
{
	struct io_uring_buffer *b;
	struct blob rest, text;
	uint64_t n, at;

	if (!text_field(p->fdinfo, "UserBufs:", 10, &n) || !n || !section(p->fdinfo, "UserBufs:", &rest))
		return NULL;
	b = arena_alloc(c->arena, n * sizeof(*b));
	if (!b)
		return "so many registered buffers";
	u->buffers = (struct list){ b, (uint32_t)n };
	memset(b, 0, n * sizeof(*b));
	while (entry(&rest, &at, &text) && at < n) {
		const char *t = (const char *)text.p + 2, *end = (const char *)text.p + text.n;

		if (blob_is(text, "<none>"))
			continue;
		if (!blob_starts(text, "0x") || !text_number(&t, end, 16, &b[at].at) || t == end || *t++ != '/' ||
		    !text_number(&t, end, 10, &b[at].size))
			return "registered buffers that the kernel doesn't tell";
	}
	return NULL;
}

/*
 * The kernel tells a ring's state only when it gets the ring's lock at once, which a worker of its own may hold for a
 * moment (io_uring_show_fdinfo in io_uring/fdinfo.c): then fdinfo is asked again.
 */
static int state_await(struct collection *c, struct probe *p)
{
	uint64_t mask;
	char path[48];
	int rc = 0;

	text_format(path, sizeof(path), "/proc/thread-self/fdinfo/%d", p->fd);
	for (int i = 0; i < STATE_TRIES && rc >= 0 && !text_field(p->fdinfo, "SqMask:", 16, &mask); i++) {
		(void)sys_poll(NULL, 0, 1);
		rc = arena_read_file(c->arena, AT_FDCWD, path, &p->fdinfo);
	}
	return rc;
}

static int io_uring_collect(struct collection *c, const struct probe *probe, void *rec)
{
	struct io_uring *u = rec;
	struct probe told = *probe, *p = &told;
	int rc = state_await(c, p);
	const char *why = rc < 0 ? NULL : counters(p, u);
	struct layout *l = arena_alloc(c->arena, sizeof(*l));
	int fd;

	u->eventfd = OBJ_NONE;
	if (rc < 0)
		return collection_refuse(c, p, rc, "io_uring: its fdinfo");
	if (!l)
		return -ENOMEM;
	if (!why)
		why = issuer(c, p->fd, u);
	if (why)
		return refuse(c, p, why);
	/* where the kernel puts things, which the program has remembered */
	fd = setup(&(struct io_uring){ .sq_entries = u->sq_entries, .cq_entries = u->cq_entries }, 0, l);
	if (fd < 0)
		return collection_refuse(c, p, fd, "io_uring: a ring like it");
	sys_close(fd);
	why = contents(c, p, u, l);
	if (!why && u->mine && has_buffer_groups(p->fd))
		why = "provided buffers";
	if (!why)
		why = eventfd(c, p->fd, u);
	if (!why)
		why = registered_files(c, p, u);
	if (!why)
		why = registered_buffers(c, p, u);
	u->layout = (struct blob){ l, sizeof(*l) };
	return why ? refuse(c, p, why) : 0;
}

/* --- making it again ---------------------------------------------------------------------------------------------- */

/* So many requests that do nothing that the kernel's counters are where they were. */
static int advance(int fd, const struct io_uring *u, const struct layout *l)
{
	uint64_t size = ring_size(u, l), entries = u->sq_entries * sizeof(struct io_uring_sqe);
	char *ring = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	struct io_uring_sqe *sqes = sys_mmap(NULL, entries, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	long rc = sys_is_err(ring) ? (long)ring : sys_is_err(sqes) ? (long)sqes : 0;

	for (uint32_t at = 0; rc >= 0 && at != u->done;) {
		uint32_t n = u->done - at < u->sq_entries ? u->done - at : u->sq_entries;

		for (uint32_t i = 0; i < u->sq_entries && at == 0; i++) {
			memset(&sqes[i], 0, sizeof(sqes[i]));
			sqes[i].opcode = IORING_OP_NOP;
			if (!(u->setup & SETUP_NO_SQARRAY))
				((uint32_t *)(ring + l->sq.array))[i] = i;
		}
		at += n;
		__atomic_store_n((uint32_t *)(ring + l->sq.tail), at, __ATOMIC_RELEASE);
		rc = enter(fd, n, n, IORING_ENTER_GETEVENTS);
		if (rc >= 0 && (rc != (long)n || __atomic_load_n((uint32_t *)(ring + l->cq.tail), __ATOMIC_ACQUIRE) != at))
			rc = -EIO;
		__atomic_store_n((uint32_t *)(ring + l->cq.head), at, __ATOMIC_RELEASE);
	}
	if (!sys_is_err(sqes)) {
		memset(sqes, 0, entries);
		sys_munmap(sqes, entries);
	}
	if (!sys_is_err(ring))
		sys_munmap(ring, size);
	return rc < 0 ? failed((int)rc, "io_uring: bringing its counters to %u", u->done) : 0;
}

static int io_uring_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct io_uring *u = rec;
	bool single = u->setup & SETUP_SINGLE_ISSUER;
	struct layout l;
	int fd, rc = 0;

	(void)r;
	(void)obj;
	/* who enables it is the one who may use it */
	fd = setup(u, single ? IORING_SETUP_R_DISABLED : 0, &l);
	if (fd < 0)
		return failed(fd, "io_uring with %u entries", u->sq_entries);
	if (u->setup & SETUP_NO_SQARRAY)
		l.sq.array = ((const struct layout *)u->layout.p)->sq.array;
	if (u->layout.n != sizeof(l) || memcmp(u->layout.p, &l, sizeof(l)) != 0)
		rc = failed(ERR_PLAIN, "io_uring: this kernel lays a ring out otherwise: restart on the kernel it was made on");
	else if (!single)
		rc = advance(fd, u, &l);
	if (rc < 0)
		sys_close(fd);
	return rc < 0 ? rc : fd;
}

static int give_back(struct rebuild *r, const struct io_uring *u, int fd)
{
	const struct io_uring_file *f = u->files.items;
	int *numbers = arena_alloc(rebuild_arena(r), (u->files.n + 1) * sizeof(*numbers));
	long rc = numbers ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < u->files.n; i++)
		numbers[i] = f[i].obj == OBJ_NONE ? -1 : rebuild_number(r, f[i].obj);
	if (rc == 0 && u->files.n)
		rc = registers(fd, IORING_REGISTER_FILES, numbers, u->files.n);
	if (rc == 0 && u->eventfd != OBJ_NONE) {
		numbers[0] = rebuild_number(r, u->eventfd);
		rc = registers(fd, IORING_REGISTER_EVENTFD, numbers, 1);
	}
	return rc < 0 ? failed((int)rc, "io_uring: what was registered with it") : 0;
}

static int io_uring_link(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct io_uring *u = rec;

	(void)obj;
	return u->setup & SETUP_SINGLE_ISSUER ? 0 : give_back(r, u, fd);
}

/* By the first thread of the process that may use it. */
static int io_uring_each(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct io_uring *u = rec;
	int rc;

	(void)obj;
	if (!(u->setup & SETUP_SINGLE_ISSUER) || !u->mine)
		return 0;
	rc = (int)registers(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (rc < 0)
		return failed(rc, "io_uring: enabling it");
	rc = advance(fd, u, u->layout.p);
	return rc < 0 ? rc : give_back(r, u, fd);
}

/* The buffers are the program's memory, which isn't there before. */
static int io_uring_arm(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct io_uring *u = rec;
	const struct io_uring_buffer *b = u->buffers.items;
	struct iovec *v = arena_alloc(rebuild_arena(r), (u->buffers.n + 1) * sizeof(*v));
	unsigned long at;

	(void)obj;
	if (!u->buffers.n || !u->mine)
		return 0;
	for (uint32_t i = 0; v && i < u->buffers.n; i++)
		v[i] = (struct iovec){ (void *)b[i].at, b[i].size };
	at = v ? rebuild_data(r, v, u->buffers.n * sizeof(*v)) : 0;
	if (!at)
		return -ENOMEM;
	return rebuild_call(r, "io_uring: registered buffers", __NR_io_uring_register, fd, IORING_REGISTER_BUFFERS, (long)at, u->buffers.n);
}

const struct kind kind_io_uring = {
	.tag = "io_uring", .size = sizeof(struct io_uring), .fields = io_uring_fields,
	.match = io_uring_match, .collect = io_uring_collect, .create = io_uring_create, .link = io_uring_link, .each = io_uring_each,
	.arm = io_uring_arm,
};
