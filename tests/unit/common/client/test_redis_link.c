/*
 * test_redis_link.c: links against real servers that come and go.
 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bounds.h"
#include "clock.h"
#include "common/client/redis_link.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"

static struct redis_server *g_server;

static void start(void)
{
	g_server = redis_server_start(NULL);
}

static void stop(void)
{
	redis_server_free(g_server);
}

static usec_t seconds(int n)
{
	return clock_deadline(n * USEC_PER_SEC);
}

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static struct redis_link *link_to_url(char *url)
{
	struct redis_address a;
	struct redis_link *l = NULL;
	struct err err;

	ck_assert_int_eq(redis_address_parse(url, &a, &err), 0);
	free(url);
	ck_assert_int_eq(redis_link_new(&a, "test-link", &l, &err), 0);
	redis_address_done(&a);
	return l;
}

static struct redis_link *link_to(const struct redis_server *s)
{
	return link_to_url(redis_server_url(s, 0));
}

static void await_state(const struct redis_link *l, bool up)
{
	for (int i = 0; i < 1000 && redis_link_up(l) != up; i++)
		pause_ms(5);
	ck_assert_int_eq(redis_link_up(l), up);
}

static int64_t ask_number(struct redis_link *l, const char *fmt, const char *key)
{
	struct redis_reply *reply;
	struct err err;
	int64_t n;
	int rc = redis_link_do(l, seconds(10), &reply, &err, fmt, key);

	ck_assert_msg(rc == 0, "%s: %s", fmt, err.msg);
	n = redis_reply_int(reply);
	redis_reply_free(reply);
	return n;
}

/* What callbacks have seen. */
struct tally {
	atomic_int ok, failed, error_replies;
	atomic_int last_code;
	atomic_bool out_of_order;
	atomic_llong next;
};

static void count(void *arg, struct redis_reply *const *replies, size_t n, const struct err *err)
{
	struct tally *t = arg;

	if (err) {
		ck_assert_uint_eq(n, 0);
		atomic_store(&t->last_code, err->code);
		atomic_fetch_add(&t->failed, 1);
	} else if (redis_reply_type(replies[0]) == REDIS_ERROR) {
		atomic_fetch_add(&t->error_replies, 1);
	} else {
		atomic_fetch_add(&t->ok, 1);
	}
}

/* Each INCR answers one more than the one before, if order is kept. */
static void count_in_order(void *arg, struct redis_reply *const *replies, size_t n,
			   const struct err *err)
{
	struct tally *t = arg;

	if (!err && redis_reply_int(replies[0]) <= atomic_load(&t->next))
		atomic_store(&t->out_of_order, true);
	if (!err)
		atomic_store(&t->next, redis_reply_int(replies[0]));
	count(arg, replies, n, err);
}

static void submit(struct redis_link *l, struct tally *t, unsigned flags, const char *fmt,
		   const char *arg)
{
	struct buf b = BUF_INIT(BOUND_REDIS_COMMAND);

	redis_command(&b, fmt, arg);
	redis_link_submit(l, &b, 1, flags, count, t);
	ck_assert_uint_eq(b.len, 0);
}

START_TEST(test_do)
{
	struct redis_link *l = link_to(g_server);
	struct redis_reply *reply;
	struct err err;

	/* The very first command waits for the connection. */
	ck_assert_int_eq(redis_link_do(l, seconds(5), NULL, &err, "SET %s %s", "a key", "v"), 0);
	ck_assert(redis_link_up(l));
	ck_assert_int_eq(redis_link_do(l, seconds(5), &reply, &err, "GET %s", "a key"), 0);
	ck_assert_str_eq(redis_reply_str(reply).data, "v");
	redis_reply_free(reply);
	ck_assert_int_eq(redis_link_do(l, seconds(5), &reply, &err, "LPUSH %s x", "a key"),
			 -ERR_FAILED);
	ck_assert_ptr_nonnull(strstr(err.msg, "WRONGTYPE"));
	redis_link_free(l, seconds(1));
	redis_link_free(NULL, 0);
}
END_TEST

