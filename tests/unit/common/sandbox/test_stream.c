/* Live output in a real Redis: whole lines, bounds, a Redis that is slow or away, and workers that
 * follow each other. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "common/sandbox/stream.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/suite.h"

static struct redis_server *server;
static struct redis_address address;
static struct redis_link *wire;
static struct stream_store store;
static struct buf shown = BUF_INIT(32 << 20);
static struct err err;

static void setup(void)
{
	_cleanup_free_ char *url = NULL;

	server = redis_server_start(NULL);
	url = redis_server_url(server, 0);
	ck_assert_int_eq(redis_address_parse(url, &address, &err), 0);
	ck_assert_int_eq(redis_link_new(&address, "test", &wire, &err), 0);
	sandbox_streams_init(&store, wire, "prefix:");
}

static void teardown(void)
{
	redis_link_free(wire, 0);
	sandbox_streams_done(&store);
	redis_address_done(&address);
	redis_server_free(server);
	buf_done(&shown);
}

static struct redis_reply *ask(const char *command, const char *key)
{
	struct redis_reply *reply = NULL;

	ck_assert_msg(redis_link_do(wire, clock_deadline(20 * USEC_PER_SEC), &reply, &err, command,
				    key) == 0,
		      "%s", err.msg);
	return reply;
}

static struct slice field(const struct redis_reply *entry, size_t i)
{
	return redis_reply_str(redis_reply_at(redis_reply_at(entry, 1), i));
}

/* Waits for the entry `last` and shows everything as "stream:data|"; the number of entries. */
static size_t show(const char *last)
{
	for (;;) {
		_cleanup_reply_ struct redis_reply *all =
			ask("XRANGE %s - +", "prefix:celeriac:stream:t");

		buf_reset(&shown);
		for (size_t i = 0; i < redis_reply_count(all); i++) {
			const struct redis_reply *e = redis_reply_at(all, i);
			char seq[24];

			snprintf(seq, sizeof(seq), "%zu", i + 1);
			ck_assert_uint_eq(redis_reply_count(redis_reply_at(e, 1)), 6);
			ck_assert(memcmp(field(e, 0).data, "stream", 6) == 0 &&
				  memcmp(field(e, 2).data, "data", 4) == 0 &&
				  memcmp(field(e, 4).data, "seq", 3) == 0);
			ck_assert(field(e, 5).len == strlen(seq) &&
				  memcmp(field(e, 5).data, seq, strlen(seq)) == 0);
			buf_append_slice(&shown, field(e, 1));
			buf_append_char(&shown, ':');
			buf_append_slice(&shown, field(e, 3));
			buf_append_char(&shown, '|');
		}
		if (shown.len >= strlen(last) &&
		    strcmp(shown.data + shown.len - strlen(last), last) == 0)
			return redis_reply_count(all);
		usleep(5000);
	}
}

static void say(struct sandbox_stream *s, enum stream_side side, const char *text)
{
	sandbox_stream_add(s, side, text, strlen(text));
}

START_TEST(test_lines)
{
	struct sandbox_stream *s = sandbox_stream_open(&store, "t", false);

	ck_assert_ptr_null(sandbox_stream_open(&store, "", false));
	say(s, STREAM_STDOUT, "one\ntwo\nth");
	show("two\n|");
	ck_assert_str_eq(shown.data, "stdout:one\ntwo\n|");
	say(s, STREAM_STDERR, "warn\n");
	show("warn\n|");
	say(s, STREAM_STDOUT, "ree\n\xff\xc3\xa4\n");
	show("\xef\xbf\xbd\xc3\xa4\n|");
	say(s, STREAM_STDOUT, "no end");
	sandbox_stream_end(s, "ok");
	show("end:ok|");
	ck_assert(strstr(shown.data, "|stderr:warn\n|stdout:three\n"));
	ck_assert(strstr(shown.data, "|stdout:no end|end:ok|"));
	for (int i = 0; i < 2; i++) {
		_cleanup_reply_ struct redis_reply *ttl =
			ask("PTTL %s",
			    i ? "prefix:celeriac:stream:t" : "prefix:celeriac:stream:t:state");

		ck_assert_int_gt(redis_reply_int(ttl), 3500 * 1000);
		ck_assert_int_le(redis_reply_int(ttl), 3600 * 1000);
	}
	/* the next attempt has a stream of its own */
	s = sandbox_stream_open(&store, "t", false);
	sandbox_stream_end(s, "error");
	ck_assert_uint_eq(show("end:error|"), 1);
}
END_TEST

/* A line that is too long is split between characters. */
START_TEST(test_long_line)
{
	struct sandbox_stream *s = sandbox_stream_open(&store, "t", false);
	_cleanup_buf_ struct buf euros = BUF_INIT(1 << 20), all = BUF_INIT(1 << 20);
	size_t n;

	while (euros.len < 30000)
		buf_append_str(&euros, "\xe2\x82\xac");
	for (size_t at = 0; at < euros.len; at += 1000)
		sandbox_stream_add(s, STREAM_STDOUT, euros.data + at,
				   euros.len - at < 1000 ? euros.len - at : 1000);
	sandbox_stream_end(s, "ok");
	n = show("end:ok|");
	ck_assert(n >= 5 && n < 40);
	ck_assert_ptr_null(strstr(shown.data, "\xef\xbf\xbd"));
	for (const char *p = shown.data; (p = strstr(p, "stdout:")) != NULL;) {
		p += 7;
		ck_assert_uint_le(strcspn(p, "|"), STREAM_ENTRY_BYTES);
		buf_append(&all, p, strcspn(p, "|"));
	}
	ck_assert(all.len == euros.len && memcmp(all.data, euros.data, all.len) == 0);
}
END_TEST

