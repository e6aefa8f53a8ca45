/* Which Python programs are taken for ones that load no packages. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/sandbox/language.h"

static const char *const plain[] = {
	"",
	"print(1)",
	"import os",
	"  import os.path as p, json\t# for paths\r\nfrom math import sqrt as s, pi\n",
	"from collections import (OrderedDict,\n    deque)",
	"important = 'imports'; reimport_ = 3",
	"from\tos import\tpath",
};
static const char *const others[] = {
	"import numpy",
	"import os, numpy as np",
	"import os; import numpy",
	"if True: import numpy",
	"from os import path; import numpy",
	"from .helper import x",
	"from . import helper",
	"import helper",
	"import os \\\n, numpy",
	"import importlib",
	"m = __import__('numpy')",
	"exec('import numpy')",
	"import mathematics",
	"import os.path,",
	"x = 1;import\tnumpy",
	"import",
	"import ' os '",
	"import aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"from os import path \\\n, import",
};

START_TEST(test_plain)
{
	ck_assert_msg(sandbox_python_is_plain((struct slice){plain[_i], strlen(plain[_i])}), "%s",
		      plain[_i]);
}
END_TEST

START_TEST(test_others)
{
	ck_assert_msg(!sandbox_python_is_plain((struct slice){others[_i], strlen(others[_i])}),
		      "%s", others[_i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("python_plain");
	TCase *t = tcase_create("programs");

	tcase_add_loop_test(t, test_plain, 0, ARRAY_LEN(plain));
	tcase_add_loop_test(t, test_others, 0, ARRAY_LEN(others));
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
