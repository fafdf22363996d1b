/*
 * redo.c - making the interrupted call again, so that nobody notices
 *
 * Our signal makes some calls return EINTR whatever SA_RESTART says (man 7
 * signal). The frame then shows RAX = -EINTR behind a `syscall` instruction:
 * winding RIP back over it and putting the call's number into RAX makes it
 * again (tests/kernel/eintr_frame.c). The number is gone from the frame; it is
 * the operand of the `mov` before the instruction, or what
 * /proc/self/task/TID/syscall said before, or in the red zone of syscall().
 *
 * A relative timeout would start anew. So a call that has one goes on in
 * redo_entry (context.S) with a struct redo below the program's stack, which
 * holds a copy of the timeout with what was left. How long the thread had
 * slept is told by se.exec_start (tests/kernel/exec_start.c); at the next
 * checkpoint the struct redo tells the deadline itself. select, pselect6 and
 * ppoll write back what is left and need none of this.
 *
 * A signal for the program that waits while the world stands would have
 * interrupted the call too: then EINTR is the truth and stays.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>

#include "stop.h"

#include "skshim/frozen.h"

#define NS 1000000000ll
#define RED_ZONE 128
#define EINTR_ 4
#define EAGAIN_ 11
#define EINPROGRESS_ 115
#define REDO_MAGIC 0x6f6465726d69686bull

/* Lies on the program's stack while the call is made again; context.S knows the offsets. */
struct redo {
	uint64_t magic;
	uint64_t nr;                          /* 8 */
	uint64_t args[6];                     /* 16 */
	uint64_t saved[6];                    /* 64: rdi rsi rdx r10 r8 r9 as the program had them */
	uint64_t rip;                         /* 112: behind its syscall instruction */
	uint64_t rsp;                         /* 120 */
	uint64_t poll;                        /* 128: wait for a socket first */
	struct pollfd pollfd;                 /* 136 */
	struct __kernel_timespec poll_left;   /* 144 */
	int64_t poll_timeout;                 /* 160: the call's result when that time is over */
	struct __kernel_timespec left;
	int64_t deadline;                     /* CLOCK_MONOTONIC ns */
	uint32_t where;                       /* enum timeout */
	uint32_t pad;
};
_Static_assert(offsetof(struct redo, saved) == 64 && offsetof(struct redo, rip) == 112, "context.S");
_Static_assert(offsetof(struct redo, poll) == 128 && offsetof(struct redo, poll_left) == 144, "context.S");
_Static_assert(offsetof(struct redo, poll_timeout) == 160, "context.S");

/* Where a call's relative timeout is. */
enum timeout { T_NONE, T_MS2, T_MS3, T_TS0, T_TS2, T_TS3, T_TS4, T_FUTEX, T_SLEEP, T_RCV, T_SND };

static enum timeout timeout_of(long nr)
{
	switch (nr) {
	case __NR_poll:
		return T_MS2;
	case __NR_epoll_wait: case __NR_epoll_pwait:
		return T_MS3;
	case __NR_epoll_pwait2: case __NR_semtimedop:
		return T_TS3;
	case __NR_rt_sigtimedwait:
		return T_TS2;
	case __NR_io_getevents: case __NR_io_pgetevents:
		return T_TS4;
	case __NR_nanosleep:
		return T_TS0;
	case __NR_clock_nanosleep:
		return T_SLEEP;
	case __NR_futex:
		return T_FUTEX;
	case __NR_read: case __NR_readv: case __NR_recvfrom: case __NR_recvmsg: case __NR_recvmmsg:
	case __NR_accept: case __NR_accept4:
		return T_RCV;
	case __NR_write: case __NR_writev: case __NR_sendto: case __NR_sendmsg: case __NR_sendmmsg:
	case __NR_connect:
		return T_SND;
	}
	return T_NONE;
}

static uint64_t *reg(ucontext_t *uc, int n)
{
	static const int order[6] = { REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 };

	return (uint64_t *)&uc->uc_mcontext.gregs[order[n]];
}

static bool at_syscall(uint64_t pc)
{
	const uint8_t *p = (const uint8_t *)pc;

	return p[0] == 0x0f && p[1] == 0x05;
}

static bool in_redo(uint64_t pc)
{
	return pc >= (uint64_t)redo_entry && pc < (uint64_t)redo_end;
}

