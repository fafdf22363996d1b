/*
 * quiesce.c - all threads of a process stand still in their signal frames
 *
 * The leader (the thread whose handler runs the checkpoint) reads
 * /proc/self/task, notes for every thread which call it is in and since when
 * it sleeps, and orders it by signal. The ordered thread looks at itself
 * (thread.c), saves a context to which a restarted process can jump, and waits
 * on a futex. New threads are looked for until a pass finds none.
 *
 * The order travels in the signal's si_value, so an order and a stranger's
 * signal can't be mixed up. A thread that has all signals blocked for a moment
 * (glibc in pthread_create, fork, abort) gets time. It may wait for a lock
 * that a parked thread holds: then everybody is let go and it is tried again.
 *
 * Slots are part of the image: a restarted thread finds itself there.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/time_types.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "stop.h"
#include "skshim/away.h"

#include "skshim/frozen.h"

#define NS 1000000000ll
#define MS 1000000ll
#define TRY_LIMIT (700 * MS)      /* before everybody is let go and it is tried again */
#define TRIES 40
#define PF_IO_WORKER 0x10         /* of a thread's flags in its stat */
#define PF_USER_WORKER 0x4000
#define RUSAGE_THREAD_ 1
#define CLOCK_LOOKS 4             /* at the difference of two clocks: the best counts */

struct quiesce quiesce;
struct handover handover;

