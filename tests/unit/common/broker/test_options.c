/* kombu's transport options: the table, and the settings that say the same things. */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "tests/unit/suite.h"
#include "transport.h"

static struct settings g_settings;

static void setup(void)
{
	struct err err;

	ck_assert_msg(settings_load((char *const *)(uintptr_t)(const char *const[]){NULL},
				    &g_settings, &err) == 0,
		      "%s", err.msg);
}

static void teardown(void)
{
	settings_done(&g_settings);
}

static int set_and_read(enum transport_side side, const char *json, struct transport_options *ret,
			struct buf *notes, struct err *err)
{
	const char *name = side == TRANSPORT_BROKER ? "broker_transport_options"
						    : "result_backend_transport_options";

	ck_assert_msg(settings_set(&g_settings, name, json, "test", err) == 0, "%s", err->msg);
	return transport_options_read(&g_settings, side, ret, notes, err);
}

static struct transport_options read_options(enum transport_side side, const char *json)
{
	struct transport_options o;
	struct err err;

	ck_assert_msg(set_and_read(side, json, &o, NULL, &err) == 0, "%s: %s", json, err.msg);
	return o;
}

START_TEST(test_defaults)
{
	struct transport_options o = read_options(TRANSPORT_BROKER, "");

	ck_assert_int_eq(o.visibility_timeout, 3600 * USEC_PER_SEC);
	ck_assert_str_eq(o.global_keyprefix, "");
	ck_assert_str_eq(o.unacked_key, "unacked");
	ck_assert_str_eq(o.unacked_index_key, "unacked_index");
	ck_assert_str_eq(o.unacked_mutex_key, "unacked_mutex");
	ck_assert_uint_eq(o.unacked_mutex_expire, 300 * USEC_PER_SEC);
	ck_assert_int_eq(o.unacked_restore_limit, 0);
	ck_assert_str_eq(o.sep, "\x06\x16");
	ck_assert_str_eq(o.fanout_prefix, "/{db}.");
	ck_assert(o.fanout_patterns);
	ck_assert_int_eq(o.queue_order, QUEUE_ROUND_ROBIN);
	ck_assert_uint_eq(o.step_count, 4);
	ck_assert_int_eq(o.priority_steps[3], 9);
	ck_assert(!o.connection.no_keepalive && !o.connection.tls.on && !o.connection.shuffle);
	transport_options_done(&o);
}
END_TEST