START_TEST(test_exchange)
{
	struct redis_link *l = link_to_url(redis_server_socket_url(g_server, 0));
	struct buf b = BUF_INIT(1024), small = BUF_INIT(8);
	struct redis_reply *replies[3];
	struct err err;

	redis_command(&b, "ECHO one");
	redis_command(&b, "NONSENSE");
	redis_command(&b, "ECHO three");
	ck_assert_int_eq(redis_link_exchange(l, &b, 3, 0, seconds(5), replies, &err), 0);
	ck_assert_str_eq(redis_reply_str(replies[0]).data, "one");
	ck_assert_int_eq(redis_reply_type(replies[1]), REDIS_ERROR);
	ck_assert_str_eq(redis_reply_str(replies[2]).data, "three");
	for (int i = 0; i < 3; i++)
		redis_reply_free(replies[i]);
	redis_command(&small, "ECHO too long for this buffer");
	ck_assert_int_eq(redis_link_exchange(l, &small, 1, 0, seconds(5), replies, &err),
			 -ERR_TOOBIG);
	redis_link_free(l, seconds(1));
	buf_done(&b);
}
END_TEST

/* ---- eight threads ---- */

enum { THREADS = 8, PER_THREAD = 2000 };

struct producer {
	struct redis_link *l;
	struct tally *t;
	char key[16];
	pthread_t thread;
	atomic_llong next;
};

static void *produce(void *arg)
{
	struct producer *p = arg;
	struct err err;

	for (int i = 0; i < PER_THREAD; i++) {
		struct buf b = BUF_INIT(1024);

		redis_command(&b, "INCR %s", p->key);
		redis_link_submit(p->l, &b, 1, 0, count_in_order, p->t);
		if (i % 100 == 99) {
			struct redis_reply *reply;

			ck_assert_int_eq(redis_link_do(p->l, seconds(30), &reply, &err,
						       "INCRBY %s 1", p->key),
					 0);
			ck_assert_int_eq(redis_reply_int(reply), i + 1 + (i + 1) / 100);
			redis_reply_free(reply);
		}
	}
	return NULL;
}

