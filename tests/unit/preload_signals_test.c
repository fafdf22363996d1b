/*
 * preload_signals_test.c - the program's signals as the wrappers show them
 *
 * The wrappers are linked in, so this program's own calls go through them.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "preload/family.h"
#include "preload/signals.h"

#include "unit.h"

struct shim shim;
static struct tree tree;

/* init.c is not linked in. */
bool unwind_load(struct unwinder *u)
{
	(void)u;
	return false;
}

static void take_over(int sig)
{
	shim.pid = getpid();
	shim.tree = &tree;
	shim.signal = sig;
	shim.active = true;
	ck_assert_int_eq(signals_init(), 0);
}

static uint64_t kernel_mask(void)
{
	uint64_t mask;

	ck_assert_int_eq(sys_rt_sigprocmask(SIG_BLOCK, NULL, &mask), 0);
	return mask;
}

static volatile int taken, number;

static void on_signal(int sig, siginfo_t *info, void *uc)
{
	(void)uc;
	taken++;
	number = sig == info->si_signo ? sig : -1;
}

START_TEST(masks_are_translated)
{
	const uint64_t s = SHIM_BIT(SIGUSR2), a = SHIM_BIT(SHIM_ALIAS), other = SHIM_BIT(SIGTERM);

	ck_assert_uint_eq(signals_to_kernel(s | a | other), s | a | other); /* nothing moved yet */
	take_over(SIGUSR2);
	ck_assert_uint_eq(signals_to_kernel(0), 0);
	ck_assert_uint_eq(signals_to_kernel(s), a);
	ck_assert_uint_eq(signals_to_kernel(a), 0);
	ck_assert_uint_eq(signals_to_kernel(s | a | other), a | other);
	ck_assert_uint_eq(signals_to_program(0), 0);
	ck_assert_uint_eq(signals_to_program(a), s);
	ck_assert_uint_eq(signals_to_program(s), 0);
	ck_assert_uint_eq(signals_to_program(s | a | other), s | other);
}
END_TEST

START_TEST(nobody_blocks_it)
{
	sigset_t set, old;

	take_over(SIGUSR2);
	sigfillset(&set);
	ck_assert_int_eq(sigprocmask(SIG_SETMASK, &set, &old), 0);
	ck_assert_int_eq(sigismember(&old, SIGUSR2), 0);
	ck_assert_uint_eq(kernel_mask() & SHIM_BIT(SIGUSR2), 0);
	ck_assert_uint_ne(kernel_mask() & SHIM_BIT(SHIM_ALIAS), 0);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &old), 0);
	ck_assert_int_eq(sigismember(&old, SIGUSR2), 1);
	sigemptyset(&set);
	ck_assert_int_eq(sigprocmask(SIG_SETMASK, &set, NULL), 0);
	ck_assert_uint_eq(kernel_mask() & (SHIM_BIT(SHIM_ALIAS) | SHIM_BIT(SIGUSR2)), 0);
}
END_TEST

START_TEST(inherited_state_is_taken_over)
{
	struct sigaction act;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	signal(SIGUSR2, SIG_IGN);
	take_over(SIGUSR2);
	ck_assert_uint_eq(kernel_mask() & (SHIM_BIT(SIGUSR2) | SHIM_BIT(SHIM_ALIAS)), SHIM_BIT(SHIM_ALIAS));
	ck_assert_int_eq(sigaction(SIGUSR2, NULL, &act), 0);
	ck_assert(act.sa_handler == SIG_IGN);
}
END_TEST

/* Under the shim an exec blocks the signal: that isn't the program's wish. */
START_TEST(an_exec_of_ours_is_known)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	tree.ready = 1;
	take_over(SIGUSR2);
	ck_assert_uint_eq(kernel_mask() & (SHIM_BIT(SIGUSR2) | SHIM_BIT(SHIM_ALIAS)), 0);
}
END_TEST