START_TEST(test_every_option)
{
	struct transport_options o = read_options(
		TRANSPORT_BROKER,
		"{\"visibility_timeout\": 43200, \"global_keyprefix\": \"p-\", \"sep\": \":\", "
		"\"priority_steps\": [1, 5], \"queue_order_strategy\": \"sorted\", "
		"\"unacked_mutex_key\": \"um\", \"unacked_mutex_expire\": 20, "
		"\"unacked_restore_limit\": 9, "
		"\"unacked_key\": \"u\", \"unacked_index_key\": \"ui\", \"fanout_prefix\": "
		"\"f{db}{db}\", "
		"\"fanout_patterns\": false, \"deadletter_queue\": \"dead\", \"socket_timeout\": "
		"1.5, "
		"\"socket_connect_timeout\": 2, \"socket_keepalive\": false, "
		"\"socket_keepalive_options\": {\"TCP_KEEPIDLE\": 60, \"6\": 9}, "
		"\"health_check_interval\": 0, \"client_name\": \"me\", \"polling_interval\": 0.5, "
		"\"master_name\": \"mm\", \"min_other_sentinels\": 2, \"sentinel_kwargs\": "
		"{\"password\": \"pw\", \"username\": \"u\", \"socket_timeout\": 0.1, \"ssl\": "
		"true, "
		"\"ssl_cert_reqs\": \"none\"}, \"retry_on_timeout\": null}");
	_cleanup_free_ char *prefix = transport_fanout_prefix(&o, 7);
	const struct redis_tuning *t = &o.connection;

	ck_assert_int_eq(o.visibility_timeout, 43200 * USEC_PER_SEC);
	ck_assert_str_eq(o.global_keyprefix, "p-");
	ck_assert_str_eq(o.sep, ":");
	ck_assert_uint_eq(o.step_count, 2);
	ck_assert_int_eq(o.priority_steps[1], 5);
	ck_assert_int_eq(o.queue_order, QUEUE_SORTED);
	ck_assert_str_eq(o.unacked_key, "u");
	ck_assert_str_eq(o.unacked_index_key, "ui");
	ck_assert_str_eq(o.unacked_mutex_key, "um");
	ck_assert_uint_eq(o.unacked_mutex_expire, 20 * USEC_PER_SEC);
	ck_assert_int_eq(o.unacked_restore_limit, 9);
	ck_assert_str_eq(prefix, "f77");
	ck_assert(!o.fanout_patterns);
	ck_assert_str_eq(o.deadletter_queue, "dead");
	ck_assert_int_eq(o.polling_interval, USEC_PER_SEC / 2);
	ck_assert_int_eq(t->socket_timeout, 3 * USEC_PER_SEC / 2);
	ck_assert_int_eq(t->connect_timeout, 2 * USEC_PER_SEC);
	ck_assert(t->no_keepalive);
	ck_assert_int_eq(t->keepalive[0], 60);
	ck_assert_int_eq(t->keepalive[1], 0);
	ck_assert_int_eq(t->keepalive[2], 9);
	ck_assert_int_eq(t->health_check_interval, USEC_NEVER);
	ck_assert_str_eq(t->client_name, "me");
	ck_assert_str_eq(t->master_name, "mm");
	ck_assert_int_eq(t->min_other_sentinels, 2);
	ck_assert_str_eq(t->sentinel_password, "pw");
	ck_assert_str_eq(t->sentinel_user, "u");
	ck_assert_int_eq(t->sentinel_timeout, USEC_PER_SEC / 10);
	ck_assert(t->sentinel_tls.on);
	ck_assert_int_eq(t->sentinel_tls.verify, TLS_VERIFY_NONE);
	transport_options_done(&o);
}
END_TEST

START_TEST(test_backend)
{
	static const char *const rows[][2] = {
		{"{}", ""},
		{"{\"global_keyprefix\": \"\"}", ""},
		{"{\"global_keyprefix\": \"a\"}", "a_"},
		{"{\"global_keyprefix\": \"a_\"}", "a_"},
		{"{\"global_keyprefix\": \"a:\"}", "a:"},
		{"{\"global_keyprefix\": \"a-\"}", "a-"},
		{"{\"global_keyprefix\": \"a.\"}", "a."},
	};
	struct transport_options o;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		o = read_options(TRANSPORT_BACKEND, rows[i][0]);
		ck_assert_str_eq(o.global_keyprefix, rows[i][1]);
		ck_assert(o.chord_ordered && o.connection.is_backend);
		transport_options_done(&o);
	}
	o = read_options(TRANSPORT_BACKEND,
			 "{\"result_chord_ordered\": false, \"master_name\": \"m\"}");
	ck_assert(!o.chord_ordered);
	ck_assert_str_eq(o.connection.master_name, "m");
	transport_options_done(&o);
}
END_TEST

