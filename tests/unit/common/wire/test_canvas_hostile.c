/*
 * Recorded messages with damage: every value of what follows a task replaced, one after the other,
 * by values of other types, and the whole asked for in every way in which a worker asks. What comes
 * out is a plan that can be written, or an error. To be run under sanitizers.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "mem.h"
#include "message.h"
#include "signature.h"
#include "tests/unit/suite.h"

#define DIRECTORY "tests/data/canvas/celery-5.7.0"
#define TEXT_MAX  (64u << 20)

static struct err g_err;
static size_t g_plans, g_errors;

static json_t *parse(const char *text, size_t len)
{
	json_t *value = NULL;

	ck_assert_msg(json_load_python(text, len, &value, &g_err) == 0, "%s", g_err.msg);
	return value;
}

static json_t *load_recording(const char *name)
{
	_cleanup_buf_ struct buf text = BUF_INIT(TEXT_MAX);
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), DIRECTORY "/%s", name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "no recording %s", path);
	for (size_t n; (n = fread(buf_reserve(&text, 65536), 1, 65536, f)) > 0;)
		buf_added(&text, n);
	fclose(f);
	return parse(text.data, text.len);
}

/* The plan goes, after every message of it was written. */
static void finish(int rc, struct signature_plan *plan)
{
	*(rc == 0 ? &g_plans : &g_errors) += 1;
	ck_assert(rc == 0 || plan->messages == NULL);
	for (size_t i = 0; i < plan->message_count; i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(TEXT_MAX);

		(void)!message_encode(&plan->messages[i], &out, &g_err);
	}
	signature_plan_done(plan);
}

static void ask_all(const json_t *embed)
{
	static const struct signature_context contexts[] = {
		{.task_id = "parent", .default_queue = "celery", .priority = -1},
		{.task_id = "parent",
		 .root_id = "root",
		 .default_queue = "celery",
		 .priority = 5,
		 .seed = "seed",
		 .errbacks_on_header = true},
	};
	_cleanup_json_ json_t *value = json_integer(1), *results = json_pack("[i, n]", 1);

	for (size_t i = 0; i < ARRAY_LEN(contexts); i++) {
		const struct signature_context *c = &contexts[i];
		const json_t *body = json_member(embed, "chord");
		_cleanup_json_ json_t *unreached = NULL, *failed = NULL;
		struct signature_plan plan = {0};

		finish(signature_on_success(c, embed, value, &plan, &g_err), &plan);
		finish(signature_on_failure(c, "failed", json_member(embed, "errbacks"), &plan,
					    &g_err),
		       &plan);
		if (body != NULL) {
			finish(signature_on_chord(c, body, results, &plan, &g_err), &plan);
			(void)!signature_chord_results(body, &failed, &g_err);
			(void)signature_size(body);
		}
		(void)!signature_unreached(json_member(embed, "chain"), &unreached, &g_err);
	}
}

/* Each value below `at` in turn; `stride` leaves some out. */
static void damage(const json_t *embed, json_t *at, size_t stride, size_t *count)
{
	static const char *const others[] = {"null", "5",   "\"x\"", "[]",    "{}",
					     "true", "NaN", "[[]]",  "1e300", "\"chord\""};
	size_t size = json_is_array(at) ? json_array_size(at) : json_object_size(at);
	void *iter = json_object_iter(at);

	for (size_t i = 0; i < size; i++) {
		const char *key = iter ? json_object_iter_key(iter) : NULL;
		json_t *was = json_incref(key ? json_object_get(at, key) : json_array_get(at, i));

		for (size_t k = 0; k < ARRAY_LEN(others); k++) {
			json_t *other;

			if ((*count)++ % stride != 0)
				continue;
			other = parse(others[k], strlen(others[k]));
			if (key)
				json_object_set_new(at, key, other);
			else
				json_array_set_new(at, i, other);
			ask_all(embed);
		}
		if (key)
			json_object_set(at, key, was);
		else
			json_array_set(at, i, was);
		damage(embed, was, stride, count);
		json_decref(was);
		iter = iter ? json_object_iter_next(at, json_object_key_to_iter(key)) : NULL;
	}
}

