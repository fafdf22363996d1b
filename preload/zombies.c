/*
 * zombies.c - children, and those that have ended and were not yet waited for
 *
 * The latter have no memory and no shim; all that is left is a number, a status
 * and where they belong. The leader finds them, for every member, while all
 * stand: /proc/PID/task/TID/children lists children (CONFIG_PROC_CHILDREN), the
 * last field of /proc/PID/stat is the status (man 5 proc_pid_stat). Living
 * children are members, or the image would lack them; of those it is noted
 * which thread's they are, and what their end sends.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <signal.h>

#include "conduct.h"
#include "skshim/treefile.h"

#include "skshim/frozen.h"

#define PF_EXITING 4                  /* of a process's flags in its stat */
#define END_STEPS 50000               /* of 100 us */

struct dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* Fields 3 (a letter) to 52 of /proc/PID/stat; false when it is gone. */
static bool read_stat(int pid, char *state, int64_t *f)
{
	char path[48], text[1024];
	const char *p, *end;
	long n;
	int fd;

	text_format(path, sizeof(path), "/proc/%d/stat", pid);
	fd = sys_openat(AT_FDCWD, path, O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	n = sys_read(fd, text, sizeof(text));
	sys_close(fd);
	if (n <= 0)
		return false;
	end = text + n;
	for (p = end; p > text && p[-1] != ')'; p--)
		;
	if (p == text || end - p < 3)
		return false;
	*state = p[1];
	p += 2;
	for (int field = 4; field <= 52; field++) {
		uint64_t v = 0;
		bool minus;

		while (p < end && *p == ' ')
			p++;
		minus = p < end && *p == '-';
		p += minus;
		if (!text_number(&p, end, 10, &v))
			return field > 51;
		f[field] = minus ? -(int64_t)v : (int64_t)v;
	}
	return true;
}

/* A child that lives and that nobody of us has seen coming: made without libc, or it executed its program so. */
static int unknown(int pid, int parent)
{
	struct treefile_stat st;

	if (treefile_stat(pid, &st) < 0 || st.state == 'Z' || st.state == 'X' || members_has(pid))
		return 0;
	return failed(ERR_PLAIN, "pid %d (%s), child of %d, was made without libc: libskshim.so isn't in it, or doesn't know of it",
		      pid, st.comm, parent);
}

/*
 * One that nobody has seen coming, and that is on its way out: a vfork's child lets its parent go before it is a
 * zombie. What it is then belongs into the image.
 */
static void await_end(int pid, char *state, int64_t *f)
{
	const struct __kernel_timespec step = { 0, 100000 };

	for (int i = 0; i < END_STEPS && *state != 'Z' && (f[9] & PF_EXITING) && !members_has(pid); i++) {
		SYS2(__NR_nanosleep, &step, NULL);
		if (!read_stat(pid, state, f))
			return;
	}
}

static uint32_t exit_signal(int64_t sig)
{
	return sig == SIGCHLD || sig < 0 ? 0 : (uint32_t)sig + 1;
}

static void note(int pid, uint32_t tid, int64_t sig)
{
	for (uint32_t i = 0; i < work.npids; i++)
		if (work.pids[i].pid == pid) {
			work.pids[i].parent_tid = tid;
			work.pids[i].exit_signal = exit_signal(sig);
		}
}

static int add(int pid, int parent, uint32_t tid)
{
	struct treefile_stat st;
	struct dead_record *d;
	int64_t f[53];
	char state = 0;

	memset(f, 0, sizeof(f));
	if (!read_stat(pid, &state, f) || f[4] != parent)
		return 0;
	await_end(pid, &state, f);
	if (tid == (uint32_t)parent)
		tid = 0;
	/* one with threads has lost its first only */
	if (state != 'Z' || f[20] > 1) {
		note(pid, tid, f[38]);
		return unknown(pid, parent);
	}
	if (work.ndead == work.dead_room) {
		uint32_t room = work.dead_room * 2 + 64;
		struct dead_record *more = arena_alloc(&work.arena, room * sizeof(*more));

		if (!more)
			return failed(-ENOMEM, "memory for %u ended processes", room);
		if (work.ndead)
			memcpy(more, work.dead, work.ndead * sizeof(*more));
		work.dead = more;
		work.dead_room = room;
	}
	d = &work.dead[work.ndead++];
	d->pid = pid;
	d->ppid = parent;
	d->pgid = (int32_t)f[5];
	d->sid = (int32_t)f[6];
	d->status = (int32_t)f[52];
	d->parent_tid = tid;
	d->exit_signal = exit_signal(f[38]);
	d->comm = treefile_stat(pid, &st) == 0 ? arena_blob(&work.arena, st.comm, strlen(st.comm)) : (struct blob){ 0 };
	return 0;
}

static int children_of(int pid, const char *tid)
{
	char path[80];
	struct blob text;
	const char *p, *end;
	uint64_t child, number = 0;
	int rc;

	p = tid;
	text_number(&p, tid + strlen(tid), 10, &number);
	text_format(path, sizeof(path), "/proc/%d/task/%s/children", pid, tid);
	rc = arena_read_file(&work.arena, AT_FDCWD, path, &text);
	if (rc < 0)
		return 0;            /* the thread is gone, or the kernel doesn't tell: then it has no zombies we know of */
	p = text.p;
	end = p + text.n;
	for (rc = 0; rc == 0 && text_number(&p, end, 10, &child);) {
		rc = add((int)child, pid, (uint32_t)number);
		while (p < end && *p == ' ')
			p++;
	}
	return rc;
}

int zombies_collect(void)
{
	char buf[4096] __attribute__((aligned(8))), path[48];
	int rc = 0;

	work.ndead = work.dead_room = 0;
	for (uint32_t i = 0; i < work.npids && rc == 0; i++) {
		long n;
		int fd;

		text_format(path, sizeof(path), "/proc/%d/task", work.pids[i].pid);
		fd = sys_openat(AT_FDCWD, path, O_DIRECTORY | O_CLOEXEC, 0);
		if (fd < 0)
			return failed(fd, "%s", path);
		while (rc == 0 && (n = sys_getdents64(fd, buf, sizeof(buf))) > 0)
			for (long at = 0; at < n && rc == 0; at += ((struct dirent64 *)(buf + at))->reclen) {
				const char *name = ((struct dirent64 *)(buf + at))->name;

				if (name[0] >= '1' && name[0] <= '9')
					rc = children_of(work.pids[i].pid, name);
			}
		if (rc == 0 && n < 0)
			rc = failed((int)n, "%s", path);
		sys_close(fd);
	}
	return rc;
}
