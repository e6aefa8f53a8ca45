/*
 * test_redis.c: what needs no server: addresses, commands as bytes, replies from bytes.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "common/client/redis_conn.h"
#include "mem.h"

#define TEXT(s) ((char *)(uintptr_t)(s))

/* ---- addresses ---- */

static struct redis_address parse(const char *url)
{
	struct redis_address a;
	struct err err;

	ck_assert_msg(redis_address_parse(url, &a, &err) == 0, "%s: %s", url, err.msg);
	return a;
}

static void refuse(const char *url, int code, const char *words)
{
	struct redis_address a;
	struct err err = {0};

	ck_assert_int_eq(redis_address_parse(url, &a, &err), -code);
	ck_assert_msg(strstr(err.msg, words), "\"%s\" says nothing of \"%s\"", err.msg, words);
	ck_assert_ptr_null(strstr(err.msg, "hunter2"));
}

START_TEST(test_address_defaults)
{
	struct redis_address a = parse("redis://");

	ck_assert_str_eq(a.first->host, "localhost");
	ck_assert_int_eq(a.first->port, 6379);
	ck_assert_int_eq(a.first->db, 0);
	ck_assert_str_eq(a.first->user, "");
	ck_assert_str_eq(a.first->password, "");
	ck_assert_str_eq(a.key_prefix, "");
	ck_assert_ptr_null(a.first->path);
	redis_address_done(&a);
}
END_TEST

START_TEST(test_address_full)
{
	struct redis_address a = parse("redis://us%20er:hunter2%40@redis.internal:6380/12");

	ck_assert_str_eq(a.first->host, "redis.internal");
	ck_assert_int_eq(a.first->port, 6380);
	ck_assert_int_eq(a.first->db, 12);
	ck_assert_str_eq(a.first->user, "us er");
	ck_assert_str_eq(a.first->password, "hunter2@");
	ck_assert_ptr_null(strstr(a.safe, "hunter2"));
	redis_address_done(&a);
	a = parse("redis://:hunter2@[::1]/");
	ck_assert_str_eq(a.first->host, "::1");
	ck_assert_str_eq(a.first->password, "hunter2");
	ck_assert_int_eq(a.first->db, 0);
	redis_address_done(&a);
}
END_TEST

START_TEST(test_address_socket)
{
	struct redis_address a = parse("redis+socket:///run/redis/redis.sock?virtual_host=3");

	ck_assert_str_eq(a.first->path, "/run/redis/redis.sock");
	ck_assert_ptr_null(a.first->host);
	ck_assert_int_eq(a.first->db, 3);
	redis_address_done(&a);
	a = parse("socket:///r.sock");
	ck_assert_str_eq(a.first->path, "/r.sock");
	ck_assert_int_eq(a.first->db, 0);
	redis_address_done(&a);
}
END_TEST

START_TEST(test_address_refused)
{
	refuse("sentinel://:hunter2@h/0", ERR_INVALID, "master_name");
	refuse("redis://:hunter2@h;sentinel://:hunter2@h", ERR_INVALID, "one list");
	refuse("redis://h1:6379;h2:6379/0", ERR_INVALID, "port");
	refuse("redis://h1;h2/0", ERR_INVALID, "own scheme");
	refuse("rediss://h?ssl_cert_reqs=maybe", ERR_INVALID, "ssl_cert_reqs");
	refuse("rediss://h?ssl_hat=1", ERR_INVALID, "ssl_hat");
	refuse("rediss://h?ssl_ca_certs=/no/such/file", ERR_INVALID, "/no/such/file");
	refuse("rediss://h?ssl_certfile=/no/such/cert", ERR_INVALID, "/no/such/cert");
	refuse("rediss://h?ssl_keyfile=/no/such/key&ssl_password=hunter2", ERR_INVALID,
	       "/no/such/key");
	refuse("socket:///s?ssl_cert_reqs=none", ERR_INVALID, "Unix socket");
	refuse("amqp://u:hunter2@h/0", ERR_UNSUPPORTED, "amqp://");
	refuse("redis://:hunter2@h/zero", ERR_INVALID, "zero");
	refuse("redis://:hunter2@h/1x", ERR_INVALID, "1x");
	refuse("redis://:hunter2@h/-1", ERR_INVALID, "-1");
	refuse("redis://:hunter2@h/99999999999999999999", ERR_INVALID, "database");
	refuse("redis://:hunter2@h:99999/0", ERR_INVALID, "port");
	refuse("redis+socket://", ERR_INVALID, "path");
	refuse("localhost:6379", ERR_INVALID, "scheme");
	refuse("redis+socket:///s?virtual_host=x", ERR_INVALID, "x");
}
END_TEST

