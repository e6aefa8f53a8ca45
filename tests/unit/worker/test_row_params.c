/*
 * test_row_params.c: what a row may show of a call: names, no secrets, no long texts.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "worker/row.h"

static const struct task_param params[] = {
	{"code", PARAM_STR, true}, {"env", PARAM_DICT, false}, {"files", PARAM_LIST, false}};
static const char *const secrets[] = {"env", NULL};
static const struct task task = {
	.name = "t", .params = params, .param_count = 3, .secret_params = secrets};

START_TEST(test_secrets_and_absent)
{
	_cleanup_json_ json_t *env = json_pack("{s:s}", "TOKEN", "hush");
	_cleanup_json_ json_t *code = json_string("print(1)");
	json_t *values[] = {code, env, NULL};
	_cleanup_json_ json_t *shown = row_params(&task, values);
	_cleanup_free_ char *text = json_dumps(shown, 0);

	ck_assert_str_eq(json_member_str(shown, "code"), "print(1)");
	ck_assert_str_eq(json_member_str(shown, "env"), "**");
	ck_assert_ptr_null(json_object_get(shown, "files"));
	ck_assert_ptr_null(strstr(text, "hush"));
}
END_TEST

START_TEST(test_arguments_as_they_were_sent)
{
	_cleanup_json_ json_t *kwargs =
		json_pack("{s:s, s:{s:s}}", "code", "print(1)", "env", "TOKEN", "hush");
	_cleanup_json_ json_t *args = json_pack("[s, {s:s}]", "print(1)", "TOKEN", "hush");
	_cleanup_json_ json_t *shown = row_shown_kwargs(&task, kwargs);
	_cleanup_json_ json_t *shown_args = row_shown_args(&task, args);

	ck_assert_str_eq(json_member_str(shown, "code"), "print(1)");
	ck_assert_str_eq(json_member_str(shown, "env"), "**");
	ck_assert_str_eq(json_string_value(json_array_get(shown_args, 0)), "print(1)");
	ck_assert_str_eq(json_string_value(json_array_get(shown_args, 1)), "**");
	/* The message itself is as it was. */
	ck_assert(json_is_object(json_object_get(kwargs, "env")));
	ck_assert(json_is_object(json_array_get(args, 1)));
}
END_TEST

START_TEST(test_long_texts_are_told_by_length)
{
	char big[40001];
	memset(big, 'x', 40000);
	big[40000] = '\0';
	_cleanup_json_ json_t *code = json_string("c");
	_cleanup_json_ json_t *files = json_pack("[{s:s, s:s}]", "name", "a.csv", "content", big);
	json_t *values[] = {code, NULL, files};
	_cleanup_json_ json_t *shown = row_params(&task, values);
	json_t *file = json_array_get(json_object_get(shown, "files"), 0);
	const char *content = json_member_str(file, "content");

	ck_assert_str_eq(json_member_str(file, "name"), "a.csv");
	ck_assert_uint_lt(strlen(content), 2000);
	ck_assert_ptr_nonnull(strstr(content, "(40000 bytes)"));
	ck_assert_uint_eq(
		strlen(json_string_value(json_object_get(json_array_get(files, 0), "content"))),
		40000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("row_params");
	TCase *c = tcase_create("row_params");
	SRunner *r;
	int failed;

	tcase_add_test(c, test_secrets_and_absent);
	tcase_add_test(c, test_arguments_as_they_were_sent);
	tcase_add_test(c, test_long_texts_are_told_by_length);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
