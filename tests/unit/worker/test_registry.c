/*
 * test_registry.c: tasks by name, and how each is run.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tests/unit/suite.h"
#include "worker/annotations.h"
#include "worker/registry.h"

static struct settings g_settings;
static struct registry g_registry;

static int run_nothing(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	(void)ctx;
	(void)values;
	(void)ret;
	(void)err;
	return 0;
}

static const struct task_param two[] = {{"a", PARAM_ANY, true}, {"b", PARAM_STR, false}};

static struct task plain(const char *name)
{
	return (struct task){
		.name = name, .run = run_nothing, .params = two, .param_count = ARRAY_LEN(two)};
}

/* Settings of `words`, NAME=value each, and an empty registry. */
static int begin(const char *const *words, struct err *err)
{
	char *env[8] = {0};

	for (size_t i = 0; words[i] != NULL; i++)
		env[i] = (char *)(uintptr_t)words[i];
	ck_assert_int_eq(settings_load(env, &g_settings, err), 0);
	return registry_init(&g_registry, &g_settings, err);
}

static const struct task_options *options_of(const struct task *t, const char *const *words)
{
	struct err err = {0};

	ck_assert_msg(begin(words, &err) == 0, "%s", err.msg);
	ck_assert_msg(registry_add(&g_registry, &g_settings, t, "a test", &err) == 0, "%s",
		      err.msg);
	return registry_options(&g_registry, t);
}

static void teardown(void)
{
	registry_done(&g_registry);
	settings_done(&g_settings);
}

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__ __VA_OPT__(, ) NULL                                                    \
	}

START_TEST(test_defaults)
{
	struct task t = plain("t");
	const struct task_options *o = options_of(&t, WORDS());

	ck_assert_int_eq(o->acks_late, TASK_NO);
	ck_assert_int_eq(o->acks_on_failure, TASK_YES);
	ck_assert_int_eq(o->acks_on_timeout, TASK_YES);
	ck_assert_int_eq(o->ignore_result, TASK_NO);
	ck_assert_int_eq(o->store_errors_even_if_ignored, TASK_NO);
	ck_assert_int_eq(o->track_started, TASK_NO);
	ck_assert_int_eq(o->retry_jitter, TASK_YES);
	ck_assert_int_eq(o->max_retries, 3);
	ck_assert_int_eq(o->default_retry_delay, 180 * USEC_PER_SEC);
	ck_assert_int_eq(o->retry_backoff, 0);
	ck_assert_int_eq(o->retry_backoff_max, 600 * USEC_PER_SEC);
	ck_assert_int_eq(o->time_limit, 0);
	ck_assert_str_eq(o->rate_limit, "");
}
END_TEST

START_TEST(test_task_over_settings)
{
	struct task t = plain("t");
	const struct task_options *o;

	t.options = (struct task_options){.acks_late = TASK_NO,
					  .ignore_result = TASK_YES,
					  .max_retries = TASK_RETRIES_NONE,
					  .default_retry_delay = TASK_NONE,
					  .rate_limit = ""};
	o = options_of(&t, WORDS("CELERY_TASK_ACKS_LATE=1", "CELERY_TASK_DEFAULT_RATE_LIMIT=5/m",
				 "CELERY_TASK_TRACK_STARTED=1"));
	ck_assert_int_eq(o->acks_late, TASK_NO);
	ck_assert_int_eq(o->ignore_result, TASK_YES);
	ck_assert_int_eq(o->track_started, TASK_YES);
	ck_assert_int_eq(o->max_retries, 0);
	ck_assert_int_eq(o->default_retry_delay, 0);
	ck_assert_str_eq(o->rate_limit, "");
}
END_TEST

START_TEST(test_built_in_is_late)
{
	struct task t = plain("t");

	t.flags = TASK_ACKS_LATE;
	t.options.acks_late = TASK_NO;
	ck_assert_int_eq(options_of(&t, WORDS("CELERY_TASK_ANNOTATIONS={\"t\": "
					      "{\"acks_late\": false}}"))
				 ->acks_late,
			 TASK_YES);
}
END_TEST

