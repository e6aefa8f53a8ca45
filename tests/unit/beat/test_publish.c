/* A due entry in a real Redis: one message, whatever happens. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beat/ledger_redis.h"
#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "message.h"
#include "tests/unit/redis_fixture.h"

#define PERIOD (300 * USEC_PER_SEC)

static struct redis_server *g_server;
static struct redis_server *g_messages; /* NULL: they go to g_server too */
static struct settings g_settings;
static char *g_url, *g_messages_url;

static void setup(void)
{
	g_server = redis_server_start(NULL);
	g_url = redis_server_url(g_server, 0);
	g_settings = (struct settings){.broker_url = g_url,
				       .broker_transport_options = "",
				       .task_default_queue = "celery",
				       .node = "web1",
				       .instance = "test"};
}

/* Messages go to another server than the one that knows the schedule. */
static void setup_apart(void)
{
	setup();
	g_messages = redis_server_start(NULL);
	g_messages_url = redis_server_url(g_messages, 0);
	g_settings.broker_url = g_messages_url;
	g_settings.state_url = g_url;
}

static void teardown(void)
{
	if (g_messages != NULL)
		redis_server_free(g_messages);
	free(g_messages_url);
	redis_server_free(g_server);
	free(g_url);
}

/* The answer to an inline command. */
static void ask(const char *line, const char *want)
{
	bool queue = g_messages != NULL && strstr(line, "celeriac:") == NULL;
	_cleanup_free_ char *got = redis_server_tell(queue ? g_messages : g_server, line);

	ck_assert_msg(strcmp(got, want) == 0, "%s: %s, not %s", line, got, want);
}

static void open_publisher(struct publisher *p)
{
	struct err err = {0};

	ck_assert_msg(publisher_open(p, &g_settings, &err) == 0, "%s", err.msg);
	for (int i = 0; i < 400 && !publisher_ready(p); i++)
		poll(NULL, 0, 50);
	ck_assert(publisher_ready(p));
}

static struct entry new_entry(void)
{
	return (struct entry){.name = "sandbox.cleanup",
			      .task = "sandbox.cleanup",
			      .queue = "celery",
			      .schedule = {.period = PERIOD}};
}

static usec_t g_later;
static usec_t later(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (usec_t)ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000 + g_later;
}

/* Publishes one that is due; the verdict. */
static enum send_verdict send_one(struct publisher *p, struct entry *e)
{
	struct sending s = {.entry = e};
	struct err err = {0};
	bool leads;
	int rc = publisher_send(p, &s, 1, &leads, &err);

	ck_assert_msg(rc == 0, "%s", err.msg);
	ck_assert(leads);
	return s.verdict;
}

static int try_one(struct publisher *p, struct entry *e, struct err *err)
{
	struct sending s = {.entry = e};
	bool leads;
	int rc = publisher_send(p, &s, 1, &leads, err);

	ck_assert(rc == 0 || s.verdict == SEND_OPEN);
	return rc;
}

static void lead(struct publisher *p)
{
	char leader[LEASE_HOLDER];
	struct err err = {0};
	bool ours;
	int rc = publisher_lead(p, clock_deadline(20 * USEC_PER_SEC), &ours, leader, &err);

	ck_assert_msg(rc == 0, "%s", err.msg);
	ck_assert_msg(ours, "%s", leader);
}

static void must(int rc, const struct err *err)
{
	ck_assert_msg(rc == 0, "%s", err->msg);
}

