/*
 * meet.c - the processes of a tree go through a checkpoint together
 *
 * The leader is whoever's compare and swap put its pid into tree->leader. It
 * orders every member with the checkpoint signal, moves tree->phase on, and
 * waits until every member has reached a state; members wait on the phase. All
 * words lie in the tree's shared memory. A member that dies on the way is left
 * out; a leader that dies lets the members go.
 *
 * `leader` stays taken until the leader's writer is done (by the writer, once
 * the leader's own part is over), so a second
 * checkpoint doesn't begin before the first is on disk.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/futex.h>

#include "conduct.h"
#include "family.h"
#include "skshim/away.h"
#include "skshim/treefile.h"

#include "skshim/frozen.h"

#define MS 1000000ll
#define NS 1000000000ll
#define MEMBER_LIMIT (40 * NS)
#define TRACED_LIMIT (1 * NS)     /* one that its tracer holds all the while is not waited for longer */

static void futex_wait(uint32_t *word, uint32_t value, int64_t ns)
{
	struct __kernel_timespec t = { ns / NS, ns % NS };

	sys_futex(word, FUTEX_WAIT, value, &t);
}

static void futex_wake(uint32_t *word)
{
	sys_futex(word, FUTEX_WAKE, 0x7fffffff, NULL);
}

/* Neither gone nor a zombie. */
bool meet_alive(int pid)
{
	struct treefile_stat st;
	int rc;

	if (pid <= 0 || sys_kill(pid, 0) == -ESRCH)
		return false;
	rc = treefile_stat(pid, &st);
	return rc < 0 ? rc != -ENOENT && rc != -ESRCH : st.state != 'Z' && st.state != 'X';
}