/* failure or timeout, failure, timeout → what holds for each. */
START_TEST(test_acks_on)
{
	static const struct {
		const char *words[4];
		struct task_options said;
		enum task_choice failure, timeout;
	} rows[] = {
		{{NULL}, {0}, TASK_YES, TASK_YES},
		{{"CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT=0"}, {0}, TASK_NO, TASK_NO},
		{{"CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT=0", "CELERY_TASK_ACKS_ON_TIMEOUT=1"},
		 {0},
		 TASK_NO,
		 TASK_YES},
		{{"CELERY_TASK_ACKS_ON_FAILURE=0"}, {0}, TASK_NO, TASK_YES},
		{{NULL}, {.acks_on_failure_or_timeout = TASK_NO}, TASK_NO, TASK_NO},
		{{NULL},
		 {.acks_on_failure_or_timeout = TASK_NO, .acks_on_failure = TASK_YES},
		 TASK_YES,
		 TASK_NO},
		{{"CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT=0"},
		 {.acks_on_timeout = TASK_YES},
		 TASK_NO,
		 TASK_YES},
		{{"CELERY_TASK_ANNOTATIONS={\"*\": {\"acks_on_timeout\": false}}"},
		 {.acks_on_timeout = TASK_YES},
		 TASK_YES,
		 TASK_NO},
	};
	struct task t = plain("t");
	const struct task_options *o;

	t.options = rows[_i].said;
	o = options_of(&t, rows[_i].words);
	ck_assert_int_eq(o->acks_on_failure, rows[_i].failure);
	ck_assert_int_eq(o->acks_on_timeout, rows[_i].timeout);
}
END_TEST

/* As in Celery: the name, then "*" over it; both over the task. */
START_TEST(test_annotations)
{
	struct task t = plain("t");
	const struct task_options *o;

	t.options = (struct task_options){.rate_limit = "9/s", .max_retries = 9};
	o = options_of(
		&t, WORDS("CELERY_TASK_ANNOTATIONS={\"t\": {\"rate_limit\": \"2/s\", "
			  "\"max_retries\": null, \"retry_backoff\": true, \"time_limit\": 1.5, "
			  "\"autoretry_for\": [\"OSError\", \"x.Y\"]}, \"*\": {\"rate_limit\": 3, "
			  "\"retry_jitter\": false}, \"other\": {\"rate_limit\": \"7/s\"}}"));
	ck_assert_str_eq(o->rate_limit, "3");
	ck_assert_int_eq(o->max_retries, TASK_RETRIES_WITHOUT_END);
	ck_assert_int_eq(o->retry_backoff, USEC_PER_SEC);
	ck_assert_int_eq(o->time_limit, 1500 * USEC_PER_MSEC);
	ck_assert_int_eq(o->retry_jitter, TASK_NO);
	ck_assert_str_eq(o->autoretry_for[0], "OSError");
	ck_assert_str_eq(o->autoretry_for[1], "x.Y");
	ck_assert_ptr_null(o->autoretry_for[2]);
}
END_TEST

START_TEST(test_wrong_annotations)
{
	static const struct {
		const char *word, *error;
	} rows[] = {
		{"CELERY_TASK_ANNOTATIONS={\"t\": 3}", "t: is not an object"},
		{"CELERY_TASK_ANNOTATIONS={\"t\": {\"acks_lat\": true}}", "no option acks_lat"},
		{"CELERY_TASK_ANNOTATIONS={\"t\": {\"acks_late\": 1}}",
		 "acks_late must be true or false"},
		{"CELERY_TASK_ANNOTATIONS={\"*\": {\"max_retries\": -1}}", "max_retries must be"},
		{"CELERY_TASK_ANNOTATIONS={\"*\": {\"time_limit\": \"1\"}}",
		 "time_limit must be seconds"},
		{"CELERY_TASK_ANNOTATIONS={\"*\": {\"time_limit\": 1e300}}",
		 "time_limit must be seconds"},
		{"CELERY_TASK_ANNOTATIONS={\"t\": {\"rate_limit\": \"fast\"}}",
		 "rate_limit must be a rate"},
		{"CELERY_TASK_ANNOTATIONS={\"t\": {\"autoretry_for\": [1]}}",
		 "autoretry_for must be a list"},
		{"CELERY_TASK_DEFAULT_RATE_LIMIT=quick", "CELERY_TASK_DEFAULT_RATE_LIMIT"},
	};
	struct err err = {0};

	ck_assert_int_eq(begin(WORDS(rows[_i].word), &err), -ERR_INVALID);
	ck_assert_msg(strstr(err.msg, rows[_i].error) != NULL, "%s", err.msg);
}
END_TEST

