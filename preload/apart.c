/*
 * apart.c - threads that differ from their process's first
 *
 * To the kernel, users, groups, personality, working directory and table of
 * descriptors are a thread's own; only libc keeps those of all threads the
 * same. A program that goes around libc (a file server that acts as its
 * clients) has threads that differ. A thread that the restart has cloned is
 * like the first one, so it makes itself different again.
 *
 * What several threads share that the first has not (the working directory of
 * one that has its own, inherited by those it made) can't be made so: refused.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sys/mman.h>

#include "stop.h"

#include "skshim/frozen.h"

#define DELETED " (deleted)"

int quiesce_base(void)
{
	return quiesce.first_ended ? quiesce.slots[quiesce.leader].tid : shim.pid;
}

/* Number and sum of the calling thread's groups, and as many of them as the slot has room for. */
static void look_groups(struct apart *now)
{
	long n = SYS2(__NR_getgroups, 0, NULL);
	uint32_t *list;
	size_t size;

	now->ngroups = n > 0 ? (uint32_t)n : 0;
	now->groups_sum = 0;
	if (n <= 0)
		return;
	if (n <= APART_GROUPS) {
		n = SYS2(__NR_getgroups, APART_GROUPS, now->groups);
		now->groups_sum = n > 0 ? image_hash(now->groups, (size_t)n * sizeof(*list)) : 0;
		return;
	}
	size = (size_t)n * sizeof(*list);
	list = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_err(list))
		return;
	n = SYS2(__NR_getgroups, n, list);
	now->groups_sum = n > 0 ? image_hash(list, (size_t)n * sizeof(*list)) : 0;
	sys_munmap(list, size);
}

static void look(struct apart *now)
{
	SYS3(__NR_getresuid, &now->uid[0], &now->uid[1], &now->uid[2]);
	SYS3(__NR_getresgid, &now->gid[0], &now->gid[1], &now->gid[2]);
	now->personality = (uint32_t)SYS1(__NR_personality, 0xffffffff);
	look_groups(now);
}

static bool same_groups(const struct apart *a, const struct apart *b)
{
	return a->ngroups == b->ngroups && a->groups_sum == b->groups_sum;
}

void apart_collect(struct slot *s)
{
	look(&s->apart);
	s->apart.cwd = NULL;
}

/* --- the leader, while all stand ----------------------------------------------------------------------------- */

static int text_of(struct arena *a, int tid, const char *what, struct blob *out)
{
	char path[64], text[APART_PATH];
	long n;

	text_format(path, sizeof(path), "/proc/self/task/%d/%s", tid, what);
	n = sys_readlinkat(AT_FDCWD, path, text, sizeof(text));
	if (n == sizeof(text))
		n = -ENAMETOOLONG;
	if (n < 0)
		return failed((int)n, "pid %d: %s", shim.pid, path);
	*out = arena_blob(a, text, (size_t)n);
	return out->p ? 0 : failed(-ENOMEM, "pid %d: memory", shim.pid);
}

/* A working directory of its own. */
static int look_places(struct arena *a, struct slot *s)
{
	struct blob root, own_root, cwd, status;
	char path[64];
	uint64_t mask = 022;
	int rc = text_of(a, quiesce_base(), "root", &root);

	if (rc == 0)
		rc = text_of(a, s->tid, "root", &own_root);
	if (rc == 0)
		rc = text_of(a, s->tid, "cwd", &cwd);
	if (rc < 0)
		return rc;
	if (!blob_eq(root, own_root))
		return failed(ERR_PLAIN, "pid %d: thread %d has a root directory of its own", shim.pid, s->tid);
	if (cwd.n >= strlen(DELETED) && !memcmp((const char *)cwd.p + cwd.n - strlen(DELETED), DELETED, strlen(DELETED)))
		return failed(ERR_PLAIN, "pid %d: thread %d has a working directory of its own, which was deleted", shim.pid, s->tid);
	for (uint32_t i = 0; i < quiesce.nslots; i++) {
		const struct slot *other = &quiesce.slots[i];

		if (other != s && other->state == SLOT_PARKED && sys_kcmp(s->tid, other->tid, KCMP_FS, 0, 0) == 0)
			return failed(ERR_PLAIN, "pid %d: threads %d and %d share a working directory that the first one hasn't",
				      shim.pid, s->tid, other->tid);
	}
	text_format(path, sizeof(path), "/proc/self/task/%d/status", s->tid);
	rc = arena_read_file(a, AT_FDCWD, path, &status);
	if (rc < 0 || !text_field(status, "Umask:", 8, &mask))
		return failed(rc < 0 ? rc : -EIO, "pid %d: %s", shim.pid, path);
	s->apart.umask = (uint32_t)mask;
	s->apart.cwd = sys_mmap(NULL, APART_PATH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_err(s->apart.cwd)) {
		s->apart.cwd = NULL;
		return failed(-ENOMEM, "pid %d: memory", shim.pid);
	}
	memcpy(s->apart.cwd, cwd.p, cwd.n);
	return 0;
}

