/*
 * identity.c - the process about itself
 *
 * Everything is read, nothing is changed. What could be another thread's own
 * (apart.c) is the first thread's here.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "family.h"
#include "skshim/treefile.h"
#include "skshim/view.h"
#include "stop.h"

#include "skshim/frozen.h"

#define NLIMITS 16
#define ITIMER_GRAIN 2000             /* ns */

static int link_of(struct arena *a, const char *name, struct blob *out)
{
	char buf[4096], path[48];
	struct stat st;
	long n;

	text_format(path, sizeof(path), "/proc/self/task/%d/%s", quiesce_base(), name);
	n = sys_readlinkat(AT_FDCWD, path, buf, sizeof(buf));
	if (n < 0)
		return failed((int)n, "pid %d: %s", shim.pid, path);
	*out = arena_blob(a, buf, (size_t)n);
	if (sys_fstatat(AT_FDCWD, path, &st, 0) == 0)
		*out = view_global(a, *out, st.st_dev, st.st_ino);
	return 0;
}

/* Fields of a stat behind the name, which may hold anything; numbered as in man 5 proc. */
static int stat_fields(struct arena *a, const char *path, uint64_t *out, int first, int last)
{
	struct blob text;
	const char *p, *end;
	int rc = arena_read_file(a, AT_FDCWD, path, &text);

	if (rc < 0)
		return failed(rc, "%s", path);
	p = text.p;
	end = p + text.n;
	for (const char *q = p; q < end; q++)
		if (*q == ')')
			p = q + 1;
	for (int field = 3; p < end && field <= last; field++) {
		bool minus = false;
		uint64_t v = 0;

		while (p < end && *p == ' ')
			p++;
		if (p < end && *p == '-') {
			minus = true;
			p++;
		}
		if (!text_number(&p, end, 10, &v))
			p++;     /* the state, a letter */
		if (field >= first)
			out[field - first] = minus ? -v : v;
	}
	return 0;
}

static int collect_signals(struct arena *a, struct process_record *p)
{
	struct sigaction_record *list = arena_alloc(a, 64 * sizeof(*list));
	struct arch_sigaction act;
	uint32_t n = 0;

	if (!list)
		return failed(-ENOMEM, "pid %d: memory", shim.pid);
	for (uint32_t sig = 1; sig <= 64; sig++) {
		if (sys_rt_sigaction((int)sig, NULL, &act) < 0)
			continue;
		if (!act.handler && !act.flags && !act.mask)
			continue;
		list[n++] = (struct sigaction_record){ sig, (uint64_t)act.handler, act.flags, (uint64_t)act.restorer, act.mask };
	}
	p->sigactions.items = list;
	p->sigactions.n = n;
	return 0;
}

static int collect_itimers(struct arena *a, struct process_record *p)
{
	struct itimer_record *list = arena_alloc(a, 3 * sizeof(*list));
	static const int signals[] = { SIGALRM, SIGVTALRM, SIGPROF };
	struct { int64_t isec, iusec, sec, usec; } t;
	siginfo_t late;
	int64_t until;

	if (!list)
		return failed(-ENOMEM, "pid %d: memory", shim.pid);
	for (int which = 0; which < 3; which++) {
		memset(&t, 0, sizeof(t));
		/* less than 1 us is told as 0, as if it had run out: tests/kernel/itimer_rearm.c */
		until = stop_now() + ITIMER_GRAIN;
		do {
			SYS2(__NR_getitimer, which, &t);
		} while (which == ITIMER_REAL && !t.sec && !t.usec && stop_now() < until);
		list[which].interval_us = (uint64_t)(t.isec * 1000000 + t.iusec);
		list[which].left_us = (uint64_t)(t.sec * 1000000 + t.usec);
		memset(&late, 0, sizeof(late));
		late.si_signo = signals[which];
		late.si_code = SI_KERNEL;
		if (!list[which].left_us)
			thread_add_late(&late);
		/* its signal is pending, and it goes on when that is taken: tests/kernel/itimer_rearm.c */
		if (!list[which].left_us)
			list[which].left_us = list[which].interval_us;
	}
	p->itimers.items = list;
	p->itimers.n = 3;
	return 0;
}

