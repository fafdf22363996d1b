/*
 * members.c - who belongs to the tree
 *
 * A slot is claimed by compare and swap on its pid. It is not given back when
 * its process exits: until the kernel has really ended it, it may hold a lock,
 * a socket, a child, and a leader has to know of it. Instead the slots of
 * processes that are gone are taken by those who need one.
 *
 * Slots are given out lowest first; tree->nmembers is the high-water mark, so
 * looking for a pid is a walk over a few cache lines.
 *
 * While a checkpoint is being made or written, no slot changes hands: the
 * leader's writer still reads there what the writers of members, which may
 * have exited since, have to say.
 */
#include <asm/errno.h>
#include <signal.h>

#include "stop.h"
#include "family.h"
#include "skshim/treefile.h"
#include "skshim/frozen.h"

/* From so many slots on, processes that were killed are looked for as well. */
#define MANY 64
#define MADE_TRIES 50               /* of 1 ms: a maker may stand still for a lock that the leader's thread holds */
#define SWEPT 4                     /* slots looked at each time a process is made */

/* The pid of a slot that somebody has taken and not yet filled. */
#define TAKEN (-0x7fffffff)

static struct member *self;
static uint32_t making;              /* threads of this process between birth_begin and birth_parent */

/* --- slots -------------------------------------------------------------------------------------------------- */

static uint32_t count(void)
{
	uint32_t n = __atomic_load_n(&shim.tree->nmembers, __ATOMIC_ACQUIRE);

	return n < TREE_MEMBERS ? n : TREE_MEMBERS;
}

struct member *members_find(int pid)
{
	uint32_t n, i;

	if (!shim.tree)
		return NULL;
	n = count();
	for (i = 0; i < n; i++)
		if (__atomic_load_n(&shim.tree->members[i].pid, __ATOMIC_ACQUIRE) == pid)
			return &shim.tree->members[i];
	return NULL;
}

bool members_has(int pid)
{
	return pid > 0 && members_find(pid);
}

bool members_sent(int pid)
{
	const struct member *m = pid > 0 ? members_find(pid) : NULL;
	struct treefile_stat st;

	if (!m)
		return false;
	return treefile_stat(pid, &st) < 0 || !m->start_time || st.start_time == m->start_time;
}

struct member *members_self(void)
{
	if (self && __atomic_load_n(&self->pid, __ATOMIC_ACQUIRE) == shim.pid)
		return self;
	return members_find(shim.pid);
}

