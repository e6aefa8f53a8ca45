/* Messages between kombu's envelope and AMQP: what Celery itself sent (tests/data/messages) is the
 * same task after it went over RabbitMQ. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_message.h"
#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "message.h"

#define NAME_SIZE (BOUND_TASK_NAME_BYTES + 1)

static char *text(const char *s)
{
	return xstrdup(s);
}

static struct message *decode(const char *data, size_t len)
{
	static char mimes[][40] = {"json", "yaml", "msgpack"};
	char *items[] = {mimes[0], mimes[1], mimes[2]};
	const struct str_list accept = {.items = items, .count = ARRAY_LEN(items)};
	char id[NAME_SIZE], task[NAME_SIZE];
	struct message *m = NULL;
	struct err err = {0};

	ck_assert_msg(message_decode(data, len, &accept, &m, id, task, &err) == MESSAGE_OK, "%s",
		      err.msg);
	return m;
}

/* As RabbitMQ delivers what was published. */
static void over_amqp(const char *envelope, size_t len, bool redelivered, struct buf *out)
{
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_BODY_BYTES), bytes = BUF_INIT(1u << 20);
	struct amqp_properties sent = {0};
	struct amqp_delivery d = {.redelivered = redelivered};
	struct err err = {0};

	ck_assert_msg(amqp_envelope_to_publish(envelope, len, &sent, &body, &err) == 0, "%s",
		      err.msg);
	ck_assert_msg(amqp_properties_write(&sent, &bytes, &err) == 0, "%s", err.msg);
	ck_assert_msg(amqp_properties_read(bytes.data, bytes.len, &d.properties, &err) == 0, "%s",
		      err.msg);
	d.exchange = text("");
	d.routing_key = text("celery");
	d.body = xmemdup(body.data, body.len);
	d.len = body.len;
	ck_assert_msg(amqp_envelope_from_delivery(&d, out, &err) == 0, "%s", err.msg);
	amqp_properties_done(&sent);
	amqp_delivery_done(&d);
}

static void check_same(const struct message *a, const struct message *b)
{
	_cleanup_buf_ struct buf x = BUF_INIT(1u << 20), y = BUF_INIT(1u << 20);

	/* for people only, and AMQP's text cannot say a lone surrogate */
	if (json_has_surrogate(json_object_get(a->headers, "argsrepr"))) {
		(void)json_object_del(a->headers, "argsrepr");
		(void)json_object_del(b->headers, "argsrepr");
	}
	json_dump_python(a->headers, &x);
	json_dump_python(b->headers, &y);
	ck_assert_msg(json_equal(a->headers, b->headers), "%s became %s", x.data, y.data);
	ck_assert(json_equal(a->args, b->args));
	ck_assert(json_equal(a->kwargs, b->kwargs));
	ck_assert(json_equal(a->embed, b->embed));
	ck_assert_str_eq(a->id, b->id);
	ck_assert_str_eq(a->task, b->task);
	ck_assert_str_eq(a->serializer, b->serializer);
	ck_assert_str_eq(a->reply_to, b->reply_to);
	ck_assert_int_eq(a->priority, b->priority);
	ck_assert_int_eq(a->eta, b->eta);
	ck_assert_str_eq(b->exchange, "");
	ck_assert_str_eq(b->routing_key, "celery");
}

static size_t check_version(const char *version)
{
	char path[512];
	DIR *dir;
	size_t checked = 0;

	(void)snprintf(path, sizeof(path), "tests/data/messages/%s", version);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		_cleanup_buf_ struct buf in = BUF_INIT(1u << 20), out = BUF_INIT(1u << 20);
		struct message *before, *after;
		FILE *f;

		/* signed ones need certificates; bodies are not looked at here anyway */
		if (!strstr(e->d_name, ".json") || strncmp(e->d_name, "auth", 4) == 0)
			continue;
		(void)snprintf(path, sizeof(path), "tests/data/messages/%s/%s", version, e->d_name);
		f = fopen(path, "r");
		ck_assert_ptr_nonnull(f);
		buf_added(&in, fread(buf_reserve(&in, 65536), 1, 65536, f));
		(void)fclose(f);
		over_amqp(in.data, in.len, false, &out);
		before = decode(in.data, in.len);
		after = decode(out.data, out.len);
		check_same(before, after);
		ck_assert(!after->redelivered);
		message_free(before);
		message_free(after);
		checked++;
	}
	(void)closedir(dir);
	return checked;
}

