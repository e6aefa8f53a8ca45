/*
 * test_amqp_wire.c: what needs no server: addresses, tables, properties and frames as bytes. The
 * bytes are py-amqp's.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "common/client/amqp_site.h"
#include "common/client/amqp_wire.h"
#include "json.h"
#include "mem.h"

/* ---- addresses ---- */

static const struct address_row {
	const char *url, *host, *user, *password, *vhost;
	int port;
	bool tls;
} addresses[] = {
	{"amqp://", "localhost", "guest", "guest", "/", 5672, false},
	{"amqp://h", "h", "guest", "guest", "/", 5672, false},
	{"amqp://h/", "h", "guest", "guest", "/", 5672, false},
	{"amqp://h//", "h", "guest", "guest", "/", 5672, false},
	{"amqp://h/%2F", "h", "guest", "guest", "/", 5672, false},
	{"amqp://h/%2Fx", "h", "guest", "guest", "/x", 5672, false},
	{"amqp://h/v%20x", "h", "guest", "guest", "v x", 5672, false},
	{"pyamqp://u@h", "h", "u", "guest", "/", 5672, false},
	{"amqp://u:p%40@h:1/a/b", "h", "u", "p@", "a/b", 1, false},
	{"amqp://[::1]:7/v", "::1", "guest", "guest", "v", 7, false},
	{"amqps://h", "h", "guest", "guest", "/", 5671, true},
	{"amqp://h/?ssl_cert_reqs=none", "h", "guest", "guest", "/", 5672, true},
};

START_TEST(test_addresses)
{
	const struct address_row *row = &addresses[_i];
	struct amqp_address *a;
	struct err err = {0};
	const struct amqp_server *s;

	ck_assert_msg(amqp_address_parse(row->url, NULL, &a, &err) == 0, "%s: %s", row->url,
		      err.msg);
	s = amqp_address_at(a, 0);
	ck_assert_str_eq(s->host, row->host);
	ck_assert_str_eq(s->user, row->user);
	ck_assert_str_eq(s->password, row->password);
	ck_assert_str_eq(s->vhost, row->vhost);
	ck_assert_int_eq(s->port, row->port);
	ck_assert_int_eq(s->tls.on, row->tls);
	ck_assert_int_eq(amqp_address_count(a), 1);
	amqp_address_unref(a);
}
END_TEST

static const struct refused_row {
	const char *url, *words;
	int code;
} refused[] = {
	{"redis://h", "no scheme of RabbitMQ", ERR_UNSUPPORTED},
	{"amqp://u:hunter2@h;other", "scheme", ERR_INVALID},
	{"amqp://u:hunter2@h?ssl_cert_reqs=perhaps", "ssl_cert_reqs", ERR_INVALID},
	{"amqps://u:hunter2@h?ssl_ca_certs=/nowhere/ca", "/nowhere/ca", ERR_INVALID},
	{"amqps://h?ssl_colour=red", "ssl_colour", ERR_INVALID},
};

/* A name of more bytes than AMQP's short strings have, and more servers than are kept. */
START_TEST(test_too_much)
{
	_cleanup_buf_ struct buf vhost = BUF_INIT(4096), list = BUF_INIT(4096);
	struct amqp_address *a;
	struct err err = {0};

	buf_append_str(&vhost, "amqp://h/");
	for (int i = 0; i < 255; i++)
		buf_append_char(&vhost, 'v');
	ck_assert_int_eq(amqp_address_parse(vhost.data, NULL, &a, &err), 0);
	ck_assert_uint_eq(strlen(amqp_address_at(a, 0)->vhost), 255);
	amqp_address_unref(a);
	buf_append_char(&vhost, 'v');
	ck_assert_int_eq(amqp_address_parse(vhost.data, NULL, &a, &err), -ERR_TOOBIG);
	for (int i = 0; i < 100; i++)
		buf_append_str(&list, "amqp://h;");
	ck_assert_int_eq(amqp_address_parse(list.data, NULL, &a, &err), -ERR_TOOBIG);
	ck_assert_ptr_nonnull(strstr(err.msg, "servers"));
}
END_TEST

