/*
 * clocks.c - a program that does nothing but ask the kernel's vdso
 *
 *	clocks DIR
 *
 * Its threads read clocks as fast as they can, by libc and by the addresses
 * that the vdso's own table gives, and compare what it says with the system
 * calls. DIR/looks says how often, again and again; an answer that can't be
 * right ends the program. A file DIR/handlers makes SIGALRM's handler read
 * clocks as well, for as long as it is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "skshim/elf.h"

#define FUNCTIONS 64
#define NS 1000000000ll
#define FAR (30 * NS)
#define COARSE (20 * NS / 1000)

static atomic_long looks;
static int (*vdso_gettime)(clockid_t, struct timespec *);
static int (*vdso_getcpu)(unsigned *, unsigned *, void *);
static ssize_t (*vdso_getrandom)(void *, size_t, unsigned, void *, size_t);

static void die(const char *what, long long a, long long b)
{
	fprintf(stderr, "clocks: %s: %lld, %lld\n", what, a, b);
	_exit(1);
}

static void near(const char *what, int64_t a, int64_t b, int64_t most)
{
	if (a - b > most || b - a > most)
		die(what, a, b);
}

static int64_t ns(struct timespec t)
{
	return t.tv_sec * NS + t.tv_nsec;
}

static void find_functions(void)
{
	const char *elf = (const char *)getauxval(AT_SYSINFO_EHDR);
	struct elf_function f[FUNCTIONS];
	int n = elf ? elf_functions(elf, 8192, f, FUNCTIONS) : 0;

	for (int i = 0; i < n; i++) {
		void *at = (void *)(elf + f[i].at);

		if (blob_is(f[i].name, "__vdso_clock_gettime"))
			vdso_gettime = at;
		else if (blob_is(f[i].name, "__vdso_getcpu"))
			vdso_getcpu = at;
		else if (blob_is(f[i].name, "__vdso_getrandom"))
			vdso_getrandom = at;
	}
}

static void compare(clockid_t clock)
{
	struct timespec a, b, c, d;

	clock_gettime(clock, &a);
	if (syscall(SYS_clock_gettime, clock, &b) != 0 || clock_gettime(clock, &c) != 0 || clock_getres(clock, &d) != 0)
		die("clock_gettime", errno, 0);
	/* the processor may be taken from us in between, but the clock never goes back */
	if (ns(a) > ns(b) + COARSE || ns(b) > ns(c) + COARSE)
		die("backwards", ns(a), ns(c));
	near("clock", ns(a), ns(c), FAR);
	if (ns(d) <= 0)
		die("clock_getres", ns(d), 0);
	if (vdso_gettime && (vdso_gettime(clock, &d) != 0 || ns(d) + COARSE < ns(c)))
		die("the vdso's clock_gettime", ns(c), ns(d));
}

static void others(void)
{
	unsigned cpu = ~0u, node = ~0u;
	struct timespec now;
	struct timeval tv;

	clock_gettime(CLOCK_REALTIME, &now);
	gettimeofday(&tv, NULL);
	near("gettimeofday", ns(now), tv.tv_sec * NS + tv.tv_usec * 1000, FAR);
	near("time", now.tv_sec, time(NULL), FAR / NS);
	if (vdso_getcpu && (vdso_getcpu(&cpu, &node, NULL) != 0 || cpu > 8192))
		die("getcpu", cpu, node);
	if (sched_getcpu() < 0)
		die("sched_getcpu", errno, 0);
}

/* The kernel that was asked how large its state is, or another: then the answer comes without one. */
static void random_bytes(void)
{
	struct {
		uint32_t size, prot, flags, reserved[13];
	} say;
	static __thread char *state;
	char a[16] = { 0 }, b[16] = { 0 };

	if (!vdso_getrandom)
		return;
	memset(&say, 0, sizeof(say));
	if (vdso_getrandom(NULL, 0, 0, &say, ~0ul) == 0 && !state) {
		state = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (state == MAP_FAILED || say.size == 0 || say.size > 4096)
			die("memory for getrandom's state", say.size, 0);
	}
	if (vdso_getrandom(a, sizeof(a), 0, state, 144) != sizeof(a) || vdso_getrandom(b, sizeof(b), 0, state, 144) != sizeof(b) ||
	    memcmp(a, b, sizeof(a)) == 0)
		die("getrandom", a[0], b[0]);
}

static void *reader(void *arg)
{
	for (;;) {
		struct timespec last = { 0 }, now;

		for (int i = 0; i < 2000; i++) {
			clock_gettime(CLOCK_MONOTONIC, &now);
			if (ns(now) < ns(last))
				die("CLOCK_MONOTONIC ran backwards", ns(last), ns(now));
			last = now;
		}
		for (clockid_t c = CLOCK_REALTIME; c <= CLOCK_BOOTTIME; c++)
			if (c != CLOCK_PROCESS_CPUTIME_ID && c != CLOCK_THREAD_CPUTIME_ID)
				compare(c);
		others();
		random_bytes();
		looks++;
	}
	return arg;
}

static void handler(int sig)
{
	struct timespec now;

	clock_gettime(sig ? CLOCK_MONOTONIC : CLOCK_REALTIME, &now);
	looks++;
}

int main(int argc, char **argv)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } };
	char path[4096], text[32];
	pthread_t t;
	int fd;

	if (argc < 2)
		return 2;
	snprintf(path, sizeof(path), "%s/handlers", argv[1]);
	if (access(path, F_OK) == 0) {
		signal(SIGALRM, handler);
		setitimer(ITIMER_REAL, &often, NULL);
	}
	find_functions();
	for (int i = 0; i < 3; i++)
		if (pthread_create(&t, NULL, reader, NULL) != 0)
			die("a thread", i, 0);
	snprintf(path, sizeof(path), "%s/looks", argv[1]);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	for (;;) {
		int n = snprintf(text, sizeof(text), "%12ld\n", looks);

		if (pwrite(fd, text, (size_t)n, 0) != n)
			die(path, errno, 0);
		usleep(5000);
	}
}