/* Which call ended at pc: -1 when nobody can say. */
static long number_at(const struct slot *s, uint64_t pc, uint64_t sp)
{
	const uint8_t *p = (const uint8_t *)pc;
	uint32_t nr;

	if (pc == (uint64_t)syscall_after)
		return (long)*(uint64_t *)(sp - 8);
	if (p[-7] == 0xb8) {
		memcpy(&nr, p - 6, 4);
		if (nr < 1024)
			return nr;
	}
	if (s->seen_nr >= 0 && s->seen_pc == pc && s->seen_nr != __NR_restart_syscall)
		return s->seen_nr;
	/* a few register moves may stand between */
	for (int back = 8; back <= 24; back++) {
		if (p[-back] != 0xb8)
			continue;
		memcpy(&nr, p - back + 1, 4);
		if (nr < 1024)
			return nr;
	}
	return -1;
}

static int64_t timespec_ns(const struct __kernel_timespec *t)
{
	if (t->tv_sec > 9000000000ll)
		return -1;
	return t->tv_sec * NS + t->tv_nsec;
}

static int64_t socket_timeout(int fd, int which)
{
	struct { int64_t sec, usec; } tv = { 0, 0 };
	unsigned len = sizeof(tv);

	if (sys_getsockopt(fd, SOL_SOCKET, which, &tv, &len) < 0 || (tv.sec == 0 && tv.usec == 0))
		return -1;
	return tv.sec * NS + tv.usec * 1000;
}

/* The whole relative timeout of a call with these arguments, -1 for none. */
static int64_t whole(enum timeout where, uint64_t *const args[6])
{
	const struct __kernel_timespec *t = NULL;

	switch (where) {
	case T_NONE:
		return -1;
	case T_MS2:
		return (int32_t)*args[2] <= 0 ? -1 : (int64_t)(int32_t)*args[2] * 1000000;
	case T_MS3:
		return (int32_t)*args[3] <= 0 ? -1 : (int64_t)(int32_t)*args[3] * 1000000;
	case T_TS0:
		t = (const void *)*args[0];
		break;
	case T_TS2:
		t = (const void *)*args[2];
		break;
	case T_TS3:
		t = (const void *)*args[3];
		break;
	case T_TS4:
		t = (const void *)*args[4];
		break;
	case T_SLEEP:
		if (*args[1] & TIMER_ABSTIME)
			return -1;
		t = (const void *)*args[2];
		break;
	case T_FUTEX:
		if ((*args[1] & FUTEX_CMD_MASK) != FUTEX_WAIT)
			return -1;
		t = (const void *)*args[3];
		break;
	case T_RCV:
		return socket_timeout((int)*args[0], SO_RCVTIMEO);
	case T_SND:
		return socket_timeout((int)*args[0], SO_SNDTIMEO);
	}
	return t ? timespec_ns(t) : -1;
}

static int64_t left_of(const struct slot *s, int64_t all)
{
	int64_t slept;

	if (all < 0)
		return -1;
	slept = s->asleep_since ? quiesce.stopped_at - s->asleep_since : 0;
	if (slept < 0)
		slept = 0;
	return slept < all ? all - slept : 0;
}

void redo_look(struct slot *s)
{
	greg_t *g = s->frame->uc_mcontext.gregs;
	uint64_t pc = (uint64_t)g[REG_RIP], sp = (uint64_t)g[REG_RSP];
	uint64_t *args[6];
	long nr;

	s->call = CALL_NONE;
	s->left = -1;
	s->nr = -1;
	s->was_restarted = 0;
	if (in_redo(pc)) {
		struct redo *r = (struct redo *)sp;

		if (r->magic != REDO_MAGIC)
			return;
		s->nr = (int32_t)r->nr;
		if (r->where != T_NONE) {
			s->left = r->deadline - quiesce.stopped_at;
			if (s->left < 0)
				s->left = 0;
		}
		/* at the end of a call that has a result: let it have it */
		if ((pc == (uint64_t)redo_after || pc == (uint64_t)redo_polled) && g[REG_RAX] != -EINTR_)
			return;
		if (pc > (uint64_t)redo_after)
			return;
		s->call = CALL_REDO;
		return;
	}
	if (g[REG_RAX] == -EINTR_ && at_syscall(pc - 2)) {
		nr = number_at(s, pc, sp);
		if (nr < 0)
			return;
		s->nr = (int32_t)nr;
		for (int i = 0; i < 6; i++)
			args[i] = reg(s->frame, i);
		s->left = left_of(s, whole(timeout_of(nr), args));
		s->call = s->left >= 0 ? CALL_REDO : CALL_AGAIN;
		return;
	}
	if (at_syscall(pc) && s->seen_nr >= 0 && s->seen_pc == pc + ARCH_SYSCALL_LEN && s->seen_nr == (int32_t)g[REG_RAX]) {
		s->nr = s->seen_nr;
		s->was_restarted = 1;
	}
}

