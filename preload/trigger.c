/*
 * trigger.c - the handler of the checkpoint signal
 *
 * Three things arrive here: an order of a leader of this tree (its si_code is
 * ours), a signal that a process of the tree, a timer or a descriptor of it
 * sent (the program's own: signals_deliver), and the request from outside.
 *
 * The handler runs on whatever stack the program has, perhaps a small one; on
 * the thread's alternate stack, unless threads share one (wrap_altstack.c).
 */
#include "conduct.h"

#include "skshim/frozen.h"

#define LEAD_STACK (512 * 1024)
#define HOLD_LIMIT 10000000000ll

static char lead_stack[LEAD_STACK] __attribute__((aligned(64)));
static uint32_t leading;             /* a thread of this process is on lead_stack */
uint32_t trigger_stopping, trigger_owed;

static void lead(void *uc)
{
	checkpoint_lead(uc);
}

static void join(void *uc)
{
	checkpoint_join(uc);
}

/* False: a thread of this process is at it already, and sees to it. */
static bool on_stack(void (*fn)(void *), ucontext_t *uc)
{
	enum redo_how how;
	uint32_t none = 0;

	__atomic_store_n(&trigger_owed, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_compare_exchange_n(&leading, &none, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		/* this process is in a checkpoint already: it is asked again when that one is over */
		if (fn == lead && !meet_answers())
			__atomic_store_n(&shim.tree->again, 1, __ATOMIC_SEQ_CST);
		/* who leaves looks at `again` after clearing `leading`: seen set here, it will see ours */
		if (fn != lead || __atomic_load_n(&leading, __ATOMIC_SEQ_CST)) {
			signals_hide(uc);
			return false;
		}
		none = 0;
	}
	__atomic_store_n(&trigger_stopping, 1, __ATOMIC_SEQ_CST);
	exec_hold();
	jail_look_out(true);
	context_call(fn, uc, lead_stack + LEAD_STACK);
	jail_look_out(false);
	exec_release();
	__atomic_store_n(&trigger_stopping, 0, __ATOMIC_SEQ_CST);
	how = quiesce_finish();
	__atomic_store_n(&leading, 0, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&shim.tree->leader, __ATOMIC_SEQ_CST))
		meet_ask_again();
	redo_settle(uc, how, quiesce_others());
	return true;
}

static bool from_outside(const siginfo_t *info)
{
	return (info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_code == SI_QUEUE) &&
	       (info->si_pid == 0 || !members_sent(info->si_pid));
}

/* This process stands still: requests that wait for it have their checkpoint. Anything else that waits goes on waiting. */
void trigger_answered(void)
{
	const struct __kernel_timespec none = { 0 };
	uint64_t set = SHIM_BIT(shim.signal);
	siginfo_t info;

	while (meet_answers() && sys_rt_sigtimedwait(&set, &info, &none) == shim.signal) {
		if (from_outside(&info))
			continue;
		sys_rt_sigqueueinfo(shim.pid, shim.signal, &info);
		break;
	}
}

/* A request of `skshim checkpoint`'s, which has been sent in two ways. */
bool trigger_served(uint32_t number)
{
	return number && (int32_t)(__atomic_load_n(&shim.tree->taken, __ATOMIC_SEQ_CST) - number) >= 0;
}

static enum order order_of(const siginfo_t *info)
{
	return info->si_code == SHIM_CODE ? (enum order)((uint64_t)info->si_value.sival_ptr >> 32) : 0;
}

static void park(const siginfo_t *info, ucontext_t *uc)
{
	redo_settle(uc, quiesce_park((uint32_t)(uint64_t)info->si_value.sival_ptr, uc), quiesce_others());
}

/*
 * In a thread of a process that stood stopped and goes on for a checkpoint: it stays here until it is parked, or takes the
 * process's order itself, or nothing comes of it and the process has stopped again and was continued by somebody else.
 */
uint64_t trigger_held;