/* Whoever shares an address keeps it; one server is never left for another. */
START_TEST(test_shared)
{
	struct amqp_address *a, *shared;
	struct err err = {0};

	ck_assert(amqp_is_url("amqp://h") && amqp_is_url("pyamqp://h") && amqp_is_url("amqps://h"));
	ck_assert(!amqp_is_url("redis://h") && !amqp_is_url("amqp:h") && !amqp_is_url(NULL));
	ck_assert_int_eq(amqp_address_parse("amqp://u:hunter2@h/v", NULL, &a, &err), 0);
	shared = amqp_address_ref(a);
	amqp_address_unref(a);
	ck_assert_str_eq(amqp_address_at(shared, 0)->host, "h");
	ck_assert_ptr_null(strstr(amqp_address_safe(shared), "hunter2"));
	ck_assert_ptr_nonnull(strstr(amqp_address_safe(shared), "@h/v"));
	amqp_address_failed(shared, 0);
	ck_assert_uint_eq(atomic_load(&shared->current), 0);
	amqp_address_unref(shared);
}
END_TEST

START_TEST(test_refused)
{
	struct amqp_address *a;
	struct err err = {0};

	ck_assert_int_eq(amqp_address_parse(refused[_i].url, NULL, &a, &err), -refused[_i].code);
	ck_assert_msg(strstr(err.msg, refused[_i].words), "%s", err.msg);
	ck_assert_ptr_null(strstr(err.msg, "hunter2"));
}
END_TEST

/* Each failure leads to another server; round-robin in their order, shuffle to any but the same. */
START_TEST(test_failover)
{
	struct amqp_tuning tuning = {.shuffle = _i == 1};
	struct amqp_address *a;
	struct err err = {0};

	ck_assert_int_eq(amqp_address_parse("amqp://a;amqp://b:1//v;amqps://c", &tuning, &a, &err),
			 0);
	ck_assert_int_eq(amqp_address_count(a), 3);
	ck_assert_str_eq(amqp_address_at(a, 1)->host, "b");
	ck_assert_str_eq(amqp_address_at(a, 1)->vhost, "/v");
	for (unsigned i = 0; i < 30; i++) {
		unsigned before = atomic_load(&a->current);

		amqp_address_failed(a, before);
		ck_assert_uint_ne(atomic_load(&a->current), before);
		if (_i == 0)
			ck_assert_uint_eq(atomic_load(&a->current), (before + 1) % 3);
		/* said again, of the one that was left: nothing happens */
		before = atomic_load(&a->current);
		amqp_address_failed(a, (before + 1) % 3);
		ck_assert_uint_eq(atomic_load(&a->current), before);
	}
	amqp_address_unref(a);
}
END_TEST

/* ---- tables ---- */

static size_t unhex(const char *text, unsigned char *out)
{
	size_t n = 0;

	for (; text[2 * n] != '\0'; n++) {
		unsigned byte;

		ck_assert_int_eq(sscanf(text + 2 * n, "%2x", &byte), 1);
		out[n] = (unsigned char)byte;
	}
	return n;
}

static json_t *load(const char *text)
{
	json_t *ret;
	struct err err;

	ck_assert_msg(json_load_python(text, strlen(text), &ret, &err) == 0, "%s: %s", text,
		      err.msg);
	return ret;
}

static const char *const table_hex =
	"000000ad046c616e67530000000270790269645300000002c3a9016e49fffffffb036269674c00000100000000"
	"00036e65674cffffff00000000000166643ff800000000000001747401026e6f560974696d656c696d69744100"
	"00000656490000001e01644600000019016141000000124900000001460000000801625300000001630477686"
	"56e54000000006b0afa80036465634402fffffb2e037261775300000002ff0005656d7074795300000000";