START_TEST(actions_come_back_as_set)
{
	struct sigaction act, old;

	take_over(SIGUSR2);
	memset(&act, 0, sizeof(act));
	act.sa_sigaction = on_signal;
	act.sa_flags = SA_SIGINFO | SA_NODEFER;
	sigfillset(&act.sa_mask);
	ck_assert_int_eq(sigaction(SIGUSR2, &act, &old), 0);
	ck_assert(old.sa_handler == SIG_DFL && old.sa_flags == 0);
	ck_assert_int_eq(sigaction(SIGTERM, &act, NULL), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(sigaction(i ? SIGTERM : SIGUSR2, NULL, &old), 0);
		ck_assert(old.sa_sigaction == on_signal);
		ck_assert_int_eq(old.sa_flags & (SA_SIGINFO | SA_NODEFER | SA_RESTART), SA_SIGINFO | SA_NODEFER);
		ck_assert_int_eq(sigismember(&old.sa_mask, SIGUSR2), 1);
	}
	ck_assert_int_eq(raise(SIGUSR2), 0);
	ck_assert_int_eq(taken, 1);
	ck_assert_int_eq(number, SIGUSR2);
	act.sa_flags = (int)SA_RESETHAND | SA_SIGINFO;
	ck_assert_int_eq(sigaction(SIGUSR2, &act, NULL), 0);
	ck_assert_int_eq(raise(SIGUSR2), 0);
	ck_assert_int_eq(sigaction(SIGUSR2, NULL, &old), 0);
	ck_assert(old.sa_handler == SIG_DFL);
}
END_TEST

START_TEST(the_alias_does_not_exist)
{
	struct sigaction act;

	take_over(SIGUSR2);
	errno = 0;
	ck_assert_int_eq(sigaction(SHIM_ALIAS, NULL, &act), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert(signal(SHIM_ALIAS, SIG_IGN) == SIG_ERR);
	ck_assert_int_eq(SIGRTMAX, SHIM_ALIAS - 1);
}
END_TEST

/* A raw system call sends the signal itself; si_code says that it is the program's. */
START_TEST(what_comes_as_itself_is_delivered)
{
	struct sigaction act = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	const struct timespec none = { 0, 0 };
	siginfo_t info, got;
	sigset_t set;

	take_over(SIGUSR2);
	ck_assert_int_eq(sigaction(SIGUSR2, &act, NULL), 0);
	memset(&info, 0, sizeof(info));
	info.si_code = SI_TIMER;
	info.si_value.sival_int = 4711;
	ck_assert_int_eq(sys_rt_sigqueueinfo(sys_gettid(), SIGUSR2, &info), 0);
	ck_assert_int_eq(taken, 1);
	ck_assert_int_eq(number, SIGUSR2);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	ck_assert_int_eq(sys_rt_sigqueueinfo(sys_gettid(), SIGUSR2, &info), 0);
	ck_assert_int_eq(sys_rt_sigqueueinfo(sys_gettid(), SIGUSR2, &info), 0);
	ck_assert_int_eq(taken, 1);
	ck_assert_int_eq(sigtimedwait(&set, &got, &none), SIGUSR2);
	ck_assert_int_eq(got.si_signo, SIGUSR2);
	ck_assert_int_eq(got.si_code, SI_TIMER);
	ck_assert_int_eq(got.si_value.sival_int, 4711);
	ck_assert_int_eq(sigtimedwait(&set, &got, &none), -1);
	ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

START_TEST(some_signals_are_refused)
{
	static const int no[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGCHLD, 32, 33, SHIM_ALIAS, 65, 0 };

	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		err_reset();
		shim.signal = no[i];
		ck_assert_int_lt(signals_init(), 0);
		ck_failed("SKSHIM_SIGNAL");
	}
}
END_TEST

UNIT_MAIN("signals", masks_are_translated, nobody_blocks_it, inherited_state_is_taken_over, an_exec_of_ours_is_known,
	  actions_come_back_as_set, the_alias_does_not_exist, what_comes_as_itself_is_delivered,
	  some_signals_are_refused)
