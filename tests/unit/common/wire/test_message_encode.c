/* Messages out: compared byte for byte with what Celery sent (tests/data/messages). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "message.h"
#include "reply.h"

#define VERSION	 "celery-5.7.0"
#define REPLY_TO "0a8f3f7e-2f4c-3a5e-8c7b-1d2e3f405162"

static void read_recording(const char *name, struct buf *out)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "tests/data/messages/" VERSION "/%s.json", name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "no recording %s", path);
	buf_added(out, fread(buf_reserve(out, 65536), 1, 65536, f));
	fclose(f);
}

/* Overwrites the value of `key`, which differs from run to run. */
static void blank(struct buf *b, const char *key)
{
	char *at = strstr(b->data, key);

	ck_assert_msg(at != NULL, "no %s in %s", key, b->data);
	for (at += strlen(key) + strlen("\": \""); *at != '"'; at++)
		*at = 'x';
}

static json_t *load(const char *text)
{
	struct err err;
	json_t *value = NULL;

	ck_assert_int_eq(json_load_python(text, strlen(text), &value, &err), 0);
	return value;
}

static void compare(const struct message_out *m, const char *recording)
{
	_cleanup_buf_ struct buf ours = BUF_INIT(1 << 20), theirs = BUF_INIT(1 << 20);
	struct err err;

	read_recording(recording, &theirs);
	ck_assert_int_eq(message_encode(m, &ours, &err), 0);
	blank(&ours, "\"delivery_tag");
	blank(&theirs, "\"delivery_tag");
	if (m->expires) {
		blank(&ours, "\"expiration");
		blank(&theirs, "\"expiration");
	}
	ck_assert_str_eq(ours.data, theirs.data);
}

START_TEST(test_plain)
{
	_cleanup_json_ json_t *args = load("[\"hello\"]");

	compare(&(struct message_out){.task = "celeriac.echo",
				      .id = "3c9bd6a0-4a10-4f5b-9d3c-0f0a54d8b7a0",
				      .queue = "celery",
				      .args = args,
				      .reply_to = REPLY_TO,
				      .origin = "gen4711@client"},
		"plain");
}
END_TEST

START_TEST(test_empty)
{
	_cleanup_json_ json_t *args = load("[]"), *kwargs = load("{}");

	for (int i = 0; i < 2; i++)
		compare(&(struct message_out){.task = "sandbox.cleanup",
					      .id = "3c9bd6a0-4a10-4f5b-9d3c-0f0a54d8b7a1",
					      .queue = "celery",
					      .args = i ? args : NULL,
					      .kwargs = i ? kwargs : NULL,
					      .reply_to = REPLY_TO,
					      .origin = "gen4711@client"},
			"empty");
}
END_TEST

START_TEST(test_dates_and_priority)
{
	/* Its arguments were a tuple; further headers replace ours where they are. */
	_cleanup_json_ json_t *args = load("[1, 2]"), *headers = load("{\"argsrepr\": \"(1, 2)\"}");
	struct message_out m = {.task = "celeriac.add",
				.id = "3c9bd6a0-4a10-4f5b-9d3c-0f0a54d8b7a3",
				.queue = "celery",
				.args = args,
				.headers = headers,
				.reply_to = REPLY_TO,
				.origin = "gen4711@client",
				.priority = 6};
	struct err err;

	ck_assert_int_eq(clock_parse_iso("2026-11-21T09:30:00.25Z", &m.eta, &err), 0);
	m.expires = m.eta + (usec_t)3650 * 86400 * USEC_PER_SEC;
	compare(&m, "countdown");
}
END_TEST

START_TEST(test_numbers)
{
	_cleanup_json_ json_t *args =
		load("[[1, 2.5, 1000000000000000000000000000000, NaN, -Infinity]]");

	compare(&(struct message_out){.task = "celeriac.xsum",
				      .id = "3c9bd6a0-4a10-4f5b-9d3c-0f0a54d8b7a5",
				      .queue = "celery",
				      .args = args,
				      .reply_to = REPLY_TO,
				      .origin = "gen4711@client"},
		"numbers");
}
END_TEST

START_TEST(test_limits)
{
	_cleanup_json_ json_t *args = load("[1]");
	_cleanup_json_ json_t *headers =
		load("{\"argsrepr\": \"(1,)\", \"shadow\": \"nap\", \"timelimit\": [30, 25.5]}");

	compare(&(struct message_out){.task = "celeriac.sleep",
				      .id = "3c9bd6a0-4a10-4f5b-9d3c-0f0a54d8b7a4",
				      .queue = "celery",
				      .args = args,
				      .headers = headers,
				      .reply_to = REPLY_TO,
				      .origin = "gen4711@client",
				      .ignore_result = true},
		"limits");
}
END_TEST

