/*
 * Huge pages: private, shared with a child, a memfd of them, SysV.
 *
 * scenario-limit: 20
 */
#include "scenario.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define HUGE (2ul << 20)

int main(void)
{
	char *priv = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0), *shared, *file;
	int fd = memfd_create("huge", MFD_HUGETLB), status, go[2];
	char byte;
	pid_t pid;

	shared = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (priv == MAP_FAILED || shared == MAP_FAILED || fd < 0 || ftruncate(fd, HUGE) < 0)
		scenario_skip("no huge pages (/proc/sys/vm/nr_hugepages)");
	file = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED)
		scenario_skip("too few huge pages");
	strcpy(priv + 100000, "private");
	strcpy(shared + 200000, "shared");
	strcpy(file + 300000, "file");
	MUST(pipe(go));
	pid = MUST(fork());
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) == 0 && strcmp(shared + 200000, "changed") == 0 ? 0 : 1);
	}

	scenario_wait();

	CHECK(strcmp(priv + 100000, "private") == 0 && priv[HUGE - 1] == 0);
	CHECK(strcmp(shared + 200000, "shared") == 0);
	CHECK(strcmp(file + 300000, "file") == 0);
	strcpy(shared + 200000, "changed");
	strcpy(priv + 100000, "mine");
	close(go[1]);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 0);
	{
		char *again = mmap(NULL, HUGE, PROT_READ, MAP_SHARED, fd, 0);

		CHECK(again != MAP_FAILED && strcmp(again + 300000, "file") == 0);
	}
	scenario_ok();
}