static uint64_t line_number(struct blob line)
{
	const char *s = line.p, *end = s + line.n;
	uint64_t v = 0;
	bool minus;

	while (s < end && *s != ':')
		s++;
	while (s < end && (*s == ':' || *s == ' '))
		s++;
	minus = s < end && *s == '-';
	if (minus)
		s++;
	text_number(&s, end, 10, &v);
	return minus ? -v : v;
}

/* "notify: signal/tid.1234", "notify: thread/pid.99", "notify: none/pid.99" */
static void parse_notify(struct blob line, struct timer_record *t)
{
	const char *s = (const char *)line.p + 8, *end = (const char *)line.p + line.n;
	uint64_t tid = 0;

	t->notify = SIGEV_SIGNAL;
	if ((size_t)(end - s) > 4 && !memcmp(s, "none", 4))
		t->notify = SIGEV_NONE;
	while (s + 4 < end && memcmp(s, "tid.", 4) != 0)
		s++;
	if (s + 4 < end) {
		s += 4;
		if (text_number(&s, end, 10, &tid) && t->notify != SIGEV_NONE) {
			t->notify = 4 /* SIGEV_THREAD_ID */;
			t->tid = (int32_t)tid;
		}
	}
}

/* "signal: 14/00007ffc..." */
static void parse_signal(struct blob line, struct timer_record *t)
{
	const char *s = (const char *)line.p + 8, *end = (const char *)line.p + line.n;
	uint64_t v = 0;

	if (text_number(&s, end, 10, &v))
		t->signo = (int32_t)v;
	if (s < end && *s == '/')
		s++;
	text_number(&s, end, 16, &t->value);
}

/* The signal of a timer that has run out, if it still waits. */
static void timer_late(const struct timer_record *t)
{
	siginfo_t late;

	if (t->left_ns || t->notify != SIGEV_SIGNAL || t->signo < 1 || t->signo > 64)
		return;
	memset(&late, 0, sizeof(late));
	late.si_signo = t->signo;
	late.si_code = SI_TIMER;
	late.si_timerid = t->id;
	late.si_value.sival_ptr = (void *)t->value;
	thread_add_late(&late);
}

static void read_timer(struct timer_record *t)
{
	struct __kernel_itimerspec its;

	memset(&its, 0, sizeof(its));
	if (SYS2(__NR_timer_gettime, t->id, &its) < 0)
		return;
	t->interval_ns = (uint64_t)(its.it_interval.tv_sec * 1000000000ll + its.it_interval.tv_nsec);
	t->left_ns = (uint64_t)(its.it_value.tv_sec * 1000000000ll + its.it_value.tv_nsec);
}

/* /proc/self/timers: "ID: 0", "signal: ", "notify: ", "ClockID: " for each (man 5 proc_pid_timers). */
static int collect_timers(struct arena *a, struct process_record *p)
{
	struct blob text, line, count;
	struct timer_record *list, *t = NULL;
	uint32_t n = 0, room = 0;
	int rc = arena_read_file(a, AT_FDCWD, "/proc/self/timers", &text);

	if (rc == -ENOENT)
		return 0;     /* a kernel without CONFIG_CHECKPOINT_RESTORE tells nothing */
	if (rc < 0)
		return failed(rc, "/proc/self/timers");
	for (count = text; text_line(&count, &line);)
		room += blob_starts(line, "ID:");
	list = arena_alloc(a, (room + 1) * sizeof(*list));
	if (!list)
		return failed(-ENOMEM, "pid %d: memory", shim.pid);
	while (text_line(&text, &line)) {
		if (blob_starts(line, "ID:") && n < room) {
			t = &list[n++];
			t->id = (int32_t)line_number(line);
			read_timer(t);
		} else if (t && blob_starts(line, "signal: ")) {
			parse_signal(line, t);
		} else if (t && blob_starts(line, "notify: ")) {
			parse_notify(line, t);
		} else if (t && blob_starts(line, "ClockID:")) {
			t->clock = (int32_t)(int64_t)line_number(line);
		}
	}
	for (uint32_t i = 0; i < n; i++)
		timer_late(&list[i]);
	late_timer_note(list, n);
	p->timers.items = list;
	p->timers.n = n;
	return 0;
}

