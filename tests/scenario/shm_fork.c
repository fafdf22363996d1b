/*
 * Memory shared by a process and its children: anonymous, twice mapped, a memfd
 * that nobody has open, a deleted file; a lock and a condition inside, with a
 * child blocked in each.
 *
 * scenario-limit: 20
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1ul << 20)
#define CHILDREN 3

struct board {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_mutex_t robust;
	int value;
	_Atomic int ready, count;
};

static struct board *board;
static char *memfd, *deleted, *second;

static void child(int number)
{
	pthread_mutex_lock(&board->lock);
	board->ready++;
	while (board->value != number)
		pthread_cond_wait(&board->changed, &board->lock);
	board->value++;
	pthread_cond_broadcast(&board->changed);
	pthread_mutex_unlock(&board->lock);
	if (memcmp(memfd + 300000, "memfd", 5) != 0 || memcmp(deleted + 8192, "deleted", 7) != 0 || second[MIB] != 's')
		_exit(1);
	memfd[number] = (char)('0' + number);
	deleted[number] = (char)('a' + number);
	for (int i = 0; i < 1000; i++)
		board->count++;
	if (number == 2) {       /* ends with the robust lock held */
		pthread_mutex_lock(&board->robust);
		_exit(0);
	}
	_exit(0);
}

static char *map_file(int fd, size_t n)
{
	char *p;

	MUST(ftruncate(fd, (off_t)n));
	p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	MUST(close(fd));
	return p;
}

int main(void)
{
	pthread_mutexattr_t ma;
	pthread_condattr_t ca;
	int status, fd;
	pid_t pids[CHILDREN];

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(board != MAP_FAILED);
	pthread_mutexattr_init(&ma);
	pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&board->lock, &ma);
	pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&board->robust, &ma);
	pthread_condattr_init(&ca);
	pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&board->changed, &ca);
	memfd = map_file(MUST(memfd_create("no descriptor", 0)), MIB);
	fd = MUST(open("gone", O_RDWR | O_CREAT, 0600));
	MUST(unlink("gone"));
	deleted = map_file(fd, MIB);
	memcpy(memfd + 300000, "memfd", 5);
	memcpy(deleted + 8192, "deleted", 7);
	/* the same pages twice, and only the second half of them */
	second = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(second != MAP_FAILED);
	{
		char *again = mremap(second, 0, 2 * MIB, MREMAP_MAYMOVE);

		CHECK(again != MAP_FAILED);
		MUST(munmap(second, MIB));
		second = again;
	}
	second[MIB] = 's';
	board->value = -1;
	for (int i = 0; i < CHILDREN; i++) {
		pids[i] = MUST(fork());
		if (pids[i] == 0)
			child(i);
	}
	while (board->ready < CHILDREN)
		usleep(1000);

	scenario_wait();

	pthread_mutex_lock(&board->lock);
	board->value = 0;
	pthread_cond_broadcast(&board->changed);
	while (board->value != CHILDREN)
		pthread_cond_wait(&board->changed, &board->lock);
	pthread_mutex_unlock(&board->lock);
	for (int i = 0; i < CHILDREN; i++) {
		SAME(waitpid(pids[i], &status, 0), pids[i]);
		SAME(status, 0);
	}
	SAME(board->count, CHILDREN * 1000);
	SAME(pthread_mutex_lock(&board->robust), EOWNERDEAD);
	CHECK(memcmp(memfd, "012", 3) == 0 && memcmp(deleted, "abc", 3) == 0);
	scenario_ok();
}