static const char *const table_json =
	"{\"lang\":\"py\",\"id\":\"\\u00e9\",\"n\":-5,\"big\":1099511627776,\"neg\":-1099511627776,"
	"\"f\":1.5,\"t\":true,\"no\":null,\"timelimit\":[null,30],\"d\":{\"a\":[1,{\"b\":\"c\"}]},"
	"\"when\":{\"__type__\":\"datetime\",\"__value__\":\"2026-11-28T16:00:00+00:00\"},"
	"\"dec\":{\"__type__\":\"decimal\",\"__value__\":\"-12.34\"},"
	"\"raw\":{\"__type__\":\"base64\",\"__value__\":\"/wA=\"},\"empty\":\"\"}";

START_TEST(test_table)
{
	unsigned char bytes[512];
	size_t len = unhex(table_hex, bytes);
	_cleanup_json_ json_t *wanted = load(table_json), *got = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_AMQP_FRAME), text = BUF_INIT(4096);
	struct err err = {0};

	ck_assert_msg(amqp_json_from_table(bytes, len, &got, &err) == 0, "%s", err.msg);
	json_dump_python(got, &text);
	ck_assert_msg(json_equal(got, wanted), "%s", text.data);
	ck_assert_msg(amqp_json_to_table(got, &out, &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(out.len, len);
	ck_assert_mem_eq(out.data, bytes, len);
	/* Cut off anywhere, or with any one byte changed, it is refused or read, and nothing else.
	 */
	for (size_t i = 0; i < len; i++) {
		json_t *any = NULL;

		ck_assert_int_lt(amqp_json_from_table(bytes, i, &any, &err), 0);
		for (unsigned flip = 1; flip < 256; flip *= 2) {
			bytes[i] ^= (unsigned char)flip;
			if (amqp_json_from_table(bytes, len, &any, &err) == 0)
				json_decref(any);
			bytes[i] ^= (unsigned char)flip;
		}
	}
}
END_TEST

/* Every other type of the wire. */
static const struct value_row {
	const char *hex, *json; /* json of {"k": …} */
} values[] = {
	{"016b62ff", "-1"},
	{"016b42ff", "255"},
	{"016b73fffe", "-2"},
	{"016b55fffe", "-2"},
	{"016b75fffe", "65534"},
	{"016b69ffffffff", "4294967295"},
	{"016b6cffffffffffffffff", "-1"},
	{"016b663fc00000", "1.5"},
	{"016b647ff8000000000000", "NaN"},
	{"016b64fff0000000000000", "-Infinity"},
	{"016b4400fffffffb", "{\"__type__\":\"decimal\",\"__value__\":\"-5\"}"},
	{"016b440500000003", "{\"__type__\":\"decimal\",\"__value__\":\"0.00003\"}"},
	{"016b7800000002c3a9", "\"\\u00e9\""},
	{"016b54ffffffffffffffff", "9223372036854775807"},
	{"016b530000000361006"
	 "2",
	 "\"a\\u0000b\""},
	{"016b5300000004eda08062", "\"\\ufffd\\ufffd\\ufffdb\""},
	{"016b4600000000", "{}"},
	{"016b4100000000", "[]"},
};

START_TEST(test_value)
{
	unsigned char bytes[128] = {0};
	size_t len = unhex(values[_i].hex, bytes + 4);
	_cleanup_free_ char *text = xasprintf("{\"k\":%s}", values[_i].json);
	_cleanup_json_ json_t *wanted = load(text), *got = NULL;
	struct err err = {0};

	bytes[3] = (unsigned char)len;
	/* py-amqp writes U and reads it as signed; rabbitmq-c does not know it */
	if (bytes[6] == 'U') {
		ck_assert_int_eq(amqp_json_from_table(bytes, len + 4, &got, &err), -ERR_PROTOCOL);
		return;
	}
	ck_assert_msg(amqp_json_from_table(bytes, len + 4, &got, &err) == 0, "%s", err.msg);
	ck_assert_msg(json_equal(got, wanted), "%s is not %s", json_dumps(got, JSON_ENCODE_ANY),
		      text);
}
END_TEST

/* A frame full of tables in tables is refused before anything calls itself. */
START_TEST(test_depth)
{
	_cleanup_json_ json_t *got = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_AMQP_FRAME);
	static unsigned char bytes[BOUND_AMQP_FRAME];
	size_t end = sizeof(bytes), at = 0;
	json_t *deep = json_object();
	struct err err = {0};

	while (at + 6 <= end) {
		uint32_t len = (uint32_t)(end - at - 4);

		for (int i = 0; i < 4; i++)
			bytes[at + (size_t)i] = (unsigned char)(len >> (24 - 8 * i));
		bytes[at + 4] = 0;
		bytes[at + 5] = 'F';
		at += 6;
	}
	ck_assert_int_eq(amqp_json_from_table(bytes, sizeof(bytes), &got, &err), -ERR_TOOBIG);
	for (int i = 1; i < BOUND_AMQP_DEPTH; i++)
		deep = json_pack("{s:o}", "d", deep);
	ck_assert_msg(amqp_json_to_table(deep, &out, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(amqp_json_from_table(out.data, out.len, &got, &err), 0);
	ck_assert(json_equal(deep, got));
	buf_reset(&out);
	deep = json_pack("{s:o}", "d", deep);
	ck_assert_int_eq(amqp_json_to_table(deep, &out, &err), -ERR_TOOBIG);
	json_decref(deep);
	/* lists likewise */
	deep = json_array();
	for (int i = 2; i < BOUND_AMQP_DEPTH; i++)
		deep = json_pack("[o]", deep);
	deep = json_pack("{s:o}", "d", deep);
	buf_reset(&out);
	ck_assert_msg(amqp_json_to_table(deep, &out, &err) == 0, "%s", err.msg);
	json_decref(TAKE(got));
	ck_assert_int_eq(amqp_json_from_table(out.data, out.len, &got, &err), 0);
	ck_assert(json_equal(deep, got));
	ck_assert_int_eq(json_array_append_new(json_object_get(deep, "d"), json_array()), 0);
	deep = json_pack("{s:[o]}", "d", deep);
	buf_reset(&out);
	ck_assert_int_eq(amqp_json_to_table(deep, &out, &err), -ERR_TOOBIG);
	json_decref(deep);
}
END_TEST

static const struct refused_json {
	const char *json, *words;
	int code;
} refused_jsons[] = {
	{"{\"n\":123456789012345678901234567890}", "64 bits", ERR_INVALID},
	{"{\"a\":{\"b\":[{\"__type__\":\"base64\",\"__value__\":\"*\"}]}}", "header a",
	 ERR_INVALID},
};

START_TEST(test_refused_json)
{
	_cleanup_json_ json_t *value = load(refused_jsons[_i].json);
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_AMQP_FRAME);
	struct err err = {0};

	ck_assert_int_eq(amqp_json_to_table(value, &out, &err), -refused_jsons[_i].code);
	ck_assert_msg(strstr(err.msg, refused_jsons[_i].words), "%s", err.msg);
}
END_TEST

/* What AMQP has no type for, or one that is too small, goes as something near to it. */
static const struct written_row {
	const char *json, *back; /* what a reader has of it */
} written[] = {
	{"{\"k\":Infinity}", "{\"k\":Infinity}"},
	{"{\"k\":-Infinity}", "{\"k\":-Infinity}"},
	{"{\"k\":{\"__type__\":\"decimal\",\"__value__\":\"99999999999\"}}",
	 "{\"k\":\"99999999999\"}"},
	{"{\"k\":{\"__type__\":\"decimal\",\"__value__\":\"1e5\"}}", "{\"k\":\"1e5\"}"},
	{"{\"k\":{\"__type__\":\"decimal\",\"__value__\":\"1.5.2\"}}", "{\"k\":\"1.5.2\"}"},
	{"{\"k\":{\"__type__\":\"decimal\",\"__value__\":\"+1.50\"}}",
	 "{\"k\":{\"__type__\":\"decimal\",\"__value__\":\"1.50\"}}"},
};

START_TEST(test_written)
{
	_cleanup_json_ json_t *value = load(written[_i].json), *wanted = load(written[_i].back),
			      *got = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_AMQP_FRAME), text = BUF_INIT(4096);
	struct err err = {0};

	ck_assert_msg(amqp_json_to_table(value, &out, &err) == 0, "%s", err.msg);
	ck_assert_msg(amqp_json_from_table(out.data, out.len, &got, &err) == 0, "%s", err.msg);
	json_dump_python(got, &text);
	ck_assert_msg(json_equal(got, wanted), "%s became %s", written[_i].json, text.data);
}
END_TEST