START_TEST(test_eight_threads)
{
	struct redis_link *l = link_to(g_server);
	struct producer p[THREADS];
	struct tally t[THREADS] = {0};

	for (int i = 0; i < THREADS; i++) {
		p[i] = (struct producer){.l = l, .t = &t[i]};
		snprintf(p[i].key, sizeof(p[i].key), "thread%d", i);
		ck_assert_int_eq(pthread_create(&p[i].thread, NULL, produce, &p[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(p[i].thread, NULL);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(ask_number(l, "GET %s", p[i].key), PER_THREAD + PER_THREAD / 100);
	redis_link_free(l, seconds(5));
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(atomic_load(&t[i].ok), PER_THREAD);
		ck_assert(!atomic_load(&t[i].out_of_order));
	}
}
END_TEST

/* Both directions far beyond what sockets hold. */
START_TEST(test_huge_pipeline)
{
	struct redis_link *l = link_to(g_server);
	struct tally t = {0};
	char *value = malloc(200001);

	memset(value, 'v', 200000);
	value[200000] = '\0';
	for (int i = 0; i < 300; i++)
		submit(l, &t, 0, "ECHO %s", value);
	redis_link_free(l, seconds(30));
	ck_assert_int_eq(atomic_load(&t.ok), 300);
	free(value);
}
END_TEST

START_TEST(test_idle_latency)
{
	struct redis_link *l = link_to(g_server);
	usec_t best = USEC_NEVER;

	ck_assert_int_eq(ask_number(l, "EXISTS %s", "nothing"), 0);
	/* until one finds the processors free: no rest of the link's own is in it */
	for (int i = 0; i < 5000 && best >= 5 * USEC_PER_MSEC; i++) {
		usec_t begin, took;

		pause_ms(1);
		begin = clock_mono();
		(void)ask_number(l, "EXISTS %s", "nothing");
		took = clock_mono() - begin;
		best = took < best ? took : best;
	}
	ck_assert_int_lt(best, 5 * USEC_PER_MSEC);
	redis_link_free(l, seconds(1));
}
END_TEST

/* ---- outages ---- */

START_TEST(test_outage)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis_link *l = link_to(s);
	struct tally kept = {0}, others = {0};
	struct err err;
	usec_t begin;

	ck_assert_int_eq(ask_number(l, "EXISTS %s", "nothing"), 0);
	redis_server_down(s);
	await_state(l, false);

	begin = clock_mono();
	ck_assert_int_eq(redis_link_do(l, seconds(10), NULL, &err, "PING"), -ERR_UNAVAILABLE);
	ck_assert(err_is_transient(&err));
	ck_assert_int_lt(clock_mono() - begin, USEC_PER_SEC);
	for (int i = 0; i < 100; i++) {
		struct buf b = BUF_INIT(1024);

		redis_command(&b, "INCR kept");
		redis_link_submit(l, &b, 1, REDIS_LINK_KEEP, count_in_order, &kept);
		submit(l, &others, 0, "INCR %s", "others");
	}
	for (int i = 0; i < 1000 && atomic_load(&others.failed) < 100; i++)
		pause_ms(1);
	ck_assert_int_eq(atomic_load(&others.failed), 100);
	ck_assert_int_eq(atomic_load(&others.last_code), ERR_UNAVAILABLE);
	ck_assert_int_eq(atomic_load(&kept.ok) + atomic_load(&kept.failed), 0);
	pause_ms(500);

	redis_server_up(s);
	begin = clock_mono();
	await_state(l, true);
	ck_assert_int_lt(clock_mono() - begin, 3 * USEC_PER_SEC);
	ck_assert_int_eq(ask_number(l, "GET %s", "kept"), 100);
	ck_assert_int_eq(ask_number(l, "EXISTS %s", "others"), 0);
	redis_link_free(l, seconds(5));
	ck_assert_int_eq(atomic_load(&kept.ok), 100);
	ck_assert(!atomic_load(&kept.out_of_order));
	redis_server_free(s);
}
END_TEST

static void *produce_kept(void *arg)
{
	struct producer *p = arg;

	for (int i = 0; i < 5000; i++) {
		struct buf b = BUF_INIT(1024);

		redis_command(&b, "SADD kept %s-%d", p->key, i);
		redis_link_submit(p->l, &b, 1, REDIS_LINK_KEEP, count, p->t);
		if (i % 50 == 0)
			pause_ms(1);
	}
	return NULL;
}

/* Killed while commands are on their way: each is answered exactly once, and the last server has
 * seen the last ones. */
START_TEST(test_outage_under_load)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis_link *l = link_to(s);
	struct tally t = {0};
	struct producer p[4];

	for (int i = 0; i < 4; i++) {
		p[i] = (struct producer){.l = l, .t = &t};
		snprintf(p[i].key, sizeof(p[i].key), "p%d", i);
		ck_assert_int_eq(pthread_create(&p[i].thread, NULL, produce_kept, &p[i]), 0);
	}
	for (int i = 0; i < 3; i++) {
		pause_ms(20);
		redis_server_down(s);
		pause_ms(20);
		redis_server_up(s);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(p[i].thread, NULL);
	redis_link_free(l, seconds(20));
	ck_assert_int_eq(atomic_load(&t.ok), 20000);
	ck_assert_int_eq(atomic_load(&t.failed), 0);
	redis_server_free(s);
}
END_TEST

START_TEST(test_absent_at_start)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis_link *l;
	struct tally kept = {0};
	struct err err;

	redis_server_down(s);
	l = link_to(s);
	submit(l, &kept, REDIS_LINK_KEEP, "INCR %s", "k");
	ck_assert_int_eq(redis_link_do(l, seconds(10), NULL, &err, "PING"), -ERR_UNAVAILABLE);
	ck_assert(err_is_transient(&err));
	redis_server_up(s);
	await_state(l, true);
	ck_assert_int_eq(ask_number(l, "GET %s", "k"), 1);
	redis_link_free(l, seconds(5));
	ck_assert_int_eq(atomic_load(&kept.ok), 1);
	redis_server_free(s);
}
END_TEST

/* A server that hangs is given up after the reply deadline; the rest is as with any outage. */
START_TEST(test_hang)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis_link *l = link_to(s);
	struct tally kept = {0};
	struct err err;
	usec_t begin;

	ck_assert_int_eq(ask_number(l, "EXISTS %s", "nothing"), 0);
	redis_server_freeze(s);
	submit(l, &kept, REDIS_LINK_KEEP, "INCR %s", "k");
	begin = clock_mono();
	ck_assert_int_eq(redis_link_do(l, clock_deadline(USEC_PER_SEC / 5), NULL, &err, "PING"),
			 -ERR_TIMEOUT);
	ck_assert_int_lt(clock_mono() - begin, USEC_PER_SEC);
	ck_assert_int_eq(redis_link_do(l, seconds(20), NULL, &err, "PING"), -ERR_TIMEOUT);
	ck_assert_int_lt(clock_mono() - begin, REDIS_REPLY_TIMEOUT + 2 * USEC_PER_SEC);
	ck_assert(!redis_link_up(l));
	redis_server_thaw(s);
	await_state(l, true);
	redis_link_free(l, seconds(5));
	ck_assert_int_eq(atomic_load(&kept.ok), 1);
	redis_server_free(s);
}
END_TEST

