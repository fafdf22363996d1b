/*
 * Threads that compute without a system call (with vector registers full),
 * that allocate, and that load libraries: nothing of theirs changes.
 *
 * scenario-checkpoints: 10
 */
#include "scenario.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

typedef uint64_t lanes __attribute__((vector_size(32)));

static int stop;
static __thread long own;

static int stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

/* Two copies of one sum in different registers must agree, always. */
__attribute__((target("avx2"))) static void *vectors(void *arg)
{
	lanes a = {1, 2, 3, 4}, b = {1, 2, 3, 4};
	uint64_t x = 1, y = 1;
	double d = 1.0, e = 1.0;

	while (!stopped())
		for (int i = 0; i < 100000; i++) {
			a = a * 3 + 7;
			b = b * 3 + 7;
			__asm__ volatile("" : "+x"(a), "+x"(b));
			x = x * 6364136223846793005u + 1;
			y = y * 6364136223846793005u + 1;
			__asm__ volatile("" : "+r"(x), "+r"(y));
			d = d * 1.0000001 + 1e-9;
			e = e * 1.0000001 + 1e-9;
			__asm__ volatile("" : "+x"(d), "+x"(e));
			if (x != y || d != e || memcmp(&a, &b, sizeof(a)) != 0)
				FAIL("registers changed");
		}
	return arg;
}

static void *allocations(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)&seed;
	char *p[64] = {NULL};
	size_t n[64] = {0};

	own = (long)(uintptr_t)&seed;
	while (!stopped()) {
		int i = rand_r(&seed) % 64;

		errno = 4711;
		if (p[i] != NULL && (p[i][0] != (char)i || p[i][n[i] - 1] != (char)i))
			FAIL("allocated memory changed");
		free(p[i]);
		n[i] = (size_t)(rand_r(&seed) % 30000) + 1;
		p[i] = malloc(n[i]);
		memset(p[i], i, n[i]);
		SAME(errno, 4711);
	}
	SAME(own, (long)(uintptr_t)&seed);
	for (int i = 0; i < 64; i++)
		free(p[i]);
	return arg;
}

static void *libraries(void *arg)
{
	while (!stopped()) {
		void *lib = dlopen("libresolv.so.2", RTLD_NOW);

		CHECK(lib != NULL && dlsym(lib, "ns_get16") != NULL);
		dlclose(lib);
	}
	return arg;
}

int main(void)
{
	static void *(*const kinds[])(void *) = {vectors, allocations, libraries, allocations};
	pthread_t t[8];

	__builtin_cpu_init();
	for (int i = 0; i < 8; i++)
		SAME(pthread_create(&t[i], NULL, kinds[i % 4 == 0 && !__builtin_cpu_supports("avx2") ? 1 : i % 4], NULL), 0);
	scenario_wait();
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 8; i++)
		SAME(pthread_join(t[i], NULL), 0);
	scenario_ok();
}