START_TEST(test_table_too_long)
{
	_cleanup_free_ char *text = xmalloc(BOUND_AMQP_FRAME + 1);
	_cleanup_json_ json_t *value = NULL, *name = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_AMQP_FRAME);
	struct err err = {0};

	memset(text, 'x', BOUND_AMQP_FRAME);
	text[BOUND_AMQP_FRAME] = '\0';
	value = json_pack("{s:s}", "k", text);
	ck_assert_int_eq(amqp_json_to_table(value, &out, &err), -ERR_TOOBIG);
	buf_reset(&out);
	text[256] = '\0';
	name = json_pack("{s:n}", text);
	ck_assert_int_eq(amqp_json_to_table(name, &out, &err), -ERR_TOOBIG);
}
END_TEST

/* ---- properties ---- */

static const char *const properties_hex =
	"fff8106170706c69636174696f6e2f6a736f6e057574662d380000000701614900000001020301630172053630"
	"303030016d000000006b0afa80017401750178";

START_TEST(test_properties)
{
	unsigned char bytes[512];
	size_t len = unhex(properties_hex, bytes);
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_AMQP_FRAME);
	struct amqp_properties p = {0};
	struct err err = {0};
	static const char *const texts[AMQP_TEXTS] = {
		"application/json", "utf-8", "c", "r", "60000", "m", "t", "u", "x"};

	ck_assert_msg(amqp_properties_read(bytes, len, &p, &err) == 0, "%s", err.msg);
	for (int i = 0; i < AMQP_TEXTS; i++)
		ck_assert_str_eq(p.text[i], texts[i]);
	ck_assert_int_eq(p.delivery_mode, 2);
	ck_assert(p.has_priority && p.priority == 3);
	ck_assert(p.has_timestamp && p.timestamp == 1795881600);
	ck_assert_int_eq(json_integer_value(json_object_get(p.headers, "a")), 1);
	ck_assert_int_eq(amqp_properties_write(&p, &out, &err), 0);
	ck_assert_uint_eq(out.len, len);
	ck_assert_mem_eq(out.data, bytes, len);
	amqp_properties_done(&p);
	for (size_t i = 0; i < len; i++) {
		ck_assert_int_eq(amqp_properties_read(bytes, i, &p, &err), -ERR_PROTOCOL);
		for (unsigned flip = 1; flip < 256; flip *= 2) {
			bytes[i] ^= (unsigned char)flip;
			if (amqp_properties_read(bytes, len, &p, &err) == 0)
				amqp_properties_done(&p);
			bytes[i] ^= (unsigned char)flip;
		}
	}
}
END_TEST