START_TEST(test_address_of_many)
{
	_cleanup_buf_ struct buf url = BUF_INIT(4096);

	for (int i = 0; i < 65; i++)
		buf_append_str(&url, "redis://h;");
	refuse(url.data, ERR_TOOBIG, "servers");
}
END_TEST

static struct redis_address parse_tuned(const char *url, const struct redis_tuning *t)
{
	struct redis_address a;
	struct err err;

	ck_assert_msg(redis_address_parse_tuned(url, t, &a, &err) == 0, "%s: %s", url, err.msg);
	return a;
}

START_TEST(test_address_tls)
{
	struct redis_address a = parse("rediss://h");

	/* A broker that says nothing of certificates verifies none, as kombu; and is told so. */
	ck_assert(a.first->tls.on);
	ck_assert_int_eq(a.first->tls.verify, TLS_VERIFY_NONE);
	ck_assert_ptr_nonnull(redis_address_warning(&a));
	redis_address_done(&a);
	a = parse("rediss://h?ssl_cert_reqs=CERT_REQUIRED");
	ck_assert_int_eq(a.first->tls.verify, TLS_VERIFY_REQUIRED);
	ck_assert(!a.first->tls.any_host);
	ck_assert_ptr_null(redis_address_warning(&a));
	redis_address_done(&a);
	a = parse("redis://h?ssl_cert_reqs=optional&ssl_check_hostname=False");
	ck_assert(a.first->tls.on && a.first->tls.any_host);
	ck_assert_int_eq(a.first->tls.verify, TLS_VERIFY_OPTIONAL);
	redis_address_done(&a);
	a = parse("redis://h?virtual_host=2");
	ck_assert(!a.first->tls.on);
	ck_assert_int_eq(a.first->db, 2);
	redis_address_done(&a);
}
END_TEST

START_TEST(test_address_backend)
{
	struct redis_tuning t = {.is_backend = true, .user = TEXT("me"), .password = TEXT("pw")};
	static const char *const refused[] = {"rediss://h", "rediss://h?ssl_check_hostname=false",
					      "redis://h?ssl_cert_reqs=none"};
	struct redis_address a;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		ck_assert_int_eq(redis_address_parse_tuned(refused[i], &t, &a, &err), -ERR_INVALID);
	a = parse_tuned("rediss://h?ssl_cert_reqs=CERT_NONE", &t);
	ck_assert_str_eq(a.first->user, "me");
	ck_assert_str_eq(a.first->password, "pw");
	redis_address_done(&a);
	a = parse_tuned("redis://you:other@h", &t);
	ck_assert_str_eq(a.first->user, "you");
	ck_assert_str_eq(a.first->password, "other");
	redis_address_done(&a);
	t.tls.on = true; /* redis_backend_use_ssl */
	a = parse_tuned("redis://h", &t);
	ck_assert(a.first->tls.on);
	ck_assert_int_eq(a.first->tls.verify, TLS_VERIFY_REQUIRED);
	redis_address_done(&a);
}
END_TEST