static bool hold(ucontext_t *uc)
{
	const struct __kernel_timespec step = { .tv_nsec = 1000000 };
	int64_t until = stop_now() + HOLD_LIMIT;
	siginfo_t info;

	trigger_held = SHIM_BIT(shim.signal);
	do {
		bool came = sys_rt_sigtimedwait(&trigger_held, &info, &step) == shim.signal;
		enum order order = came ? order_of(&info) : 0;

		if (order == ORDER_PARK && info.si_pid == shim.pid) {
			park(&info, uc);
			return false;
		}
		if (order == ORDER_JOIN && !__atomic_load_n(&leading, __ATOMIC_SEQ_CST) && members_has(info.si_pid))
			return on_stack(join, uc);
		if (came && (!order || order == ORDER_LEAD)) {
			sys_rt_sigqueueinfo(shim.pid, shim.signal, &info);     /* for who goes on */
			SYS2(__NR_nanosleep, &step, NULL);
		}
	} while ((stopped_held() || __atomic_load_n(&leading, __ATOMIC_SEQ_CST)) && stop_now() < until);
	signals_hide(uc);
	return false;
}

/* True where nothing is owed by this signal any more. */
static bool answer(siginfo_t *info, ucontext_t *uc)
{
	if (info->si_code == SHIM_CODE) {
		uint64_t value = (uint64_t)info->si_value.sival_ptr;

		if (value >> 32 == ORDER_PARK && info->si_pid == shim.pid)
			park(info, uc);
		else if (value >> 32 == ORDER_HOLD && members_has(info->si_pid))
			return hold(uc);
		else if (value >> 32 == ORDER_JOIN && members_has(info->si_pid))
			return on_stack(join, uc);
		else if (value >> 32 == ORDER_LEAD && !trigger_served((uint32_t)value))
			return on_stack(lead, uc);     /* or from the writer of the checkpoint before */
		else if (value >> 32 == ORDER_JOIN || value >> 32 == ORDER_LEAD) {
			signals_hide(uc);      /* its leader is gone; it has come in two ways */
			return true;
		}
		return false;
	}
	if (from_outside(info))
		return on_stack(lead, uc);
	signals_deliver(info, uc);
	return true;
}

/*
 * What comes for the process while this thread's handler blocks it wakes another thread, and may be taken by this one, or by a
 * third, as soon as its handler ends: it is gone when the other looks, perhaps before its handler has said so.
 */
static void tell_owed(const ucontext_t *uc, bool done)
{
	uint64_t pending, blocked;
	bool more;

	memcpy(&blocked, &uc->uc_sigmask, 8);
	more = sys_rt_sigpending(&pending) == 0 && (pending & ~blocked & SHIM_BIT(shim.signal)) != 0;
	if (more || done)
		__atomic_store_n(&trigger_owed, more, __ATOMIC_SEQ_CST);
}

static void handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	if (seccomp_closed)
		return;
	/* a child of vfork has its parent's memory and handler, but is none of ours until it executes a program */
	if (!shim.active || !shim.tree || sys_getpid() != shim.pid)
		return;
	tell_owed(uc, answer(info, uc));
}

/* The kernel wants a return path of ours in sa_restorer. */
__attribute__((naked, used)) static void trigger_return(void)
{
	__asm__ volatile("mov $15, %eax\n\tsyscall");
}

int trigger_install(void)
{
	struct arch_sigaction act = {
		.handler = (void *)handler,
		.flags = SA_SIGINFO | (altstack_shared ? 0 : SA_ONSTACK) | SA_RESTART | ARCH_SA_RESTORER,
		.restorer = (void *)trigger_return,
		.mask = ~0ull,
	};
	int rc = sys_rt_sigaction(shim.signal, &act, NULL);

	return rc < 0 ? failed(rc, "signal %d: no handler can be installed", shim.signal) : 0;
}

void trigger_forked(void)
{
	__atomic_store_n(&trigger_stopping, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&trigger_owed, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&leading, 0, __ATOMIC_RELEASE);
	quiesce.slots = NULL;
	quiesce.nslots = 0;
}
