/*
 * A thread with a table of descriptors of its own (unshare(CLONE_FILES)).
 *
 * scenario-refused: has a table of descriptors of its own
 */
#include "scenario.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

static unsigned char ready, go;

static void *apart(void *arg)
{
	MUST(unshare(CLONE_FILES));
	SAME(dup2(0, 77), 77);
	__atomic_store_n(&ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST))
		usleep(1000);
	MUST(fcntl(77, F_GETFD));
	return arg;
}

int main(void)
{
	pthread_t t;

	SAME(pthread_create(&t, NULL, apart, NULL), 0);
	while (!__atomic_load_n(&ready, __ATOMIC_SEQ_CST))
		usleep(1000);
	scenario_wait();
	SAME(fcntl(77, F_GETFD), -1);
	__atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
	SAME(pthread_join(t, NULL), 0);
	scenario_ok();
}
