/* Secrets in JSON: overwritten wherever they lie, then given up. */
#include <check.h>
#include <string.h>

#include "json.h"
#include "tests/unit/suite.h"

START_TEST(test_wipe)
{
	json_t *value = json_pack("{s:s, s:[s, {s:s}, i], s:n}", "a", "secret1", "b", "secret2",
				  "c", "secret3", 7, "d");
	json_t *kept[] = {
		json_incref(json_object_get(value, "a")),
		json_incref(json_array_get(json_object_get(value, "b"), 0)),
		json_incref(json_object_get(json_array_get(json_object_get(value, "b"), 1), "c")),
	};

	json_wipe(value);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		ck_assert_uint_eq(json_string_length(kept[i]), 7);
		ck_assert_mem_eq(json_string_value(kept[i]), "\0\0\0\0\0\0\0", 7);
		ck_assert_uint_eq(kept[i]->refcount, 1);
		json_decref(kept[i]);
	}
	json_wipe(NULL);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("json_wipe");

	tcase_add_test(t, test_wipe);
	return suite_run("json_wipe", t);
}
