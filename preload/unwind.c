/*
 * unwind.c - where in the program a socket was made
 *
 * libunwind walks the stack, with a cache of its own that makes a walk cost
 * some 10 ns a frame. It is not linked but loaded at the first socket: linked,
 * it would put its _Unwind_* before libgcc's in C++ programs, and loading it
 * costs more than all the rest of the constructor.
 *
 * Loading, and a thread's first walk (thread-local storage), may call malloc
 * and take the loader's lock, which a signal handler must not. The wrappers
 * may be called in one, so before that the stack is searched for a signal
 * frame: its first word is the address that libc put in sa_restorer.
 *
 * libunwind holds locks of its own for moments, with signals blocked. A child
 * forked by another thread at such a moment would wait for them forever: so
 * whoever is inside is counted, and such a child does without.
 */
#include <sys/uio.h>

#include "signals.h"
#include "family.h"
#include "skshim/frozen.h"

#define DEPTH (LINEAGE_FRAMES + 4)   /* our own frames are left out */
#define SEARCH_CHUNK 4096
#define SEARCH_MAX (8 * 1024 * 1024)

enum state { UNWIND_OFF, UNWIND_LATER, UNWIND_LOADING, UNWIND_ON };

static uint32_t state;
static uint32_t inside;
static int (*backtrace)(void **, int);
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
	/* the thread that forked has its cache still */
	if (walked)
		walked = shim.pid;
}

/* Reads the stack through the kernel: its end is not known. */
static bool in_handler(void)
{
	uint64_t chunk[SEARCH_CHUNK / 8], at = (uint64_t)__builtin_frame_address(0), end = at + SEARCH_MAX;

	while (at < end) {
		uint64_t size = SEARCH_CHUNK - at % SEARCH_CHUNK, i;
		struct iovec to = { chunk, size }, from = { (void *)at, size };
		long n = SYS6(__NR_process_vm_readv, sys_getpid(), &to, 1, &from, 1, 0);

		for (i = 0; n > 0 && i < (uint64_t)n / 8; i++)
			if (chunk[i] == (uint64_t)signals_restorer)
				return true;
		if (n < (long)size)
			return n < 0 && at == (uint64_t)__builtin_frame_address(0);
		at += size;
	}
	return true;
}

static bool load(void)
{
	uint32_t later = UNWIND_LATER;

	if (!__atomic_compare_exchange_n(&state, &later, UNWIND_LOADING, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	backtrace = unwind_load();
	__atomic_store_n(&state, backtrace ? UNWIND_ON : UNWIND_OFF, __ATOMIC_RELEASE);
	if (!backtrace)
		log_line(LOG_INFO, "libunwind.so.8 is missing: where sockets are made is not recorded");
	return backtrace;
}

uint32_t unwind_here(uint64_t frames[LINEAGE_FRAMES])
{
	uint32_t now = __atomic_load_n(&state, __ATOMIC_ACQUIRE), out = 0;
	void *found[DEPTH];
	int n, i;

	if (now == UNWIND_OFF || now == UNWIND_LOADING || walking)
		return 0;
	if (walked != shim.pid) {
		/* a vfork child has its parent's memory: nothing is loaded on its behalf */
		if (sys_getpid() != shim.pid || in_handler())
			return 0;
		if (now == UNWIND_LATER && !load())
			return 0;
		walked = shim.pid;
	}
	walking = true;
	__atomic_fetch_add(&inside, 1, __ATOMIC_RELAXED);
	n = backtrace(found, DEPTH);
	__atomic_fetch_sub(&inside, 1, __ATOMIC_RELAXED);
	walking = false;
	for (i = 0; i < n && out < LINEAGE_FRAMES; i++)
		if ((uint64_t)found[i] < shim.base || (uint64_t)found[i] >= shim.end)
			frames[out++] = (uint64_t)found[i];
	return out;
}
