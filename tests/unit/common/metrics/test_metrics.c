/* Series, their ceiling, and the page, byte by byte. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "tests/unit/suite.h"

static char *page(void)
{
	struct buf out = BUF_INIT((size_t)8 << 20);
	metrics_write(&out);
	char *text = strdup(out.data ? out.data : "");
	buf_done(&out);
	return text;
}

START_TEST(test_empty)
{
	char *text = page();
	ck_assert_str_eq(text, "");
	free(text);
}
END_TEST

START_TEST(test_counter)
{
	metric_count(METRIC_TASKS, "sandbox.execute_code", "SUCCESS");
	metric_add(metric_series(METRIC_TASKS, "sandbox.execute_code", "SUCCESS"), 4);
	metric_count(METRIC_TASKS, "a\"b\\c\n", "FAILURE");
	metric_count(METRIC_STORE_ERRORS, NULL, NULL);
	char *text = page();
	ck_assert_str_eq(text,
			 "# HELP celeriac_tasks_total Tasks that ended, by name and by the state "
			 "they ended in.\n"
			 "# TYPE celeriac_tasks_total counter\n"
			 "celeriac_tasks_total{name=\"sandbox.execute_code\",state=\"SUCCESS\"} 5\n"
			 "celeriac_tasks_total{name=\"a\\\"b\\\\c?\",state=\"FAILURE\"} 1\n"
			 "# HELP celeriac_store_errors_total Calls to PostgreSQL that were not "
			 "answered.\n"
			 "# TYPE celeriac_store_errors_total counter\n"
			 "celeriac_store_errors_total 1\n");
	free(text);
}
END_TEST

START_TEST(test_histogram)
{
	struct metric_series *s = metric_series(METRIC_STORE_TIME, NULL, NULL);
	metric_observe(s, 1000);
	metric_observe(s, 1001);
	metric_observe(s, 400 * USEC_PER_SEC);
	char *text = page();
	ck_assert_ptr_nonnull(strstr(text, "\nceleriac_store_seconds_bucket{le=\"0.001\"} 1\n"
					   "celeriac_store_seconds_bucket{le=\"0.0025\"} 2\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nceleriac_store_seconds_bucket{le=\"300\"} 2\n"
					   "celeriac_store_seconds_bucket{le=\"+Inf\"} 3\n"
					   "celeriac_store_seconds_sum 400.002001\n"
					   "celeriac_store_seconds_count 3\n"));
	free(text);
	metric_observe(metric_series(METRIC_TASK_RUNTIME, "x", NULL), 7);
	text = page();
	ck_assert_ptr_nonnull(strstr(
		text, "\nceleriac_task_runtime_seconds_bucket{name=\"x\",le=\"0.001\"} 1\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "\nceleriac_task_runtime_seconds_sum{name=\"x\"} 0.000007\n"));
	free(text);
}
END_TEST

/* Whoever can choose names cannot make the page grow; and a name is cut. */
START_TEST(test_ceiling)
{
	char name[2 * METRIC_LABEL];
	unsigned lines = 0;

	for (int i = 0; i < 3 * METRIC_SERIES; i++) {
		snprintf(name, sizeof(name), "task.%d", i);
		metric_count(METRIC_TASKS, name, "SUCCESS");
	}
	char *text = page();
	for (char *at = text; (at = strstr(at, "\nceleriac_tasks_total{")); at++)
		lines++;
	ck_assert_uint_eq(lines, METRIC_SERIES);
	snprintf(name, sizeof(name), "\nceleriac_tasks_total{name=\"other\",state=\"other\"} %d\n",
		 2 * METRIC_SERIES + 1);
	ck_assert_msg(strstr(text, name), "%s", name);
	free(text);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	metric_count(METRIC_DECISIONS, name, "allow");
	text = page();
	name[METRIC_LABEL - 1] = '\0';
	char *at = strstr(text, name);
	ck_assert_ptr_nonnull(at);
	ck_assert_msg(strncmp(at + METRIC_LABEL - 1, "\",decision=", 11) == 0, "%.200s", at);
	free(text);
}
END_TEST

static void *count(void *arg)
{
	char name[16];
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "t%d", i % 10);
		metric_count(METRIC_TASKS, name, arg);
		metric_observe(metric_series(METRIC_TASK_WAIT, name, NULL), i);
	}
	return NULL;
}

START_TEST(test_threads)
{
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, count, (void *)(uintptr_t) "SUCCESS"), 0);
	for (int i = 0; i < 4; i++) {
		free(page());
		pthread_join(threads[i], NULL);
	}
	char *text = page();
	ck_assert_ptr_nonnull(
		strstr(text, "\nceleriac_tasks_total{name=\"t7\",state=\"SUCCESS\"} 4000\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "\nceleriac_task_wait_seconds_count{name=\"t7\"} 4000\n"));
	free(text);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("metrics");
	tcase_add_test(t, test_empty);
	tcase_add_test(t, test_counter);
	tcase_add_test(t, test_histogram);
	tcase_add_test(t, test_ceiling);
	tcase_add_test(t, test_threads);
	return suite_run("metrics", t);
}