/* What follows the task of a recorded message: callbacks, errbacks, chain, chord. */
static json_t *embed_of(const json_t *step)
{
	const char *text = json_member_str(step, "message");
	_cleanup_json_ json_t *envelope = NULL, *array = NULL;
	_cleanup_buf_ struct buf body = BUF_INIT(TEXT_MAX);
	const char *encoded;

	if (text == NULL)
		return NULL;
	envelope = parse(text, strlen(text));
	encoded = json_member_str(envelope, "body");
	ck_assert_int_eq(base64_decode(encoded, strlen(encoded), &body, &g_err), 0);
	array = parse(body.data, body.len);
	return json_incref(json_array_get(array, 2));
}

START_TEST(test_recordings)
{
	DIR *d = opendir(DIRECTORY);
	struct dirent *entry;
	size_t recordings = 0, count = 0;

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d)) != NULL) {
		_cleanup_json_ json_t *recording = NULL;
		json_t *step;
		size_t i;

		if (strstr(entry->d_name, ".json") == NULL)
			continue;
		recording = load_recording(entry->d_name);
		json_array_foreach(json_object_get(recording, "steps"), i, step)
		{
			_cleanup_json_ json_t *embed = embed_of(step);

			if (embed == NULL)
				continue;
			ask_all(embed);
			damage(embed, embed, 7, &count);
		}
		recordings++;
	}
	closedir(d);
	ck_assert_uint_gt(recordings, 40);
	ck_assert_uint_gt(g_plans, 1000);
	ck_assert_uint_gt(g_errors, 1000);
}
END_TEST

/* A body whose results fail: of each shape, whose id, which errbacks, which chord. */
START_TEST(test_chord_results)
{
	static const struct {
		const char *body, *results;
	} all[] = {
		{"{\"task\": \"b\", \"options\": {\"task_id\": \"i\", \"link_error\": {\"task\": "
		 "\"e\"}}}",
		 "[{\"errbacks\": [{\"task\": \"e\"}], \"id\": \"i\"}]"},
		{"{\"task\": \"b\"}", "[{\"errbacks\": []}]"},
		{"{\"task\": \"g\", \"subtask_type\": \"group\", \"options\": {\"task_id\": \"g\", "
		 "\"link_error\": [{\"task\": \"e\"}]}, \"kwargs\": {\"tasks\": [{\"task\": \"x\", "
		 "\"options\": {\"task_id\": \"x\", \"link_error\": [{\"task\": \"e\"}, {\"task\": "
		 "\"f\"}]}}, {\"task\": \"c\", \"subtask_type\": \"chain\", \"options\": "
		 "{\"task_id\": "
		 "\"z\"}, \"kwargs\": {\"tasks\": [{\"task\": \"y\"}, {\"task\": \"z\", "
		 "\"options\": "
		 "{\"task_id\": \"z\", \"chord\": {\"task\": \"o\"}, \"group_id\": \"og\", "
		 "\"group_index\": 3}}]}}]}}",
		 "[{\"errbacks\": [{\"task\": \"e\"}, {\"task\": \"f\"}], \"id\": \"x\"}, "
		 "{\"errbacks\": [{\"task\": \"e\"}], \"id\": \"z\", \"chord\": {\"task\": \"o\"}, "
		 "\"group_id\": \"og\", \"group_index\": 3}, {\"errbacks\": [], \"id\": \"g\"}]"},
		{"{\"task\": \"h\", \"subtask_type\": \"chord\", \"options\": {\"link_error\": "
		 "[{\"task\": "
		 "\"e\"}]}, \"kwargs\": {\"header\": [], \"body\": {\"task\": \"b\", \"options\": "
		 "{\"task_id\": \"b\", \"chain\": [{\"task\": \"n\"}]}}}}",
		 "[{\"errbacks\": [{\"task\": \"e\"}], \"id\": \"b\", \"chain\": [{\"task\": "
		 "\"n\"}]}]"},
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		_cleanup_json_ json_t *body = parse(all[i].body, strlen(all[i].body));
		_cleanup_json_ json_t *expected = parse(all[i].results, strlen(all[i].results));
		_cleanup_json_ json_t *results = NULL;
		_cleanup_buf_ struct buf text = BUF_INIT(65536);

		ck_assert_msg(signature_chord_results(body, &results, &g_err) == 0, "%s",
			      g_err.msg);
		json_dump_python(results, &text);
		ck_assert_msg(json_equal(results, expected), "%zu: %s", i, text.data);
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("hostile");

	tcase_set_timeout(t, 600);
	tcase_add_test(t, test_recordings);
	tcase_add_test(t, test_chord_results);
	return suite_run("canvas_hostile", t);
}
