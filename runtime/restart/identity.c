/*
 * identity.c - what a process says about itself
 *
 * Three moments: before the script (what needs nothing of the program's
 * memory), behind memory (limits, which must not bind while it is rebuilt), and
 * behind the threads (timers, which may be aimed at one). What is a thread's
 * own (name, scheduling, capabilities) the thread gives itself in preload/thread.c.
 *
 * Signals are blocked all the while; handlers point into memory that is not
 * there yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "restart.h"

#define NS 1000000000ull
#define TIMER_IDS 4096              /* more are reached with PR_TIMER_CREATE_RESTORE_IDS only */

static int restore_signals(const struct process_record *p)
{
	const struct sigaction_record *a = p->sigactions.items;
	struct arch_sigaction act;

	memset(&act, 0, sizeof(act));
	for (int sig = 1; sig <= TASK_SIGNALS; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			sys_rt_sigaction(sig, &act, NULL);
	for (uint32_t i = 0; i < p->sigactions.n; i++) {
		int rc;

		act = (struct arch_sigaction){ (void *)a[i].handler, a[i].flags, (void *)a[i].restorer, a[i].mask };
		if (a[i].sig == SIGKILL || a[i].sig == SIGSTOP)
			continue;
		rc = sys_rt_sigaction((int)a[i].sig, &act, NULL);
		if (rc < 0)
			return failed(rc, "pid %d: handler of signal %u", p->pid, a[i].sig);
	}
	return 0;
}

/* The root directory follows in the script (jail.c): others may share it, and look for their files yet. */
static int restore_places(const struct process_record *p)
{
	int rc = cwd_enter(p);

	umask(p->umask);
	return rc;
}

static void restore_oom(const struct process_record *p)
{
	char text[16];
	int fd, n = snprintf(text, sizeof(text), "%d", p->oom_score_adj);

	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, (size_t)n) != n && p->oom_score_adj)
		log_line(LOG_INFO, "pid %d: oom_score_adj %d is not given back: %s", p->pid, p->oom_score_adj, strerror(errno));
	close(fd);
}

static void restore_groups(const struct process_record *p)
{
	int n = (int)(p->groups.n / 4), here = getgroups(0, NULL);
	gid_t *now = malloc((size_t)here * sizeof(*now) + 1);

	if (now && here == n && getgroups(here, now) == n && memcmp(now, p->groups.p, p->groups.n) == 0) {
		free(now);
		return;
	}
	free(now);
	if (syscall(SYS_setgroups, n, p->groups.p) < 0 && geteuid() == 0 && p->ruid == 0)
		log_line(LOG_INFO, "pid %d: its groups are not given back: %s", p->pid, strerror(errno));
}

/*
 * Another user's process (a server's workers): capabilities are kept until its threads give them up. By system calls:
 * libc would do it for all threads, but doesn't know of those that makers.c has made.
 */
int identity_credentials(const struct process_record *p)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	restore_groups(p);
	if (p->ruid == getuid() && p->euid == geteuid() && p->rgid == getgid() && p->egid == getegid() && p->suid == p->euid &&
	    p->sgid == p->egid)
		return 0;
	if (syscall(SYS_capget, &head, data) < 0)
		return failed(-errno, "pid %d: capget", p->pid);
	prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	if (syscall(SYS_setresgid, p->rgid, p->egid, p->sgid) < 0)
		return failed(-errno, "pid %d: user %u, group %u: restart as root, or as that user", p->pid, p->euid, p->egid);
	if (syscall(SYS_setresuid, p->ruid, p->euid, p->suid) < 0)
		return failed(-errno, "pid %d: user %u: restart as root, or as that user", p->pid, p->euid);
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	if (syscall(SYS_capset, &head, data) < 0)
		return failed(-errno, "pid %d: capset", p->pid);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return 0;
}

int identity_thread(const struct process_record *p)
{
	if ((uint32_t)personality(0xffffffff) != p->personality && personality(p->personality) < 0)
		return failed(-errno, "pid %d: personality %x", p->pid, p->personality);
	return identity_credentials(p);
}

int identity_restore(struct image *image, const struct planned *plan)
{
	const struct process_record *p = image->processes[plan->process].task;
	int rc = restore_signals(p);

	if (rc < 0)
		return rc;
	restore_oom(p);
	/* one that shares its places has been told them by the other */
	if (!plan->shares_fs)
		rc = restore_places(p);
	if (rc < 0)
		return rc;
	if (p->thp_disable)
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	rc = makers_identity(p);
	return rc < 0 ? rc : identity_thread(p);
}