START_TEST(test_address_several)
{
	struct redis_address a = parse("redis://a:pw;x@h1:1/1;redis://h2/2;rediss://h3;");

	ck_assert_uint_eq(a.site->count, 3);
	ck_assert_str_eq(a.first->password, "pw;x");
	ck_assert_str_eq(a.site->endpoints[1].host, "h2");
	ck_assert_int_eq(a.site->endpoints[1].db, 2);
	ck_assert(a.site->endpoints[2].tls.on && !a.site->endpoints[1].tls.on);
	ck_assert_ptr_null(strstr(a.safe, "pw"));
	/* Whoever fails first moves everybody on, once. */
	redis_site_failed(a.site, 0);
	redis_site_failed(a.site, 0);
	ck_assert_uint_eq(atomic_load(&a.site->current), 1);
	redis_site_failed(a.site, 1);
	redis_site_failed(a.site, 2);
	ck_assert_uint_eq(atomic_load(&a.site->current), 0);
	redis_address_done(&a);
}
END_TEST

START_TEST(test_address_shuffled)
{
	struct redis_tuning t = {.shuffle = true};
	bool moved = false;

	for (int i = 0; i < 200; i++) {
		struct redis_address a = parse_tuned("redis://a;redis://b;redis://c;redis://d", &t);
		unsigned seen = 0;

		ck_assert_str_eq(a.first->host, "a");
		for (size_t n = 0; n < 4; n++)
			seen |= 1u << (a.site->endpoints[n].host[0] - 'a');
		ck_assert_uint_eq(seen, 15);
		moved |= strcmp(a.site->endpoints[1].host, "b") != 0;
		redis_address_done(&a);
	}
	ck_assert(moved);
}
END_TEST

/* What only sentinels are asked with is looked at as soon as there are any. */
START_TEST(test_address_sentinel_tls)
{
	struct redis_tuning t = {.master_name = TEXT("mymaster"), .sentinel_tls = {.on = true}};
	struct redis_address a;
	struct err err;

	t.sentinel_tls.keyfile = TEXT("/no/such/key");
	ck_assert_int_eq(redis_address_parse_tuned("sentinel://s", &t, &a, &err), -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "sentinel_kwargs"));
	ck_assert_ptr_nonnull(strstr(err.msg, "/no/such/key"));
	a = parse_tuned("redis://s", &t);
	redis_address_done(&a);
	t.sentinel_tls.keyfile = NULL;
	a = parse_tuned("sentinel://s", &t);
	redis_address_done(&a);
}
END_TEST

START_TEST(test_address_sentinel)
{
	struct redis_tuning t = {.master_name = TEXT("mymaster")};
	struct redis_address a = parse_tuned("sentinel://u:p@s1/3;sentinel://s2:1234", &t), b;

	ck_assert(a.site->sentinel);
	ck_assert_int_eq(a.first->port, 26379);
	ck_assert_int_eq(a.first->db, 3);
	ck_assert_str_eq(a.first->user, "u");
	ck_assert_str_eq(a.site->tuning.master_name, "mymaster");
	ck_assert_int_eq(a.site->endpoints[1].port, 1234);
	redis_address_copy(&a, &b);
	ck_assert(redis_address_equal(&a, &b));
	ck_assert_ptr_eq(a.site, b.site);
	redis_address_done(&b);
	t.master_name = TEXT("other");
	b = parse_tuned("sentinel://u:p@s1/3;sentinel://s2:1234", &t);
	ck_assert(!redis_address_equal(&a, &b));
	redis_address_done(&b);
	redis_address_done(&a);
}
END_TEST

static bool equal(const char *x, const char *y)
{
	struct redis_address a = parse(x), b = parse(y);
	bool is = redis_address_equal(&a, &b);

	redis_address_done(&a);
	redis_address_done(&b);
	return is;
}

START_TEST(test_address_equal)
{
	ck_assert(equal("redis://h", "redis://H:6379/0"));
	ck_assert(equal("redis+socket:///s", "socket:///s?virtual_host=0"));
	ck_assert(!equal("redis://h", "redis://h/1"));
	ck_assert(!equal("redis://h", "redis://i"));
	ck_assert(!equal("redis://h", "redis://h:1"));
	ck_assert(!equal("redis://a:x@h", "redis://b:x@h"));
	ck_assert(!equal("redis://h", "redis+socket:///h"));
	ck_assert(!equal("redis+socket:///s", "redis+socket:///t"));
	ck_assert(!equal("redis://h", "redis://h;redis://i"));
}
END_TEST

