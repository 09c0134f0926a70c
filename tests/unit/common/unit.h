/* SPDX-License-Identifier: Apache-2.0 */
/* How every unit test's program gathers its tests and runs them. */
#ifndef TESTS_UNIT_COMMON_UNIT_H
#define TESTS_UNIT_COMMON_UNIT_H

#include <check.h>
#include <stdlib.h>

/* A new case of the suite, each of whose tests runs between `before` and `after`; NULL: nothing.
 */
static inline TCase *unit_case(Suite *suite, const char *name, SFun before, SFun after)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, before, after);
	suite_add_tcase(suite, tcase);
	return tcase;
}

/* Adds the NULL-terminated list of tests. */
static inline void unit_add(TCase *tcase, const TTest *const *tests)
{
	for (size_t i = 0; tests[i]; i++)
		tcase_add_test(tcase, tests[i]);
}

/* Runs the suite and frees it; returns the exit status of the program. */
static inline int unit_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A program of one case with the NULL-terminated list of tests. */
static inline int unit_main(const char *name, SFun before, SFun after, const TTest *const *tests)
{
	Suite *suite = suite_create(name);

	unit_add(unit_case(suite, name, before, after), tests);
	return unit_run(suite);
}

#endif