/* A replica refuses writes: kept ones wait until it is a master again. */
START_TEST(test_readonly)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis_link *l = link_to(s);
	struct tally kept = {0}, others = {0};

	ck_assert_int_eq(ask_number(l, "EXISTS %s", "nothing"), 0);
	free(redis_server_tell(s, "REPLICAOF 127.0.0.1 1"));
	submit(l, &others, 0, "INCR %s", "others");
	submit(l, &kept, REDIS_LINK_KEEP, "INCR %s", "k");
	while (atomic_load(&others.error_replies) == 0)
		pause_ms(1);
	pause_ms(600); /* kept ones are tried again meanwhile */
	ck_assert_int_eq(atomic_load(&others.error_replies), 1);
	ck_assert_int_eq(atomic_load(&kept.ok) + atomic_load(&kept.error_replies), 0);
	free(redis_server_tell(s, "REPLICAOF NO ONE"));
	redis_link_free(l, seconds(5));
	ck_assert_int_eq(atomic_load(&kept.ok), 1);
	redis_server_free(s);
}
END_TEST

/* A full server refuses writes: kept ones wait until there is room. */
START_TEST(test_out_of_memory)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis_link *l = link_to(s);
	struct tally kept = {0}, others = {0};

	ck_assert_int_eq(ask_number(l, "EXISTS %s", "nothing"), 0);
	free(redis_server_tell(s, "CONFIG SET maxmemory 1"));
	submit(l, &others, 0, "INCR %s", "others");
	submit(l, &kept, REDIS_LINK_KEEP, "INCR %s", "k");
	while (atomic_load(&others.error_replies) == 0)
		pause_ms(1);
	pause_ms(600); /* kept ones are tried again meanwhile */
	ck_assert_int_eq(atomic_load(&others.error_replies), 1);
	ck_assert_int_eq(atomic_load(&kept.ok) + atomic_load(&kept.error_replies), 0);
	free(redis_server_tell(s, "CONFIG SET maxmemory 0"));
	redis_link_free(l, seconds(5));
	ck_assert_int_eq(atomic_load(&kept.ok), 1);
	redis_server_free(s);
}
END_TEST

START_TEST(test_backlog_is_bounded)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis_link *l = link_to(s);
	struct tally t = {0}, small = {0};
	size_t size = 60u << 20;
	char *value = malloc(size + 1);

	memset(value, 'v', size);
	value[size] = '\0';
	await_state(l, true);
	redis_server_down(s);
	await_state(l, false);
	for (int i = 0; i < 6; i++)
		submit(l, &t, REDIS_LINK_KEEP, "SET big %s", value);
	for (int i = 0; i < 1000 && atomic_load(&t.failed) < 2; i++)
		pause_ms(5);
	ck_assert_int_eq(atomic_load(&t.failed), 2);
	ck_assert_int_eq(atomic_load(&t.last_code), ERR_UNAVAILABLE);
	submit(l, &small, REDIS_LINK_KEEP, "DEL %s", "k");
	pause_ms(50);
	ck_assert_int_eq(atomic_load(&small.failed), 0); /* not refused because of the others */
	redis_link_free(l, clock_mono());
	ck_assert_int_eq(atomic_load(&t.failed), 6);
	free(value);
	redis_server_free(s);
}
END_TEST