/* ---- commands ---- */

static void expect(struct buf *b, const char *bytes)
{
	ck_assert_int_eq(b->failed, 0);
	ck_assert_str_eq(b->data, bytes);
	buf_reset(b);
}

START_TEST(test_command_words)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4096);

	redis_command(&b, "PING");
	expect(&b, "*1\r\n$4\r\nPING\r\n");
	redis_command(&b, "  SET  %s   %s ", "a b", "");
	expect(&b, "*3\r\n$3\r\nSET\r\n$3\r\na b\r\n$0\r\n\r\n");
	redis_command(&b, "SET key:%s:x%d 100%%", "k", -7);
	expect(&b, "*3\r\n$3\r\nSET\r\n$9\r\nkey:k:x-7\r\n$4\r\n100%\r\n");
}
END_TEST

START_TEST(test_command_numbers)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4096);

	redis_command(&b, "%d %u %lld %llu %zu %ld", INT32_MIN, UINT32_MAX, (long long)INT64_MIN,
		      (unsigned long long)UINT64_MAX, (size_t)5, -3L);
	expect(&b,
	       "*6\r\n$11\r\n-2147483648\r\n$10\r\n4294967295\r\n$20\r\n-9223372036854775808\r\n"
	       "$20\r\n18446744073709551615\r\n$1\r\n5\r\n$2\r\n-3\r\n");
	redis_command(&b, "%.17g %g %f", 1763716200.5, 0.25, 1.5);
	expect(&b, "*3\r\n$12\r\n1763716200.5\r\n$4\r\n0.25\r\n$8\r\n1.500000\r\n");
}
END_TEST

START_TEST(test_command_binary)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4096);
	static const char wire[] = "*2\r\n$3\r\na\0b\r\n$5\r\nx\r\n\0y\r\n";

	redis_command(&b, "%b x%by", "a\0b", (size_t)3, "\r\n\0", (size_t)3);
	ck_assert_uint_eq(b.len, sizeof(wire) - 1);
	ck_assert_mem_eq(b.data, wire, b.len);
}
END_TEST

START_TEST(test_command_vector)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4096);
	const struct slice argv[] = {{"GET", 3}, {"", 0}, {"\0", 1}};

	redis_command_argv(&b, argv, 3);
	ck_assert_uint_eq(b.len, 26);
	ck_assert_mem_eq(b.data, "*3\r\n$3\r\nGET\r\n$0\r\n\r\n$1\r\n\0\r\n", 26);
}
END_TEST

/* Two-digit and three-digit lengths of arguments whose length is found afterwards. */
START_TEST(test_command_long_mixed)
{
	char value[201], want[256];
	_cleanup_buf_ struct buf b = BUF_INIT(4096);

	for (size_t len = 1; len <= 200; len++) {
		memset(value, 'v', len);
		value[len] = '\0';
		snprintf(want, sizeof(want), "*1\r\n$%zu\r\nk%s\r\n", len + 1, value);
		redis_command(&b, "k%s", value);
		expect(&b, want);
	}
}
END_TEST

