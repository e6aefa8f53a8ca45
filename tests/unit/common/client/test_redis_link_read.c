/*
 * test_redis_link_read.c: whoever waits for the only reply that is owed reads it, and hands over to
 * the link's owner what is not its own.
 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "bounds.h"
#include "clock.h"
#include "common/client/redis_link.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/suite.h"

#define TRIES 1000

static struct redis_server *g_server;
static struct redis_link *g_link;

/* Whoever is not woken when it should be is not saved by a look at what was silent for long: the
 * test's time is over before. */
static void link_to(const char *url)
{
	static const struct redis_tuning tuning = {.socket_timeout = 120 * USEC_PER_SEC,
						   .health_check_interval = USEC_NEVER};
	struct redis_address a;
	struct err err;

	ck_assert_int_eq(redis_address_parse_tuned(url, &tuning, &a, &err), 0);
	ck_assert_int_eq(redis_link_new(&a, "test-link", &g_link, &err), 0);
	redis_address_done(&a);
}

static void start(void)
{
	_cleanup_free_ char *url = NULL;

	g_server = redis_server_start(NULL);
	url = redis_server_url(g_server, 0);
	link_to(url);
}

static void stop(void)
{
	redis_link_free(g_link, clock_deadline(USEC_PER_SEC));
	redis_server_free(g_server);
}

static void pause_briefly(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static usec_t soon(void)
{
	return clock_deadline(20 * USEC_PER_SEC);
}

static int64_t ask(const char *fmt, const char *arg)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;
	int rc = redis_link_do(g_link, soon(), &reply, &err, fmt, arg);

	ck_assert_msg(rc == 0, "%s: %s", fmt, err.msg);
	return redis_reply_int(reply);
}

/* One that the owner sleeps beside. */
static bool has_reader(void)
{
	bool has;

	mutex_lock(&g_link->work_lock);
	has = g_link->reader != NULL && g_link->watched == 0;
	mutex_unlock(&g_link->work_lock);
	return has;
}

/* ---- one who waits for a reply that comes when the test says so ---- */
struct waiter {
	pthread_t thread;
	const char *command;
	unsigned flags;
	usec_t deadline;
	int rc;
	struct err err;
	struct redis_reply *reply;
	atomic_bool done;
};

static void *ask_and_wait(void *arg)
{
	struct waiter *w = arg;
	_cleanup_buf_ struct buf b = BUF_INIT(BOUND_REDIS_COMMAND);

	redis_command(&b, w->command);
	w->rc = redis_link_exchange(g_link, &b, 1, w->flags, w->deadline, &w->reply, &w->err);
	atomic_store(&w->done, true);
	return NULL;
}

static void end_waiter(struct waiter *w)
{
	redis_reply_free(TAKE(w->reply));
}

/* False when the owner did not sleep as it asked, and reads for it. */
static bool becomes_reader(struct waiter *w, const char *command, unsigned flags, usec_t deadline)
{
	*w = (struct waiter){.command = command, .flags = flags, .deadline = deadline};
	ck_assert_int_eq(pthread_create(&w->thread, NULL, ask_and_wait, w), 0);
	for (int wait = 0; wait < 500; wait++) {
		if (has_reader())
			return true;
		pause_briefly();
	}
	return false;
}

/* Waits for an element of a list. */
static void let_go(struct waiter *w)
{
	free(redis_server_tell(g_server, "RPUSH list x"));
	pthread_join(w->thread, NULL);
}

static void start_reader(struct waiter *w, unsigned flags)
{
	for (int i = 0; i < TRIES; i++) {
		ck_assert_int_ge(ask("DEL %s", "list"), 0);
		if (becomes_reader(w, "BLPOP list 0", flags, soon()))
			return;
		let_go(w);
		ck_assert_int_eq(w->rc, 0);
		end_waiter(w);
	}
	ck_abort_msg("the owner never slept");
}

/* Waits for a server that stands still. */
static void start_frozen(struct waiter *w, const char *command)
{
	for (int i = 0; i < TRIES; i++) {
		redis_server_freeze(g_server);
		if (becomes_reader(w, command, 0, soon()))
			return;
		redis_server_thaw(g_server);
		pthread_join(w->thread, NULL);
		end_waiter(w);
	}
	ck_abort_msg("the owner never slept");
}

