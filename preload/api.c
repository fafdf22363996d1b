/*
 * api.c - the library's public side, include/skshim.h
 *
 * A checkpoint is asked for the way it is from outside: a number is drawn from
 * tree->request, the signal is sent (to this thread, with a sender of 0, which
 * no process of the tree has), and the answer with that number is waited for.
 * After a restart the thread wakes in the same wait, in a tree of the next
 * generation.
 */
#include <asm/errno.h>
#include <signal.h>

#include "family.h"
#include "skshim.h"
#include "skshim/frozen.h"

#define HOOKS 16
#define WAIT_SECONDS 1

static struct skshim_hooks hooks[HOOKS];
static uint32_t nhooks;              /* claimed; a row counts when `ready` is set */
static uint32_t ready[HOOKS];

SHIM_EXPORT int skshim_is_active(void)
{
	return shim.active && shim.tree;
}

SHIM_EXPORT int skshim_restarts(void)
{
	return skshim_is_active() ? (int)__atomic_load_n(&shim.tree->generation, __ATOMIC_ACQUIRE) : -1;
}

SHIM_EXPORT const char *skshim_error(void)
{
	if (!skshim_is_active())
		return "skshim is not active in this program";
	return __atomic_load_n(&shim.tree->result, __ATOMIC_ACQUIRE) == RESULT_FAILED ? shim.tree->result_text : "";
}

static int ask(void)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = shim.signal;
	info.si_code = SI_QUEUE;
	return sys_rt_tgsigqueueinfo(shim.pid, sys_gettid(), shim.signal, &info);
}

SHIM_EXPORT int skshim_checkpoint(void)
{
	const struct __kernel_timespec limit = { WAIT_SECONDS, 0 };
	uint32_t generation, number, seen;

	if (!skshim_is_active())
		return -1;
	generation = shim.tree->generation;
	number = __atomic_add_fetch(&shim.tree->request, 1, __ATOMIC_SEQ_CST);
	if (ask() < 0)
		return -1;
	for (;;) {
		if (__atomic_load_n(&shim.tree->generation, __ATOMIC_ACQUIRE) != generation)
			return 1;
		seen = __atomic_load_n(&shim.tree->result_seq, __ATOMIC_ACQUIRE);
		if ((int32_t)(seen - number) >= 0)
			return __atomic_load_n(&shim.tree->result, __ATOMIC_ACQUIRE) == RESULT_COMPLETE ? 0 : -1;
		sys_futex(&shim.tree->result_seq, 0 /* FUTEX_WAIT */, seen, &limit);
	}
}

SHIM_EXPORT int skshim_hooks(const struct skshim_hooks *h)
{
	uint32_t i = __atomic_load_n(&nhooks, __ATOMIC_ACQUIRE);

	do {
		if (i >= HOOKS)
			return -1;
	} while (!__atomic_compare_exchange_n(&nhooks, &i, i + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
	hooks[i] = *h;
	__atomic_store_n(&ready[i], 1, __ATOMIC_RELEASE);
	return 0;
}

static bool hook_ready(uint32_t i)
{
	return i < HOOKS && __atomic_load_n(&ready[i], __ATOMIC_ACQUIRE);
}

int api_before(void)
{
	uint32_t i = __atomic_load_n(&nhooks, __ATOMIC_ACQUIRE), n = i;

	while (i-- > 0) {
		if (!hook_ready(i) || !hooks[i].before || hooks[i].before(hooks[i].arg) == 0)
			continue;
		/* those that were told "before" are told that it is over */
		for (; i < n; i++)
			if (hook_ready(i) && hooks[i].after)
				hooks[i].after(hooks[i].arg);
		return failed(ERR_PLAIN, "pid %d: the program said: not now", shim.pid);
	}
	return 0;
}

void api_after(bool restarted)
{
	uint32_t n = __atomic_load_n(&nhooks, __ATOMIC_ACQUIRE), i;

	for (i = 0; i < n; i++) {
		void (*fn)(void *) = restarted ? hooks[i].restarted : hooks[i].after;

		if (hook_ready(i) && fn)
			fn(hooks[i].arg);
	}
}