int meet_claim(void)
{
	struct tree *t = shim.tree;
	int32_t holder = 0;

	if (__atomic_compare_exchange_n(&t->leader, &holder, shim.pid, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return 1;
	/* a leader or writer that was killed on the way holds nothing */
	if (!meet_alive(holder) && !meet_alive(t->writer) &&
	    __atomic_compare_exchange_n(&t->leader, &holder, shim.pid, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		log_line(LOG_ERROR, "cannot checkpoint: pid %d: it was killed while it made a checkpoint", holder);
		t->phase = PHASE_IDLE;
		t->writer = 0;
		return 1;
	}
	if (meet_answers())             /* it has begun since we looked */
		return 0;
	__atomic_store_n(&t->again, 1, __ATOMIC_SEQ_CST);
	/* it may have ended in between: then nobody would look at `again` */
	holder = 0;
	return __atomic_compare_exchange_n(&t->leader, &holder, shim.pid, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/*
 * Whether a plain request that comes now is answered by the checkpoint under way, since the tree has not gone on: a batch
 * system sends its signal to every process of a job. `skshim checkpoint` and the API count theirs in `request`.
 */
bool meet_answers(void)
{
	const struct tree *t = shim.tree;

	return __atomic_load_n(&t->result, __ATOMIC_SEQ_CST) == RESULT_RUNNING &&
	       __atomic_load_n(&t->phase, __ATOMIC_SEQ_CST) < PHASE_GO &&
	       __atomic_load_n(&t->request, __ATOMIC_SEQ_CST) == t->taken && !__atomic_load_n(&t->stop_after, __ATOMIC_SEQ_CST) &&
	       meet_alive(__atomic_load_n(&t->leader, __ATOMIC_SEQ_CST));
}

/*
 * A request that came while a checkpoint was being made is asked again, of the root or another that can be asked. In this
 * process of this thread alone: what waits for the process while a handler blocks it here wakes another thread for nothing.
 */
void meet_ask_again(void)
{
	struct tree *t = shim.tree;
	int32_t root = t->root_pid;

	if (!__atomic_exchange_n(&t->again, 0, __ATOMIC_SEQ_CST))
		return;
	for (uint32_t i = 0; i < t->nmembers; i++) {
		int pid = t->members[i].pid;
		siginfo_t info;

		if (pid <= 0 || (pid != root && t->members[i].state != MEMBER_ALIVE) || t->members[i].shimless)
			continue;
		quiesce_order(&info, ORDER_LEAD, 0);
		if ((pid == sys_getpid() ? sys_rt_tgsigqueueinfo(pid, sys_gettid(), (int)t->signal, &info) :
					   sys_rt_sigqueueinfo(pid, (int)t->signal, &info)) == 0)
			return;
	}
}

/* The leader's part is done: if its writer is killed, the tree must not wait for a leader that lives on. */
void meet_leave(int32_t writer)
{
	int32_t holder = shim.pid;

	__atomic_compare_exchange_n(&shim.tree->leader, &holder, writer, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* The writer, or a leader that failed: the next checkpoint may begin. */
void meet_abandon(void)
{
	struct tree *t = shim.tree;

	__atomic_store_n(&t->phase, PHASE_IDLE, __ATOMIC_SEQ_CST);
	t->writer = 0;
	__atomic_store_n(&t->leader, 0, __ATOMIC_SEQ_CST);
	meet_ask_again();
}

void meet_result(enum tree_result result, const char *dir)
{
	struct tree *t = shim.tree;

	if (result == RESULT_COMPLETE) {
		text_format(t->result_dir, sizeof(t->result_dir), "%s", dir);
		t->result_text[0] = 0;
	}
	t->result = result;
	__atomic_store_n(&t->result_seq, t->taken, __ATOMIC_SEQ_CST);
	futex_wake(&t->result_seq);
}

void meet_tell(void)
{
	struct tree *t = shim.tree;
	uint32_t none = 0;

	if (__atomic_compare_exchange_n(&t->told, &none, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		text_format(t->result_text, sizeof(t->result_text), "%s", err_text());
}

/* --- the leader's side -------------------------------------------------------------------------------------- */

static const char *const shimless_words[] = {
	[SHIMLESS_STATIC] = "statically linked",
	[SHIMLESS_SETUID] = "set-user-id",
	[SHIMLESS_FOREIGN] = "of another architecture",
	[SHIMLESS_UNREADABLE] = "not readable",
	[SHIMLESS_USER] = "running as another user",
	[SHIMLESS_NAMESPACE] = "in another namespace",
	[SHIMLESS_SHARED_MEMORY] = "sharing memory with another process",
	[SHIMLESS_ROOT] = "in another root directory (chroot)",
	[SHIMLESS_SECCOMP] = "under seccomp filters from before it was executed, or in strict mode",
};

static int order_member(struct member *m)
{
	siginfo_t info;
	int rc;

	if (m->shimless)
		return failed(ERR_PLAIN, "pid %d (%.*s) is %s: libskshim.so can't be in it", m->pid, (int)sizeof(m->comm), m->comm,
			      m->shimless < sizeof(shimless_words) / sizeof(*shimless_words) ? shimless_words[m->shimless] :
											       "without the shim");
	quiesce_order(&info, ORDER_JOIN, 0);
	rc = sys_rt_sigqueueinfo(m->pid, (int)shim.tree->signal, &info);
	if (rc == -ESRCH)
		return 0;
	if (rc == -EPERM)
		return failed(ERR_PLAIN, "pid %d (%.*s) is of another user, whom pid %d may not signal: that one has to be asked", m->pid,
			      (int)sizeof(m->comm), m->comm, shim.pid);
	return rc < 0 ? failed(rc, "pid %d: it can't be signalled", m->pid) : 0;
}

/* The order that each slot's process was given. */
static struct order_given {
	int32_t pid;                 /* minus: it is being made, and was seen at `at` */
	int64_t at;
} orders[TREE_MEMBERS];

/*
 * Has to be waited for. A child that was stopped while it is being made comes to no end: it goes on for the checkpoint
 * as others do that are stopped, with the order before it.
 */
static int born(struct member *m, int pid, struct order_given *given)
{
	struct treefile_stat st;

	if (pid < 0 || m->shimless)
		return 1;
	if (given->pid != -pid) {
		given->pid = -pid;
		given->at = stop_now();
	} else if (stop_now() - given->at > 20 * MS) {
		given->at = stop_now();
		if (treefile_stat(pid, &st) == 0 && st.state == 'T' && order_member(m) == 0)
			stopped_continue(m);
	}
	return 1;
}

/* 1: has to be waited for. */
static int pending(struct member *m, enum member_state reached, struct order_given *given)
{
	uint32_t state = __atomic_load_n(&m->state, __ATOMIC_SEQ_CST);
	int pid = __atomic_load_n(&m->pid, __ATOMIC_SEQ_CST), rc;

	if (pid == 0 || state == MEMBER_FREE || pid == shim.pid)
		return 0;
	if (state == MEMBER_BORN)
		return reached == MEMBER_STOPPED ? born(m, pid, given) : 0;
	if (!treefile_lives(m)) {
		if (reached == MEMBER_STOPPED && state == MEMBER_ALIVE)
			members_release(m, pid);  /* nothing of it is in this image; its slot goes to who comes next */
		return 0;
	}
	if (state == MEMBER_FAILED)
		return -1;
	if (state == MEMBER_ALIVE) {
		if (reached != MEMBER_STOPPED)
			return 0;          /* came after the stop: not of this checkpoint */
		/* a signal below 32 that waits already swallows the order: it is given again */
		if (given->pid != pid || stop_now() - given->at > 20 * MS) {
			rc = order_member(m);
			if (rc < 0)
				return rc;
			given->pid = pid;
			given->at = stop_now();
		} else if (stop_now() - given->at > MS) {
			stopped_continue(m);
		}
		return 1;
	}
	return state < (uint32_t)reached;
}

/* Is it held by its tracer, a debugger perhaps, or one of the tree that stands still itself? Since when, in *since. */
static int traced_too_long(const struct member *m, int64_t *since)
{
	struct treefile_stat st;

	if (treefile_stat(m->pid, &st) < 0 || st.state != 't')
		*since = 0;
	else if (!*since)
		*since = stop_now();
	else if (stop_now() - *since > TRACED_LIMIT)
		return failed(ERR_PLAIN, "pid %d (%.*s) is stopped by its tracer", m->pid, (int)sizeof(m->comm), m->comm);
	return 0;
}

static int held_up(const struct member *m, int64_t *traced, int64_t *vforked)
{
	int rc = traced_too_long(m, traced);

	return rc == 0 && m->pid > 0 ? vforked_too_long(m->pid, m->pid, vforked) : rc;
}

/* Who traces it; 0: nobody. */
static int tracer_of(const char *status)
{
	char buf[512];
	struct blob text = { buf, 0 };
	uint64_t tracer;
	int fd = away_open(status, O_RDONLY | O_CLOEXEC);
	long n;

	if (fd < 0)
		return fd;
	n = sys_read(fd, buf, sizeof(buf));
	sys_close(fd);
	text.n = n > 0 ? (uint64_t)n : 0;
	return text_field(text, "TracerPid:", 10, &tracer) ? (int)tracer : 0;
}

/*
 * A tracer of the tree would stand still with it, and the leader with the next call that is traced. Asked before anybody is
 * ordered: a debugger would show the order to its user, and stop the program for it.
 */
int meet_untraced(void)
{
	struct tree *t = shim.tree;

	for (uint32_t i = 0; i < t->nmembers; i++) {
		int pid = __atomic_load_n(&t->members[i].pid, __ATOMIC_SEQ_CST), tracer;
		char path[32] = "/proc/thread-self/status";

		if (pid <= 0)
			continue;
		if (pid != shim.pid)
			text_format(path, sizeof(path), "/proc/%d/status", pid);
		tracer = tracer_of(path);
		if (tracer == -ENOENT && pid == shim.pid)
			return failed(ERR_PLAIN, "pid %d: its /proc is that of another pid namespace", pid);
		if (tracer < 0 && pid == shim.pid)
			return failed(tracer, "pid %d: %s", pid, path);
		if (tracer > 0 && members_find(tracer))
			return failed(ERR_PLAIN, "pid %d is traced by pid %d of the tree", pid, tracer);
	}
	return 0;
}

static int too_late(const struct member *m)
{
	if (m->pid < 0)
		return failed(ERR_PLAIN, "pid %d is making a child and doesn't come to an end", m->ppid);
	return failed(ERR_PLAIN, "pid %d (%.*s) does not answer", m->pid, (int)sizeof(m->comm), m->comm);
}

static int wait_members(enum member_state reached)
{
	struct tree *t = shim.tree;
	int64_t until = stop_now() + MEMBER_LIMIT, traced = 0, vforked = 0;
	bool clean = false;

	for (;;) {
		struct member *late = NULL;

		members_born();      /* drops those that died on the way */

		for (uint32_t i = 0; i < t->nmembers; i++) {
			int rc = pending(&t->members[i], reached, &orders[i]);

			if (rc > 0 && __atomic_load_n(&t->members[i].wants, __ATOMIC_SEQ_CST) && hand_give(&t->members[i]) < 0)
				return ERR_PLAIN;
			if (rc == -1)
				return ERR_PLAIN;  /* it told why */
			if (rc < 0)
				return rc;
			if (rc > 0)
				late = &t->members[i];
		}
		/* once more: one that had not stopped yet may have made a child behind our back */
		if (!late && clean)
			return 0;
		clean = !late;
		if (clean)
			continue;
		if (stop_now() > until - MEMBER_LIMIT + 100 * MS && held_up(late, &traced, &vforked) < 0)
			return ERR_PLAIN;
		if (stop_now() > until && __atomic_load_n(&late->written, __ATOMIC_SEQ_CST) != WRITTEN_STANDING)
			return too_late(late);
		futex_wait(&late->state, late->state, 2 * MS);
	}
}

int meet_stop(void)
{
	struct tree *t = shim.tree;

	memset(orders, 0, sizeof(orders));
	if (t->unregistered)
		return failed(ERR_PLAIN, "%u processes of the tree found no room in its table of %d", t->unregistered, TREE_MEMBERS);
	return meet_phase(PHASE_STOP, MEMBER_STOPPED);
}

int meet_phase(enum tree_phase phase, enum member_state reached)
{
	__atomic_store_n(&shim.tree->phase, phase, __ATOMIC_SEQ_CST);
	futex_wake(&shim.tree->phase);
	return wait_members(reached);
}

/* Returns when nobody of the tree is in this checkpoint any more: the next must find them all alive. */
void meet_go(void)
{
	struct tree *t = shim.tree;

	__atomic_store_n(&t->phase, PHASE_GO, __ATOMIC_SEQ_CST);
	futex_wake(&t->phase);
	for (uint32_t i = 0; i < t->nmembers; i++) {
		struct member *m = &t->members[i];
		uint32_t state;

		while ((state = __atomic_load_n(&m->state, __ATOMIC_SEQ_CST)) >= MEMBER_STOPPED && state <= MEMBER_FAILED &&
		       m->pid != shim.pid && meet_alive(m->pid))
			futex_wait(&m->state, state, 2 * MS);
	}
}

/* --- a member's side ---------------------------------------------------------------------------------------- */

void meet_reached(enum member_state state)
{
	struct member *m = members_self();

	if (!m)
		return;
	__atomic_store_n(&m->state, state, __ATOMIC_SEQ_CST);
	futex_wake(&m->state);
}

static bool leader_lives(int32_t leader)
{
	const struct member *m = members_find(leader);

	return fdtable_quiet() && m ? fdtable_alive(m) : meet_alive(leader);
}

bool meet_over(void)
{
	uint32_t now = __atomic_load_n(&shim.tree->phase, __ATOMIC_SEQ_CST);

	return now == PHASE_GO || now == PHASE_IDLE || !leader_lives(__atomic_load_n(&shim.tree->leader, __ATOMIC_SEQ_CST));
}

int meet_wait(enum tree_phase phase)
{
	struct tree *t = shim.tree;

	for (;;) {
		uint32_t now = __atomic_load_n(&t->phase, __ATOMIC_SEQ_CST);
		int32_t leader = __atomic_load_n(&t->leader, __ATOMIC_SEQ_CST);

		if (now == PHASE_GO || now == PHASE_IDLE)
			return phase != PHASE_GO;
		if (now >= (uint32_t)phase)
			return 0;
		futex_wait(&t->phase, now, NS);
		if (!leader_lives(leader))
			return 1;
	}
}
