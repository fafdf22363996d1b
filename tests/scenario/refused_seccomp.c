/*
 * scenario-refused: seccomp filters, which are not all known
 *
 * A filter that the shim did not see: the image would come back without it.
 */
#include "scenario.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int main(void)
{
	struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog prog = {1, code};
	register long flags __asm__("rsi") = 0;
	long rc;

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	__asm__ volatile("syscall" : "=a"(rc) : "0"(SYS_seccomp), "D"(SECCOMP_SET_MODE_FILTER), "r"(flags), "d"(&prog)
			 : "rcx", "r11", "memory");
	SAME(rc, 0);
	scenario_wait();
	scenario_ok();
}
