/*
 * wrap_altstack.c - an alternate stack that several threads share
 *
 * varnish gives all its threads the same one, on which only a thread that
 * crashes shall ever run. But at a checkpoint all take our signal at once, and
 * the kernel would write their frames over each other. So once two living
 * threads have registered the same memory, our handler runs where the thread
 * stands. Programs whose threads run on stacks too small for that, coroutines'
 * mostly, need an alternate stack for each, and keep them.
 *
 * Noted is who registered what. An entry of a thread that has ended counts for
 * nothing: the memory of its stack may be used again.
 */
#include <asm/errno.h>
#include <signal.h>

#include "stop.h"

#include "skshim/frozen.h"

#define NOTED 256                 /* of more threads with a stack each, some are forgotten */

struct altstack {
	int32_t tid;              /* who registered it; 0: free */
	uint64_t from;            /* 0: about to be written */
};

static struct altstack noted[NOTED];
uint32_t altstack_shared;

static bool lives(int32_t tid)
{
	return tid && sys_tgkill(sys_getpid(), tid, 0) != -ESRCH;
}

/* A place for this thread, none where all are taken; what it had registered before is forgotten. */
static struct altstack *place(int32_t me, uint64_t from)
{
	struct altstack *found = NULL;

	for (unsigned i = 0; i < NOTED; i++)
		if (__atomic_load_n(&noted[i].tid, __ATOMIC_SEQ_CST) == me) {
			found = &noted[i];
			__atomic_store_n(&found->from, 0, __ATOMIC_SEQ_CST);
		}
	for (unsigned i = 0; i < NOTED && !found; i++) {
		struct altstack *e = &noted[((from >> 12) + i) % NOTED];
		int32_t tid = __atomic_load_n(&e->tid, __ATOMIC_SEQ_CST);
		if (!lives(tid) && __atomic_compare_exchange_n(&e->tid, &tid, me, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			__atomic_store_n(&e->from, 0, __ATOMIC_SEQ_CST);
			found = e;
		}
	}
	return found;
}

static bool somebody_elses(int32_t me, uint64_t from)
{
	for (unsigned i = 0; i < NOTED; i++) {
		int32_t tid = __atomic_load_n(&noted[i].tid, __ATOMIC_SEQ_CST);

		if (__atomic_load_n(&noted[i].from, __ATOMIC_SEQ_CST) == from && tid != me && lives(tid))
			return true;
	}
	return false;
}

static void note(uint64_t from)
{
	int32_t me = sys_gettid();
	struct altstack *e = place(me, from);

	/* first told, then looked: of two threads at the same time one sees the other */
	if (e)
		__atomic_store_n(&e->from, from, __ATOMIC_SEQ_CST);
	if (!from || altstack_shared || !somebody_elses(me, from))
		return;
	__atomic_store_n(&altstack_shared, 1, __ATOMIC_SEQ_CST);
	trigger_install();
}

SHIM_EXPORT int sigaltstack(const stack_t *restrict new, stack_t *restrict old)
{
	int rc = (int)SYS2(__NR_sigaltstack, new, old);

	if (rc == 0 && new && shim.active)
		note(new->ss_flags & SS_DISABLE ? 0 : (uint64_t)new->ss_sp);
	return (int)syscall_result(rc);
}