START_TEST(test_no_properties)
{
	struct amqp_properties p = {0};
	_cleanup_buf_ struct buf out = BUF_INIT(64);
	struct err err = {0};
	char longer[300];

	ck_assert_int_eq(amqp_properties_write(&p, &out, &err), 0);
	ck_assert_uint_eq(out.len, 2);
	ck_assert_int_eq(amqp_properties_read(out.data, out.len, &p, &err), 0);
	ck_assert_ptr_null(p.headers);
	ck_assert(!p.has_priority && !p.has_timestamp && p.delivery_mode == 0);
	memset(longer, 'x', sizeof(longer));
	longer[256] = '\0';
	p.text[AMQP_REPLY_TO] = longer;
	buf_reset(&out);
	ck_assert_int_eq(amqp_properties_write(&p, &out, &err), -ERR_TOOBIG);
	ck_assert_ptr_nonnull(strstr(err.msg, "reply_to"));
	p.text[AMQP_REPLY_TO] = NULL;
	p.headers = json_array();
	buf_reset(&out);
	ck_assert_int_eq(amqp_properties_write(&p, &out, &err), -ERR_INVALID);
	amqp_properties_done(&p);
}
END_TEST

/* ---- frames ---- */

START_TEST(test_frames)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_AMQP_FRAME);
	amqp_basic_deliver_t deliver = {.consumer_tag = amqp_cstring_bytes("t"),
					.delivery_tag = 7,
					.redelivered = 1,
					.exchange = amqp_cstring_bytes(""),
					.routing_key = amqp_cstring_bytes("celery")};
	struct amqp_in_frame f;
	struct amqp_in_method m;
	struct slice properties;
	amqp_pool_t pool;
	uint64_t body;
	size_t used, at;
	struct err err = {0};

	amqp_put_method(&out, 1, AMQP_BASIC_DELIVER_METHOD, &deliver);
	at = out.len;
	amqp_put_header(&out, 1, 5, "\0\0", 2);
	amqp_put_frame(&out, FRAME_BODY, 1, "hello", 5);
	amqp_put_heartbeat(&out);
	init_amqp_pool(&pool, 4096);
	for (size_t i = 0; i < at; i++)
		ck_assert_int_eq(amqp_get_frame(out.data, i, 4096, &f, &used, &err), 0);
	ck_assert_int_eq(amqp_get_frame(out.data, out.len, 4096, &f, &used, &err), 1);
	ck_assert_uint_eq(used, at);
	ck_assert_int_eq(amqp_get_method(&f, &pool, &m, &err), 0);
	ck_assert_uint_eq(m.id, AMQP_BASIC_DELIVER_METHOD);
	ck_assert_uint_eq(((amqp_basic_deliver_t *)m.decoded)->delivery_tag, 7);
	ck_assert_int_eq(amqp_get_frame(out.data + at, out.len - at, 4096, &f, &used, &err), 1);
	ck_assert_int_eq(amqp_get_header(&f, &body, &properties, &err), 0);
	ck_assert_uint_eq(body, 5);
	ck_assert_uint_eq(properties.len, 2);
	at += used;
	ck_assert_int_eq(amqp_get_frame(out.data + at, out.len - at, 4096, &f, &used, &err), 1);
	ck_assert(f.kind == FRAME_BODY && f.len == 5 && f.channel == 1);
	at += used;
	ck_assert_int_eq(amqp_get_frame(out.data + at, out.len - at, 4096, &f, &used, &err), 1);
	ck_assert_int_eq(f.kind, FRAME_HEARTBEAT);
	ck_assert_uint_eq(at + used, out.len);
	empty_amqp_pool(&pool);
}
END_TEST

