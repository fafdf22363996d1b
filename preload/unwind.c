/*
 * unwind.c - where in the program a socket was made
 *
 * libunwind walks the stack, some microseconds a walk. Programs make sockets in
 * few places, so a walk is remembered: the return addresses, and where on the
 * stack they were found. When the same place asks again with the same stack
 * pointer and every word is still there, the walk would find the same.
 *
 * libunwind is not linked but loaded at the first socket: linked, it would put
 * its _Unwind_* before libgcc's in C++ programs, and loading it costs more than
 * all the rest of the constructor. Loading, and a thread's first walk
 * (thread-local storage), may call malloc and take the loader's lock, which a
 * signal handler must not. The wrappers may be called in one, so before that
 * the stack is searched for a signal frame: its first word is the address that
 * libc put in sa_restorer.
 *
 * libunwind holds locks of its own for moments, with signals blocked. A child
 * forked by another thread at such a moment would wait for them forever: so
 * whoever is inside is counted, and such a child does without.
 */
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#include <sys/uio.h>

#include "signals.h"
#include "family.h"
#include "skshim/frozen.h"

#define DEPTH (LINEAGE_FRAMES + 4)   /* our own frames are left out at the end */
#define SETS 32
#define WAYS 4                       /* sockets made by one function at several places */
#define SEARCH_CHUNK 4096
/* A handler that has come further than this since its signal frame is not expected. */
#define SEARCH_MAX (256 * 1024)

enum state { UNWIND_OFF, UNWIND_LATER, UNWIND_LOADING, UNWIND_ON };

/* A walk from the frame at `from`. Written by one thread at a time: `seq` is odd meanwhile. */
struct walk {
	uint32_t seq, n;
	uint64_t from;
	uint64_t at[DEPTH];          /* addresses of the return addresses */
	uint64_t ip[DEPTH];
};

static struct walk walks[SETS][WAYS];
static uint32_t next_way;
static struct unwinder unwinder;
static uint32_t state;
static uint32_t inside;
/* This thread walks at this moment; has walked before, in process `walked`. */
static __thread bool walking;
static __thread int walked;

int unwind_init(void)
{
	state = shim.tree->backtrace ? UNWIND_LATER : UNWIND_OFF;
	return 0;
}

void unwind_forked(void)
{
	if (__atomic_load_n(&inside, __ATOMIC_RELAXED) || state == UNWIND_LOADING)
		state = UNWIND_OFF;
	inside = 0;
	walking = false;
	/* the thread that forked has its thread-local storage still */
	if (walked)
		walked = shim.pid;
}

/* --- may it be loaded here? --------------------------------------------------------------------------------- */

/* Reads the stack through the kernel, for its end is not known; a thread's has the thread pointer at its end. */
static bool in_handler(void)
{
	uint64_t chunk[SEARCH_CHUNK / 8], at = (uint64_t)__builtin_frame_address(0) & ~7ull, end = at + SEARCH_MAX;
	uint64_t self = (uint64_t)__builtin_thread_pointer();

	if (self > at && self < end)
		end = self;
	while (at < end) {
		uint64_t size = SEARCH_CHUNK - at % SEARCH_CHUNK, i;
		struct iovec to = { chunk, size }, from = { (void *)at, size };
		long n = SYS6(__NR_process_vm_readv, sys_gettid(), &to, 1, &from, 1, 0);

		if (n < 0)
			return n != -14 /* EFAULT: behind the end */;
		for (i = 0; i < (uint64_t)n / 8; i++)
			if (chunk[i] == (uint64_t)signals_restorer)
				return true;
		at += size;
	}
	return false;
}

static bool load(void)
{
	uint32_t later = UNWIND_LATER;
	bool ok;

	if (!__atomic_compare_exchange_n(&state, &later, UNWIND_LOADING, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	ok = unwind_load(&unwinder);
	__atomic_store_n(&state, ok ? UNWIND_ON : UNWIND_OFF, __ATOMIC_RELEASE);
	if (!ok)
		log_line(LOG_INFO, "libunwind.so.8 is missing: where sockets are made is not recorded");
	return ok;
}

/* --- walks -------------------------------------------------------------------------------------------------- */

static struct walk *walks_of(uint64_t from)
{
	return walks[(from * 0x9e3779b97f4a7c15ull >> 40) % SETS];
}

/* Every return address is still where it was: then the frames are the same. Read from the inside out, so no word is read that isn't on the stack. */
static uint32_t recall_one(const struct walk *w, uint64_t from, uint64_t ip[DEPTH])
{
	uint32_t seq = __atomic_load_n(&w->seq, __ATOMIC_ACQUIRE), n, i;

	if ((seq & 1) || w->from != from)
		return 0;
	n = w->n;
	for (i = 0; i < n && i < DEPTH; i++) {
		uint64_t at = w->at[i], want = w->ip[i];

		/* the row may be changing under our eyes: an address is used only if it was whole */
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&w->seq, __ATOMIC_RELAXED) != seq || *(volatile uint64_t *)at != want)
			return 0;
		ip[i] = want;
	}
	return n;
}

