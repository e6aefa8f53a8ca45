/* What /system/df answers, of older and newer engines. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/sandbox/engine_internal.h"
#include "tests/unit/suite.h"

static struct engine_usage parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	struct engine_usage usage;

	ck_assert_ptr_nonnull(json);
	engine_usage_parse(json, "mine", &usage);
	json_decref(json);
	return usage;
}

START_TEST(test_both_forms)
{
	static const char *const images =
		"[{\"Size\": 7, \"Labels\": {\"celeriac.recipe\": \"x\"}},"
		" {\"Size\": 50, \"Labels\": null}, {\"Size\": 60, \"Labels\": {\"recipe\": "
		"\"x\"}}]";
	static const char *const volumes =
		"[{\"UsageData\": {\"Size\": 3}, \"Labels\": {\"celeriac.instance\": \"mine\"}},"
		" {\"UsageData\": {\"Size\": -1}, \"Labels\": {\"celeriac.instance\": \"mine\"}},"
		" {\"UsageData\": null, \"Labels\": {\"celeriac.instance\": \"mine\"}},"
		" {\"UsageData\": {\"Size\": 900}, \"Labels\": {\"celeriac.instance\": "
		"\"other\"}}]";
	static const char *const forms[][3] = {
		{"{\"LayersSize\": 100, \"Images\": ", ", \"Volumes\": ", "}"},
		{"{\"ImageUsage\": {\"TotalSize\": 100, \"Items\": ",
		 "}, \"VolumeUsage\": {\"Items\": ", "}}"}};
	char *text = NULL;

	ck_assert_int_gt(asprintf(&text, "%s%s%s%s%s", forms[_i][0], images, forms[_i][1], volumes,
				  forms[_i][2]),
			 0);
	struct engine_usage usage = parse(text);
	ck_assert_int_eq(usage.images, 100);
	ck_assert_int_eq(usage.own_images, 7);
	ck_assert_int_eq(usage.own_volumes, 3);
	free(text);
}
END_TEST

START_TEST(test_nonsense)
{
	static const char *const said[] = {"{}", "[]", "{\"Images\": 1, \"Volumes\": \"x\"}",
					   "{\"LayersSize\": -5, \"Images\": [1, null, {}], "
					   "\"Volumes\": [[], {\"Labels\": 1}]}"};
	struct engine_usage usage = parse(said[_i]);

	ck_assert_int_eq(usage.images, 0);
	ck_assert_int_eq(usage.own_images, 0);
	ck_assert_int_eq(usage.own_volumes, 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("usage");

	tcase_add_loop_test(t, test_both_forms, 0, 2);
	tcase_add_loop_test(t, test_nonsense, 0, 4);
	return suite_run("engine_usage", t);
}