/* "Groups:\t4 24 27 ", as the status of a thread has them. */
static int parse_groups(struct arena *a, struct blob line, uint32_t n, struct process_record *p)
{
	const char *s = (const char *)line.p + sizeof("Groups:") - 1, *end = (const char *)line.p + line.n;
	uint32_t *list = arena_alloc(a, (n + 1) * sizeof(*list));
	uint64_t v;

	for (uint32_t i = 0; list && i < n; i++) {
		while (s < end && (*s == '\t' || *s == ' '))
			s++;
		if (!text_number(&s, end, 10, &v))
			return failed(-EIO, "pid %d: its groups", shim.pid);
		list[i] = (uint32_t)v;
	}
	p->groups = (struct blob){ list, n * sizeof(*list) };
	return list ? 0 : failed(-ENOMEM, "pid %d: memory for its groups", shim.pid);
}

/* Its first thread's. */
static int collect_credentials(struct arena *a, struct process_record *p)
{
	const struct apart *first = apart_first();
	struct blob status, line;
	char path[48];
	uint64_t v[4];
	int rc;

	p->ruid = first->uid[0];
	p->euid = p->fsuid = first->uid[1];
	p->suid = first->uid[2];
	p->rgid = first->gid[0];
	p->egid = p->fsgid = first->gid[1];
	p->sgid = first->gid[2];
	p->personality = first->personality;
	text_format(path, sizeof(path), "/proc/self/task/%d/status", quiesce_base());
	rc = arena_read_file(a, AT_FDCWD, path, &status);
	if (rc < 0)
		return failed(rc, "%s", path);
	if (text_field(status, "Umask:", 8, v))
		p->umask = (uint32_t)v[0];
	while (rc == 0 && text_line(&status, &line)) {
		const char *s = (const char *)line.p + 4, *end = (const char *)line.p + line.n;
		bool uid = blob_starts(line, "Uid:"), gid = blob_starts(line, "Gid:");

		if (blob_starts(line, "Groups:"))
			rc = parse_groups(a, line, first->ngroups, p);
		if (!uid && !gid)
			continue;
		for (int i = 0; i < 4; i++) {
			while (s < end && (*s == '\t' || *s == ' '))
				s++;
			if (!text_number(&s, end, 10, &v[i]))
				return failed(-EIO, "%s: %.*s", path, (int)line.n, (const char *)line.p);
		}
		*(uid ? &p->fsuid : &p->fsgid) = (uint32_t)v[3];
	}
	return rc;
}

static void collect_limits(struct arena *a, struct process_record *p)
{
	struct { uint64_t soft, hard; } all[NLIMITS];

	for (int i = 0; i < NLIMITS; i++) {
		all[i].soft = all[i].hard = ~0ull;
		sys_prlimit(0, i, NULL, (struct rlimit64 *)&all[i]);
	}
	p->rlimits = arena_blob(a, all, sizeof(all));
}

static void collect_places(struct process_record *p)
{
	const struct member *parent = members_find(sys_getppid());
	struct stat st;
	char path[48];

	text_format(path, sizeof(path), "/proc/self/task/%d/cwd", quiesce_base());
	if (sys_fstatat(AT_FDCWD, path, &st, 0) == 0) {
		p->cwd_dev = st.st_dev;
		p->cwd_ino = st.st_ino;
		p->cwd_mode = st.st_mode;
	}
	if (parent && sys_kcmp(quiesce_base(), parent->tid, KCMP_FS, 0, 0) == 0)
		p->fs_of = (uint32_t)parent->pid;
}

/* Its name is its first thread's, also when that has ended. */
static int collect_first(struct arena *a, struct process_record *p)
{
	char path[48];
	uint64_t status = 0;
	int rc = arena_read_file(a, AT_FDCWD, "/proc/self/comm", &p->comm);

	if (rc < 0)
		return failed(rc, "pid %d: /proc/self/comm", shim.pid);
	if (p->comm.n && ((const char *)p->comm.p)[p->comm.n - 1] == '\n')
		p->comm.n--;
	p->first_ended = quiesce.first_ended;
	p->born_ns = (uint64_t)clean_born();
	if (!p->first_ended)
		return 0;
	text_format(path, sizeof(path), "/proc/self/task/%d/stat", shim.pid);
	rc = stat_fields(a, path, &status, 52, 52);
	p->first_status = (uint32_t)status;
	return rc;
}

