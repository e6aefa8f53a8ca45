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

START_TEST(test_images_that_are_named_by_their_id)
{
	static const char id[] = "sha256:bd37b7a31e20f00d"
				 "0123456789abcdef0123456789abcdef0123456789abcdef";
	static const struct {
		const char *name;
		bool is;
	} rows[] = {
		{id, true},
		{id + 7, true},
		{"sha256:bd37b7a31e20", true},
		{"bd37b7a31e20", true},
		{"b", true},
		{"", false},
		{"sha256:", false},
		{"sha256:bd37b7a31e21", false},
		{"sha512:bd37b7a31e20", false},
		{"BD37", false},
		{"celeriac-sandbox:latest", false},
		{"sha256:bd37b7a31e20f00d0123456789abcdef0123456789abcdef0123456789abcdef0", false},
	};
	const char *const names[] = {"celeriac-sandbox", rows[_i].name, NULL};

	ck_assert_int_eq(engine_image_is_named(id, names), rows[_i].is);
	ck_assert_int_eq(engine_image_is_named(id, names + 2), false);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("usage");

	tcase_add_loop_test(t, test_both_forms, 0, 2);
	tcase_add_loop_test(t, test_nonsense, 0, 4);
	tcase_add_loop_test(t, test_images_that_are_named_by_their_id, 0, 12);
	return suite_run("engine_usage", t);
}
