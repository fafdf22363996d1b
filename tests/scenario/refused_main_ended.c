/*
 * The first thread has ended with pthread_exit, others go on: that is refused
 * by name, and they still go on.
 *
 * scenario-refused: its first thread has ended
 */
#include "scenario.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static pthread_t first;

static void *other(void *arg)
{
	SAME(pthread_join(first, NULL), 0);
	scenario_wait();
	SAME(getpid() == gettid(), 0);
	scenario_ok();
	return arg;
}

int main(void)
{
	pthread_t t;

	first = pthread_self();
	SAME(pthread_create(&t, NULL, other, NULL), 0);
	pthread_exit(NULL);
}
