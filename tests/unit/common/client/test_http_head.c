/* The head of an HTTP answer: fed whole and byte by byte, and everything that must be refused. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "common/client/http_head.h"

/* Feeds `text` in pieces of `step`; the result, the bytes used in all, and the head. */
static int feed(const char *text, size_t step, struct http_head *h, size_t *used, struct err *err)
{
	size_t len = strlen(text);
	int rc = 0;

	http_head_init(h);
	*used = 0;
	for (size_t at = 0; at < len && rc == 0; at += step) {
		size_t n = len - at < step ? len - at : step, took = 0;
		rc = http_head_feed(h, text + at, n, &took, err);
		if (rc >= 0)
			*used += took;
	}
	return rc;
}

static const struct {
	const char *text;
	size_t head; /* bytes of it that are head */
	int status;
	bool has_length, chunked;
	uint64_t length;
} good[] = {
	{"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
	 "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n\1\0\0\0",
	 109, 101, false, false, 0},
	{"HTTP/1.1 200 OK\r\n\r\nrest", 19, 200, false, false, 0},
	{"HTTP/1.0 200\r\n\r\n", 16, 200, false, false, 0},
	{"HTTP/1.1 200 OK\n\nrest", 17, 200, false, false, 0},
	{"HTTP/1.1 404 Not Found\r\ncontent-LENGTH:  17 \r\n\r\n{}", 48, 404, true, false, 17},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 57, 200, true, false,
	 5},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", 47, 200, false, true, 0},
	{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nContent-Length: 3\r\n\r\n"
	 "HTTP/1.1 101 S\r\n\r\nx",
	 84, 101, false, false, 0},
	{"HTTP/1.1 200 OK\r\nX-Empty:\r\nX-Tab:\ta\tb\r\n\r\n", 41, 200, false, false, 0},
};

START_TEST(test_good)
{
	struct http_head *h = malloc(sizeof(*h));
	struct err err;
	size_t used;

	for (size_t step = 1; step <= 200; step += step < 10 ? 1 : 37) {
		ck_assert_int_eq(feed(good[_i].text, step, h, &used, &err), 1);
		ck_assert_uint_eq(used, good[_i].head);
		ck_assert_int_eq(h->status, good[_i].status);
		ck_assert(h->has_length == good[_i].has_length);
		ck_assert(h->chunked == good[_i].chunked);
		ck_assert_uint_eq(h->length, good[_i].length);
	}
	free(h);
}
END_TEST

static const char *const bad[] = {
	"\r\n\r\n",
	"GARBAGE\r\n\r\n",
	"HTTP/2 200 OK\r\n\r\n",
	"HTTP/1.x 200 OK\r\n\r\n",
	"HTTP/1.1  200 OK\r\n\r\n",
	"HTTP/1.1 20 OK\r\n\r\n",
	"HTTP/1.1 2000\r\n\r\n",
	"HTTP/1.1 099 X\r\n\r\n",
	"HTTP/1.1 2a0 X\r\n\r\n",
	"SSH-2.0-OpenSSH_9.2\r\n",
	"HTTP/1.1 200 OK\r\n: value\r\n\r\n",
	"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
	"HTTP/1.1 200 OK\r\nName : value\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA: \x1b[31m\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
};

START_TEST(test_bad)
{
	struct http_head *h = malloc(sizeof(*h));
	struct err err;
	size_t used;

	ck_assert_int_eq(feed(bad[_i], 1, h, &used, &err), -ERR_PROTOCOL);
	ck_assert_int_eq(feed(bad[_i], 4096, h, &used, &err), -ERR_PROTOCOL);
	free(h);
}
END_TEST

START_TEST(test_nul)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\0002\r\n\r\n";
	struct http_head *h = malloc(sizeof(*h));
	struct err err;
	size_t used;

	http_head_init(h);
	ck_assert_int_eq(http_head_feed(h, text, sizeof(text) - 1, &used, &err), -ERR_PROTOCOL);
	free(h);
}
END_TEST

START_TEST(test_incomplete)
{
	struct http_head *h = malloc(sizeof(*h));
	struct err err;
	size_t used;

	ck_assert_int_eq(feed("HTTP/1.1 200 OK\r\nA: b\r\n\r", 3, h, &used, &err), 0);
	ck_assert_uint_eq(used, 24);
	free(h);
}
END_TEST

START_TEST(test_bounds)
{
	struct http_head *h = malloc(sizeof(*h));
	static const char line[] = "Name: value\r\n";
	struct err err;
	size_t used, total = 0;
	int rc;

	/* one line without end */
	http_head_init(h);
	do {
		rc = http_head_feed(h, "AAAAAAAA", 8, &used, &err);
		total += 8;
	} while (rc == 0);
	ck_assert_int_eq(rc, -ERR_TOOBIG);
	ck_assert_uint_le(total, HTTP_HEAD_LINE + 8);

	/* lines without end */
	ck_assert_int_eq(feed("HTTP/1.1 200 OK\r\n", 17, h, &used, &err), 0);
	total = 0;
	do {
		rc = http_head_feed(h, line, sizeof(line) - 1, &used, &err);
		total += sizeof(line) - 1;
	} while (rc == 0);
	ck_assert_int_eq(rc, -ERR_TOOBIG);
	ck_assert_uint_le(total, BOUND_HTTP_HEAD + sizeof(line));

	/* interim answers without end */
	http_head_init(h);
	total = 0;
	do {
		rc = http_head_feed(h, "HTTP/1.1 100 C\r\n\r\n", 18, &used, &err);
		total += 18;
	} while (rc == 0);
	ck_assert_int_eq(rc, -ERR_TOOBIG);
	ck_assert_uint_le(total, BOUND_HTTP_HEAD + 18);
	free(h);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http_head");
	TCase *t = tcase_create("head");

	tcase_add_loop_test(t, test_good, 0, ARRAY_LEN(good));
	tcase_add_loop_test(t, test_bad, 0, ARRAY_LEN(bad));
	tcase_add_test(t, test_nul);
	tcase_add_test(t, test_incomplete);
	tcase_add_test(t, test_bounds);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