START_TEST(test_settings)
{
	static const char *const values[][2] = {
		{"broker_use_ssl",
		 "{\"ssl_cert_reqs\": \"CERT_REQUIRED\", \"ssl_keyfile\": \"k\"}"},
		{"broker_failover_strategy", "shuffle"},
		{"redis_backend_use_ssl", "{\"ssl_cert_reqs\": 0, \"ssl_check_hostname\": false}"},
		{"redis_username", "u"},
		{"redis_password", "p"},
		{"redis_socket_timeout", "7"},
		{"redis_socket_connect_timeout", "8"},
		{"redis_socket_keepalive", "false"},
		{"redis_backend_health_check_interval", "0"},
		{"redis_client_name", "n"},
	};
	struct transport_options o;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		ck_assert_msg(settings_set(&g_settings, values[i][0], values[i][1], "test", &err) ==
				      0,
			      "%s", err.msg);
	o = read_options(TRANSPORT_BROKER, "");
	ck_assert(o.connection.tls.on && o.connection.shuffle);
	ck_assert_int_eq(o.connection.tls.verify, TLS_VERIFY_REQUIRED);
	ck_assert_str_eq(o.connection.tls.keyfile, "k");
	ck_assert_ptr_null(o.connection.password);
	transport_options_done(&o);
	o = read_options(TRANSPORT_BACKEND, "{\"socket_timeout\": 9}");
	ck_assert(o.connection.tls.on && o.connection.tls.any_host);
	ck_assert_int_eq(o.connection.tls.verify, TLS_VERIFY_NONE);
	ck_assert_str_eq(o.connection.user, "u");
	ck_assert_str_eq(o.connection.password, "p");
	ck_assert_int_eq(o.connection.socket_timeout, 9 * USEC_PER_SEC); /* the option wins */
	ck_assert_int_eq(o.connection.connect_timeout, 8 * USEC_PER_SEC);
	ck_assert_int_eq(o.connection.health_check_interval, USEC_NEVER);
	ck_assert(o.connection.no_keepalive);
	ck_assert_str_eq(o.connection.client_name, "n");
	transport_options_done(&o);
}
END_TEST

START_TEST(test_notes)
{
	struct buf notes = BUF_INIT(4096);
	struct transport_options o;
	struct err err;

	ck_assert_int_eq(set_and_read(TRANSPORT_BROKER,
				      "{\"no_such_option\": 1, \"max_connections\": 20, "
				      "\"visibility_timeout\": 5, \"ack_emulation\": false, "
				      "\"confirm_publish\": true}",
				      &o, &notes, &err),
			 0);
	ck_assert_ptr_nonnull(strstr(notes.data, "no_such_option is no known option\n"));
	ck_assert_ptr_nonnull(strstr(notes.data, "max_connections has no effect"));
	ck_assert_ptr_nonnull(strstr(notes.data, "ack_emulation has no effect"));
	ck_assert_ptr_nonnull(strstr(notes.data, "confirm_publish has no effect"));
	ck_assert_ptr_null(strstr(notes.data, "visibility_timeout"));
	transport_options_done(&o);
	buf_reset(&notes);
	/* What is the broker's alone means nothing at the backend. */
	ck_assert_int_eq(set_and_read(TRANSPORT_BACKEND, "{\"sep\": \"x\"}", &o, &notes, &err), 0);
	ck_assert_str_eq(notes.data, "sep is no known option\n");
	transport_options_done(&o);
	buf_done(&notes);
}
END_TEST

