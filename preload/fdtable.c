/*
 * fdtable.c - processes that share one table of descriptors (clone with CLONE_FILES)
 *
 * What the shim opens in one of them is there for all, so:
 *
 *   - a process that has ever shared its table keeps nothing open in it between
 *     checkpoints (the ledger's anchors)
 *   - one of them describes the descriptors, when the others have described
 *     everything else and only wait; what they have open for the checkpoint by
 *     then stands in the tree's shared memory
 *   - none runs the program again before the others have closed what is theirs
 *
 * Who shares is told by kcmp, when all stand; of another user's process, which
 * may not be asked, by whether both have ever shared theirs. Nobody asks in a
 * tree that has never made such a process.
 *
 * While one of them runs the program already, the others wait without opening
 * anything: whether a process lives is not looked up in /proc.
 */
#include <asm/errno.h>
#include <linux/futex.h>
#include <linux/kcmp.h>

#include "conduct.h"
#include "family.h"
#include "skshim/treefile.h"

#include "skshim/frozen.h"

#define SHARERS 64
#define MS 1000000ll

bool fdtable_shared;

static struct {
	struct member *list[SHARERS];        /* the others */
	int32_t pids[SHARERS];               /* theirs, when all stood: a slot may become another process's */
	uint32_t n;
	int32_t owner;                       /* pid of the one that describes the descriptors */
	uint32_t checkpoint;                 /* tree->taken */
} sharers;

void fdtable_share(void)
{
	fdtable_shared = true;
	ledger_unanchor();
	fdtable_joined();
}

void fdtable_alone(void)
{
	fdtable_shared = false;
}

void fdtable_joined(void)
{
	struct member *self = shim.tree ? members_self() : NULL;

	if (self && !fdtable_shared)
		__atomic_fetch_and(&self->confined, ~CONFINED_TABLE, __ATOMIC_SEQ_CST);
	if (!fdtable_shared || !shim.tree)
		return;
	__atomic_store_n(&shim.tree->tables_shared, 1, __ATOMIC_SEQ_CST);
	if (self)
		__atomic_fetch_or(&self->confined, CONFINED_TABLE, __ATOMIC_SEQ_CST);
}

/*
 * Who has ended, waited for or not, has no memory to be read (tests/kernel/zombie_memory.c); who lives has none at this
 * address, or may not be asked. While it stands, m->tid is a thread that lives, though its first may have ended.
 */
bool fdtable_alive(const struct member *m)
{
	struct { void *base; size_t len; } here = { &(char){ 0 }, 1 }, there = { NULL, 1 };

	return m->tid > 0 && SYS6(__NR_process_vm_readv, m->tid, &here, 1, &there, 1, 0) != -ESRCH;
}

void fdtable_begin(void)
{
	sharers.n = 0;
	sharers.owner = shim.pid;
	sharers.checkpoint = shim.tree->taken;
}

static bool stands(const struct member *m)
{
	uint32_t state = __atomic_load_n(&m->state, __ATOMIC_SEQ_CST);

	return state >= MEMBER_STOPPED && state <= MEMBER_FAILED;
}

/* The tree can be made again if each is the child, the parent or a brother of another. */
static int check_family(void)
{
	int32_t parent = sys_getppid();

	for (uint32_t i = 0; i < sharers.n; i++)
		if (sharers.list[i]->pid == parent || sharers.list[i]->ppid == parent || sharers.list[i]->ppid == shim.pid)
			return 0;
	return sharers.n == 0 ? 0 : failed(ERR_PLAIN, "pid %d shares its table of descriptors with pid %d, which is neither its "
					   "parent nor its brother", shim.pid, sharers.list[0]->pid);
}

static bool both_shared(const struct member *m)
{
	const struct member *self = members_self();

	return self && (self->confined & m->confined & CONFINED_TABLE);
}