static uint32_t recall(uint64_t from, uint64_t ip[DEPTH])
{
	const struct walk *w = walks_of(from);
	uint32_t n = 0, i;

	for (i = 0; i < WAYS && !n; i++)
		n = recall_one(&w[i], from, ip);
	return n;
}

/* A frame behind a signal frame has its address elsewhere: such a walk is not remembered. */
static void remember(uint64_t from, const uint64_t at[DEPTH], const uint64_t ip[DEPTH], uint32_t n)
{
	struct walk *w = walks_of(from) + __atomic_fetch_add(&next_way, 1, __ATOMIC_RELAXED) % WAYS;
	uint32_t seq = __atomic_load_n(&w->seq, __ATOMIC_RELAXED), i;

	for (i = 0; i < n; i++)
		if (at[i] <= from || (i && at[i] <= at[i - 1]) || *(volatile uint64_t *)at[i] != ip[i])
			return;
	if ((seq & 1) || !__atomic_compare_exchange_n(&w->seq, &seq, seq + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	w->from = from;
	w->n = n;
	memcpy(w->at, at, n * sizeof(*at));
	memcpy(w->ip, ip, n * sizeof(*ip));
	__atomic_store_n(&w->seq, seq + 2, __ATOMIC_RELEASE);
}

/* The callers of the frame at `from`, by libunwind. */
static uint32_t walk(uint64_t from, uint64_t at[DEPTH], uint64_t ip[DEPTH])
{
	unw_context_t context;
	unw_cursor_t cursor;
	uint32_t n = 0;
	uint64_t sp;

	if (unwinder.getcontext(&context) < 0 || unwinder.init_local(&cursor, &context) < 0)
		return 0;
	while (n < DEPTH && unwinder.step(&cursor) > 0) {
		if (unwinder.get_reg(&cursor, UNW_REG_IP, &ip[n]) < 0 || unwinder.get_reg(&cursor, UNW_REG_SP, &sp) < 0 || !ip[n])
			break;
		at[n] = sp - 8;
		n += at[n] > from;
	}
	return n;
}

static uint32_t walk_new(uint64_t from, uint64_t ip[DEPTH])
{
	uint64_t at[DEPTH];
	uint32_t n;

	if (walking)
		return 0;
	if (walked != shim.pid) {
		/* a vfork child has its parent's memory: nothing is loaded on its behalf */
		if (sys_getpid() != shim.pid || in_handler())
			return 0;
		if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == UNWIND_LATER && !load())
			return 0;
		/* another thread may be loading it at this moment */
		if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) != UNWIND_ON)
			return 0;
		walked = shim.pid;
	}
	walking = true;
	__atomic_fetch_add(&inside, 1, __ATOMIC_RELAXED);
	n = walk(from, at, ip);
	__atomic_fetch_sub(&inside, 1, __ATOMIC_RELAXED);
	walking = false;
	remember(from, at, ip, n);
	return n;
}

uint32_t unwind_here(uint64_t frames[LINEAGE_FRAMES])
{
	uint64_t from = (uint64_t)__builtin_frame_address(0), ip[DEPTH];
	uint32_t now = __atomic_load_n(&state, __ATOMIC_ACQUIRE), n = 0, i, out = 0;

	if (now == UNWIND_OFF || now == UNWIND_LOADING)
		return 0;
	if (now == UNWIND_ON)
		n = recall(from, ip);
	if (!n)
		n = walk_new(from, ip);
	for (i = 0; i < n && out < LINEAGE_FRAMES; i++)
		if (ip[i] < shim.base || ip[i] >= shim.end)
			frames[out++] = ip[i];
	return out;
}