/* The first beat writes "last run now", a restarted one and a second one read it. */
START_TEST(test_load)
{
	struct publisher a, b;
	struct entry one = new_entry(), two = new_entry();
	struct err err = {0};

	open_publisher(&a);
	must(publisher_load(&a, &one, 1, &err), &err);
	ck_assert_int_gt(one.due, clock_mono() + PERIOD - 2 * USEC_PER_SEC);
	ck_assert_int_le(one.due, clock_mono() + PERIOD);
	g_later = 100 * USEC_PER_SEC;
	clock_hook(later, NULL);
	open_publisher(&b);
	must(publisher_load(&b, &two, 1, &err), &err);
	clock_hook(NULL, NULL);
	ck_assert_str_eq(one.state, two.state);
	ck_assert_int_lt(two.due, clock_mono() + PERIOD - 98 * USEC_PER_SEC);
	ask("HLEN celeriac:test:beat", ":1");
	ask("LLEN celery", ":0");
	entry_done(&one);
	entry_done(&two);
	publisher_close(&a, 0);
	publisher_close(&b, 0);
}
END_TEST

/* Two beats at the same slot, again and again: each slot once. */
START_TEST(test_two_beats)
{
	struct publisher p[2];
	struct entry e[2] = {new_entry(), new_entry()};
	struct err err = {0};
	int sent_by[2] = {0};

	for (int i = 0; i < 2; i++) {
		open_publisher(&p[i]);
		must(publisher_load(&p[i], &e[i], 1, &err), &err);
	}
	/* both believe to lead: the states alone keep them apart */
	free(p[1].ledger->value);
	p[1].ledger->value = strdup(p[0].ledger->value);
	lead(&p[0]);
	for (int slot = 1; slot <= 10; slot++) {
		bool sent[2] = {false};

		for (int i = 0; i < 2; i++) {
			int who = (slot + i) % 2;

			sent[who] = send_one(&p[who], &e[who]) == SEND_DONE;
			sent_by[who] += sent[who];
		}
		ck_assert_int_eq(sent[0] + sent[1], 1);
		ck_assert_int_eq(e[0].total_run_count, slot);
		ck_assert_int_eq(e[1].total_run_count, slot);
	}
	ck_assert_int_eq(sent_by[0], 5);
	ask("LLEN celery", ":10");
	for (int i = 0; i < 2; i++) {
		entry_done(&e[i]);
		publisher_close(&p[i], 0);
	}
}
END_TEST

/* Of a batch with a queue that is none and one that was sent by
 * another beat, the others go out. */
START_TEST(test_batch)
{
	enum { N = SCHEDULER_BATCH };
	struct publisher p;
	struct entry e[N];
	struct sending list[N];
	char names[N][8];
	struct err err = {0};
	bool leads;

	open_publisher(&p);
	for (int i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "e%d", i);
		e[i] = new_entry();
		e[i].name = names[i];
		list[i] = (struct sending){.entry = &e[i]};
	}
	e[3].queue = "bad";
	ask("SET bad x", "+OK");
	must(publisher_load(&p, e, N, &err), &err);
	ask("HLEN celeriac:test:beat", ":256");
	ask("HSET celeriac:test:beat e5 other", ":0");
	lead(&p);
	must(publisher_send(&p, list, N, &leads, &err), &err);
	ck_assert(leads);
	for (int i = 0; i < N; i++) {
		ck_assert_int_eq(list[i].verdict, i == 3   ? SEND_FAILED
						  : i == 5 ? SEND_ELSEWHERE
							   : SEND_DONE);
		ck_assert_int_eq(e[i].total_run_count, i != 3 && i != 5);
		ck_assert_int_eq(e[i].id[0] == '\0', i != 3);
	}
	ck_assert_ptr_nonnull(strstr(list[3].err.msg, "WRONGTYPE"));
	ask("LLEN celery", ":254");
	for (int i = 0; i < N; i++)
		entry_done(&e[i]);
	publisher_close(&p, 0);
}
END_TEST