START_TEST(test_command_limit)
{
	_cleanup_buf_ struct buf b = BUF_INIT(20);
	struct err err;

	redis_command(&b, "SET key%s %s", "0123456789", "0123456789");
	ck_assert_int_eq(buf_status(&b, &err), -ERR_TOOBIG);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(test_command_unknown_conversion)
{
	_cleanup_buf_ struct buf b = BUF_INIT(64);

	redis_command(&b, "SET %5d x", 1);
}
END_TEST

START_TEST(test_script)
{
	struct redis_script s;
	const struct slice args[] = {{"k", 1}, {"v", 1}};
	_cleanup_buf_ struct buf b = BUF_INIT(4096);

	redis_script_init(&s, "return 1");
	ck_assert_str_eq(s.sha, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
	redis_command_evalsha(&b, &s, 1, args, 2);
	expect(&b, "*5\r\n$7\r\nEVALSHA\r\n$40\r\ne0e1f9fabfc9d4800c877a703b823ac0578ff8db\r\n"
		   "$1\r\n1\r\n$1\r\nk\r\n$1\r\nv\r\n");
}
END_TEST

/* ---- replies ---- */

static struct redis_reply *read_one(const char *bytes, size_t len)
{
	struct redis_reader *r = redis_reader_new();
	struct redis_reply *reply = NULL;
	struct err err;

	/* Byte by byte: nothing may depend on how the network cuts. */
	for (size_t i = 0; i < len; i++) {
		ck_assert_int_eq(redis_reader_feed(r, bytes + i, 1, &err), 0);
		ck_assert_int_eq(redis_reader_next(r, &reply, &err), i + 1 == len ? 1 : 0);
	}
	redis_reader_free(r);
	return reply;
}
#define READ(s) read_one(s, sizeof(s) - 1)

START_TEST(test_reply_types)
{
	static const struct {
		const char *bytes;
		enum redis_type type;
		const char *text;
		int64_t number;
	} cases[] = {
		{"$-1\r\n", REDIS_NIL, "", 0},
		{"*-1\r\n", REDIS_NIL, "", 0},
		{"$2\r\n42\r\n", REDIS_STRING, "42", 42},
		{"$3\r\n42x\r\n", REDIS_STRING, "42x", 0},
		{"$0\r\n\r\n", REDIS_STRING, "", 0},
		{"+OK\r\n", REDIS_STATUS, "OK", 0},
		{"-ERR no\r\n", REDIS_ERROR, "ERR no", 0},
		{":-9223372036854775807\r\n", REDIS_INTEGER, "", -INT64_MAX},
		{"*0\r\n", REDIS_ARRAY, "", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_reply_ struct redis_reply *r =
			read_one(cases[i].bytes, strlen(cases[i].bytes));
		struct slice text = redis_reply_str(r);

		ck_assert_int_eq(redis_reply_type(r), cases[i].type);
		ck_assert_uint_eq(text.len, strlen(cases[i].text));
		ck_assert_mem_eq(text.data, cases[i].text, text.len);
		ck_assert_int_eq(redis_reply_int(r), cases[i].number);
		ck_assert_uint_eq(redis_reply_count(r), 0);
	}
}
END_TEST

START_TEST(test_reply_tree)
{
	_cleanup_reply_ struct redis_reply *r =
		READ("*3\r\n$3\r\na\0b\r\n*2\r\n:1\r\n$-1\r\n-NOSCRIPT x\r\n");
	const struct redis_reply *inner;

	ck_assert_uint_eq(redis_reply_count(r), 3);
	ck_assert_uint_eq(redis_reply_str(redis_reply_at(r, 0)).len, 3);
	inner = redis_reply_at(r, 1);
	ck_assert_uint_eq(redis_reply_count(inner), 2);
	ck_assert_int_eq(redis_reply_int(redis_reply_at(inner, 0)), 1);
	ck_assert_int_eq(redis_reply_type(redis_reply_at(inner, 1)), REDIS_NIL);
	ck_assert(redis_reply_is_error(redis_reply_at(r, 2), "NOSCRIPT"));
	ck_assert(!redis_reply_is_error(redis_reply_at(r, 2), "NOSC"));
	ck_assert(!redis_reply_is_error(r, "NOSCRIPT"));
}
END_TEST

START_TEST(test_reply_outage)
{
	static const struct {
		const char *bytes;
		bool outage;
	} cases[] = {
		{"-LOADING Redis is loading the dataset in memory\r\n", true},
		{"-READONLY You can't write against a read only replica.\r\n", true},
		{"-MASTERDOWN Link with MASTER is down\r\n", true},
		{"-TRYAGAIN\r\n", true},
		{"-MISCONF Redis is configured to save RDB snapshots\r\n", true},
		{"-OOM command not allowed when used memory > 'maxmemory'.\r\n", true},
		{"-BUSY Redis is busy running a script.\r\n", true},
		{"-BUSYGROUP Consumer Group name already exists\r\n", false},
		{"-LOADINGX\r\n", false},
		{"-ERR LOADING\r\n", false},
		{"+LOADING\r\n", false},
		{"*0\r\n", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_reply_ struct redis_reply *r =
			read_one(cases[i].bytes, strlen(cases[i].bytes));
		struct err err;

		ck_assert_int_eq(redis_reply_is_outage(r), cases[i].outage);
		if (redis_reply_type(r) == REDIS_ERROR) {
			ck_assert_int_eq(redis_reply_to_err(r, &err), -ERR_FAILED);
			ck_assert_int_eq(err_is_transient(&err), cases[i].outage);
		}
	}
}
END_TEST

/* An array asks for memory before it comes. */
START_TEST(test_reply_announced)
{
	static const struct {
		const char *text;
		int rc;
	} rows[] = {
		{"*2147483647\r\n", -ERR_PROTOCOL},
		{"*16777217\r\n", -ERR_PROTOCOL},
		{"*1\r\n*16777217\r\n", -ERR_PROTOCOL},
		{"*16777216\r\n", 0},
		{"*2\r\n", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct redis_reader *r = redis_reader_new();
		struct redis_reply *reply = NULL;
		struct err err = {0};

		ck_assert_int_eq(redis_reader_feed(r, rows[i].text, strlen(rows[i].text), &err), 0);
		ck_assert_int_eq(redis_reader_next(r, &reply, &err), rows[i].rc);
		ck_assert(rows[i].rc == 0 || strstr(err.msg, "elements"));
		redis_reader_free(r);
	}
}
END_TEST

START_TEST(test_reply_nonsense)
{
	struct redis_reader *r = redis_reader_new();
	struct redis_reply *reply;
	struct err err;

	ck_assert_int_eq(redis_reader_feed(r, "HTTP/1.1 400\r\n", 14, &err), 0);
	ck_assert_int_eq(redis_reader_next(r, &reply, &err), -ERR_PROTOCOL);
	redis_reader_free(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("redis");
	TCase *address = tcase_create("address"), *command = tcase_create("command"),
	      *reply = tcase_create("reply");
	SRunner *runner;
	int failed;

	tcase_add_test(address, test_address_defaults);
	tcase_add_test(address, test_address_full);
	tcase_add_test(address, test_address_socket);
	tcase_add_test(address, test_address_refused);
	tcase_add_test(address, test_address_tls);
	tcase_add_test(address, test_address_backend);
	tcase_add_test(address, test_address_several);
	tcase_add_test(address, test_address_shuffled);
	tcase_add_test(address, test_address_of_many);
	tcase_add_test(address, test_address_sentinel);
	tcase_add_test(address, test_address_sentinel_tls);
	tcase_add_test(address, test_address_equal);
	suite_add_tcase(s, address);
	tcase_add_test(command, test_command_words);
	tcase_add_test(command, test_command_numbers);
	tcase_add_test(command, test_command_binary);
	tcase_add_test(command, test_command_vector);
	tcase_add_test(command, test_command_long_mixed);
	tcase_add_test(command, test_command_limit);
	tcase_add_test_raise_signal(command, test_command_unknown_conversion, 6);
	tcase_add_test(command, test_script);
	suite_add_tcase(s, command);
	tcase_add_test(reply, test_reply_types);
	tcase_add_test(reply, test_reply_tree);
	tcase_add_test(reply, test_reply_outage);
	tcase_add_test(reply, test_reply_nonsense);
	tcase_add_test(reply, test_reply_announced);
	suite_add_tcase(s, reply);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
