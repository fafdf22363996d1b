/*
 * Calls with timeouts, made by an instruction of the program's own: every vector register and the protection keys are
 * after it what they were before, however often it was interrupted.
 *
 * scenario-checkpoints: 3
 */
#include "scenario.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define MOMENT 50000000

static int stop, rounds[4];
static bool wide, keys;

static uint32_t keys_now(void)
{
	uint32_t a = 0, d;

	if (keys)
		__asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(a), "=d"(d) : "c"(0));
	return a;
}

#define LOAD(i) "vmovdqu64 " #i "*64(%[in]), %%zmm" #i "\n\t"
#define STORE(i) "vmovdqu64 %%zmm" #i ", " #i "*64(%[out])\n\t"
#define LOAD2(i) "vmovdqu " #i "*64(%[in]), %%ymm" #i "\n\t"
#define STORE2(i) "vmovdqu %%ymm" #i ", " #i "*64(%[out])\n\t"
#define LOW(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15)
#define HIGH(f) f(16) f(17) f(18) f(19) f(20) f(21) f(22) f(23) f(24) f(25) f(26) f(27) f(28) f(29) f(30) f(31)

#define CLOBBERED \
	"rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
		"xmm13", "xmm14", "xmm15"
#define CLOBBERED_HIGH \
	"xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", \
		"xmm30", "xmm31"

/* a, b, c, d are the arguments; in[] goes into the registers, and what is in them behind the call to out[]. */
#define CALL_WIDE(name, nr) \
	__attribute__((target("avx512f"))) static long name##_wide(uint64_t a, uint64_t b, uint64_t c, uint64_t d, const void *in, void *out) \
	{ \
		register uint64_t r10 __asm__("r10") = d; \
		long rc; \
		__asm__ volatile(LOW(LOAD) HIGH(LOAD) "mov %[number], %%eax\n\tsyscall\n\t" LOW(STORE) HIGH(STORE) "vzeroupper" \
				 : "=&a"(rc) \
				 : [number] "i"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), [in] "b"(in), [out] "r"(out) \
				 : CLOBBERED, CLOBBERED_HIGH); \
		return rc; \
	}
#define CALL_NARROW(name, nr) \
	__attribute__((target("avx2"))) static long name##_narrow(uint64_t a, uint64_t b, uint64_t c, uint64_t d, const void *in, void *out) \
	{ \
		register uint64_t r10 __asm__("r10") = d; \
		long rc; \
		__asm__ volatile(LOW(LOAD2) "mov %[number], %%eax\n\tsyscall\n\t" LOW(STORE2) "vzeroupper" \
				 : "=&a"(rc) \
				 : [number] "i"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), [in] "b"(in), [out] "r"(out) \
				 : CLOBBERED); \
		return rc; \
	}
CALL_WIDE(poll, SYS_poll)
CALL_WIDE(sleep, SYS_nanosleep)
CALL_WIDE(futex, SYS_futex)
CALL_WIDE(ppoll, SYS_ppoll)
CALL_NARROW(poll, SYS_poll)
CALL_NARROW(sleep, SYS_nanosleep)
CALL_NARROW(futex, SYS_futex)
CALL_NARROW(ppoll, SYS_ppoll)

static long call(int which, const void *in, void *out)
{
	struct timespec moment = {0, MOMENT};
	uint64_t t = (uint64_t)&moment;
	uint32_t word = 0;

	switch (which) {
	case 0:
		return (wide ? poll_wide : poll_narrow)(0, 0, MOMENT / 1000000, 0, in, out);
	case 1:
		return (wide ? sleep_wide : sleep_narrow)(t, 0, 0, 0, in, out);
	case 2:
		return (wide ? futex_wide : futex_narrow)((uint64_t)&word, 0 /* FUTEX_WAIT */, 0, t, in, out);
	default:
		return (wide ? ppoll_wide : ppoll_narrow)(0, 0, t, 0, in, out);
	}
}

static void *caller(void *arg)
{
	int which = (int)(intptr_t)arg;
	uint32_t key = keys_now();
	uint8_t in[32 * 64], out[32 * 64];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7 + (size_t)which + 1);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		memcpy(out, in, sizeof(in));
		SAME(call(which, in, out), which == 2 ? -ETIMEDOUT : 0);
		for (size_t i = 0; i < sizeof(in); i++)
			if (in[i] != out[i])
				FAIL("call %d: byte %zu of register %zu", which, i % 64, i / 64);
		SAME(keys_now(), key);
		__atomic_fetch_add(&rounds[which], 1, __ATOMIC_RELAXED);
	}
	return arg;
}

int main(void)
{
	pthread_t t[4];
	int key;

	__builtin_cpu_init();
	wide = __builtin_cpu_supports("avx512f");
	if (!wide && !__builtin_cpu_supports("avx2"))
		scenario_skip("no vector registers");
	key = pkey_alloc(0, PKEY_DISABLE_WRITE);
	keys = key >= 0;
	for (intptr_t i = 0; i < 4; i++)
		SAME(pthread_create(&t[i], NULL, caller, (void *)i), 0);

	scenario_wait();

	for (int i = 0; i < 4; i++)
		for (int from = __atomic_load_n(&rounds[i], __ATOMIC_RELAXED); __atomic_load_n(&rounds[i], __ATOMIC_RELAXED) < from + 2;)
			sched_yield();
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 4; i++)
		SAME(pthread_join(t[i], NULL), 0);
	if (keys)
		SAME(pkey_get(key), PKEY_DISABLE_WRITE);
	scenario_ok();
}
