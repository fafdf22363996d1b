/*
 * POSIX shared memory with a name: mapped by two processes, its size not a
 * number of pages, mapped to read only, and a named semaphore that a child waits
 * for.
 *
 * scenario-limit: 20
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 100001

static char *map(int fd, int prot)
{
	char *p = mmap(NULL, SIZE, prot, MAP_SHARED, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

int main(void)
{
	char name[64], *p, *ro;
	int fd, status;
	struct stat st;
	sem_t *sem, *again;
	pid_t pid;

	snprintf(name, sizeof(name), "/scenario-%d", getpid());
	fd = MUST(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0640));
	MUST(ftruncate(fd, SIZE));
	p = map(fd, PROT_READ | PROT_WRITE);
	MUST(close(fd));
	fd = MUST(shm_open(name, O_RDONLY, 0));
	ro = map(fd, PROT_READ);
	MUST(close(fd));
	sem = sem_open(name, O_CREAT | O_EXCL, 0600, 2);
	CHECK(sem != SEM_FAILED);
	strcpy(p + SIZE - 10, "the end");
	pid = MUST(fork());
	if (pid == 0) {
		for (int i = 0; i < 3; i++)
			if (sem_wait(sem) < 0)
				_exit(1);
		_exit(strcmp(p + 50000, "now") == 0 ? 0 : 2);
	}
	do {
		usleep(1000);
		MUST(sem_getvalue(sem, &status));
	} while (status > 0);
	usleep(20000);

	scenario_wait();

	CHECK(p[50000] == 0 && strcmp(ro + SIZE - 10, "the end") == 0);
	strcpy(p + 50000, "now");
	CHECK(strcmp(ro + 50000, "now") == 0);
	SAME(mprotect(ro, 4096, PROT_READ | PROT_WRITE), -1);
	SAME(errno, EACCES);
	MUST(sem_post(sem));
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 0);
	/* the semaphore's name still leads to it */
	again = sem_open(name, 0);
	CHECK(again != SEM_FAILED);
	MUST(sem_post(again));
	MUST(sem_getvalue(sem, &status));
	SAME(status, 1);
	fd = MUST(shm_open(name, O_RDWR, 0));
	MUST(fstat(fd, &st));
	SAME(st.st_size, SIZE);
	SAME(st.st_mode & 0777, 0640);
	{
		char *anew = map(fd, PROT_READ);

		CHECK(strcmp(anew + 50000, "now") == 0);
	}
	MUST(sem_close(sem));
	MUST(sem_unlink(name));
	MUST(shm_unlink(name));
	scenario_ok();
}