/* Who does not lead sends nothing, whatever it believes, and is told who does. */
START_TEST(test_lease)
{
	struct publisher p[2];
	struct entry e[2] = {new_entry(), new_entry()};
	struct sending s = {.entry = &e[1]};
	char leader[LEASE_HOLDER], ours[LEASE_HOLDER];
	struct err err = {0};
	bool leads;

	for (int i = 0; i < 2; i++) {
		open_publisher(&p[i]);
		must(publisher_load(&p[i], &e[i], 1, &err), &err);
	}
	lead(&p[0]);
	lead(&p[0]);
	must(publisher_lead(&p[1], clock_deadline(20 * USEC_PER_SEC), &leads, leader, &err), &err);
	ck_assert(!leads);
	snprintf(ours, sizeof(ours), "process %d on web1", (int)getpid());
	ck_assert_str_eq(leader, ours);
	must(publisher_send(&p[1], &s, 1, &leads, &err), &err);
	ck_assert(!leads);
	ck_assert_int_eq(s.verdict, SEND_OPEN);
	ask("LLEN celery", ":0");
	/* nobody's: not ours either, until it is taken */
	publisher_leave(&p[1], clock_deadline(USEC_PER_SEC));
	ask("EXISTS celeriac:test:beat:leader", ":1");
	publisher_leave(&p[0], clock_deadline(USEC_PER_SEC));
	ask("EXISTS celeriac:test:beat:leader", ":0");
	must(publisher_send(&p[1], &s, 1, &leads, &err), &err);
	ck_assert(!leads);
	lead(&p[1]);
	ck_assert_int_eq(send_one(&p[1], &e[1]), SEND_DONE);
	for (int i = 0; i < 2; i++) {
		entry_done(&e[i]);
		publisher_close(&p[i], 0);
	}
}
END_TEST

static long left(void)
{
	_cleanup_free_ char *text = redis_server_tell(g_server, "PTTL celeriac:test:beat:leader");

	return strtol(text + 1, NULL, 10);
}

/* Whoever is at work keeps it: what takes longer than the lease is not taken up by another in the
 * middle. */
START_TEST(test_work_renews)
{
	struct publisher p;
	struct entry e = new_entry();
	struct err err = {0};

	open_publisher(&p);
	lead(&p);
	ask("PEXPIRE celeriac:test:beat:leader 1000", ":1");
	must(publisher_load(&p, &e, 1, &err), &err);
	ck_assert_int_gt(left(), 1000);
	ask("PEXPIRE celeriac:test:beat:leader 1000", ":1");
	ck_assert_int_eq(send_one(&p, &e), SEND_DONE);
	ck_assert_int_gt(left(), 1000);
	/* but not for somebody else */
	ask("SET celeriac:test:beat:leader other", "+OK");
	ask("PEXPIRE celeriac:test:beat:leader 1000", ":1");
	must(publisher_load(&p, &e, 1, &err), &err);
	ck_assert_int_le(left(), 1000);
	entry_done(&e);
	publisher_close(&p, 0);
}
END_TEST

static const struct {
	const char *value, *holder;
} holders[] = {{"", "nobody"},
	       {"web1 12 5f0c", "process 12 on web1"},
	       {"web1", "a key that is no lease"},
	       {"w\033[1mb 12 x", "process 12 on w?[1mb"}};

START_TEST(test_holder)
{
	char text[LEASE_HOLDER];

	lease_holder((struct slice){holders[_i].value, strlen(holders[_i].value)}, text);
	ck_assert_str_eq(text, holders[_i].holder);
}
END_TEST

/* Away: the slot stays. Back (and empty): it is sent, once. */
START_TEST(test_outage)
{
	struct publisher p;
	struct entry e = new_entry();
	struct err err = {0};

	open_publisher(&p);
	must(publisher_load(&p, &e, 1, &err), &err);
	lead(&p);
	redis_server_down(g_server);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_lt(try_one(&p, &e, &err), 0);
		ck_assert(err_is_transient(&err));
	}
	redis_server_up(g_server);
	for (int i = 0; !publisher_ready(&p) && i < 100; i++)
		poll(NULL, 0, 100);
	lead(&p);
	ck_assert_int_eq(send_one(&p, &e), SEND_DONE);
	ask("LLEN celery", ":1");
	ck_assert_int_eq(e.total_run_count, 1);
	entry_done(&e);
	publisher_close(&p, 0);
}
END_TEST