static void limit_step(struct script_builder *s, const struct process_record *p, uint32_t i)
{
	const struct { uint64_t soft, hard; } *limits = p->rlimits.p;
	struct { uint64_t soft, hard; } now, set;

	if (i >= p->rlimits.n / sizeof(*limits) || sys_prlimit(0, (int)i, NULL, (struct rlimit64 *)&now) < 0)
		return;
	set.soft = limits[i].soft;
	set.hard = limits[i].hard;
	/* the hard limit can only be raised with privilege */
	if (set.hard > now.hard && !(geteuid() == 0 && prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE) == 1)) {
		log_line(LOG_INFO, "pid %d: limit %u: %lu is above what is allowed here", p->pid, i, set.hard);
		set.hard = now.hard;
		set.soft = set.soft > now.hard ? now.hard : set.soft;
	}
	script_step(s, "limit", STEP_TRY, __NR_prlimit64, 0, i, script_put(s, &set, sizeof(set)), 0, 0, 0);
}

int identity_script(struct script_builder *s, const struct process_record *p)
{
	for (uint32_t i = 0; i < RLIM_NLIMITS; i++)
		if (i != RLIMIT_NPROC)
			limit_step(s, p, i);
	if (p->dumpable <= 1)
		SCRIPT_CALL(s, "PR_SET_DUMPABLE", __NR_prctl, PR_SET_DUMPABLE, p->dumpable, 0, 0, 0);
	return s->rc;
}

/* --- timers ------------------------------------------------------------------------------------------------- */

static const struct timer_record *timer_with(const struct process_record *p, int id)
{
	const struct timer_record *t = p->timers.items;

	for (uint32_t i = 0; i < p->timers.n; i++)
		if (t[i].id == id)
			return &t[i];
	return NULL;
}

static void create_timer(struct script_builder *s, const struct timer_record *t, int id)
{
	struct { uint64_t value; int32_t signo, notify, tid, pad[11]; } ev;
	int32_t wanted = id;

	memset(&ev, 0, sizeof(ev));
	ev.value = t ? t->value : 0;
	ev.signo = t ? t->signo : SIGALRM;
	ev.notify = t ? t->notify : SIGEV_NONE;
	ev.tid = t ? t->tid : 0;
	SCRIPT_CALL(s, "timer_create", __NR_timer_create, t ? t->clock : CLOCK_MONOTONIC, script_put(s, &ev, sizeof(ev)),
		    script_put(s, &wanted, sizeof(wanted)), 0, 0);
}

/*
 * A new process's timers are numbered from 0, so those the program had deleted
 * are made too and deleted at the end. Large numbers need
 * PR_TIMER_CREATE_RESTORE_IDS (Linux 6.15).
 */
static void posix_timers(struct script_builder *s, const struct process_record *p)
{
	const struct timer_record *t = p->timers.items;
	int last = -1;

	for (uint32_t i = 0; i < p->timers.n; i++)
		last = t[i].id > last ? t[i].id : last;
	if (last >= TIMER_IDS)
		SCRIPT_CALL(s, "PR_TIMER_CREATE_RESTORE_IDS", __NR_prctl, 77, 1, 0, 0, 0);
	for (int id = 0; id <= last; id++) {
		const struct timer_record *one = timer_with(p, id);

		if (one || last < TIMER_IDS)
			create_timer(s, one, id);
	}
	if (last >= TIMER_IDS)
		SCRIPT_CALL(s, "PR_TIMER_CREATE_RESTORE_IDS", __NR_prctl, 77, 0, 0, 0, 0);
	for (int id = 0; id <= last; id++) {
		const struct timer_record *one = timer_with(p, id);
		struct __kernel_itimerspec its;

		if (!one && last < TIMER_IDS) {
			SCRIPT_CALL(s, "timer_delete", __NR_timer_delete, id, 0, 0, 0, 0);
		} else if (one && one->left_ns && !one->absolute_expired) {
			its.it_interval.tv_sec = (int64_t)(one->interval_ns / NS);
			its.it_interval.tv_nsec = (int64_t)(one->interval_ns % NS);
			its.it_value.tv_sec = (int64_t)(one->left_ns / NS);
			its.it_value.tv_nsec = (int64_t)(one->left_ns % NS);
			SCRIPT_CALL(s, "timer_settime", __NR_timer_settime, id, 0, script_put(s, &its, sizeof(its)), 0, 0);
		}
	}
}

static int timers(struct script_builder *s, const struct process_record *p)
{
	const struct itimer_record *it = p->itimers.items;

	posix_timers(s, p);
	for (uint32_t i = 0; i < p->itimers.n && i < 3; i++) {
		int64_t v[4] = { (int64_t)(it[i].interval_us / 1000000), (int64_t)(it[i].interval_us % 1000000),
				 (int64_t)(it[i].left_us / 1000000), (int64_t)(it[i].left_us % 1000000) };

		if (it[i].left_us)
			SCRIPT_CALL(s, "setitimer", __NR_setitimer, i, script_put(s, v, sizeof(v)), 0, 0, 0);
	}
	return s->rc;
}

int identity_script_threads_made(struct script_builder *s, const struct process_record *p)
{
	limit_step(s, p, RLIMIT_NPROC);
	return timers(s, p);
}
