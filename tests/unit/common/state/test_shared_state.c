/*
 * test_shared_state.c: which Redis a deployment shares, and whose connection leads there.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "shared_state.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/suite.h"

static struct redis_server *g_server;

static struct settings g_defaults; /* owns what the copies of it borrow */

static struct settings settings(void)
{
	return g_defaults;
}

static void setup(void)
{
	struct err err = {0};

	g_server = redis_server_start(NULL);
	ck_assert_int_eq(settings_load(NULL, &g_defaults, &err), 0);
}

static void teardown(void)
{
	settings_done(&g_defaults);
	redis_server_free(g_server);
}

START_TEST(test_place)
{
	static const struct {
		const char *broker, *read, *backend, *state, *options, *backend_options;
		const char *safe, *prefix;
	} rows[] = {
		{"redis://b/1", "", "redis://r/2", "", "", "", "redis://b/1", ""},
		{"redis://b/1", "redis://x/5", "redis://r/2", "", "", "", "redis://x/5", ""},
		{"amqp://b//", "", "redis://r/2", "", "", "{\"global_keyprefix\": \"p\"}",
		 "redis://r/2", "p_"},
		{"amqp://b//", "", "db+postgresql://d/x", "redis://s/3", "", "", "redis://s/3", ""},
		{"redis://b/1", "", "", "redis://s/3", "{\"global_keyprefix\": \"mine:\"}", "",
		 "redis://s/3", "mine:"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct settings s = settings();
		struct redis_address a = {0};
		struct err err = {0};

		s.broker_url = rows[i].broker;
		s.broker_read_url = rows[i].read;
		s.result_backend = rows[i].backend;
		s.state_url = rows[i].state;
		s.state_transport_options = rows[i].options;
		s.result_backend_transport_options = rows[i].backend_options;
		ck_assert_msg(shared_state_place(&s, &a, &err) == 0, "%zu: %s", i, err.msg);
		ck_assert_str_eq(a.safe, rows[i].safe);
		ck_assert_str_eq(a.key_prefix, rows[i].prefix);
		redis_address_done(&a);
	}
}
END_TEST

START_TEST(test_refused)
{
	static const struct {
		const char *broker, *backend, *state, *options, *ssl, *said;
	} rows[] = {
		{"amqp://b//", "rpc://", "", "", "", "CELERIAC_STATE_URL is not set"},
		{"amqp://b//", "db+postgresql://d/x", "", "", "", "CELERIAC_STATE_URL is not set"},
		{"redis://b", "", "http://x/", "", "", "CELERIAC_STATE_URL: "},
		{"redis://b", "", "sentinel://x/", "", "", "CELERIAC_STATE_URL: "},
		{"redis://b", "", "redis://x/", "[]", "", "CELERIAC_STATE_TRANSPORT_OPTIONS: "},
		{"redis://b", "", "redis://x/", "{\"client_name\": 3}", "",
		 "CELERIAC_STATE_TRANSPORT_OPTIONS: client_name: "},
		{"redis://b", "", "rediss://x/", "", "{\"ssl_no\": 1}", "CELERIAC_STATE_USE_SSL: "},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct settings s = settings();
		struct err err = {0};

		s.broker_url = rows[i].broker;
		s.result_backend = rows[i].backend;
		s.state_url = rows[i].state;
		s.state_transport_options = rows[i].options;
		s.state_use_ssl = rows[i].ssl;
		ck_assert_int_lt(shared_state_check(&s, &err), 0);
		ck_assert_msg(strncmp(err.msg, rows[i].said, strlen(rows[i].said)) == 0, "%zu: %s",
			      i, err.msg);
	}
}
END_TEST

/* Where it is the broker's Redis there is no connection more. */
START_TEST(test_links)
{
	_cleanup_free_ char *url = redis_server_url(g_server, 0);
	_cleanup_free_ char *other = redis_server_url(g_server, 1);
	struct redis_address broker = {0};
	struct redis_link *link = NULL;
	struct shared_state *same = NULL, *apart = NULL;
	struct settings s = settings();
	struct err err = {0};

	ck_assert_int_eq(redis_address_parse(url, &broker, &err), 0);
	ck_assert_int_eq(redis_link_new(&broker, "test", &link, &err), 0);
	s.broker_url = url;
	s.state_url = url;
	ck_assert_int_eq(shared_state_open(&s, &broker, link, &same, &err), 0);
	ck_assert_ptr_eq(shared_state_link(same), link);
	ck_assert(!shared_state_apart(same));
	shared_state_close(same, 0);
	/* the same server, and keys of another prefix: --check and beat look for them there */
	s.state_transport_options = "{\"global_keyprefix\": \"mine:\"}";
	ck_assert_int_eq(shared_state_open(&s, &broker, link, &apart, &err), 0);
	ck_assert(shared_state_apart(apart));
	ck_assert_str_eq(shared_state_address(apart)->key_prefix, "mine:");
	shared_state_close(apart, clock_deadline(USEC_PER_SEC));
	s.state_transport_options = "";
	s.state_url = other;
	ck_assert_int_eq(shared_state_open(&s, &broker, link, &apart, &err), 0);
	ck_assert_ptr_ne(shared_state_link(apart), link);
	ck_assert(shared_state_apart(apart));
	while (!shared_state_ready(apart))
		usleep(1000);
	shared_state_close(apart, clock_deadline(USEC_PER_SEC));
	redis_link_free(link, 0);
	redis_address_done(&broker);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("redis");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_place);
	tcase_add_test(c, test_refused);
	tcase_add_test(c, test_links);
	return suite_run("shared_state", c);
}