static void has_its_reply(const struct waiter *w)
{
	ck_assert_msg(w->rc == 0, "%s", w->err.msg);
	ck_assert_int_eq((int)redis_reply_count(w->reply), 2);
	ck_assert_str_eq(redis_reply_str(redis_reply_at(w->reply, 1)).data, "x");
}

/* ---- what the owner calls ---- */
struct told {
	pthread_t teller;
	int64_t number;
	int code;
	atomic_bool done;
};

static void tell(void *arg, struct redis_reply *const *replies, size_t count, const struct err *err)
{
	struct told *t = arg;

	t->teller = pthread_self();
	t->number = count > 0 ? redis_reply_int(replies[0]) : -1;
	t->code = err ? (int)err->code : 0;
	atomic_store(&t->done, true);
}

static void submit(struct told *t, const char *command)
{
	struct buf b = BUF_INIT(BOUND_REDIS_COMMAND);

	*t = (struct told){0};
	redis_command(&b, command);
	redis_link_submit(g_link, &b, 1, 0, tell, t);
}

static void await(struct told *t)
{
	while (!atomic_load(&t->done))
		pause_briefly();
}

START_TEST(test_reads_its_own)
{
	struct waiter w;

	for (int i = 0; i < 20; i++) {
		start_reader(&w, 0);
		let_go(&w);
		has_its_reply(&w);
		end_waiter(&w);
		ck_assert(!has_reader());
		ck_assert_int_eq(ask("INCR %s", "n"), i + 1);
	}
}
END_TEST

/* Callbacks are the owner's, and what came with the reader's reply is not left lying. */
START_TEST(test_what_comes_behind_it)
{
	struct waiter w;
	struct told told[3];

	for (int i = 0; i < 20; i++) {
		start_frozen(&w, "PING");
		for (size_t n = 0; n < ARRAY_LEN(told); n++)
			submit(&told[n], "INCR n");
		redis_server_thaw(g_server);
		pthread_join(w.thread, NULL);
		ck_assert_str_eq(redis_reply_str(w.reply).data, "PONG");
		end_waiter(&w);
		for (size_t n = 0; n < ARRAY_LEN(told); n++) {
			await(&told[n]);
			ck_assert_int_eq(told[n].number, i * 3 + (int64_t)n + 1);
			ck_assert(pthread_equal(told[n].teller, g_link->owner));
		}
	}
}
END_TEST

/* What it no longer waits for is taken by the owner, and is not the next one's. */
START_TEST(test_its_deadline)
{
	struct waiter w;
	int late = 0;

	for (int i = 0; i < TRIES && late < 10; i++) {
		bool reads =
			becomes_reader(&w, "BLPOP list 0", 0, clock_deadline(100 * USEC_PER_MSEC));

		pthread_join(w.thread, NULL);
		ck_assert_int_eq(w.rc, -ERR_TIMEOUT);
		ck_assert(!has_reader());
		free(redis_server_tell(g_server, "RPUSH list x"));
		ck_assert_int_eq(ask("INCR %s", "n"), i + 1);
		late += reads;
	}
	ck_assert_int_eq(late, 10);
}
END_TEST

static void await_up(void)
{
	while (!redis_link_up(g_link))
		pause_briefly();
}

/* There is no connection, or it ended before it could answer. */
static bool is_outage(int rc)
{
	return rc == -ERR_UNAVAILABLE || rc == -ERR_CLOSED || rc == -ERR_PROTOCOL;
}

START_TEST(test_its_connection_ends)
{
	struct waiter w;

	for (int i = 0; i < 3; i++) {
		start_reader(&w, 0);
		redis_server_down(g_server);
		pthread_join(w.thread, NULL);
		ck_assert_int_eq(w.rc, -ERR_CLOSED);
		ck_assert_ptr_nonnull(strstr(w.err.msg, "127.0.0.1"));
		redis_server_up(g_server);
		await_up();
		ck_assert_int_eq(ask("INCR %s", "n"), 1);
	}
}
END_TEST