/* Each names the option and what kind of value it got. */
START_TEST(test_refused)
{
	static const struct {
		const char *json, *words;
		int code;
	} rows[] = {
		{"{\"visibility_timeout\": \"1h\"}", "visibility_timeout: must be a number",
		 ERR_INVALID},
		{"{\"visibility_timeout\": \"1h\"}", "not a string", ERR_INVALID},
		{"{\"visibility_timeout\": 0}", "visibility_timeout", ERR_INVALID},
		{"{\"visibility_timeout\": true}", "not a boolean", ERR_INVALID},
		{"{\"global_keyprefix\": 1}", "not a number", ERR_INVALID},
		{"{\"global_keyprefix\": \"a\\u0000b\"}", "NUL", ERR_INVALID},
		{"{\"sep\": \"\"}", "sep: must not be empty", ERR_INVALID},
		{"{\"unacked_key\": []}", "unacked_key: must be a string, not a list", ERR_INVALID},
		{"{\"priority_steps\": [3, 3]}", "priority_steps", ERR_INVALID},
		{"{\"priority_steps\": []}", "priority_steps", ERR_INVALID},
		{"{\"priority_steps\": [0, \"x\"]}", "priority_steps", ERR_INVALID},
		{"{\"queue_order_strategy\": \"fair\"}", "round_robin", ERR_INVALID},
		{"{\"fanout_prefix\": 3}", "fanout_prefix", ERR_INVALID},
		{"{\"fanout_patterns\": \"yes\"}", "fanout_patterns: must be a boolean",
		 ERR_INVALID},
		{"{\"socket_keepalive\": 1}", "socket_keepalive", ERR_INVALID},
		{"{\"socket_keepalive_options\": {\"TCP_X\": 1}}", "TCP_X", ERR_INVALID},
		{"{\"socket_keepalive_options\": {\"TCP_KEEPCNT\": 0}}", "TCP_KEEPCNT",
		 ERR_INVALID},
		{"{\"socket_keepalive_options\": 4}", "must be an object, not a number",
		 ERR_INVALID},
		{"{\"health_check_interval\": -1}", "health_check_interval", ERR_INVALID},
		{"{\"min_other_sentinels\": 1.5}", "min_other_sentinels: must be an integer",
		 ERR_INVALID},
		{"{\"sentinel_kwargs\": {\"password\": 1}}", "sentinel_kwargs: password",
		 ERR_INVALID},
		{"{\"sentinel_kwargs\": {\"hat\": 1}}", "sentinel_kwargs: hat", ERR_INVALID},
		{"{\"sentinel_kwargs\": \"x\"}", "must be an object, not a string", ERR_INVALID},
		{"{\"sentinel_kwargs\": {\"ssl_keyfile\": []}}", "must be a string, not a list",
		 ERR_INVALID},
		{"{\"credential_provider\": \"a.B\"}", "credential_provider: is not",
		 ERR_UNSUPPORTED},
		{"{\"credential_provider\": \"a.B\"}", "Python", ERR_UNSUPPORTED},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct transport_options o;
		struct err err = {0};

		ck_assert_int_eq(set_and_read(TRANSPORT_BROKER, rows[i].json, &o, NULL, &err),
				 -rows[i].code);
		ck_assert_msg(strstr(err.msg, rows[i].words), "%s: %s", rows[i].json, err.msg);
		ck_assert_ptr_nonnull(strstr(err.msg, "broker_transport_options"));
	}
}
END_TEST

/* The same of broker_use_ssl, which has no name among the options. */
START_TEST(test_refused_tls)
{
	static const char *const rows[][2] = {
		{"{\"ssl_keyfile\": {}}", "ssl_keyfile: must be a string"},
		{"{\"hat\": \"x\"}", "hat: is no known parameter"},
	};
	struct transport_options o;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_int_eq(
			settings_set(&g_settings, "broker_use_ssl", rows[i][0], "test", &err), 0);
		ck_assert_int_eq(
			transport_options_read(&g_settings, TRANSPORT_BROKER, &o, NULL, &err),
			-ERR_INVALID);
		ck_assert_msg(strstr(err.msg, "broker_use_ssl: "), "%s", err.msg);
		ck_assert_msg(strstr(err.msg, rows[i][1]), "%s: %s", rows[i][0], err.msg);
	}
}
END_TEST

/* Python's None is as if the name were not there. */
START_TEST(test_none)
{
	struct transport_options o = read_options(
		TRANSPORT_BROKER, "{\"visibility_timeout\": null, \"sentinel_kwargs\": "
				  "{\"password\": null, \"username\": \"u\"}}");

	ck_assert_int_eq(o.visibility_timeout, 3600 * USEC_PER_SEC);
	ck_assert_ptr_null(o.connection.sentinel_password);
	ck_assert_str_eq(o.connection.sentinel_user, "u");
	transport_options_done(&o);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("transport options");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_defaults);
	tcase_add_test(c, test_every_option);
	tcase_add_test(c, test_backend);
	tcase_add_test(c, test_settings);
	tcase_add_test(c, test_notes);
	tcase_add_test(c, test_refused);
	tcase_add_test(c, test_refused_tls);
	tcase_add_test(c, test_none);
	return suite_run("transport options", c);
}