static int collect_texts(struct arena *a, struct process_record *p)
{
	struct blob text;
	const char *s;
	uint64_t v;
	int rc = collect_first(a, p);

	if (rc == 0)
		rc = link_of(a, "exe", &p->exe);
	if (rc == 0)
		rc = link_of(a, "cwd", &p->cwd);
	p->root = view.root_len ? (struct blob){ view.root, view.root_len } : BLOB("/");
	p->view = sys_view_on ? (uint64_t)&view.fds : 0;
	if (rc < 0)
		return rc;
	rc = arena_read_file(a, AT_FDCWD, "/proc/thread-self/cmdline", &p->cmdline);
	if (rc < 0)
		return failed(rc, "pid %d: /proc/thread-self/cmdline", shim.pid);
	rc = arena_read_file(a, AT_FDCWD, "/proc/thread-self/auxv", &p->auxv);
	if (rc < 0)
		return failed(rc, "pid %d: /proc/thread-self/auxv", shim.pid);
	rc = arena_read_file(a, AT_FDCWD, "/proc/thread-self/oom_score_adj", &text);
	if (rc < 0 && rc != -ENOENT && rc != -EACCES)
		return failed(rc, "pid %d: /proc/thread-self/oom_score_adj", shim.pid);
	if (rc == 0) {
		bool minus = text.n && ((const char *)text.p)[0] == '-';

		s = (const char *)text.p + minus;
		if (text_number(&s, (const char *)text.p + text.n, 10, &v))
			p->oom_score_adj = minus ? -(int32_t)v : (int32_t)v;
	}
	return 0;
}

int identity_collect(struct arena *a, struct process_record *p)
{
	struct treefile_stat self;
	uint64_t f[52];
	uint32_t value = 0;
	int rc;

	memset(p, 0, sizeof(*p));
	memset(f, 0, sizeof(f));
	rc = seccomp_check();
	if (rc == 0)
		rc = keys_check();
	if (rc == 0)
		rc = undo_check();
	if (rc == 0)
		rc = attribute_check();
	if (rc == 0)
		rc = jail_check();
	if (rc == 0)
		rc = apart_check(a);
	if (rc == 0)
		rc = stat_fields(a, "/proc/thread-self/stat", f, 3, 51);
	if (rc < 0)
		return rc;
#define STAT(n) f[(n) - 3]
	p->pid = shim.pid;
	p->ppid = (int32_t)STAT(4);
	p->pgid = (int32_t)STAT(5);
	p->sid = (int32_t)STAT(6);
	p->session_gone = p->sid && sys_kill(p->sid, 0) == -ESRCH;
	p->group_gone = p->pgid && sys_kill(p->pgid, 0) == -ESRCH;
	p->tty_dev = STAT(7);
	p->tty_pgrp = (int32_t)STAT(8) > 0 ? (int32_t)STAT(8) : 0;
	p->start_time = treefile_stat(0, &self) == 0 ? self.start_time : STAT(22);
	p->start_code = STAT(26);
	p->end_code = STAT(27);
	p->start_stack = STAT(28);
	p->start_data = STAT(45);
	p->end_data = STAT(46);
	p->start_brk = STAT(47);
	p->arg_start = STAT(48);
	p->arg_end = STAT(49);
	p->env_start = STAT(50);
	p->env_end = STAT(51);
#undef STAT
	attribute_process();
	p->brk = (uint64_t)SYS1(__NR_brk, 0);
	p->dumpable = (uint32_t)sys_prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	sys_prctl(PR_GET_CHILD_SUBREAPER, (unsigned long)&value, 0, 0, 0);
	p->subreaper = value;
	p->thp_disable = sys_prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) > 0;
	rc = collect_texts(a, p);
	if (rc == 0)
		rc = collect_credentials(a, p);
	if (rc == 0)
		rc = collect_signals(a, p);
	if (rc == 0)
		rc = collect_itimers(a, p);
	if (rc == 0)
		rc = collect_timers(a, p);
	if (rc < 0)
		return rc;
	collect_limits(a, p);
	collect_places(p);
	p->handover = (uint64_t)&handover;
	p->ledger = (uint64_t)shim.tree;
	p->ledger_size = sizeof(struct tree);
	return 0;
}
