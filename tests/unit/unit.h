/*
 * unit.h - what unit tests share
 *
 * One program a source file: tests with START_TEST, then UNIT_MAIN with their
 * names. Check runs each in a process of its own.
 */
#ifndef UNIT_H
#define UNIT_H

#include <check.h>
#include <stdlib.h>

#include "skshim/err.h"

typedef const TTest *unit_test;

static inline int unit_main(const char *name, const unit_test *tests, int timeout)
{
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create(name);
	SRunner *runner;
	int bad;

	for (; *tests; tests++)
		tcase_add_test(tc, *tests);
	tcase_set_timeout(tc, timeout);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define UNIT_MAIN(name, ...) \
	int main(void) \
	{ \
		return unit_main(name, (const unit_test[]){ __VA_ARGS__, NULL }, 60); \
	}

/* The failure that is noted says `words`. */
#define ck_failed(words) ck_assert_msg(strstr(err_text(), (words)), "\"%s\" is not in \"%s\"", (words), err_text())

#endif