/* It is asked again, and the owner has the answer. */
START_TEST(test_its_connection_ends_and_it_is_kept)
{
	struct waiter w;

	start_reader(&w, REDIS_LINK_KEEP);
	redis_server_down(g_server);
	while (has_reader())
		pause_briefly();
	ck_assert(!atomic_load(&w.done));
	redis_server_up(g_server);
	let_go(&w);
	has_its_reply(&w);
	end_waiter(&w);
}
END_TEST

/* A server that says "not now" to what is kept is an outage: found by the reader, acted on by the
 * owner. */
START_TEST(test_it_reads_of_an_outage)
{
	struct waiter w;
	bool reads = false;

	for (int i = 0; i < TRIES && !reads; i++) {
		ck_assert_int_ge(ask("DEL %s", "n"), 0);
		free(redis_server_tell(g_server, "REPLICAOF 127.0.0.1 1"));
		redis_server_freeze(g_server);
		reads = becomes_reader(&w, "INCR n", REDIS_LINK_KEEP, soon());
		redis_server_thaw(g_server);
		while (has_reader())
			pause_briefly();
		ck_assert(!atomic_load(&w.done));
		free(redis_server_tell(g_server, "REPLICAOF NO ONE"));
		pthread_join(w.thread, NULL);
		ck_assert_int_eq(w.rc, 0);
		ck_assert_int_eq(redis_reply_int(w.reply), 1);
		end_waiter(&w);
		await_up();
	}
	ck_assert(reads);
}
END_TEST

static bool has_subscribers(void)
{
	_cleanup_free_ char *count =
		redis_server_tell(g_server, "EVAL \"return #redis.call('PUBSUB', 'CHANNELS')\" 0");

	return strcmp(count, ":0") != 0;
}

/* Two replies to one command: nobody's, so the connection is of no more use, and the next one does
 * not get it. */
START_TEST(test_a_reply_too_many)
{
	struct err err;

	for (int i = 0; i < 4; i++) {
		_cleanup_reply_ struct redis_reply *reply = NULL;
		int rc;

		await_up();
		rc = redis_link_do(g_link, soon(), NULL, &err, "SUBSCRIBE one two");
		ck_assert_msg(rc == 0 || is_outage(rc), "%d: %s", rc, err.msg);
		while (i % 2 == 0 && has_subscribers())
			pause_briefly();
		rc = redis_link_do(g_link, soon(), &reply, &err, "ECHO mine");
		if (rc == 0)
			ck_assert_str_eq(redis_reply_str(reply).data, "mine");
		else
			ck_assert_msg(is_outage(rc), "%d: %s", rc, err.msg);
	}
	await_up();
	ck_assert_int_eq(ask("INCR %s", "n"), 1);
}
END_TEST

/* Which server answers: what it has under "where". Given; NULL: none does. */
static char *where(void)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;
	int rc = redis_link_do(g_link, soon(), &reply, &err, "GET where");
	struct slice text;

	ck_assert_msg(rc == 0 || is_outage(rc), "%d: %s", rc, err.msg);
	if (rc < 0)
		return NULL;
	text = redis_reply_str(reply);
	return xstrndup(text.data, text.len);
}

/* Once the site has gone on to its second server, the owner hears of it with the next reply: there
 * is none that somebody else reads. */
START_TEST(test_another_server_is_used)
{
	struct redis_server *second = redis_server_start(NULL);
	_cleanup_free_ char *one = redis_server_url(g_server, 0),
			    *two = redis_server_url(second, 0);
	_cleanup_free_ char *both = xasprintf("%s;%s", one, two), *last = NULL, *then = NULL;
	struct waiter w;

	free(redis_server_tell(g_server, "SET where first"));
	free(redis_server_tell(second, "SET where second"));
	redis_link_free(g_link, clock_deadline(USEC_PER_SEC));
	link_to(both);
	start_reader(&w, 0);
	let_go(&w);
	has_its_reply(&w);
	end_waiter(&w);
	redis_site_failed(g_link->address.site, 0);
	last = where();
	ck_assert_str_eq(last ? last : "first", "first");
	while (then == NULL)
		then = where();
	ck_assert_str_eq(then, "second");
	redis_link_free(TAKE(g_link), clock_deadline(USEC_PER_SEC));
	redis_server_free(second);
}
END_TEST