/* Would a waiting signal of the program's have ended the call with EINTR? */
static bool interrupted(const struct slot *s)
{
	uint64_t pending, blocked;
	struct arch_sigaction act;

	memcpy(&blocked, &s->frame->uc_sigmask, 8);
	if (sys_rt_sigpending(&pending) < 0)
		return false;
	pending &= ~blocked & ~SHIM_BIT(shim.signal);
	for (int sig = 1; pending && sig <= 64; sig++) {
		if (!(pending & SHIM_BIT(sig)))
			continue;
		pending &= ~SHIM_BIT(sig);
		if (sys_rt_sigaction(sig, NULL, &act) < 0 || (uint64_t)act.handler <= 1)
			continue;
		if (!s->was_restarted || !(act.flags & SA_RESTART))
			return true;
	}
	return false;
}

static void set_left(struct redo *r, int64_t left)
{
	struct __kernel_timespec *t = &r->left;

	t->tv_sec = left / NS;
	t->tv_nsec = left % NS;
	switch ((enum timeout)r->where) {
	case T_NONE:
		break;
	case T_MS2:
		r->args[2] = (uint64_t)((left + 999999) / 1000000);
		break;
	case T_MS3:
		r->args[3] = (uint64_t)((left + 999999) / 1000000);
		break;
	case T_TS0:
		r->args[0] = (uint64_t)t;
		break;
	case T_TS2: case T_SLEEP:
		r->args[2] = (uint64_t)t;
		break;
	case T_TS3: case T_FUTEX:
		r->args[3] = (uint64_t)t;
		break;
	case T_TS4:
		r->args[4] = (uint64_t)t;
		break;
	case T_RCV: case T_SND:
		r->poll_left = *t;
		break;
	}
}

void redo_apply(struct slot *s, int64_t stood)
{
	greg_t *g = s->frame->uc_mcontext.gregs;
	uint64_t pc = (uint64_t)g[REG_RIP];
	int64_t now = stop_now(), left = s->left;
	struct redo *r;

	if (s->was_restarted && interrupted(s)) {
		g[REG_RAX] = -EINTR_;
		g[REG_RIP] += ARCH_SYSCALL_LEN;
		return;
	}
	if (s->call == CALL_NONE)
		return;
	if (interrupted(s)) {
		if (in_redo(pc)) {
			g[REG_RIP] = (greg_t)redo_after;
			g[REG_RAX] = -EINTR_;
		}
		return;
	}
	if (s->call == CALL_AGAIN) {
		g[REG_RAX] = s->nr;
		g[REG_RIP] -= ARCH_SYSCALL_LEN;
		return;
	}
	/* time in which the world stood but the program's clock went on counts; time it was not there doesn't */
	left -= now - quiesce.stopped_at - stood;
	if (left < 0)
		left = 0;
	if (in_redo(pc)) {
		r = (struct redo *)g[REG_RSP];
	} else {
		r = (struct redo *)(((uint64_t)g[REG_RSP] - RED_ZONE - sizeof(*r)) & ~15ull);
		memset(r, 0, sizeof(*r));
		r->magic = REDO_MAGIC;
		r->nr = (uint64_t)s->nr;
		for (int i = 0; i < 6; i++)
			r->args[i] = r->saved[i] = *reg(s->frame, i);
		r->rip = (uint64_t)g[REG_RIP];
		r->rsp = (uint64_t)g[REG_RSP];
		r->where = timeout_of(s->nr);
		if (r->where == T_RCV || r->where == T_SND) {
			r->poll = 1;
			r->pollfd.fd = (int)r->args[0];
			r->pollfd.events = r->where == T_RCV ? POLLIN : POLLOUT;
			r->poll_timeout = s->nr == __NR_connect ? -EINPROGRESS_ : -EAGAIN_;
		}
	}
	r->deadline = now + left;
	set_left(r, left);
	g[REG_RSP] = (greg_t)r;
	g[REG_RIP] = (greg_t)redo_entry;
}