/* Encoding what was decoded gives the recording again, embedded signatures and all. */
START_TEST(test_round_trip)
{
	static const char *const names[] = {"chain", "kwargs", "text", "beat"};
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	char id[BOUND_TASK_NAME_BYTES + 1], task[BOUND_TASK_NAME_BYTES + 1];
	char name[] = "json", *json[] = {name};
	struct str_list accept = {.items = json, .count = 1};
	struct message *m = NULL;
	struct err err;

	read_recording(names[_i], &b);
	ck_assert_int_eq(message_decode(b.data, b.len, &accept, &m, id, task, &err), MESSAGE_OK);
	compare(&(struct message_out){.task = m->task,
				      .id = m->id,
				      .queue = m->routing_key,
				      .args = m->args,
				      .kwargs = m->kwargs,
				      .embed = m->embed,
				      .headers = m->headers,
				      .root_id = m->root_id,
				      .parent_id = m->parent_id,
				      .reply_to = m->reply_to,
				      .origin = json_member_str(m->headers, "origin"),
				      .retries = m->retries},
		names[_i]);
	message_free(m);
}
END_TEST

START_TEST(test_defaults)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	_cleanup_json_ json_t *root = NULL;
	const json_t *headers, *properties;
	char mine[32];
	struct err err;

	ck_assert_int_eq(message_encode(&(struct message_out){.task = "t",
							      .id = "i",
							      .queue = "q",
							      .parent_id = "p",
							      .retries = 3},
					&b, &err),
			 0);
	root = load(b.data);
	headers = json_object_get(root, "headers");
	properties = json_object_get(root, "properties");
	snprintf(mine, sizeof(mine), "gen%ld@", (long)getpid());
	ck_assert_int_eq(strncmp(json_member_str(headers, "origin"), mine, strlen(mine)), 0);
	ck_assert_str_eq(json_member_str(headers, "root_id"), "i");
	ck_assert_str_eq(json_member_str(headers, "parent_id"), "p");
	ck_assert_int_eq(json_integer_value(json_object_get(headers, "retries")), 3);
	ck_assert_str_eq(json_member_str(properties, "reply_to"), "");
	ck_assert_uint_eq(strlen(json_member_str(properties, "delivery_tag")), 36);
	ck_assert_str_eq(
		json_member_str(json_object_get(properties, "delivery_info"), "routing_key"), "q");
}
END_TEST

START_TEST(test_refused)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20), small = BUF_INIT(64);
	_cleanup_json_ json_t *list = load("[]"), *object = load("{}");
	struct message_out good = {.task = "t", .id = "i", .queue = "q"}, m = good;
	struct err err;

	m.args = object;
	ck_assert_int_eq(message_encode(&m, &b, &err), -ERR_INVALID);
	m = good, m.kwargs = list;
	ck_assert_int_eq(message_encode(&m, &b, &err), -ERR_INVALID);
	m = good, m.headers = list;
	ck_assert_int_eq(message_encode(&m, &b, &err), -ERR_INVALID);
	m = good, m.task = "\xff";
	ck_assert_int_eq(message_encode(&m, &b, &err), -ERR_INVALID);
	m = good, m.reply_to = "\xff";
	ck_assert_int_eq(message_encode(&m, &b, &err), -ERR_INVALID);
	m = good, m.queue = "\xff";
	ck_assert_int_eq(message_encode(&m, &b, &err), -ERR_INVALID);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(message_encode(&good, &small, &err), -ERR_TOOBIG);
}
END_TEST

/* A result for whoever waits at RabbitMQ: to the queue that it named. */
START_TEST(test_reply)
{
	_cleanup_json_ json_t *meta = load("{\"status\": \"SUCCESS\", \"result\": 1}"),
			      *root = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20), small = BUF_INIT(64);
	const json_t *properties;
	struct err err;

	ck_assert_int_eq(reply_encode("json", meta, true, "queue", "i", &b, &err), 0);
	root = load(b.data);
	properties = json_object_get(root, "properties");
	ck_assert_str_eq(json_member_str(root, "content-type"), "application/json");
	ck_assert_str_eq(json_member_str(properties, "correlation_id"), "i");
	ck_assert_int_eq(json_integer_value(json_object_get(properties, "delivery_mode")), 2);
	ck_assert_str_eq(
		json_member_str(json_object_get(properties, "delivery_info"), "routing_key"),
		"queue");
	buf_reset(&b);
	ck_assert_int_eq(reply_encode("pickle", meta, true, "queue", "i", &b, &err),
			 -ERR_UNSUPPORTED);
	ck_assert_int_eq(reply_encode("json", meta, true, "\xff", "i", &b, &err), -ERR_INVALID);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(reply_encode("json", meta, true, "queue", "i", &small, &err), -ERR_TOOBIG);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("message_encode");
	TCase *t = tcase_create("encode");

	tcase_add_test(t, test_plain);
	tcase_add_test(t, test_empty);
	tcase_add_test(t, test_dates_and_priority);
	tcase_add_test(t, test_numbers);
	tcase_add_test(t, test_limits);
	tcase_add_loop_test(t, test_round_trip, 0, 4);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_reply);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