START_TEST(test_a_forgotten_script)
{
	struct redis_script s;

	redis_script_init(&s, "return redis.call('INCR', 'n')");
	redis_link_add_script(g_link, &s);
	for (int i = 0; i < 200; i++) {
		if (i % 6 == 0)
			free(redis_server_tell(g_server, "SCRIPT FLUSH"));
		ck_assert_int_eq(ask("EVALSHA %s 0", s.sha), i + 1);
	}
}
END_TEST

START_TEST(test_the_link_ends)
{
	struct waiter w;

	start_reader(&w, 0);
	redis_link_free(g_link, clock_mono());
	pthread_join(w.thread, NULL);
	ck_assert_int_eq(w.rc, -ERR_CANCELLED);
	g_link = NULL;
}
END_TEST

static void *end_link(void *arg)
{
	redis_link_free(g_link, clock_deadline(600 * USEC_PER_SEC));
	return arg;
}

static bool is_stopping(void)
{
	bool stops;

	mutex_lock(&g_link->lock);
	stops = g_link->stopping;
	mutex_unlock(&g_link->lock);
	return stops;
}

/* A link that ends as soon as all is answered hears of an answer that the owner has not read. */
START_TEST(test_the_link_waits_for_it)
{
	struct waiter w;
	pthread_t ends;

	start_frozen(&w, "PING");
	ck_assert_int_eq(pthread_create(&ends, NULL, end_link, NULL), 0);
	while (!is_stopping())
		pause_briefly();
	redis_server_thaw(g_server);
	pthread_join(w.thread, NULL);
	pthread_join(ends, NULL);
	ck_assert_int_eq(w.rc, 0);
	end_waiter(&w);
	g_link = NULL;
}
END_TEST

/* ---- all at once ---- */
static atomic_bool g_enough;
static atomic_int g_asked;

static void *ask_all_the_time(void *arg)
{
	const char *mine = arg;

	for (usec_t n = 0; !atomic_load(&g_enough); n++) {
		_cleanup_reply_ struct redis_reply *reply = NULL;
		struct err err;
		int rc = redis_link_do(g_link, clock_deadline(n * 37 % 1000), &reply, &err,
				       "ECHO %s", mine);

		if (rc == 0)
			ck_assert_str_eq(redis_reply_str(reply).data, mine);
		else
			ck_assert(rc == -ERR_TIMEOUT || is_outage(rc));
		atomic_fetch_add(&g_asked, 1);
	}
	return NULL;
}

/* Readers that come and go, deadlines, and connections that end: everybody gets its own reply or an
 * error. */
START_TEST(test_everything_at_once)
{
	char names[3][2] = {"a", "b", "c"};
	pthread_t threads[ARRAY_LEN(names)];
	struct told told;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_all_the_time, names[i]), 0);
	for (int i = 0; i < 30; i++) {
		int until = atomic_load(&g_asked) + 300;

		submit(&told, "INCR n");
		await(&told);
		ck_assert(told.code != 0 || told.number > 0);
		while (atomic_load(&g_asked) < until)
			pause_briefly();
		if (i % 6 == 0)
			free(redis_server_tell(g_server, "CLIENT KILL TYPE normal SKIPME yes"));
		if (i % 10 == 9) {
			redis_server_down(g_server);
			while (redis_link_up(g_link))
				pause_briefly();
			redis_server_up(g_server);
		}
		await_up();
	}
	atomic_store(&g_enough, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	await_up();
	ck_assert_int_gt(ask("INCR %s", "n"), 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("real server");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, start, stop);
	tcase_add_test(t, test_reads_its_own);
	tcase_add_test(t, test_what_comes_behind_it);
	tcase_add_test(t, test_its_deadline);
	tcase_add_test(t, test_its_connection_ends);
	tcase_add_test(t, test_its_connection_ends_and_it_is_kept);
	tcase_add_test(t, test_it_reads_of_an_outage);
	tcase_add_test(t, test_a_reply_too_many);
	tcase_add_test(t, test_another_server_is_used);
	tcase_add_test(t, test_a_forgotten_script);
	tcase_add_test(t, test_the_link_ends);
	tcase_add_test(t, test_the_link_waits_for_it);
	tcase_add_test(t, test_everything_at_once);
	return suite_run("redis link, read by who waits", t);
}