static const struct bad_frame {
	const char *hex;
	int code;
} bad_frames[] = {
	{"01000100001000", ERR_TOOBIG}, /* longer than was agreed, long before it is there */
	{"01000100000001"
	 "ffcf",
	 ERR_PROTOCOL},			    /* does not end in 0xce */
	{"48545450", ERR_PROTOCOL},	    /* HTTP */
	{"414d515000000800", ERR_PROTOCOL}, /* another version of AMQP */
};

START_TEST(test_bad_frame)
{
	unsigned char bytes[64];
	size_t len = unhex(bad_frames[_i].hex, bytes), used;
	struct amqp_in_frame f;
	struct err err = {0};

	ck_assert_int_eq(amqp_get_frame((char *)bytes, len, 4096, &f, &used, &err),
			 -bad_frames[_i].code);
}
END_TEST

/* A frame whose end and head are right, and nothing between. */
START_TEST(test_cut_off)
{
	static const unsigned char start[] = {0, 10, 0, 10, 0}, deliver[] = {0, 60, 0, 60, 9, 'x'};
	struct amqp_in_frame f = {.kind = FRAME_METHOD, .payload = (const char *)start, .len = 3};
	struct amqp_in_method m;
	struct slice properties;
	amqp_pool_t pool;
	uint64_t body;
	struct err err = {0};

	init_amqp_pool(&pool, 4096);
	ck_assert_int_eq(amqp_get_method(&f, &pool, &m, &err), -ERR_PROTOCOL);
	ck_assert_ptr_nonnull(strstr(err.msg, "without a number"));
	f.len = sizeof(start);
	ck_assert_int_eq(amqp_get_method(&f, &pool, &m, &err), -ERR_PROTOCOL);
	ck_assert_ptr_nonnull(strstr(err.msg, "connection.start"));
	f.payload = (const char *)deliver;
	f.len = sizeof(deliver);
	ck_assert_int_eq(amqp_get_method(&f, &pool, &m, &err), -ERR_PROTOCOL);
	ck_assert_ptr_nonnull(strstr(err.msg, "cannot be read"));
	ck_assert_int_eq(amqp_get_header(&f, &body, &properties, &err), -ERR_PROTOCOL);
	empty_amqp_pool(&pool);
}
END_TEST

