/* SEM_UNDO: what a process's end undoes, after several operations up and down, in a child, in one of several semaphores. */
#include "scenario.h"

#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <unistd.h>

static void op(int id, int num, int by, int flags)
{
	struct sembuf s = { (unsigned short)num, (short)by, (short)flags };

	MUST(semop(id, &s, 1));
}

int main(void)
{
	int id = MUST(semget(IPC_PRIVATE, 3, 0600)), ready[2], go[2];
	pid_t child;
	char c;

	MUST(semctl(id, 0, SETVAL, 5));
	MUST(semctl(id, 1, SETVAL, 0));
	MUST(semctl(id, 2, SETVAL, 1));
	op(id, 2, -1, SEM_UNDO);
	MUST(pipe(ready));
	MUST(pipe(go));
	child = MUST(fork());
	if (child == 0) {
		op(id, 0, -4, SEM_UNDO);
		op(id, 0, 1, SEM_UNDO);
		op(id, 0, 1, 0);
		op(id, 1, 2, SEM_UNDO);
		_exit(write(ready[1], "x", 1) == 1 && read(go[0], &c, 1) == 1 ? 0 : 1);
	}
	SAME(read(ready[0], &c, 1), 1);

	scenario_wait();

	SAME(semctl(id, 0, GETVAL), 3);
	SAME(semctl(id, 1, GETVAL), 2);
	SAME(semctl(id, 2, GETVAL), 0);
	SAME(write(go[1], "x", 1), 1);
	SAME(waitpid(child, NULL, 0), child);
	SAME(semctl(id, 0, GETVAL), 6);
	SAME(semctl(id, 1, GETVAL), 0);
	SAME(semctl(id, 2, GETVAL), 0);
	op(id, 2, 1, SEM_UNDO);
	MUST(semctl(id, 0, IPC_RMID));
	scenario_ok();
}
