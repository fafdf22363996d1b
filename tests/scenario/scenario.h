/*
 * scenario.h - what a scenario says to the runner
 *
 * A scenario is one program and one behaviour:
 *
 *	int main(void)
 *	{
 *		make state;
 *		scenario_wait();
 *		verify;
 *		scenario_ok();
 *	}
 *
 * The runner (tests/conduct.c) runs it twice: checkpointed while it waits and
 * going on; and checkpointed, killed and restarted. It starts in an empty
 * directory of its own with standard input on /dev/null, and, where the
 * runner is root, in a network namespace that has only `lo`; so any port and
 * any name may be used. Prefer port 0 all the same.
 *
 * The two talk through names in a directory: no descriptor, signal or mapping
 * of the scenario's is used while it waits.
 *
 * Lines "scenario-KEY: VALUE" in a comment of the source are for the runner:
 *	scenario-env: NAME=VALUE      in the program's environment (may be repeated)
 *	scenario-only: root|user      one privilege
 *	scenario-way: go|restart      one way
 *	scenario-steps: ggkgk         a third way: a letter a checkpoint, g it goes on, k it is killed and restarted
 *	scenario-refused: TEXT        the checkpoint must fail with TEXT, the program go on
 *	scenario-limit: SECONDS       instead of 60
 *	scenario-files: N             RLIMIT_NOFILE of the program, and of the restart
 *	scenario-checkpoints: N       checkpoints on the way "go", generations on the way "restart"
 */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <stdbool.h>
#include <stdlib.h>

/* Both halves: ready, then wait for "go on". */
void scenario_wait(void);
/* For states that are kept alive by this thread itself: say ready, and look (without waiting) whether to go on. */
void scenario_ready(void);
bool scenario_go(void);
/* Instead of scenario_wait(): returns behind each checkpoint with true, and with false on "go on". */
bool scenario_turn(void);
/* After "go on": was the program killed and restarted (true), or did it just go on? */
bool scenario_killed(void);

/* How it ends. A message is shown by the runner. */
void scenario_ok(void) __attribute__((noreturn));
void scenario_skip(const char *why, ...) __attribute__((noreturn, format(printf, 1, 2)));
void scenario_fail(const char *file, int line, const char *fmt, ...) __attribute__((noreturn, format(printf, 3, 4)));

#define FAIL(...) scenario_fail(__FILE__, __LINE__, __VA_ARGS__)
/* Anything that must hold. */
#define CHECK(cond) \
	do { \
		if (!(cond)) \
			scenario_fail(__FILE__, __LINE__, "%s", #cond); \
	} while (0)
/* Two numbers that must be the same; both are shown. */
#define SAME(a, b) \
	do { \
		long long a_ = (long long)(a), b_ = (long long)(b); \
		if (a_ != b_) \
			scenario_fail(__FILE__, __LINE__, "%s is %lld, %s is %lld", #a, a_, #b, b_); \
	} while (0)
/* A call that must not return -1; gives its result. */
#define MUST(call) \
	__extension__({ \
		__typeof__(call) rc_ = (call); \
		if (rc_ == (__typeof__(rc_))-1) \
			scenario_fail(__FILE__, __LINE__, "%s", #call); \
		rc_; \
	})

#endif