START_TEST(test_recordings)
{
	DIR *dir = opendir("tests/data/messages");
	size_t checked = 0;

	ck_assert_ptr_nonnull(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		if (strncmp(e->d_name, "celery-", 7) == 0)
			checked += check_version(e->d_name);
	(void)closedir(dir);
	ck_assert_uint_gt(checked, 100);
}
END_TEST

#define BODY  "\"body\": \"W1tdLHt9LHt9XQ==\", \"content-type\": \"application/json\""
#define HEADS "\"headers\": {\"task\": \"t\", \"id\": \"i\"}"

/* What only some messages have. */
START_TEST(test_properties)
{
	static const char envelope[] =
		"{" BODY ", \"content-encoding\": \"utf-8\", " HEADS ", \"properties\": "
		"{\"body_encoding\": \"base64\", \"correlation_id\": 5, \"priority\": 300, "
		"\"delivery_mode\": 1, \"expiration\": \"60000\", \"timestamp\": 12, "
		"\"user_id\": \"somebody\", \"app_id\": \"\\u00e9\"}}";
	_cleanup_buf_ struct buf body = BUF_INIT(1024), out = BUF_INIT(4096);
	struct amqp_properties p;
	struct message *m;
	struct err err = {0};

	ck_assert_int_eq(amqp_envelope_to_publish(envelope, sizeof(envelope) - 1, &p, &body, &err),
			 0);
	ck_assert_str_eq(body.data, "[[],{},{}]");
	ck_assert_ptr_null(p.text[AMQP_CORRELATION_ID]);
	ck_assert_ptr_null(p.text[AMQP_USER_ID]);
	ck_assert_str_eq(p.text[AMQP_EXPIRATION], "60000");
	ck_assert_str_eq(p.text[AMQP_APP_ID], "\xc3\xa9");
	ck_assert_str_eq(p.text[AMQP_CONTENT_ENCODING], "utf-8");
	ck_assert(p.delivery_mode == 1 && p.has_priority && p.priority == 255);
	ck_assert(p.has_timestamp && p.timestamp == 12);
	amqp_properties_done(&p);
	over_amqp(envelope, sizeof(envelope) - 1, true, &out);
	m = decode(out.data, out.len);
	ck_assert(m->redelivered);
	message_free(m);
}
END_TEST

static const struct refused {
	const char *envelope;
	int code;
} refused[] = {
	{"[]", ERR_INVALID},
	{"{\"properties\": {}}", ERR_INVALID},
	{"{" BODY ", \"properties\": {\"body_encoding\": \"rot13\"}}", ERR_INVALID},
	{"{" BODY ", \"headers\": {\"n\": 123456789012345678901}, \"properties\": "
	 "{\"body_encoding\": \"base64\"}}",
	 ERR_INVALID},
};

START_TEST(test_refused)
{
	_cleanup_buf_ struct buf body = BUF_INIT(1024);
	struct amqp_properties p;
	struct err err = {0};

	ck_assert_int_eq(amqp_envelope_to_publish(refused[_i].envelope,
						  strlen(refused[_i].envelope), &p, &body, &err),
			 -refused[_i].code);
}
END_TEST

/* A delivery whose properties nobody could read says why; one without headers has none. */
START_TEST(test_deliveries)
{
	static char body[] = "{}", type[] = "application/json", exchange[] = "", key[] = "celery";
	struct err fault = {.code = ERR_PROTOCOL, .msg = "headers are cut off"};
	struct amqp_delivery d = {
		.exchange = exchange, .routing_key = key, .body = body, .len = 2, .fault = &fault};
	_cleanup_buf_ struct buf out = BUF_INIT(4096);
	_cleanup_json_ json_t *root = NULL;
	struct err err = {0};

	ck_assert_int_eq(amqp_envelope_from_delivery(&d, &out, &err), -ERR_PROTOCOL);
	ck_assert_str_eq(err.msg, fault.msg);
	ck_assert_uint_eq(out.len, 0);
	d.fault = NULL;
	d.properties.text[AMQP_CONTENT_TYPE] = type;
	ck_assert_int_eq(amqp_envelope_from_delivery(&d, &out, &err), 0);
	ck_assert_int_eq(json_load_strict(out.data, out.len, &root, &err), 0);
	ck_assert_uint_eq(json_object_size(json_object_get(root, "headers")), 0);
	ck_assert(json_is_object(json_object_get(root, "headers")));
	ck_assert_str_eq(json_member_str(root, "content-type"), type);
	ck_assert_str_eq(json_member_str(root, "body"), "e30=");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("envelopes over AMQP");
	TCase *t = tcase_create("envelopes");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_recordings);
	tcase_add_test(t, test_properties);
	tcase_add_loop_test(t, test_refused, 0, ARRAY_LEN(refused));
	tcase_add_test(t, test_deliveries);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