static bool take(struct member *m, int32_t old, int32_t token)
{
	return __atomic_compare_exchange_n(&m->pid, &old, token, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static struct member *take_free(void)
{
	uint32_t n = count(), i;

	for (i = 0; i < n; i++)
		if (shim.tree->members[i].pid == 0 && take(&shim.tree->members[i], 0, TAKEN))
			return &shim.tree->members[i];
	return NULL;
}

/*
 * Gives back a few slots of processes that are gone, each time others: a number in a slot that its process has long
 * left would be taken for a member's when somebody else has it.
 */
static void sweep(void)
{
	static uint32_t at;
	uint32_t n = count(), i;

	for (i = 0; i < SWEPT && i < n && !__atomic_load_n(&shim.tree->leader, __ATOMIC_SEQ_CST); i++) {
		struct member *m = &shim.tree->members[__atomic_fetch_add(&at, 1, __ATOMIC_RELAXED) % n];
		int32_t pid = __atomic_load_n(&m->pid, __ATOMIC_ACQUIRE);

		if (pid > 0 && pid != shim.pid && sys_kill(pid, 0) == -ESRCH)
			take(m, pid, 0);
	}
}

/*
 * Slots of processes that are gone: those that said so on their way out, and,
 * when there are many slots, any; of one that is being born, its maker counts.
 */
static struct member *take_dead(void)
{
	uint32_t n = count(), i;

	if (__atomic_load_n(&shim.tree->leader, __ATOMIC_SEQ_CST) && n < TREE_MEMBERS)
		return NULL;
	for (i = 0; i < n; i++) {
		struct member *m = &shim.tree->members[i];
		int32_t pid = __atomic_load_n(&m->pid, __ATOMIC_ACQUIRE);

		if (pid == 0 || pid == TAKEN || !(m->leaving || n >= MANY) || sys_kill(pid > 0 ? pid : m->ppid, 0) != -ESRCH)
			continue;
		if (take(m, pid, TAKEN))
			return m;
	}
	return NULL;
}

static struct member *take_next(void)
{
	uint32_t n;

	while ((n = count()) < TREE_MEMBERS) {
		if (n >= TREEFILE_MEMBERS && n % TREEFILE_MEMBERS == 0 &&
		    !treefile_populate(&shim.tree->members[n], TREEFILE_MEMBERS * sizeof(struct member)))
			return NULL;
		if (take(&shim.tree->members[n], 0, TAKEN)) {
			__atomic_compare_exchange_n(&shim.tree->nmembers, &n, n + 1, false, __ATOMIC_SEQ_CST,
						    __ATOMIC_RELAXED);
			return &shim.tree->members[n];
		}
		/* whoever has it is about to say so */
		__atomic_compare_exchange_n(&shim.tree->nmembers, &n, n + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* A slot whose pid is `pid`, or a token, in state BORN. */
struct member *members_claim(int pid, int ppid)
{
	struct member *m, *maker = members_self();

	sweep();
	m = take_free();
	if (!m)
		m = take_dead();
	if (!m)
		m = take_next();
	if (!m) {
		__atomic_fetch_add(&shim.tree->unregistered, 1, __ATOMIC_RELAXED);
		log_line(LOG_WARN, "more than %d processes: a checkpoint will not be possible", TREE_MEMBERS);
		return NULL;
	}
	m->ppid = ppid;
	m->start_time = 0;
	m->written = 0;
	m->shimless = SHIMLESS_NO;
	m->leaving = 0;
	m->writer = 0;
	m->stop_signal = 0;
	m->tid = 0;
	m->left = 0;
	m->wants = 0;
	memset(m->fds, 0, sizeof(m->fds));
	m->confined = maker && maker != m ? maker->confined : 0;
	memset(m->comm, 0, sizeof(m->comm));
	__atomic_store_n(&m->state, MEMBER_BORN, __ATOMIC_RELEASE);
	__atomic_store_n(&m->pid, pid, __ATOMIC_SEQ_CST);
	return m;
}

void members_release(struct member *m, int pid)
{
	if (m)
		take(m, pid, 0);
}

/*
 * Both the parent and the child may have made a slot for one process. The
 * parent gives up its own when it sees another, the child every other than the
 * one it uses; each looks after it has put the pid in, so one of them sees it.
 */
static bool has_double(const struct member *m, int pid)
{
	uint32_t n = count(), i;

	for (i = 0; i < n; i++)
		if (&shim.tree->members[i] != m && __atomic_load_n(&shim.tree->members[i].pid, __ATOMIC_SEQ_CST) == pid)
			return true;
	return false;
}

static void drop_doubles(const struct member *keep, int pid)
{
	uint32_t n = count(), i;

	for (i = 0; i < n; i++)
		if (&shim.tree->members[i] != keep)
			take(&shim.tree->members[i], pid, 0);
}

/* --- joining ------------------------------------------------------------------------------------------------ */

static void fill(struct member *m)
{
	struct treefile_stat st = { .state = 0 };

	if (treefile_stat(0, &st) < 0)
		st.ppid = sys_getppid();
	m->ppid = st.ppid;
	m->start_time = st.start_time;
	m->shimless = SHIMLESS_NO;
	m->leaving = 0;
	memcpy(m->comm, st.comm, sizeof(m->comm));
}

/* A slot that the parent made for a child whose number it never learnt. */
static struct member *take_waiting(int ppid)
{
	uint32_t n = count(), i;

	for (i = 0; i < n; i++) {
		struct member *m = &shim.tree->members[i];
		int32_t pid = __atomic_load_n(&m->pid, __ATOMIC_ACQUIRE);

		if (pid < 0 && pid != TAKEN && m->ppid == ppid && take(m, pid, shim.pid))
			return m;
	}
	return NULL;
}

int members_join(void)
{
	struct member *m = members_find(shim.pid);

	if (!m)
		m = take_waiting(sys_getppid());
	if (!m)
		m = members_claim(shim.pid, 0);
	if (!m)
		return -ENOSPC;
	fill(m);
	self = m;
	drop_doubles(m, shim.pid);
	fdtable_joined();
	__atomic_store_n(&m->state, MEMBER_ALIVE, __ATOMIC_SEQ_CST);
	return 0;
}

/* --- being born --------------------------------------------------------------------------------------------- */

bool window_open(void)
{
	uint64_t bit = SHIM_BIT(shim.signal), old = 0;

	if (!shim.active)
		return false;
	sys_rt_sigprocmask(SIG_BLOCK, &bit, &old);
	return old & bit;
}

void window_close(bool was_blocked)
{
	uint64_t bit = SHIM_BIT(shim.signal);

	if (shim.active && !was_blocked)
		sys_rt_sigprocmask(SIG_UNBLOCK, &bit, NULL);
}

static void making_end(const struct birth *b)
{
	if (b->counted && __atomic_sub_fetch(&making, 1, __ATOMIC_SEQ_CST) == 0 && exec_held())
		sys_futex(&making, 1 /* FUTEX_WAKE */, 1, NULL);
}

/*
 * Where the leader waits for this process to stop, that comes first: a chain of
 * processes, each of which lives for less than a look at all of them takes,
 * would never be caught.
 */
static void answer_stop(void)
{
	const struct member *m;
	siginfo_t info;

	if (!shim.active || !shim.tree || __atomic_load_n(&shim.tree->phase, __ATOMIC_ACQUIRE) != PHASE_STOP ||
	    shim.pid != sys_getpid())
		return;
	m = members_self();
	if (!m || __atomic_load_n(&m->state, __ATOMIC_ACQUIRE) != MEMBER_ALIVE)
		return;
	quiesce_order(&info, ORDER_JOIN, 0);
	sys_rt_tgsigqueueinfo(shim.pid, sys_gettid(), shim.signal, &info);
}

/*
 * A checkpoint that begins in another thread has descriptors of its own, which a child would inherit: so none is
 * made until this thread has stood and goes on. Not counted is a vfork child, and who makes the checkpoint itself
 * (the program's hooks may fork).
 */
static void making_begin(struct birth *b)
{
	const struct __kernel_timespec soon = { 0, 1000000 };

	for (;;) {
		uint32_t word = 0;

		b->was_blocked = window_open();
		b->counted = shim.active && !b->was_blocked && sys_getpid() == shim.pid;
		if (!b->counted)
			return;
		__atomic_fetch_add(&making, 1, __ATOMIC_SEQ_CST);
		if (!exec_held())
			return;
		making_end(b);
		window_close(b->was_blocked);
		sys_futex(&word, 0 /* FUTEX_WAIT */, 0, &soon);
	}
}

void members_made(void)
{
	const struct __kernel_timespec soon = { 0, 1000000 };
	uint32_t n;

	for (int i = 0; i < MADE_TRIES && (n = __atomic_load_n(&making, __ATOMIC_SEQ_CST)); i++)
		sys_futex(&making, 0 /* FUTEX_WAIT */, n, &soon);
}

void birth_begin(struct birth *b)
{
	const struct member *maker;

	answer_stop();
	b->slot = NULL;
	b->shares_table = false;
	b->foreign = __atomic_load_n(&namespace_of_children, __ATOMIC_ACQUIRE);
	b->token = -sys_gettid();
	making_begin(b);
	if (!shim.active || !shim.tree)
		return;
	maker = members_self();
	b->slot = members_claim(b->token, sys_getpid());
	if (b->slot && maker && maker->pid == b->slot->ppid)
		b->slot->start_time = maker->start_time;
	if (b->foreign)
		birth_shimless(b, SHIMLESS_NAMESPACE, "fork");
}

void birth_shimless(struct birth *b, enum shimless why, const char *comm)
{
	if (!b->slot)
		return;
	memcpy(b->slot->comm, comm, strlen(comm) < 15 ? strlen(comm) : 15);
	__atomic_store_n(&b->slot->shimless, why, __ATOMIC_RELEASE);
}

void birth_parent(struct birth *b, int pid)
{
	struct member *m = b->slot;

	if (m && pid < 0) {
		take(m, b->token, 0);
	} else if (m && pid > 0) {
		/* fails when the child has done it */
		if (take(m, b->token, pid)) {
			if (m->shimless) {
				m->start_time = 0;       /* was ours, and it won't say its own */
				__atomic_store_n(&m->state, MEMBER_ALIVE, __ATOMIC_RELEASE);
			}
			if (has_double(m, pid))
				take(m, pid, 0);
		}
	}
	if (shim.active && pid >= 0)
		clean_shared();
	making_end(b);
	window_close(b->was_blocked);
}

void birth_child(struct birth *b)
{
	struct member *m = b->slot;

	if (b->foreign) {
		window_close(b->was_blocked);
		shim.active = false;
		return;
	}
	shim.pid = sys_getpid();
	self = NULL;
	making = 0;
	if (!b->shares_table)
		fdtable_alone();
	if (shim.active && shim.tree) {
		if (m)
			take(m, b->token, shim.pid);
		trigger_forked();
		exec_forked();
		clean_forked();
		unwind_forked();
		members_join();
	}
	window_close(b->was_blocked);
	answer_stop();
}

int members_born(void)
{
	uint32_t n = count(), i;
	int waiting = 0;

	for (i = 0; i < n; i++) {
		struct member *m = &shim.tree->members[i];
		int32_t pid = __atomic_load_n(&m->pid, __ATOMIC_ACQUIRE);

		if (pid == 0 || pid == TAKEN || (pid > 0 && __atomic_load_n(&m->state, __ATOMIC_ACQUIRE) != MEMBER_BORN))
			continue;
		if (treefile_lives(m))
			waiting++;
		else
			take(m, pid, 0);
	}
	return waiting;
}