/* ---- scripts ---- */

static void call(struct redis_link *l, struct tally *t, const struct redis_script *s,
		 unsigned flags)
{
	struct buf b = BUF_INIT(1024);

	redis_command(&b, "EVALSHA %s 1 %s", s->sha, "scripted");
	redis_link_submit(l, &b, 1, flags, count, t);
}

START_TEST(test_scripts)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis_link *l = link_to(s);
	struct redis_script incr, other;
	struct tally t = {0};

	redis_script_init(&incr, "return redis.call('INCR', KEYS[1])");
	redis_script_init(&other, "return redis.call('DECR', KEYS[1])");
	redis_link_add_script(l, &incr);
	redis_link_add_script(l, &other);
	call(l, &t, &incr, 0);
	ck_assert_int_eq(ask_number(l, "GET %s", "scripted"), 1);

	/* Forgotten by the server. */
	free(redis_server_tell(s, "SCRIPT FLUSH"));
	for (int i = 0; i < 50; i++)
		call(l, &t, &incr, i % 2 ? REDIS_LINK_KEEP : 0);
	call(l, &t, &other, 0);
	for (int i = 0; i < 1000 && atomic_load(&t.ok) < 52; i++)
		pause_ms(5);
	ck_assert_int_eq(ask_number(l, "GET %s", "scripted"), 50);

	/* A new server that has never seen them. */
	redis_server_down(s);
	await_state(l, false);
	call(l, &t, &incr, REDIS_LINK_KEEP);
	redis_server_up(s);
	await_state(l, true);
	call(l, &t, &incr, 0);
	ck_assert_int_eq(ask_number(l, "GET %s", "scripted"), 2);
	redis_link_free(l, seconds(5));
	ck_assert_int_eq(atomic_load(&t.ok), 54);
	ck_assert_int_eq(atomic_load(&t.error_replies) + atomic_load(&t.failed), 0);
	redis_server_free(s);
}
END_TEST

/* Of a transaction only the script is missing: sent again with KEEP, else given to the caller as it
 * is. */
START_TEST(test_script_in_transaction)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis_link *l = link_to(s);
	struct redis_script incr;
	struct redis_reply *replies[4];
	struct err err;

	redis_script_init(&incr, "return redis.call('INCR', KEYS[1])");
	redis_link_add_script(l, &incr);
	for (int keep = 0; keep < 2; keep++) {
		struct buf b = BUF_INIT(1024);
		const struct redis_reply *last;

		(void)ask_number(l, "EXISTS %s", "nothing");
		free(redis_server_tell(s, "SCRIPT FLUSH"));
		redis_command(&b, "MULTI");
		redis_command(&b, "INCR plain");
		redis_command(&b, "EVALSHA %s 1 scripted", incr.sha);
		redis_command(&b, "EXEC");
		ck_assert_int_eq(redis_link_exchange(l, &b, 4, keep ? REDIS_LINK_KEEP : 0,
						     seconds(5), replies, &err),
				 0);
		last = redis_reply_at(replies[3], 1);
		ck_assert_int_eq(redis_reply_type(last), keep ? REDIS_INTEGER : REDIS_ERROR);
		for (int i = 0; i < 4; i++)
			redis_reply_free(replies[i]);
	}
	redis_link_free(l, seconds(1));
	redis_server_free(s);
}
END_TEST

/* A script nobody registered stays unknown, and nothing goes round in circles. */
START_TEST(test_unknown_script)
{
	struct redis_link *l = link_to(g_server);
	struct redis_script s;
	struct tally t = {0};

	redis_script_init(&s, "return 'never loaded'");
	call(l, &t, &s, 0);
	call(l, &t, &s, REDIS_LINK_KEEP);
	redis_link_free(l, seconds(5));
	ck_assert_int_eq(atomic_load(&t.error_replies), 2);
}
END_TEST

