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
 * slept is told by se.exec_start (tests/kernel/fell_asleep.c), of the thread
 * that took the request by what wrap_wait.c noted; at the next checkpoint the
 * struct redo tells the deadline itself. select, pselect6 and
 * ppoll write back what is left and need none of this, nor does a sleep that
 * was given a place for the rest: that one must find its old contents there.
 *
 * A call that blocks until all its bytes are passed on returns early with a
 * count instead: redo_entry goes on with the rest (rest.c) and adds up.
 *
 * A signal for the program that waits while the world stands would have
 * interrupted the call too: then EINTR is the truth and stays. One that waits
 * for the process interrupts a single thread, the first one if it may: that
 * thread takes it for itself (redo_claim), the others go on.
 */
#include <asm/errno.h>
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/socket.h>
#include <time.h>

#include "redo.h"
#include "signals.h"
#include "wait.h"

#include "skshim/frozen.h"

#define NS 1000000000ll
#define RED_ZONE 128
#define SURE_VECTORS 64       /* are smaller than the frame of a signal, for which there is room */
#define FRAME_ROOM 8192
#define HANDLER_ROOM 2560      /* of the program's stack, for our handler's own functions (trigger.c, redo_settle(), log_line()) */

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

/* Calls that the kernel winds back for a handler with SA_RESTART. */
static bool winds_back(long nr)
{
	switch (nr) {
	case __NR_read: case __NR_readv: case __NR_recvfrom: case __NR_recvmsg: case __NR_accept: case __NR_accept4:
	case __NR_write: case __NR_writev: case __NR_sendto: case __NR_sendmsg: case __NR_connect:
	case __NR_open: case __NR_openat: case __NR_openat2: case __NR_wait4: case __NR_waitid: case __NR_futex:
	case __NR_futex_waitv: case __NR_fcntl: case __NR_flock: case __NR_ioctl: case __NR_mq_timedsend:
	case __NR_mq_timedreceive: case __NR_sendmmsg: case __NR_recvmmsg: case __NR_sendfile: case __NR_splice: case __NR_tee:
	case __NR_vmsplice: case __NR_getrandom: case __NR_preadv2: case __NR_pwritev2:
		return true;
	}
	return false;
}

static bool can_be_interrupted(uint64_t nr)
{
	switch (nr) {
	case __NR_select: case __NR_pselect6: case __NR_ppoll: case __NR_pause: case __NR_rt_sigsuspend: case __NR_semop:
	case __NR_msgrcv: case __NR_msgsnd:
		return true;
	}
	return nr < 1024 && (winds_back((long)nr) || timeout_of((long)nr) != T_NONE);
}

/* The `mov` from a register that stands right before the instruction at pc - 2: what is in that register; -1 none. */
static long number_in_register(const greg_t *g, const uint8_t *p)
{
	static const int order[16] = { -1, -1, REG_RDX, REG_RBX, -1, REG_RBP, REG_RSI, REG_RDI,
				       REG_R8, REG_R9, REG_R10, -1, REG_R12, REG_R13, REG_R14, REG_R15 };
	int from = p[-3] >> 3 & 7;

	if (p[-4] != 0x89 || (p[-3] & 0xc7) != 0xc0)
		return -1;
	if (p[-5] == 0x44 || p[-5] == 0x4c)
		from += 8;
	return order[from] >= 0 && can_be_interrupted((uint64_t)g[order[from]]) ? g[order[from]] : -1;
}

