/*
 * arch_x86_64.h - what is particular to the processor
 *
 * The system call instruction, the shape of the kernel's signal frame
 * (arch/x86/include/uapi/asm/sigcontext.h, ucontext.h) and of sigaction.
 */
#ifndef SKSHIM_ARCH_H
#define SKSHIM_ARCH_H

#ifndef __x86_64__
#error "skshim knows x86-64 only: another architecture needs its own arch_*.h"
#endif

#include <stdint.h>

#define ARCH_NAME "x86_64"
#define ARCH_PAGE 4096UL
/* End of the part of the address space a program may map (TASK_SIZE, 4 level paging). */
#define ARCH_TASK_END 0x7ffffffff000UL
/* The two bytes of `syscall`. */
#define ARCH_SYSCALL_LEN 2

static inline long arch_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long rc;

	__asm__ volatile("syscall"
			 : "=a"(rc)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return rc;
}

/* The kernel's struct sigaction; libc's has another layout. */
struct arch_sigaction {
	void *handler;
	uint64_t flags;
	void *restorer;
	uint64_t mask;
};

#define ARCH_SA_RESTORER 0x04000000UL

#endif