int fdtable_look(void)
{
	int32_t leader = shim.tree->leader;
	uint32_t n = __atomic_load_n(&shim.tree->nmembers, __ATOMIC_ACQUIRE);

	sharers.n = 0;
	sharers.owner = shim.pid;
	if (!shim.tree->tables_shared)
		return 0;
	for (uint32_t i = 0; i < n && i < TREE_MEMBERS; i++) {
		struct member *m = &shim.tree->members[i];
		int rc;

		if (m->pid <= 0 || m->pid == shim.pid || !stands(m))
			continue;
		rc = sys_kcmp(quiesce_base(), m->tid, KCMP_FILES, 0, 0);
		if (rc > 0 || rc == -ESRCH || (rc == -EPERM && !both_shared(m)))
			continue;
		if (rc < 0)
			return failed(rc, "pid %d: whether pid %d shares its table of descriptors", shim.pid, m->pid);
		if (sharers.n == SHARERS)
			return failed(ERR_PLAIN, "pid %d: more than %d processes share its table of descriptors", shim.pid, SHARERS);
		sharers.pids[sharers.n] = m->pid;
		sharers.list[sharers.n++] = m;
		if (sharers.owner != leader && (m->pid == leader || m->pid < sharers.owner))
			sharers.owner = m->pid;
	}
	return check_family();
}

int32_t fdtable_owner(void)
{
	return sharers.owner;
}

bool fdtable_quiet(void)
{
	return sharers.n > 0 && sharers.owner != shim.pid;
}

bool fdtable_owns(int fd)
{
	for (uint32_t i = 0; i < sharers.n; i++)
		for (uint32_t k = 0; k < MEMBER_FDS; k++)
			if (sharers.list[i]->fds[k] == fd + 1)
				return true;
	return false;
}

void fdtable_tell(const int *fds, uint32_t n)
{
	struct member *self = members_self();
	uint32_t at = 0;

	for (uint32_t i = 0; self && i < MEMBER_FDS; i++)
		self->fds[i] = 0;
	for (uint32_t i = 0; self && i < n && at < MEMBER_FDS; i++)
		if (fds[i] >= 0)
			self->fds[at++] = fds[i] + 1;
}

static void wait_a_moment(uint32_t *word, uint32_t value)
{
	struct __kernel_timespec t = { 0, 2 * MS };

	sys_futex(word, FUTEX_WAIT, value, &t);
}

int fdtable_await(void)
{
	if (sharers.owner != shim.pid)
		return 0;
	for (uint32_t i = 0; i < sharers.n; i++) {
		struct member *m = sharers.list[i];

		while (__atomic_load_n(&m->state, __ATOMIC_SEQ_CST) == MEMBER_STOPPED && treefile_lives(m)) {
			if (work.leader && hand_all() < 0)
				return ERR_PLAIN;
			wait_a_moment(&m->state, MEMBER_STOPPED);
		}
		if (sharers.list[i]->state == MEMBER_FAILED)
			return failed(ERR_PLAIN, "pid %d can't be described", sharers.list[i]->pid);
	}
	return 0;
}

void fdtable_leave(void)
{
	struct member *self = members_self();

	if (!fdtable_shared || !self)
		return;
	/* it may never have come to where it looks */
	if (sharers.n == 0)
		fdtable_look();
	fdtable_tell(NULL, 0);
	__atomic_store_n(&self->left, sharers.checkpoint, __ATOMIC_SEQ_CST);
	sys_futex(&self->left, FUTEX_WAKE, 0x7fffffff, NULL);
}

void fdtable_await_left(void)
{
	uint32_t left;

	for (uint32_t i = 0; i < sharers.n; i++) {
		struct member *m = sharers.list[i];

		while ((int32_t)((left = __atomic_load_n(&m->left, __ATOMIC_SEQ_CST)) - sharers.checkpoint) < 0 &&
		       m->pid == sharers.pids[i] && fdtable_alive(m))
			wait_a_moment(&m->left, left);
	}
}
