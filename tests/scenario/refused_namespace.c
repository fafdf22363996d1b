/*
 * scenario-only: root
 * scenario-refused: namespace
 *
 * A process that has gone into a namespace of its own.
 */
#include "scenario.h"

#include <sched.h>

int main(void)
{
	MUST(unshare(CLONE_NEWUTS));
	scenario_wait();
	scenario_ok();
}