START_TEST(test_tails)
{
	struct sandbox_stream *s = sandbox_stream_open(&store, "t", false);

	say(s, STREAM_STDOUT, "head\ncut");
	sandbox_stream_tail(s, STREAM_STDOUT, 1234, "tail\nend", 8);
	sandbox_stream_tail(s, STREAM_STDERR, 0, "", 0);
	sandbox_stream_end(s, "timeout");
	show("end:timeout|");
	ck_assert_msg(strstr(shown.data, "stdout:cut|dropped:stdout 1234|stdout:tail\n") &&
			      strstr(shown.data, "end|end:timeout|"),
		      "%s", shown.data);
}
END_TEST

/* A Redis that does not answer costs the run nothing; what was too much is counted. */
START_TEST(test_slow_redis)
{
	struct sandbox_stream *s = sandbox_stream_open(&store, "t", false);
	static char line[1000];
	size_t kept = 0, dropped = 0;
	usec_t began;

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	say(s, STREAM_STDOUT, "first\n");
	show("first\n|");
	redis_server_freeze(server);
	began = clock_mono();
	for (int i = 0; i < 2000; i++)
		sandbox_stream_add(s, STREAM_STDOUT, line, sizeof(line));
	sandbox_stream_end(s, "ok");
	ck_assert_int_lt(clock_mono() - began, USEC_PER_SEC);
	redis_server_thaw(server);
	show("end:ok|");
	for (const char *p = shown.data; (p = strchr(p, '|')) != NULL; p++) {
		if (strncmp(p + 1, "stdout:", 7) == 0)
			kept += strcspn(p + 8, "|");
		if (strncmp(p + 1, "dropped:stdout ", 15) == 0)
			dropped += strtoul(p + 16, NULL, 10);
	}
	ck_assert_uint_gt(dropped, 1000000);
	ck_assert_uint_eq(kept + dropped, 2000 * sizeof(line));
}
END_TEST

START_TEST(test_redis_away)
{
	struct sandbox_stream *s = sandbox_stream_open(&store, "t", false);

	say(s, STREAM_STDOUT, "first\n");
	show("first\n|");
	redis_server_down(server);
	for (int i = 0; i < 10; i++) {
		say(s, STREAM_STDOUT, "lost\n");
		usleep(1000);
	}
	sandbox_stream_end(s, "ok");
	while (redis_link_up(wire))
		usleep(1000);
	redis_server_up(server);
	/* It has forgotten everything: nobody can go on with what is not there. */
	while (!redis_link_up(wire))
		usleep(1000);
	s = sandbox_stream_open(&store, "t", false);
	say(s, STREAM_STDOUT, "again\n");
	sandbox_stream_end(s, "ok");
	show("stdout:again\n|end:ok|");
}
END_TEST

/* The next worker is told everything from the beginning, and tells what is not there yet. */
START_TEST(test_resumed)
{
	static const char *const out = "one\ntwo\nthree\n";
	struct sandbox_stream *dead = sandbox_stream_open(&store, "t", false), *s;

	for (size_t n = 5; n <= 14; n += 9) {
		s = NULL;
		sandbox_stream_add(dead, STREAM_STDOUT, out, 5);
		say(dead, STREAM_STDERR, "warn\n");
		show("warn\n|");
		s = sandbox_stream_open(&store, "t", true);
		sandbox_stream_add(s, STREAM_STDOUT, out, n);
		say(s, STREAM_STDERR, "warn\nmore\n");
		sandbox_stream_add(s, STREAM_STDOUT, out + n, 14 - n);
		show(n == 5 ? "three\n|" : "more\n|");
		/* the first one was only asleep: it says nothing any more */
		say(dead, STREAM_STDOUT, "asleep\n");
		sandbox_stream_end(dead, "lost");
		sandbox_stream_end(s, "ok");
		show("end:ok|");
		ck_assert_msg(strcmp(shown.data, "stdout:one\n|stderr:warn\n|stderr:more\n|"
						 "stdout:two\nthree\n|end:ok|") == 0 ||
				      strcmp(shown.data,
					     "stdout:one\n|stderr:warn\n|stdout:two\nthree\n|"
					     "stderr:more\n|end:ok|") == 0,
			      "%s", shown.data);
		/* what has its end has no heir */
		ck_assert_ptr_null(sandbox_stream_open(&store, "t", true));
		dead = sandbox_stream_open(&store, "t", false);
	}
	sandbox_stream_leave(dead);
}
END_TEST

/* The tail, too, is told once. */
START_TEST(test_resumed_in_the_tail)
{
	struct sandbox_stream *s = sandbox_stream_open(&store, "t", false);

	say(s, STREAM_STDOUT, "head\n");
	sandbox_stream_tail(s, STREAM_STDOUT, 99, "tail\nend\n", 9);
	show("end\n|");
	sandbox_stream_leave(s);
	s = sandbox_stream_open(&store, "t", true);
	say(s, STREAM_STDOUT, "head\n");
	sandbox_stream_tail(s, STREAM_STDOUT, 99, "tail\nend\n", 9);
	sandbox_stream_end(s, "ok");
	show("end:ok|");
	ck_assert_str_eq(shown.data, "stdout:head\n|dropped:stdout 99|stdout:tail\nend\n|end:ok|");
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("streams");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_lines);
	tcase_add_test(t, test_long_line);
	tcase_add_test(t, test_tails);
	tcase_add_test(t, test_slow_redis);
	tcase_add_test(t, test_redis_away);
	tcase_add_test(t, test_resumed);
	tcase_add_test(t, test_resumed_in_the_tail);
	return suite_run("stream", t);
}