/* A server that hangs while the script is on its way: the try that got through is known again. */
START_TEST(test_lost_answer)
{
	struct publisher p;
	struct entry e = new_entry();
	struct err err = {0};

	open_publisher(&p);
	must(publisher_load(&p, &e, 1, &err), &err);
	lead(&p);
	redis_server_freeze(g_server);
	ck_assert_int_eq(try_one(&p, &e, &err), -ERR_TIMEOUT);
	ck_assert_int_eq(try_one(&p, &e, &err), -ERR_TIMEOUT);
	redis_server_thaw(g_server);
	lead(&p);
	ck_assert_msg(send_one(&p, &e) == SEND_DONE, "it was ours");
	ask("LLEN celery", ":1");
	ck_assert_int_gt(e.due, clock_mono() + PERIOD - 2 * USEC_PER_SEC);
	ck_assert_str_eq(e.id, "");
	entry_done(&e);
	publisher_close(&p, 0);
}
END_TEST

/* Redis that answers with errors: nothing is half done. */
START_TEST(test_refusals)
{
	struct publisher p;
	struct entry e = new_entry();
	struct err err = {0};

	open_publisher(&p);
	must(publisher_load(&p, &e, 1, &err), &err);
	lead(&p);
	ask("SET celery x", "+OK");
	ck_assert_int_eq(send_one(&p, &e), SEND_FAILED);
	ck_assert_int_eq(e.total_run_count, 0);
	ask("DEL celery", ":1");
	ck_assert_int_eq(send_one(&p, &e), SEND_DONE);
	ask("DEL celeriac:test:beat", ":1");
	ask("SET celeriac:test:beat x", "+OK");
	ck_assert_int_eq(try_one(&p, &e, &err), -ERR_FAILED);
	ask("LLEN celery", ":1");
	ck_assert_int_eq(publisher_load(&p, &e, 1, &err), -ERR_FAILED);
	/* a state that somebody removed is made anew */
	ask("DEL celeriac:test:beat", ":1");
	ck_assert_int_eq(send_one(&p, &e), SEND_DONE);
	ask("LLEN celery", ":2");
	ask("HLEN celeriac:test:beat", ":1");
	entry_done(&e);
	publisher_close(&p, 0);
}
END_TEST

START_TEST(test_key_prefix)
{
	struct publisher p;
	struct entry e = new_entry();
	struct err err = {0};

	g_settings.broker_transport_options = "{\"global_keyprefix\": \"app1:\"}";
	open_publisher(&p);
	must(publisher_load(&p, &e, 1, &err), &err);
	lead(&p);
	ck_assert_int_eq(send_one(&p, &e), SEND_DONE);
	ask("LLEN app1:celery", ":1");
	ask("HLEN app1:celeriac:test:beat", ":1");
	ask("DBSIZE", ":3");
	ask("EXISTS app1:celeriac:test:beat:leader", ":1");
	entry_done(&e);
	publisher_close(&p, 0);
}
END_TEST

/* ---- the message: what Python's beat recorded, but for ids and names of processes ---- */

static json_t *load_text(const char *text, size_t len)
{
	struct err err;
	json_t *value = NULL;

	ck_assert_int_eq(json_load_python(text, len, &value, &err), 0);
	return value;
}

