/* suite.h: the end of every test program: one case, run, its failures as the exit status. */
#ifndef CELERIAC_TEST_SUITE_H
#define CELERIAC_TEST_SUITE_H

#include <check.h>
#include <stdlib.h>

static inline int suite_run(const char *name, TCase *cases)
{
	Suite *s = suite_create(name);
	suite_add_tcase(s, cases);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
