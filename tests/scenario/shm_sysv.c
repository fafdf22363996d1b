/*
 * SysV shared memory: kept by its key, removed but attached, attached by a child to read only, unmapped in part.
 *
 * scenario-limit: 20
 */
#include "scenario.h"

#include <errno.h>
#include <string.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

static struct shmid_ds stat_of(int id)
{
	struct shmid_ds ds;

	MUST(shmctl(id, IPC_STAT, &ds));
	return ds;
}

int main(void)
{
	key_t key = ftok(".", 'k');
	int kept = MUST(shmget(key, 300000, IPC_CREAT | IPC_EXCL | 0640)), gone = MUST(shmget(IPC_PRIVATE, 10 * PAGE, 0600));
	char *a = shmat(kept, NULL, 0), *b = shmat(gone, NULL, 0), *again = shmat(gone, NULL, 0), byte;
	int go[2], back[2], status;
	pid_t pid;

	CHECK(a != (char *)-1 && b != (char *)-1 && again != (char *)-1);
	MUST(shmctl(gone, IPC_RMID, NULL));
	MUST(munmap(b + 2 * PAGE, 3 * PAGE));
	strcpy(a + 200000, "kept");
	strcpy(b + 8 * PAGE, "removed");
	MUST(mprotect(again, PAGE, PROT_READ));
	MUST(pipe(go));
	MUST(pipe(back));
	pid = MUST(fork());
	if (pid == 0) {
		const char *p;

		close(go[1]);
		close(back[0]);
		MUST(shmdt(a));
		p = shmat(kept, NULL, SHM_RDONLY);
		CHECK(p != (void *)-1);
		while (write(back[1], "r", 1) == 1 && read(go[0], &byte, 1) == 1)
			strcpy(b + 9 * PAGE, p + 200000);
		_exit(0);
	}
	close(go[0]);
	close(back[1]);
	SAME(read(back[0], &byte, 1), 1);

	scenario_wait();

	CHECK(strcmp(a + 200000, "kept") == 0 && strcmp(again + 8 * PAGE, "removed") == 0);
	SAME(stat_of(kept).shm_nattch, 2);
	SAME(stat_of(kept).shm_perm.mode & 0777, 0640);
	SAME(stat_of(kept).shm_segsz, 300000);
	SAME(stat_of(gone).shm_nattch, 8);     /* each part counts */
	CHECK(stat_of(gone).shm_perm.mode & 01000);
	SAME(shmget(key, 0, 0), kept);
	strcpy(a + 200000, "changed");
	SAME(write(go[1], "w", 1), 1);
	SAME(read(back[0], &byte, 1), 1);
	CHECK(strcmp(again + 9 * PAGE, "changed") == 0 && strcmp(b + 9 * PAGE, "changed") == 0);
	close(go[1]);
	SAME(waitpid(pid, &status, 0), pid);
	MUST(shmdt(a));
	SAME(stat_of(kept).shm_nattch, 0);
	MUST(shmctl(kept, IPC_RMID, NULL));
	MUST(shmdt(again));
	scenario_ok();
}