static void level(json_t *message)
{
	json_t *headers = json_object_get(message, "headers"),
	       *properties = json_object_get(message, "properties");
	static const char *const in_headers[] = {"id", "root_id", "origin"};
	static const char *const in_properties[] = {"correlation_id", "reply_to", "delivery_tag"};

	ck_assert_str_eq(json_member_str(headers, "id"), json_member_str(headers, "root_id"));
	ck_assert_str_eq(json_member_str(headers, "id"),
			 json_member_str(properties, "correlation_id"));
	for (size_t i = 0; i < 3; i++) {
		ck_assert_uint_ge(strlen(json_member_str(headers, in_headers[i])), 8);
		json_object_set_new(headers, in_headers[i], json_string("-"));
		ck_assert_uint_eq(strlen(json_member_str(properties, in_properties[i])), 36);
		json_object_set_new(properties, in_properties[i], json_string("-"));
	}
}

START_TEST(test_same_as_python)
{
	_cleanup_buf_ struct buf ours_text = BUF_INIT(65536), theirs_text = BUF_INIT(65536),
				 file = BUF_INIT(65536);
	_cleanup_json_ json_t *ours = NULL, *theirs = NULL;
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct publisher p;
	struct entry e = new_entry();
	struct err err = {0};
	struct slice raw;
	FILE *f = fopen("tests/data/messages/celery-5.7.0/beat.json", "r");

	ck_assert_ptr_nonnull(f);
	buf_added(&file, fread(buf_reserve(&file, 60000), 1, 60000, f));
	fclose(f);
	open_publisher(&p);
	must(publisher_load(&p, &e, 1, &err), &err);
	lead(&p);
	ck_assert_int_eq(send_one(&p, &e), SEND_DONE);
	must(redis_link_do(broker_link(p.broker), clock_deadline(20 * USEC_PER_SEC), &reply, &err,
			   "LINDEX celery 0"),
	     &err);
	raw = redis_reply_str(reply);
	ours = load_text(raw.data, raw.len);
	theirs = load_text(file.data, file.len);
	ck_assert_str_eq(json_member_str(json_object_get(ours, "headers"), "id"), e.last_id);
	level(ours);
	level(theirs);
	json_dump_python(ours, &ours_text);
	json_dump_python(theirs, &theirs_text);
	ck_assert_str_eq(ours_text.data, theirs_text.data);
	entry_done(&e);
	publisher_close(&p, 0);
}
END_TEST

/* Published, and the state cannot be moved on: it is not published again. */
START_TEST(test_not_marked)
{
	struct publisher p;
	struct entry e = new_entry();
	struct err err = {0};
	struct redis_script *script;
	char sha[sizeof(script->sha)];

	open_publisher(&p);
	script = &((struct ledger_in_redis *)p.ledger)->mark;
	must(publisher_load(&p, &e, 1, &err), &err);
	lead(&p);
	memcpy(sha, script->sha, sizeof(sha));
	memset(script->sha, '0', sizeof(sha) - 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_lt(try_one(&p, &e, &err), 0);
		ask("LLEN celery", ":1");
	}
	memcpy(script->sha, sha, sizeof(sha));
	ck_assert_int_eq(send_one(&p, &e), SEND_DONE);
	ask("LLEN celery", ":1");
	ck_assert(!e.published);
	entry_done(&e);
	publisher_close(&p, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("publish");
	TCase *t = tcase_create("publish"), *apart = tcase_create("publish apart");
	const TTest *const everywhere[] = {test_load,	     test_two_beats,   test_batch,
					   test_lease,	     test_work_renews, test_outage,
					   test_lost_answer, test_refusals};

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	for (size_t i = 0; i < ARRAY_LEN(everywhere); i++)
		tcase_add_test(t, everywhere[i]);
	tcase_add_loop_test(t, test_holder, 0, ARRAY_LEN(holders));
	tcase_add_test(t, test_key_prefix);
	tcase_add_test(t, test_same_as_python);
	suite_add_tcase(s, t);
	tcase_set_timeout(apart, 60);
	tcase_add_checked_fixture(apart, setup_apart, teardown);
	for (size_t i = 0; i < ARRAY_LEN(everywhere); i++)
		tcase_add_test(apart, everywhere[i]);
	tcase_add_test(apart, test_not_marked);
	suite_add_tcase(s, apart);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
