/* Remote control: a request with its reply; the patterns of node names; records of what is unacked.
 */
#include "common/broker/redis_broker.h"
#include "control.h"
#include "fuzz.h"

static void request(const char *data, size_t len)
{
	static char json[] = "json", yaml[] = "yaml", msgpack[] = "msgpack";
	static char *names[] = {json, yaml, msgpack};
	static const struct str_list accept = {.items = names, .count = ARRAY_LEN(names)};
	_cleanup_buf_ struct buf out = BUF_INIT(1u << 24);
	struct control_request r = {0};
	struct err err;
	int rc = control_decode(data, len, &accept, "celery@host", "reply.celery.pidbox", &r, &err);

	if (rc < 0) {
		fuzz_failed(rc, &err);
		return;
	}
	if (r.for_us) {
		FUZZ_CHECK(r.method != NULL);
		fuzz_made_text(r.method);
		fuzz_made_json(r.arguments);
		FUZZ_CHECK(r.arguments == NULL || json_is_object(r.arguments));
		if (r.reply_exchange)
			FUZZ_CHECK(strcmp(r.reply_exchange, "reply.celery.pidbox") == 0 &&
				   control_encode_reply(&r, "celery@host", NULL, 1, &out, &err) ==
					   0);
	}
	control_request_done(&r);
}

static void match(struct slice in)
{
	_cleanup_free_ char *text = fuzz_line(&in), *pattern = fuzz_line(&in);
	struct err err;
	bool yes;

	(void)!control_match(text, pattern, "glob", &yes, &err);
	(void)!control_match(text, pattern, "pcre", &yes, &err);
}

int fuzz_control(const uint8_t *data, size_t size)
{
	struct unacked_record record = {0};
	struct err err;

	if (size > 0 && data[0] == 'M') {
		match((struct slice){(const char *)data + 1, size - 1});
		return 0;
	}
	request((const char *)data, size);
	if (unacked_record_read((const char *)data, size, &record, &err) == 0) {
		FUZZ_CHECK(record.exchange && record.routing_key && record.message);
		fuzz_made_text(record.exchange);
		fuzz_made_text(record.routing_key);
		fuzz_made_text(record.message);
		FUZZ_CHECK(record.priority >= 0 && record.priority <= 9);
		unacked_record_done(&record);
	} else {
		fuzz_failed(-err.code, &err);
	}
	return 0;
}