int64_t stop_now(void)
{
	struct __kernel_timespec t = { 0, 0 };

	sys_clock_gettime(1, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

void quiesce_order(siginfo_t *info, enum order order, uint32_t index)
{
	memset(info, 0, sizeof(*info));
	info->si_signo = shim.signal;
	info->si_code = SHIM_CODE;
	info->si_pid = shim.pid;
	info->si_value.sival_ptr = (void *)((uint64_t)order << 32 | index);
}

static void nap(int64_t ns)
{
	struct __kernel_timespec t = { ns / NS, ns % NS };

	SYS2(__NR_nanosleep, &t, NULL);
}

static void wait_while(uint32_t *word, uint32_t value, int64_t ns)
{
	struct __kernel_timespec t = { ns / NS, ns % NS };

	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
		sys_futex(word, FUTEX_WAIT_PRIVATE, value, ns >= 0 ? &t : NULL);
}

static void wake(uint32_t *word)
{
	sys_futex(word, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL);
}

/* --- the parked thread -------------------------------------------------------------------------------------- */

static void let_go(uint32_t go)
{
	__atomic_store_n(&trigger_owed, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&trigger_stopping, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&quiesce.go, go, __ATOMIC_RELEASE);
	wake(&quiesce.go);
}

/* The process's first thread has its choice of the waiting signals before any other runs. */
static void leave(struct slot *s)
{
	uint32_t mine = s->tid == shim.pid ? GO_FIRST : GO_ALL, go;

	while ((go = __atomic_load_n(&quiesce.go, __ATOMIC_ACQUIRE)) < mine)
		wait_while(&quiesce.go, go, -1);
	redo_claim(s, mine == GO_FIRST ? 0 : quiesce.first_takes);
	if (mine == GO_FIRST && go == GO_FIRST)
		let_go(GO_ALL);
	s->how = redo_apply(s, quiesce.stood);
}

/* On the slot's stack. */
static void stand(void *arg)
{
	struct slot *s = arg;
	struct rusage use;

	/* it may have woken up behind the leader's look, and sleep in another call by now */
	memset(&use, 0, sizeof(use));
	if (SYS2(__NR_getrusage, RUSAGE_THREAD_, &use) < 0 || (uint64_t)use.ru_nvcsw != s->seen_switches)
		s->asleep_since = 0;
	thread_collect(s);
	if (context_save(&s->context)) {
		thread_restore(s);
		__atomic_fetch_add(&quiesce.restored, 1, __ATOMIC_RELEASE);
		wake(&quiesce.restored);
	} else {
		__atomic_store_n(&s->state, SLOT_PARKED, __ATOMIC_RELEASE);
		wake(&s->state);
	}
	leave(s);
}

/* The program's stack may be an alternate one with room for little more than the kernel's frame. Returns to that. */
enum redo_how quiesce_park(uint32_t index, ucontext_t *uc)
{
	struct slot *s = &quiesce.slots[index];
	enum redo_how how;

	if (index >= quiesce.nslots || s->tid != sys_gettid())
		return REDO_NOT;
	s->frame = uc;
	context_call(stand, s, s->stack + SLOT_STACK);
	how = s->how;
	/* behind this the slots, and the stack in them, may be gone */
	__atomic_fetch_add(&quiesce.left, 1, __ATOMIC_RELEASE);
	wake(&quiesce.left);
	return how;
}

/* The thread that looks at what waits for the process: its first, or, where that has ended, the leader, the last to look. */
bool quiesce_looks(const struct slot *s)
{
	return s->tid == shim.pid || (quiesce.first_ended && s == &quiesce.slots[quiesce.leader]);
}

uint64_t quiesce_others(void)
{
	return sys_gettid() == shim.pid ? 0 : quiesce.first_takes;
}

void quiesce_wait_restored(void)
{
	uint32_t n = 0, all = 0;

	for (uint32_t i = 0; i < quiesce.nslots; i++)
		all += i != quiesce.leader && quiesce.slots[i].state == SLOT_PARKED;
	while ((n = __atomic_load_n(&quiesce.restored, __ATOMIC_ACQUIRE)) < all)
		wait_while(&quiesce.restored, n, -1);
	while (quiesce.first_ended && !quiesce_first_ended())
		nap(MS / 10);
}

/* --- the leader --------------------------------------------------------------------------------------------- */

static long read_small(const char *path, char *buf, size_t room)
{
	int fd = away_open(path, O_CLOEXEC);
	long n;

	if (fd < 0)
		return fd;
	n = sys_read(fd, buf, room - 1);
	sys_close(fd);
	if (n >= 0)
		buf[n] = 0;
	return n;
}

/* Our own excursion to the processors on which the others fell asleep. */
struct clocks {
	uint8_t home[SLOT_AFFINITY];          /* where we may run */
	long home_len;                        /* 0: we never left */
	bool known[SLOT_AFFINITY * 8];
	int64_t offset[SLOT_AFFINITY * 8];
	int rc;                               /* why something couldn't be looked at that there is */
};

/* A file of /proc; not all kernels have all of them, nor may everybody read them, and a thread may end: then 0. */
static long look(struct clocks *c, const char *path, char *buf, size_t room)
{
	long n = read_small(path, buf, room);

	if (n == -ENOENT || n == -ESRCH || n == -EACCES || n == -EPERM)
		return 0;
	if (n < 0 && c && c->rc == 0)
		c->rc = failed((int)n, "pid %d: %s", shim.pid, path);
	return n;
}

/* What stands behind a name in /proc/TID/sched; NULL: it isn't there. */
static const char *sched_value(const char *text, const char *end, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; p + n < end; p++) {
		if (memcmp(p, name, n) != 0)
			continue;
		for (p += n; p < end && (*p == ' ' || *p == ':'); p++)
			;
		return p;
	}
	return NULL;
}

/* When a thread fell asleep (the scheduler's clock, or with the difference CLOCK_MONOTONIC), and how often it has by now. */
static void look_asleep(struct clocks *c, struct slot *s, int64_t clock_minus_sched)
{
	char path[64], text[2048];
	const char *p, *end;
	uint64_t whole, part;
	long n;

	s->asleep_since = 0;
	text_format(path, sizeof(path), "/proc/self/task/%d/sched", s->tid);
	n = look(c, path, text, sizeof(text));
	if (n <= 0)
		return;
	end = text + n;
	p = sched_value(text, end, "nr_voluntary_switches");
	if (!p || !text_number(&p, end, 10, &s->seen_switches))
		return;
	p = sched_value(text, end, "se.exec_start");
	if (p && text_number(&p, end, 10, &whole) && p < end && *p == '.') {
		p++;
		if (text_number(&p, end, 10, &part))
			s->asleep_since = (int64_t)(whole * 1000000 + part) + clock_minus_sched;
		/* behind the look at the difference, which may have grown: too small here, and the timeout over too early */
		if (clock_minus_sched && s->asleep_since >= quiesce.stopped_at)
			s->asleep_since = 0;
	}
}

/*
 * CLOCK_MONOTONIC minus the scheduler's clock of the processor we run on; 0
 * where the kernel doesn't tell. Time that was stolen from a virtual processor
 * is missing from its clock, so each has its own.
 */
static int64_t sched_clock_offset(struct clocks *c)
{
	static struct slot probe;
	int64_t least = 0, offset;

	probe.tid = sys_gettid();
	for (int i = 0; i < CLOCK_LOOKS; i++) {
		sys_sched_yield();        /* brings our own exec_start up to date */
		look_asleep(c, &probe, 0);
		if (!probe.asleep_since)
			return 0;
		/* read afterwards, so never too small: no timeout is over before its time */
		offset = stop_now() - probe.asleep_since;
		if (!least || offset < least)
			least = offset;
	}
	return least;
}

static int64_t clock_of(struct clocks *c, int cpu)
{
	uint8_t there[SLOT_AFFINITY];

	if (cpu < 0 || cpu >= SLOT_AFFINITY * 8)
		return 0;
	if (c->known[cpu])
		return c->offset[cpu];
	c->known[cpu] = true;
	if (!c->home_len)
		c->home_len = SYS3(__NR_sched_getaffinity, 0, sizeof(c->home), c->home);
	memset(there, 0, sizeof(there));
	there[cpu / 8] = (uint8_t)(1 << cpu % 8);
	if (c->home_len > 0 && SYS3(__NR_sched_setaffinity, 0, c->home_len, there) == 0)
		c->offset[cpu] = sched_clock_offset(c);
	return c->offset[cpu];
}

static void clocks_end(struct clocks *c)
{
	if (c->home_len > 0)
		SYS3(__NR_sched_setaffinity, 0, c->home_len, c->home);
}

/* A number of a thread's stat, counted as in proc(5); false when the thread is gone. */
static bool stat_field(struct clocks *c, int tid, int wanted, uint64_t *v)
{
	char path[64], text[512];
	const char *p, *end;
	long n;

	text_format(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	n = look(c, path, text, sizeof(text));
	if (n <= 0)
		return false;
	/* the second is a name, in brackets */
	for (p = end = text + n; p > text && p[-1] != ')'; p--)
		;
	for (int field = 2; p < end; p++)
		if (*p == ' ' && ++field == wanted)
			break;
	p++;
	return p < end && text_number(&p, end, 10, v);
}

/* Where a thread ran last. */
static int last_processor(struct clocks *c, int tid)
{
	uint64_t cpu;

	return stat_field(c, tid, 39, &cpu) ? (int)cpu : -1;
}

/* Set once this process was seen to have some. */
static bool has_workers;

/* The kernel's own threads, io_uring's and vhost's: they are listed as ours, and take no signal. */
static bool is_worker(struct clocks *c, int tid)
{
	uint64_t flags;

	return stat_field(c, tid, 9, &flags) && (flags & (PF_IO_WORKER | PF_USER_WORKER));
}

/* Which call a thread sleeps in, before our signal changes it. */
static void look_before(struct slot *s, struct clocks *clocks)
{
	char path[64], text[512];
	const char *p, *end;
	uint64_t nr, v[8];     /* the call's number; its arguments, the stack, where it returns to */
	int64_t clock;
	long n;

	s->seen_nr = -1;
	s->asleep_since = 0;
	s->seen_rest = 0;
	text_format(path, sizeof(path), "/proc/self/task/%d/syscall", s->tid);
	n = look(clocks, path, text, sizeof(text));
	if (n <= 0 || text[0] < '0' || text[0] > '9')
		return;
	p = text;
	end = text + n;
	if (!text_number(&p, end, 10, &nr))
		return;
	for (int i = 0; i < 8; i++) {
		while (p < end && *p == ' ')
			p++;
		if (p + 2 < end && p[0] == '0' && p[1] == 'x')
			p += 2;
		if (!text_number(&p, end, 16, &v[i]))
			return;
	}
	if (nr == __NR_rt_sigtimedwait && v[0] == (uint64_t)&trigger_held)
		return;              /* its call was interrupted before; see trigger.c */
	s->seen_nr = (int32_t)nr;
	s->seen_pc = v[7];
	if (!redo_before(s, v))
		return;
	clock = clock_of(clocks, last_processor(clocks, s->tid));
	if (clock)
		look_asleep(clocks, s, clock);
}

static struct slot *slot_of(int tid)
{
	for (uint32_t i = 0; i < quiesce.nslots; i++)
		if (quiesce.slots[i].tid == tid && quiesce.slots[i].state != SLOT_GONE)
			return &quiesce.slots[i];
	return NULL;
}

void quiesce_order_again(void)
{
	struct slot *s = slot_of(sys_gettid());
	siginfo_t info;

	if (!s || s->state != SLOT_SIGNALLED)
		return;
	quiesce_order(&info, ORDER_PARK, (uint32_t)(s - quiesce.slots));
	sys_rt_tgsigqueueinfo(shim.pid, s->tid, shim.signal, &info);
}

static struct slot *slot_new(int tid)
{
	struct slot *s;

	if (quiesce.nslots >= quiesce.room)
		return NULL;
	s = &quiesce.slots[quiesce.nslots];
	s->tid = tid;
	s->state = SLOT_SIGNALLED;
	s->stopped_at = quiesce.stopped_at;
	__atomic_store_n(&quiesce.nslots, quiesce.nslots + 1, __ATOMIC_RELEASE);
	return s;
}

struct dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

int quiesce_each_thread(const char *path, int (*one)(int tid, void *arg), void *arg)
{
	char buf[4096];
	int fd = away_open(path, O_DIRECTORY | O_CLOEXEC), count = 0, rc = 0;
	long n;

	if (fd < 0)
		return fd;
	while ((n = sys_getdents64(fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n; at += ((struct dirent64 *)(buf + at))->reclen) {
			struct dirent64 *d = (struct dirent64 *)(buf + at);
			const char *p = d->name;
			uint64_t tid;

			if (!text_number(&p, p + strlen(p), 10, &tid))
				continue;
			count++;
			if (one && (rc = one((int)tid, arg)) < 0)
				break;
		}
		if (rc < 0)
			break;
	}
	sys_close(fd);
	return n < 0 ? (int)n : rc < 0 ? rc : count;
}

static int own_threads(int (*one)(int tid, void *arg), void *arg)
{
	int rc = quiesce_each_thread("/proc/self/task", one, arg);

	if (rc >= 0 || *err_text())
		return rc;
	if (rc == -ENOENT)
		return failed(ERR_PLAIN, "pid %d: there is no /proc in its root directory (chroot): mount one there", shim.pid);
	return failed(rc, "/proc/self/task");
}

struct order_pass {
	struct clocks clocks;
	uint32_t ordered;
};

/* The first thread stays as a zombie while others run: it never answers (tests/kernel/first_ended.c). */
bool quiesce_first_ended(void)
{
	char path[64], text[512];
	long n, at;

	text_format(path, sizeof(path), "/proc/self/task/%d/stat", shim.pid);
	n = read_small(path, text, sizeof(text));
	for (at = n; at > 0 && text[at - 1] != ')'; at--)
		;
	return at > 0 && at + 1 < n && text[at + 1] == 'Z';
}

static int order_park(const struct slot *s)
{
	siginfo_t info;
	int rc;

	quiesce_order(&info, ORDER_PARK, (uint32_t)(s - quiesce.slots));
	rc = sys_rt_tgsigqueueinfo(shim.pid, s->tid, shim.signal, &info);
	if (rc == -EAGAIN)   /* the queue of real-time signals is full; this one isn't */
		rc = sys_rt_tgsigqueueinfo(shim.pid, s->tid, shim.signal, &info);
	return rc;
}

static int order_thread(int tid, void *arg)
{
	struct order_pass *pass = arg;
	struct slot *s = slot_of(tid);

	if (s || (has_workers && is_worker(&pass->clocks, tid)))
		return pass->clocks.rc;
	if (tid == shim.pid && quiesce_first_ended()) {
		quiesce.first_ended = true;
		return 0;
	}
	s = slot_new(tid);
	if (!s)
		return failed(ERR_PLAIN, "pid %d: more than %u threads", shim.pid, quiesce.room);
	look_before(s, &pass->clocks);
	if (pass->clocks.rc < 0) {
		s->state = SLOT_GONE;
		return pass->clocks.rc;
	}
	if (order_park(s) < 0)
		s->state = SLOT_GONE;
	pass->ordered++;
	return 0;
}

static bool thread_lives(int tid)
{
	return sys_tgkill(shim.pid, tid, 0) != -ESRCH;
}

/* Waits for every ordered thread; 0 when all stand, else the number of one that doesn't answer in time. */
static int wait_parked(int64_t until)
{
	for (uint32_t i = 0; i < quiesce.nslots; i++) {
		struct slot *s = &quiesce.slots[i];

		if (has_workers && s->state == SLOT_SIGNALLED && is_worker(NULL, s->tid))
			s->state = SLOT_GONE;
		while (__atomic_load_n(&s->state, __ATOMIC_ACQUIRE) == SLOT_SIGNALLED) {
			wait_while(&s->state, SLOT_SIGNALLED, 5 * MS);
			if (s->state != SLOT_SIGNALLED)
				break;
			if (s->tid == shim.pid && quiesce_first_ended())
				quiesce.first_ended = true;
			if (!thread_lives(s->tid) || (s->tid == shim.pid && quiesce.first_ended)) {
				s->state = SLOT_GONE;
				break;
			}
			if (is_worker(NULL, s->tid)) {
				has_workers = true;
				s->state = SLOT_GONE;
				break;
			}
			signals_unblock(s->tid);   /* libc's own threads block everything */
			if (stopped_continued())   /* the order to hold may have swallowed ours */
				order_park(s);
			if (stop_now() > until)
				return s->tid;
		}
	}
	return 0;
}

static int slots_map(uint32_t room)
{
	void *p = sys_mmap(NULL, room * sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	quiesce.slots = sys_is_err(p) ? NULL : p;
	quiesce.room = room;
	return sys_is_err(p) ? (int)(long)p : 0;
}

static int slots_begin(ucontext_t *uc)
{
	int n = own_threads(NULL, NULL), rc;
	struct slot *s;

	if (n < 0)
		return n;
	rc = slots_map((uint32_t)n * 2 + 256);
	/* mlockall(MCL_FUTURE), and RLIMIT_MEMLOCK nearly reached */
	if (rc < 0)
		rc = slots_map((uint32_t)n * 2 + 16);
	if (rc < 0)
		return failed(rc, "pid %d: memory for %d threads", shim.pid, n);
	quiesce.nslots = quiesce.restored = quiesce.left = 0;
	quiesce.go = GO_NOT;
	quiesce.stood = 0;
	quiesce.first_ended = false;
	s = slot_new(sys_gettid());
	quiesce.leader = 0;
	s->frame = uc;
	s->seen_nr = -1;
	s->state = SLOT_PARKED;
	return 0;
}

/* The leader itself, as late as can be: a signal that comes behind this may find the call wound back. */
enum redo_how quiesce_finish(void)
{
	struct slot *leader = &quiesce.slots[quiesce.leader];
	enum redo_how how;

	if (!quiesce.slots)
		return REDO_NOT;
	redo_claim(leader, quiesce_others());
	how = redo_apply(leader, quiesce.stood);
	for (uint32_t i = 0; i < quiesce.nslots; i++) {
		thread_forget(&quiesce.slots[i].pending);
		apart_forget(&quiesce.slots[i]);
	}
	thread_forget(&quiesce.shared);
	sys_munmap(quiesce.slots, quiesce.room * sizeof(struct slot));
	quiesce.slots = NULL;
	quiesce.nslots = 0;
	return how;
}

/* Lets everybody go and waits until nobody uses the slots. */
void quiesce_release(void)
{
	struct slot *leader = &quiesce.slots[quiesce.leader];
	uint64_t blocked = ~0ull;
	uint32_t n, all = 0, go = GO_ALL;

	for (uint32_t i = 0; i < quiesce.nslots; i++) {
		struct slot *s = &quiesce.slots[i];

		if (s->state != SLOT_PARKED)
			continue;
		all += s != leader;
		if (s->tid != shim.pid)
			continue;
		if (s != leader)
			go = GO_FIRST;
		if (quiesce.go == GO_NOT)
			memcpy(&blocked, &s->frame->uc_sigmask, sizeof(blocked));
	}
	quiesce.first_takes = ~blocked;
	if (leader->tid == shim.pid)
		redo_claim(leader, 0);
	if (quiesce.go == GO_NOT)
		let_go(go);
	while ((n = __atomic_load_n(&quiesce.left, __ATOMIC_ACQUIRE)) < all)
		wait_while(&quiesce.left, n, -1);
}

/* A thread that hasn't answered may still do so after the others are let go: its order must find the slots. */
static void let_go_and_wait(int64_t limit)
{
	let_go(GO_ALL);
	wait_parked(stop_now() + limit);
	quiesce_release();
	quiesce_finish();
}

int quiesce_stop(ucontext_t *uc)
{
	struct order_pass pass;
	int64_t vforked = 0;
	int rc, stuck;

	for (int i = 0; i < TRIES; i++) {
		quiesce.stopped_at = stop_now();
		__atomic_store_n(&trigger_stopping, 1, __ATOMIC_SEQ_CST);
		rc = slots_begin(uc);
		if (rc < 0)
			return rc;
		memset(&pass, 0, sizeof(pass));
		do {
			pass.ordered = 0;
			rc = own_threads(order_thread, &pass);
			stuck = rc < 0 ? 0 : wait_parked(stop_now() + TRY_LIMIT);
		} while (rc >= 0 && !stuck && pass.ordered);
		clocks_end(&pass.clocks);
		if (rc >= 0 && !stuck)
			return thread_collect(&quiesce.slots[quiesce.leader]);
		if (rc >= 0)
			rc = vforked_too_long(shim.pid, stuck, &vforked);
		let_go_and_wait(vforked ? NS : 30 * NS);
		if (rc < 0)
			return rc;
		log_line(LOG_INFO, "pid %d: a thread did not stop in time, trying again", shim.pid);
		nap(20 * MS);
	}
	return failed(-ETIME, "pid %d: a thread does not answer the checkpoint signal", shim.pid);
}