void apart_forget(struct slot *s)
{
	if (s->apart.cwd)
		sys_munmap(s->apart.cwd, APART_PATH);
	s->apart.cwd = NULL;
}

int apart_check(struct arena *a)
{
	int base = quiesce_base(), rc = 0;
	const struct slot *first = NULL;

	for (uint32_t i = 0; i < quiesce.nslots; i++)
		if (quiesce.slots[i].state == SLOT_PARKED && quiesce.slots[i].tid == base)
			first = &quiesce.slots[i];
	if (!first)
		return failed(ERR_PLAIN, "pid %d: its first thread doesn't stand", shim.pid);
	for (uint32_t i = 0; i < quiesce.nslots && rc == 0; i++) {
		struct slot *s = &quiesce.slots[i];

		if (s->state != SLOT_PARKED || s == first)
			continue;
		if (sys_kcmp(s->tid, base, KCMP_FILES, 0, 0) > 0)
			return failed(ERR_PLAIN, "pid %d: thread %d has a table of descriptors of its own", shim.pid, s->tid);
		if (s->apart.ngroups > APART_GROUPS && !same_groups(&s->apart, &first->apart))
			return failed(ERR_PLAIN, "pid %d: thread %d has %u groups of its own", shim.pid, s->tid, s->apart.ngroups);
		if (sys_kcmp(s->tid, base, KCMP_FS, 0, 0) > 0)
			rc = look_places(a, s);
	}
	return rc;
}

const struct apart *apart_first(void)
{
	int base = quiesce_base();
	uint32_t i = 0;

	while (i < quiesce.nslots - 1 && (quiesce.slots[i].tid != base || quiesce.slots[i].state != SLOT_PARKED))
		i++;
	return &quiesce.slots[i].apart;
}

/* --- after a restart, in the thread -------------------------------------------------------------------------- */

static void must(const struct slot *s, long rc, const char *what)
{
	if (rc >= 0)
		return;
	/* a thread that isn't who it was must not run */
	log_line(LOG_ERROR, "cannot restart: pid %d: %s of thread %d: %s", shim.pid, what, s->tid, text_error((int)rc));
	sys_exit_group(125);
}

/* Capabilities are kept until restore_caps() takes those away that the thread hadn't. */
static void all_permitted(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (SYS2(__NR_capget, &head, data) < 0)
		return;
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	SYS2(__NR_capset, &head, data);
}

void apart_restore(const struct slot *s)
{
	const struct apart *want = &s->apart, *first = apart_first();
	static const char users[] = "users", groups[] = "groups", cwd[] = "working directory";
	struct apart now;

	look(&now);
	if (want->cwd) {
		must(s, SYS1(__NR_unshare, CLONE_FS), cwd);
		must(s, SYS1(__NR_chdir, want->cwd), cwd);
		SYS1(__NR_umask, want->umask);
	}
	if (want->personality != now.personality)
		must(s, SYS1(__NR_personality, want->personality), "personality");
	if (!same_groups(want, first) && !same_groups(want, &now))
		must(s, SYS2(__NR_setgroups, want->ngroups, want->groups), groups);
	if (memcmp(want->uid, now.uid, sizeof(now.uid)) != 0 || memcmp(want->gid, now.gid, sizeof(now.gid)) != 0) {
		sys_prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
		must(s, SYS3(__NR_setresgid, want->gid[0], want->gid[1], want->gid[2]), groups);
		must(s, SYS3(__NR_setresuid, want->uid[0], want->uid[1], want->uid[2]), users);
		all_permitted();
	}
}
