/* sa_restorer is kept as it was given and is where a handler returns to; the handler may change that address. */
#include "fact.h"

struct action {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

static volatile int entered, ran;

__attribute__((naked, used)) static void back(void)
{
	__asm__("mov $15, %eax\n\tsyscall");
}

static void handler(int sig)
{
	ran = sig;
}

/* Finds `handler` where its return address should be, and puts the real one there. */
__attribute__((naked, used)) static void enter(void)
{
	__asm__("mov (%rsp), %rcx\n\t"
		"lea back(%rip), %rax\n\t"
		"mov %rax, (%rsp)\n\t"
		"incl entered(%rip)\n\t"
		"jmp *%rcx");
}

int main(void)
{
	struct action act = {(void *)enter, 0x04000000 | SA_RESTART, (void *)handler, 0}, old;

	FACT(syscall(SYS_rt_sigaction, SIGRTMAX, &act, NULL, 8) == 0);
	FACT(syscall(SYS_rt_sigaction, SIGRTMAX, NULL, &old, 8) == 0);
	FACT(old.handler == (void *)enter && old.restorer == (void *)handler && old.flags == act.flags);
	FACT(kill(getpid(), SIGRTMAX) == 0);
	FACT(entered == 1 && ran == SIGRTMAX);
	return 0;
}