/* Which call ended at pc: -1 when nobody can say. */
static long number_at(const struct slot *s, uint64_t pc, uint64_t sp)
{
	const uint8_t *p = (const uint8_t *)pc;
	long in_register;
	uint32_t nr;

	if (pc == (uint64_t)syscall_after)
		return (long)*(uint64_t *)(sp - 8);
	if (s->seen_nr >= 0 && s->seen_pc == pc && s->seen_nr != __NR_restart_syscall)
		return s->seen_nr;
	if (p[-4] == 0x31 && p[-3] == 0xc0)        /* xor %eax, %eax */
		return __NR_read;
	in_register = number_in_register(s->frame->uc_mcontext.gregs, p);
	if (in_register >= 0)
		return in_register;
	/* a few register moves may stand between */
	for (int back = 7; back <= 24; back++) {
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

static int64_t left_of(struct slot *s, int64_t all, uint64_t sp)
{
	int64_t slept, since = 0;

	if (all < 0)
		return -1;
	/* better than since when it sleeps: a call may wake up and sleep again */
	if (SYS2(__NR_arch_prctl, ARCH_GET_FS, &s->fs_base) == 0)
		since = wait_since(s->fs_base, s->nr, sp);
	if (!since)
		since = s->asleep_since;
	/* it may have begun behind that, since we stop one after the other; unknown: perhaps just now */
	slept = s->stopped_at - (since ? since : s->looked_at);
	return slept < all ? all - slept : 0;
}

/* Where a relative sleep writes what is left when it is interrupted; 0 nowhere. */
static uint64_t rest_of_sleep(long nr, const uint64_t args[6])
{
	if (nr == __NR_nanosleep)
		return args[1];
	if (nr == __NR_clock_nanosleep && !(args[1] & TIMER_ABSTIME))
		return args[3];
	return 0;
}

/* The program's memory, which may not be there: 0 or a negative errno. */
static int reach(long nr, uint64_t at, void *buf, size_t n)
{
	struct iovec here = { buf, n }, there = { (void *)at, n };
	long rc = SYS6(nr, sys_gettid(), &here, 1, &there, 1, 0);

	return rc < 0 ? (int)rc : rc == (long)n ? 0 : -EFAULT;
}

bool redo_before(struct slot *s, const uint64_t args[6])
{
	enum timeout where = timeout_of(s->seen_nr);

	s->seen_rest = rest_of_sleep(s->seen_nr, args);
	if (s->seen_rest && reach(__NR_process_vm_readv, s->seen_rest, &s->rest_was, sizeof(s->rest_was)) < 0)
		s->seen_rest = 0;
	switch (where) {
	case T_NONE:
		return false;
	case T_MS2:
		return (int32_t)args[2] > 0;
	case T_MS3:
		return (int32_t)args[3] > 0;
	case T_TS0:
		return !s->seen_rest;
	case T_TS2:
		return args[2];
	case T_TS3: case T_FUTEX:
		return args[3];
	case T_TS4:
		return args[4];
	case T_SLEEP:
		return !s->seen_rest && !(args[1] & TIMER_ABSTIME);
	case T_RCV:
		return socket_timeout((int)args[0], SO_RCVTIMEO) >= 0;
	case T_SND:
		return socket_timeout((int)args[0], SO_SNDTIMEO) >= 0;
	}
	return false;
}

static void registers(ucontext_t *uc, uint64_t *args[6])
{
	for (int i = 0; i < 6; i++)
		args[i] = reg(uc, i);
}

/* Was the call cut short that has passed on n? With a timeout of the socket it also ends when that is over. */
static bool is_short(long nr, uint64_t *const args[6], uint64_t n)
{
	return whole(timeout_of(nr), args) < 0 && rest_is_due(nr, args, n);
}

static void look_in_redo(struct slot *s, uint64_t pc)
{
	greg_t *g = s->frame->uc_mcontext.gregs;
	struct redo *r = (struct redo *)g[REG_RSP];

	if (r->magic != REDO_MAGIC)
		return;
	s->nr = (int32_t)r->nr;
	if (r->where != T_NONE) {
		s->left = r->deadline - s->stopped_at;
		if (s->left < 0)
			s->left = 0;
	}
	if (pc == (uint64_t)redo_after && r->done && g[REG_RAX] > 0) {
		uint64_t *args[6];

		for (int i = 0; i < 6; i++)
			args[i] = &r->args[i];
		if (is_short(s->nr, args, (uint64_t)g[REG_RAX]))
			s->call = CALL_REST;
		return;
	}
	/* at the end of a call that has a result: let it have it */
	if ((pc == (uint64_t)redo_after || pc == (uint64_t)redo_polled) && g[REG_RAX] != -EINTR)
		return;
	if (pc <= (uint64_t)redo_after)
		s->call = CALL_REDO;
}

/* Most processors leave in RCX where a call returns to, also when the kernel has wound it back. */
static bool came_from(const struct slot *s, uint64_t after)
{
	return (uint64_t)s->frame->uc_mcontext.gregs[REG_RCX] == after || (s->seen_nr >= 0 && s->seen_pc == after);
}

void redo_look(struct slot *s)
{
	greg_t *g = s->frame->uc_mcontext.gregs;
	uint64_t pc = (uint64_t)g[REG_RIP], sp = (uint64_t)g[REG_RSP];
	uint64_t *args[6];

	s->call = CALL_NONE;
	s->left = -1;
	s->nr = -1;
	s->was_restarted = s->truly = 0;
	s->looked_at = stop_now();
	if (in_redo(pc)) {
		look_in_redo(s, pc);
		return;
	}
	registers(s->frame, args);
	if (at_syscall(pc) && came_from(s, pc + ARCH_SYSCALL_LEN) && winds_back(g[REG_RAX])) {
		s->nr = (int32_t)g[REG_RAX];
		s->was_restarted = 1;
		return;
	}
	if (!at_syscall(pc - ARCH_SYSCALL_LEN) || (g[REG_RAX] != -EINTR && (g[REG_RAX] <= 0 || !came_from(s, pc))))
		return;
	s->nr = (int32_t)number_at(s, pc, sp);
	if (s->nr >= 0 && g[REG_RAX] > 0) {
		if (is_short(s->nr, args, (uint64_t)g[REG_RAX]))
			s->call = CALL_REST;
	} else if (s->nr >= 0) {
		uint64_t values[6], rest;
		struct __kernel_timespec left;

		for (int i = 0; i < 6; i++)
			values[i] = *args[i];
		rest = rest_of_sleep(s->nr, values);
		if (rest && reach(__NR_process_vm_readv, rest, &left, sizeof(left)) == 0)
			s->left = timespec_ns(&left) + s->looked_at - s->stopped_at;
		else
			s->left = left_of(s, whole(timeout_of(s->nr), args), sp);
		if (rest != s->seen_rest || s->seen_nr != s->nr || s->seen_pc != pc)
			s->seen_rest = 0;
		s->call = s->left >= 0 ? CALL_REDO : CALL_AGAIN;
	}
}

/* The wound back call ends with EINTR, or with the bytes it has passed on. */
static void interrupt(greg_t *g)
{
	if (in_redo((uint64_t)g[REG_RIP]))
		g[REG_RIP] = (greg_t)redo_after;
	else
		g[REG_RIP] += ARCH_SYSCALL_LEN;
	g[REG_RAX] = -EINTR;
}

/* A sleep that is interrupted after all says what is left. */
static void tell_rest(const greg_t *g)
{
	struct redo *r = (struct redo *)g[REG_RSP];

	if (in_redo((uint64_t)g[REG_RIP]) && r->rem_known)
		reach(__NR_process_vm_writev, rest_of_sleep((long)r->nr, r->args), &r->left, sizeof(r->left));
}

static bool has_handler(int sig, bool *restarts)
{
	struct arch_sigaction act;

	if (sys_rt_sigaction(sig, NULL, &act) < 0 || (uint64_t)act.handler <= 1)
		return false;
	*restarts = (act.flags & SA_RESTART) != 0;
	return true;
}

void redo_claim(struct slot *s, uint64_t others)
{
	uint64_t pending, blocked, own, shared;
	bool restarts;

	memcpy(&blocked, &s->frame->uc_sigmask, 8);
	if (s->truly || (s->call == CALL_NONE && !s->was_restarted) || sys_rt_sigpending(&pending) < 0)
		return;
	pending &= ~blocked & ~SHIM_BIT(shim.signal);
	if (!pending || thread_pending_masks(s, &own, &shared) < 0)
		return;
	for (int sig = 1; sig <= 64 && !s->truly; sig++) {
		if (!(pending & SHIM_BIT(sig)) || !has_handler(sig, &restarts) || (s->was_restarted && restarts))
			continue;
		if (own & SHIM_BIT(sig))
			s->truly = 1;
		else if (!(others & SHIM_BIT(sig)))
			s->truly = thread_keep(SHIM_BIT(sig));
	}
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

/* select, pselect6 and ppoll: the kernel wrote back what was left when our signal came; since then `ns` went by. */
static void shorten(const struct slot *s, int64_t ns)
{
	int64_t t[2], unit = s->nr == __NR_select ? 1000 : 1;
	uint64_t at;

	if (s->nr != __NR_select && s->nr != __NR_pselect6 && s->nr != __NR_ppoll)
		return;
	at = *reg(s->frame, s->nr == __NR_ppoll ? 2 : 4);
	if (!at || ns <= 0 || reach(__NR_process_vm_readv, at, t, sizeof(t)) < 0 || t[0] > 9000000000ll)
		return;
	ns = t[0] * NS + t[1] * unit - ns;
	t[0] = ns > 0 ? ns / NS : 0;
	t[1] = ns > 0 ? ns % NS / unit : 0;
	reach(__NR_process_vm_writev, at, t, sizeof(t));
}

static bool within(uint64_t at, const stack_t *st)
{
	return !(st->ss_flags & SS_DISABLE) && at >= (uint64_t)st->ss_sp && at - (uint64_t)st->ss_sp < st->ss_size;
}

/*
 * Where a struct redo may end. The kernel's frame begins right below the red zone with the vector registers and the
 * protection keys, which sigreturn has still to read; so on the same stack it is below the frame and what our handler
 * still needs there.
 */
static uint64_t redo_top(const ucontext_t *uc, uint64_t room)
{
	uint64_t top = (uint64_t)uc->uc_mcontext.gregs[REG_RSP] - RED_ZONE, frame = (uint64_t)uc;
	char byte;

	if (within(frame, &uc->uc_stack) != within(top, &uc->uc_stack) || frame >= top)
		return top;
	frame -= HANDLER_ROOM;
	return reach(__NR_process_vm_readv, frame - room, &byte, 1) < 0 ? top : frame;
}

/* The struct redo below the program's stack, filled for the interrupted call. NULL: the stack has no room for so many vectors. */
static struct redo *redo_begin(struct slot *s, uint64_t vectors)
{
	greg_t *g = s->frame->uc_mcontext.gregs;
	uint64_t room = sizeof(struct redo) + vectors * sizeof(struct iovec);
	struct redo *r = (struct redo *)((redo_top(s->frame, room) - room) & ~15ull);

	if (vectors > SURE_VECTORS && reach(__NR_process_vm_writev, (uint64_t)r - FRAME_ROOM, r, 1) < 0)
		return NULL;
	memset(r, 0, sizeof(*r));
	r->magic = REDO_MAGIC;
	r->nr = (uint64_t)s->nr;
	for (int i = 0; i < 6; i++)
		r->args[i] = r->saved[i] = *reg(s->frame, i);
	r->rip = (uint64_t)g[REG_RIP];
	r->rsp = (uint64_t)g[REG_RSP];
	if (s->call == CALL_REST)
		return r;
	r->where = timeout_of(s->nr);
	if (r->where == T_RCV || r->where == T_SND) {
		r->poll = 1;
		r->pollfd.fd = (int)r->args[0];
		r->pollfd.events = r->where == T_RCV ? POLLIN : POLLOUT;
		r->poll_timeout = s->nr == __NR_connect ? -EINPROGRESS : -EAGAIN;
	}
	if (s->seen_rest) {
		r->rem_known = 1;
		r->rem_was = s->rest_was;
	}
	return r;
}

enum redo_how redo_apply(struct slot *s, int64_t stood)
{
	greg_t *g = s->frame->uc_mcontext.gregs;
	uint64_t pc = (uint64_t)g[REG_RIP];
	int64_t now = stop_now(), left = s->left;
	uint64_t *args[6];
	struct redo *r;
	int vectors = 0;

	if (s->truly && s->was_restarted) {
		interrupt(g);
		return REDO_NOT;
	}
	if (s->was_restarted)
		return REDO_RESTARTS;
	if (s->call == CALL_NONE)
		return REDO_NOT;
	if (s->truly) {
		if (in_redo(pc) && s->call == CALL_REDO)
			interrupt(g);
		return REDO_NOT;
	}
	if (s->call == CALL_AGAIN) {
		shorten(s, now - s->looked_at - stood);
		g[REG_RAX] = s->nr;
		g[REG_RIP] -= ARCH_SYSCALL_LEN;
		return REDO_ALWAYS;
	}
	if (s->call == CALL_REST && !in_redo(pc)) {
		registers(s->frame, args);
		vectors = rest_vectors(s->nr, args, (uint64_t)g[REG_RAX]);
	}
	/* time in which the world stood but the program's clock went on counts; time it was not there doesn't */
	left -= now - s->stopped_at - stood;
	if (left < 0)
		left = 0;
	r = in_redo(pc) ? (struct redo *)g[REG_RSP] : redo_begin(s, (uint64_t)vectors);
	if (!r)
		return REDO_NOT;
	if (s->call == CALL_REST)
		rest_take(r, (uint64_t)g[REG_RAX], !in_redo(pc));
	if (r->where != T_NONE) {
		r->deadline = now + left;
		set_left(r, left);
	}
	if (r->rem_known)
		reach(__NR_process_vm_writev, rest_of_sleep((long)r->nr, r->args), &r->rem_was, sizeof(r->rem_was));
	g[REG_RSP] = (greg_t)r;
	g[REG_RIP] = (greg_t)redo_entry;
	return REDO_ALWAYS;
}

/*
 * A signal of the program's that came behind redo_claim() would find the call
 * wound back, and not interrupt it. What is left is the moment between this
 * look and rt_sigreturn: as long as the kernel's own, between its decision to
 * wind back a call (a thread that was stopped and continued) and its return.
 */
void redo_settle(ucontext_t *uc, enum redo_how how, uint64_t others)
{
	greg_t *g = uc->uc_mcontext.gregs;
	struct signals_status st;
	uint64_t pending, blocked;
	bool restarts;

	memcpy(&blocked, &uc->uc_sigmask, 8);
	if (how == REDO_NOT || sys_rt_sigpending(&pending) < 0)
		return;
	pending &= ~blocked & ~SHIM_BIT(shim.signal);
	if (!pending || signals_status("/proc/thread-self/status", &st) < 0)
		return;
	for (int sig = 1; sig <= 64; sig++) {
		if (!(pending & SHIM_BIT(sig)) || !has_handler(sig, &restarts) || (how == REDO_RESTARTS && restarts))
			continue;
		if (!(st.own & SHIM_BIT(sig)) && ((others & SHIM_BIT(sig)) || !thread_keep(SHIM_BIT(sig))))
			continue;
		tell_rest(g);
		interrupt(g);
		return;
	}
}
