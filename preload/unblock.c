/*
 * unblock.c - reaching a thread that blocks the checkpoint signal after all
 *
 * libc's own threads (timers and message queues with SIGEV_THREAD, aio) start
 * with all signals blocked, by calls that no wrapper sees; so may a program's
 * that makes the system calls itself. One signal is never blocked for long:
 * SIGSETXID, with which libc lets all threads change their credentials. It is
 * borrowed: its handler becomes ours, takes the checkpoint signal out of the
 * mask in the frame, and passes on what libc sends.
 */
#include "conduct.h"
#include "family.h"
#include "signals.h"
#include "stop.h"

#include "skshim/frozen.h"

#define SIGSETXID 33

static struct arch_sigaction libc_action;

/* One signal of a number waits for a thread at a time: a request that did has kept the leader's order out. */
static void make_way(void)
{
	const struct __kernel_timespec none = { 0 };
	uint64_t set = SHIM_BIT(shim.signal);
	siginfo_t info;

	if (sys_rt_sigtimedwait(&set, &info, &none) != shim.signal)
		return;
	if (info.si_code != SHIM_CODE || (uint64_t)info.si_value.sival_ptr >> 32 != ORDER_LEAD) {
		sys_rt_tgsigqueueinfo(shim.pid, sys_gettid(), shim.signal, &info);
		return;
	}
	if (!trigger_served((uint32_t)(uint64_t)info.si_value.sival_ptr))
		__atomic_store_n(&shim.tree->again, 1, __ATOMIC_SEQ_CST);
	quiesce_order_again();
}

static void handler(int sig, siginfo_t *info, void *context)
{
	void (*libc_handler)(int, siginfo_t *, void *) = (void (*)(int, siginfo_t *, void *))libc_action.handler;
	ucontext_t *uc = context;

	if (info->si_code == SHIM_CODE && info->si_pid == shim.pid) {
		if (uc->uc_sigmask.__val[0] & SHIM_BIT(shim.signal))
			make_way();
		uc->uc_sigmask.__val[0] &= ~SHIM_BIT(shim.signal);
		signals_hide(uc);
	} else if ((uint64_t)libc_handler > 1) {
		libc_handler(sig, info, context);
	}
}

static int borrow(void)
{
	struct arch_sigaction act;
	int rc = sys_rt_sigaction(SIGSETXID, NULL, &act);

	if (rc < 0 || act.handler == (void *)handler)
		return rc;
	libc_action = act;
	act.handler = (void *)handler;
	act.flags |= SA_SIGINFO | SA_ONSTACK | SA_RESTART | ARCH_SA_RESTORER;
	act.restorer = signals_restorer;
	act.mask = ~0ull;
	return sys_rt_sigaction(SIGSETXID, &act, NULL);
}

int signals_unblock(int tid)
{
	struct signals_status st;
	siginfo_t info;
	char path[48];
	int rc;

	text_format(path, sizeof(path), "/proc/self/task/%d/status", tid);
	/* it will, in a moment */
	if (tid == __atomic_load_n(&clean_sweeper, __ATOMIC_SEQ_CST))
		return 0;
	if (signals_status(path, &st) < 0 || !(st.blocked & SHIM_BIT(shim.signal)))
		return 0;
	rc = borrow();
	if (rc < 0)
		return rc;
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGSETXID;
	info.si_code = SHIM_CODE;
	info.si_pid = shim.pid;
	rc = sys_rt_tgsigqueueinfo(shim.pid, tid, SIGSETXID, &info);
	return rc < 0 ? rc : 1;
}