START_TEST(test_names)
{
	struct task b = plain("b"), a = plain("a"), again = plain("b");
	struct err err = {0};
	const struct task *at;

	ck_assert_int_eq(begin(WORDS(), &err), 0);
	ck_assert_int_eq(registry_add(&g_registry, &g_settings, &b, "one.so", &err), 0);
	ck_assert_int_eq(registry_add(&g_registry, &g_settings, &a, "one.so", &err), 0);
	ck_assert_ptr_eq(registry_find(&g_registry, "b"), &b);
	ck_assert_ptr_null(registry_find(&g_registry, "c"));
	at = registry_next(&g_registry, NULL);
	ck_assert_ptr_eq(at, &a);
	at = registry_next(&g_registry, at);
	ck_assert_ptr_eq(at, &b);
	ck_assert_ptr_null(registry_next(&g_registry, at));
	ck_assert_int_eq(registry_add(&g_registry, &g_settings, &again, "two.so", &err),
			 -ERR_CONFLICT);
	ck_assert_str_eq(err.msg, "two.so: task b is there already, from one.so");
}
END_TEST

START_TEST(test_rows_that_cannot_run)
{
	static const struct task_param twice[] = {{"a", PARAM_ANY, true}, {"a", PARAM_ANY, true}};
	static const struct task_param nameless[] = {{NULL, PARAM_ANY, true}};
	static const struct task_param odd[] = {{"a", (enum param_type)99, true}};
	const struct {
		struct task task;
		const char *error;
	} rows[] = {
		{{.name = NULL, .run = run_nothing}, "without a name"},
		{{.name = "", .run = run_nothing}, "without a name"},
		{{.name = "a\nb", .run = run_nothing}, "without a name"},
		{{.name = "t"}, "no function"},
		{{.name = "t", .run = run_nothing, .param_count = 1}, "no table"},
		{{.name = "t", .run = run_nothing, .params = twice, .param_count = 2},
		 "there twice"},
		{{.name = "t", .run = run_nothing, .params = nameless, .param_count = 1},
		 "no name or type"},
		{{.name = "t", .run = run_nothing, .params = odd, .param_count = 1},
		 "no name or type"},
		{{.name = "t", .run = run_nothing, .lane = "x"}, "lane x"},
		{{.name = "t", .run = run_nothing, .options = {.rate_limit = "x"}}, "rate_limit"},
		{{.name = "t", .run = run_nothing, .options = {.max_retries = -3}}, "max_retries"},
		{{.name = "t",
		  .run = run_nothing,
		  .options = {.soft_time_limit = 2, .time_limit = 1}},
		 "soft_time_limit"},
	};
	struct err err = {0};

	ck_assert_int_eq(begin(WORDS(), &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_int_eq(
			registry_add(&g_registry, &g_settings, &rows[i].task, "x.so", &err),
			-ERR_INVALID);
		ck_assert_msg(strstr(err.msg, rows[i].error) != NULL && strstr(err.msg, "x.so"),
			      "%s", err.msg);
	}
	ck_assert_ptr_null(registry_next(&g_registry, NULL));
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("registry");

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, test_defaults);
	tcase_add_test(c, test_task_over_settings);
	tcase_add_test(c, test_built_in_is_late);
	tcase_add_loop_test(c, test_acks_on, 0, 8);
	tcase_add_test(c, test_annotations);
	tcase_add_loop_test(c, test_wrong_annotations, 0, 9);
	tcase_add_test(c, test_names);
	tcase_add_test(c, test_rows_that_cannot_run);
	return suite_run("registry", c);
}