/* connection.start's table of the server is looked at before rabbitmq-c reads it. */
START_TEST(test_start_with_a_bad_table)
{
	unsigned char bytes[64];
	size_t len = unhex("000a000a0009"
			   "00000004"
			   "01615aff",
			   bytes);
	struct amqp_in_frame f = {.kind = FRAME_METHOD, .payload = (const char *)bytes, .len = len};
	struct amqp_in_method m;
	amqp_pool_t pool;
	struct err err = {0};

	init_amqp_pool(&pool, 4096);
	ck_assert_int_eq(amqp_get_method(&f, &pool, &m, &err), -ERR_PROTOCOL);
	empty_amqp_pool(&pool);
}
END_TEST

/* What fits into no frame is not written, and the buffer says so. */
START_TEST(test_method_too_long)
{
	static char text[BOUND_AMQP_FRAME];
	_cleanup_buf_ struct buf out = BUF_INIT((size_t)4 * BOUND_AMQP_FRAME), small = BUF_INIT(8);
	amqp_connection_secure_ok_t answer = {.response = {sizeof(text), text}};
	struct err err = {0};

	amqp_put_method(&out, 0, AMQP_CONNECTION_SECURE_OK_METHOD, &answer);
	ck_assert_int_eq(buf_status(&out, &err), -ERR_TOOBIG);
	answer.response.len = 1;
	amqp_put_method(&small, 0, AMQP_CONNECTION_SECURE_OK_METHOD, &answer);
	ck_assert_int_eq(buf_status(&small, &err), -ERR_TOOBIG);
}
END_TEST

/* A method of a client has a table that nobody has looked at: a server that says it is no server.
 */
START_TEST(test_foreign_method)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_AMQP_FRAME);
	amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes("q")};
	struct amqp_in_frame f;
	struct amqp_in_method m;
	amqp_pool_t pool;
	size_t used;
	struct err err = {0};

	amqp_put_method(&out, 1, AMQP_QUEUE_DECLARE_METHOD, &declare);
	init_amqp_pool(&pool, 4096);
	ck_assert_int_eq(amqp_get_frame(out.data, out.len, 4096, &f, &used, &err), 1);
	ck_assert_int_eq(amqp_get_method(&f, &pool, &m, &err), -ERR_PROTOCOL);
	empty_amqp_pool(&pool);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("AMQP as bytes");
	TCase *t = tcase_create("bytes");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_addresses, 0, ARRAY_LEN(addresses));
	tcase_add_loop_test(t, test_refused, 0, ARRAY_LEN(refused));
	tcase_add_test(t, test_too_much);
	tcase_add_test(t, test_shared);
	tcase_add_loop_test(t, test_failover, 0, 2);
	tcase_add_test(t, test_table);
	tcase_add_loop_test(t, test_value, 0, ARRAY_LEN(values));
	tcase_add_test(t, test_depth);
	tcase_add_loop_test(t, test_refused_json, 0, ARRAY_LEN(refused_jsons));
	tcase_add_loop_test(t, test_written, 0, ARRAY_LEN(written));
	tcase_add_test(t, test_table_too_long);
	tcase_add_test(t, test_properties);
	tcase_add_test(t, test_no_properties);
	tcase_add_test(t, test_frames);
	tcase_add_loop_test(t, test_bad_frame, 0, ARRAY_LEN(bad_frames));
	tcase_add_test(t, test_cut_off);
	tcase_add_test(t, test_start_with_a_bad_table);
	tcase_add_test(t, test_method_too_long);
	tcase_add_test(t, test_foreign_method);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