/* ---- the end ---- */

START_TEST(test_free_drains)
{
	struct redis_link *l = link_to(g_server);
	struct tally t = {0};

	for (int i = 0; i < 10000; i++)
		submit(l, &t, 0, "INCR %s", "drained");
	usec_t begin = clock_mono();
	redis_link_free(l, seconds(20));
	/* Done is done: the deadline is not waited for. */
	ck_assert_int_lt(clock_mono() - begin, 10 * USEC_PER_SEC);
	ck_assert_int_eq(atomic_load(&t.ok), 10000);
}
END_TEST

START_TEST(test_free_cancels)
{
	struct redis_link *l = link_to_url(strdup("redis://127.0.0.1:1"));
	struct tally t = {0};
	usec_t begin = clock_mono();

	for (int i = 0; i < 10; i++)
		submit(l, &t, REDIS_LINK_KEEP, "INCR %s", "x");
	redis_link_free(l, clock_deadline(200 * USEC_PER_MSEC));
	ck_assert_int_lt(clock_mono() - begin, 2 * USEC_PER_SEC);
	ck_assert_int_eq(atomic_load(&t.failed), 10);
	ck_assert_int_eq(atomic_load(&t.last_code), ERR_CANCELLED);
}
END_TEST

/* A server that accepts connections and never speaks must not hold up the end. */
START_TEST(test_free_while_connecting)
{
	struct redis_server *s = redis_server_start(NULL);
	struct redis_link *l;
	usec_t begin;

	redis_server_freeze(s);
	l = link_to(s);
	pause_ms(50);
	begin = clock_mono();
	redis_link_free(l, clock_mono());
	ck_assert_int_lt(clock_mono() - begin, USEC_PER_SEC);
	redis_server_free(s);
}
END_TEST

struct chain {
	struct redis_link *l;
	atomic_int left;
};

static void go_on(void *arg, struct redis_reply *const *replies, size_t n, const struct err *err)
{
	struct chain *c = arg;
	struct buf b = BUF_INIT(64);

	(void)replies;
	(void)n;
	ck_assert_ptr_null(err);
	if (atomic_fetch_sub(&c->left, 1) <= 1)
		return;
	redis_command(&b, "PING");
	redis_link_submit(c->l, &b, 1, 0, go_on, c);
}

/* A callback may submit, also while the link is being closed. */
START_TEST(test_submit_from_callback)
{
	struct chain c = {.l = link_to(g_server), .left = 100};
	struct buf b = BUF_INIT(64);

	redis_command(&b, "PING");
	redis_link_submit(c.l, &b, 1, 0, go_on, &c);
	redis_link_free(c.l, seconds(10));
	ck_assert_int_eq(atomic_load(&c.left), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("redis link");
	TCase *c = tcase_create("real server");
	SRunner *runner;
	int failed;

	tcase_add_unchecked_fixture(c, start, stop);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_do);
	tcase_add_test(c, test_exchange);
	tcase_add_test(c, test_eight_threads);
	tcase_add_test(c, test_huge_pipeline);
	tcase_add_test(c, test_idle_latency);
	tcase_add_test(c, test_outage);
	tcase_add_test(c, test_outage_under_load);
	tcase_add_test(c, test_absent_at_start);
	tcase_add_test(c, test_hang);
	tcase_add_test(c, test_readonly);
	tcase_add_test(c, test_out_of_memory);
	tcase_add_test(c, test_backlog_is_bounded);
	tcase_add_test(c, test_scripts);
	tcase_add_test(c, test_script_in_transaction);
	tcase_add_test(c, test_unknown_script);
	tcase_add_test(c, test_free_drains);
	tcase_add_test(c, test_free_cancels);
	tcase_add_test(c, test_free_while_connecting);
	tcase_add_test(c, test_submit_from_callback);
	suite_add_tcase(s, c);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
