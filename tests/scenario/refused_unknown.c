/*
 * A child that no wrapper has seen: the checkpoint names it, and it goes on.
 *
 * scenario-refused: was made without libc
 */
#include "scenario.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int go[2], status;
	long pid = SYS_fork;
	char c;

	MUST(pipe(go));
	__asm__ volatile("syscall" : "+a"(pid) : : "rcx", "r11", "memory");
	if (pid == 0) {
		close(go[1]);
		SAME(read(go[0], &c, 1), 0);
		_exit(4);
	}
	CHECK(pid > 0);

	scenario_wait();

	close(go[1]);
	SAME(waitpid((pid_t)pid, &status, 0), pid);
	SAME(status, 4 << 8);
	scenario_ok();
}
