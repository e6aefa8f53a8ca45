/* What a sandbox says to the proxy: heads, bodies, TLS greetings. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/sandbox/egress_head.h"
#include "tests/unit/suite.h"

static int parse(const char *text, struct egress_request *r)
{
	struct err err;
	size_t len = egress_head_length(text, strlen(text));

	ck_assert_uint_eq(len, strlen(text));
	return egress_request_parse(text, len, r, &err);
}

static const struct {
	const char *head, *host, *sent;
	uint16_t port;
	uint64_t body;
	bool chunked;
} good[] = {
	{"CONNECT Example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", "example.org", "",
	 443, 0, false},
	{"CONNECT [::1]:8443 HTTP/1.0\r\n\r\n", "::1", "", 8443, 0, false},
	{"GET http://a.example HTTP/1.1\r\nHost: b.example\r\n\r\n", "a.example",
	 "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n", 80, 0, false},
	{"GET http://a.example?q=1 HTTP/1.1\r\n\r\n", "a.example",
	 "GET /?q=1 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n", 80, 0, false},
	{"GET HTTP://[2606:4700::1]:8080/x HTTP/1.1\r\n\r\n", "2606:4700::1",
	 "GET /x HTTP/1.1\r\nHost: [2606:4700::1]:8080\r\nConnection: close\r\n\r\n", 8080, 0,
	 false},
	{"POST http://a.example:81/p?a=b HTTP/1.1\r\nUser-Agent:  curl \r\nProxy-Authorization: "
	 "secret\r\nProxy-Connection: keep-alive\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nTE: "
	 "trailers\r\nUpgrade: h2c\r\ncontent-length: 5\r\n\r\n",
	 "a.example",
	 "POST /p?a=b HTTP/1.1\r\nHost: a.example:81\r\nConnection: close\r\nUser-Agent: "
	 "curl\r\ncontent-length: 5\r\n\r\n",
	 81, 5, false},
	{"PUT http://a.example/ HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", "a.example",
	 "PUT / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nTransfer-Encoding: "
	 "Chunked\r\n\r\n",
	 80, 0, true},
};

START_TEST(test_good)
{
	struct egress_request r;

	ck_assert_int_eq(parse(good[_i].head, &r), 0);
	ck_assert_str_eq(r.host.name, good[_i].host);
	ck_assert_uint_eq(r.port, good[_i].port);
	ck_assert_str_eq(r.head.data, good[_i].sent);
	ck_assert(r.body.chunked == good[_i].chunked);
	ck_assert_uint_eq(r.body.left, good[_i].body);
	egress_request_done(&r);
}
END_TEST

static const char *const bad[] = {
	"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
	"GET https://a.example/ HTTP/1.1\r\n\r\n",
	"GET ftp://a.example/ HTTP/1.1\r\n\r\n",
	"GET http:///x HTTP/1.1\r\n\r\n",
	"GET http://user@a.example/ HTTP/1.1\r\n\r\n",
	"GET http://a.example:0/ HTTP/1.1\r\n\r\n",
	"GET http://a.example:65536/ HTTP/1.1\r\n\r\n",
	"GET http://a.example:/ HTTP/1.1\r\n\r\n",
	"GET http://a.example:8a/ HTTP/1.1\r\n\r\n",
	"GET http://127.1/ HTTP/1.1\r\n\r\n",
	"GET http://0x7f000001/ HTTP/1.1\r\n\r\n",
	"GET http://a.example\\@b.example/ HTTP/1.1\r\n\r\n",
	"GET http://a.example/a\\b HTTP/1.1\r\n\r\n",
	"GET http://a.example/#x HTTP/1.1\r\n\r\n",
	"GET http://a.example/\303\274 HTTP/1.1\r\n\r\n",
	"GET  http://a.example/ HTTP/1.1\r\n\r\n",
	"GET http://a.example/ HTTP/1.1 \r\n\r\n",
	"GET http://a.example/ HTTP/2.0\r\n\r\n",
	"GET http://a.example/\r\n\r\n",
	"G@T http://a.example/ HTTP/1.1\r\n\r\n",
	" GET http://a.example/ HTTP/1.1\r\n\r\n",
	"AAAAAAAAAAAAAAAAAAAAAAAAA http://a.example/ HTTP/1.1\r\n\r\n",
	"CONNECT a.example HTTP/1.1\r\n\r\n",
	"CONNECT :443 HTTP/1.1\r\n\r\n",
	"CONNECT http://a.example:443 HTTP/1.1\r\n\r\n",
	"CONNECT a.example:443/x HTTP/1.1\r\n\r\n",
	"CONNECT a.example:443x HTTP/1.1\r\n\r\n",
	"GET http://a.example/ HTTP/1.1\r\nA b: c\r\n\r\n",
	"GET http://a.example/ HTTP/1.1\r\nNo colon\r\n\r\n",
	"GET http://a.example/ HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
	"GET http://a.example/ HTTP/1.1\r\nA: b\nB: c\r\n\r\n",
	"GET http://a.example/ HTTP/1.1\r\nA: b\rc\r\n\r\n",
	"GET http://a.example/ HTTP/1.1\r\n: x\r\n\r\n",
	"POST http://a.example/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
	"POST http://a.example/ HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
	"POST http://a.example/ HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
	"POST http://a.example/ HTTP/1.1\r\nContent-Length: \r\n\r\n",
	"POST http://a.example/ HTTP/1.1\r\nContent-Length: 9999999999999999\r\n\r\n",
	"POST http://a.example/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	"POST http://a.example/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
	"chunked\r\n\r\n",
	"POST http://a.example/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: "
	"4\r\n\r\n",
};

START_TEST(test_bad)
{
	struct egress_request r;

	ck_assert_msg(parse(bad[_i], &r) == -ERR_INVALID, "%s", bad[_i]);
}
END_TEST

START_TEST(test_nul_and_many_headers)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
	struct egress_request r;
	struct err err;
	static const char nul[] = "GET http://a.example/ HTTP/1.1\r\nA: b\0c\r\n\r\n";

	ck_assert_int_eq(egress_request_parse(nul, sizeof(nul) - 1, &r, &err), -ERR_INVALID);
	buf_append_str(&text, "GET http://a.example/ HTTP/1.1\r\n");
	for (int i = 0; i < 101; i++)
		buf_append_str(&text, "A: b\r\n");
	buf_append_str(&text, "\r\n");
	ck_assert_int_eq(egress_request_parse(text.data, text.len, &r, &err), -ERR_INVALID);
	ck_assert_uint_eq(egress_head_length("GET / HTTP/1.1\r\nA: b\r\n", 22), 0);
}
END_TEST

/* ---- bodies ---- */
/* Fed in pieces of `step`: how many bytes were the body's. */
static size_t fed(struct egress_body *b, const char *text, size_t step)
{
	size_t len = strlen(text), n = 0;

	for (size_t at = 0; at < len && !b->bad; at += step) {
		size_t piece = len - at < step ? len - at : step;

		n += egress_body_feed(b, text + at, piece);
	}
	return n;
}

START_TEST(test_bodies)
{
	static const char chunks[] = "4\r\nWiki\r\n6;x=\"y\"\r\n in \r\n\r\nE\r\nchunked\r\n\r\nabc"
				     "\r\n0\r\nTrailer: 1\r\n\r\n";
	static const char next[] = "GET http://other.example/ HTTP/1.1\r\n\r\n";
	char both[400];

	snprintf(both, sizeof(both), "%s%s", chunks, next);
	for (size_t step = 1; step < 80; step++) {
		struct egress_body plain = {.left = 5}, b = {.chunked = true};

		ck_assert_uint_eq(fed(&plain, "helloGET", step), 5);
		ck_assert(egress_body_is_over(&plain));
		ck_assert_uint_eq(fed(&b, both, step), strlen(chunks));
		ck_assert(egress_body_is_over(&b) && !b.bad);
	}
	struct egress_body none = {0};
	ck_assert(egress_body_is_over(&none));
	ck_assert_uint_eq(fed(&none, next, 10), 0);
}
END_TEST

START_TEST(test_bad_chunks)
{
	static const char *const texts[] = {"\r\n",
					    "x\r\n",
					    "-1\r\n",
					    "4\r\nWikix\r\n",
					    ";a\r\n",
					    "0x4\r\nWiki",
					    "ffffffffffffffff\r\n",
					    "4\r\nWiki\r5\r\n",
					    "4\nWiki\r\n",
					    "4\r\nWiki\n",
					    "0\r\nA: b\n\r\n"};
	static const char *const endless[] = {"4;", "0\r\n", "0\r\nA: b\r\n"};

	/* an extension and a trailer without end */
	for (size_t i = 0; i < ARRAY_LEN(endless); i++) {
		struct egress_body b = {.chunked = true};
		size_t bytes = 0;

		fed(&b, endless[i], 1);
		ck_assert(!b.bad);
		for (; bytes < 100000 && !b.bad; bytes++)
			fed(&b, "x", 1);
		ck_assert(b.bad && bytes > 200);
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct egress_body b = {.chunked = true};

		fed(&b, texts[i], 1);
		ck_assert_msg(b.bad, "%s", texts[i]);
	}
}
END_TEST

/* ---- TLS greetings ---- */
static void put16(struct buf *b, size_t v)
{
	buf_append_char(b, (char)(v >> 8));
	buf_append_char(b, (char)v);
}

/* A ClientHello with `name`, or without, after an extension of another kind. */
static void hello(struct buf *out, const char *name)
{
	_cleanup_buf_ struct buf ext = BUF_INIT(4096), body = BUF_INIT(4096);

	put16(&ext, 10);
	put16(&ext, 4);
	put16(&ext, 2);
	put16(&ext, 29);
	if (name) {
		put16(&ext, 0);
		put16(&ext, strlen(name) + 5);
		put16(&ext, strlen(name) + 3);
		buf_append_char(&ext, 0);
		put16(&ext, strlen(name));
		buf_append_str(&ext, name);
	}
	put16(&body, 0x0303);
	for (int i = 0; i < 32; i++)
		buf_append_char(&body, (char)i);
	buf_append_char(&body, 0);
	put16(&body, 2);
	put16(&body, 0x1301);
	buf_append_char(&body, 1);
	buf_append_char(&body, 0);
	put16(&body, ext.len);
	buf_append(&body, ext.data, ext.len);
	buf_append_char(out, 1);
	buf_append_char(out, 0);
	put16(out, body.len);
	buf_append(out, body.data, body.len);
}

/* In records of at most `size` bytes. */
static void records(struct buf *out, const struct buf *handshake, size_t size)
{
	for (size_t at = 0; at < handshake->len; at += size) {
		size_t n = handshake->len - at < size ? handshake->len - at : size;

		buf_append_char(out, 22);
		put16(out, 0x0301);
		put16(out, n);
		buf_append(out, handshake->data + at, n);
	}
}

START_TEST(test_greetings)
{
	char name[OUTBOUND_NAME_BYTES + 1];
	static const size_t sizes[] = {1, 3, 4, 5, 40, 16000};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		_cleanup_buf_ struct buf h = BUF_INIT(4096), wire = BUF_INIT(65536);

		hello(&h, "www.Example.org");
		records(&wire, &h, sizes[i]);
		for (size_t len = 0; len < wire.len; len++)
			ck_assert_int_eq(egress_hello_read(wire.data, len, name), HELLO_MORE);
		buf_append_str(&wire, "more");
		ck_assert_int_eq(egress_hello_read(wire.data, wire.len, name), HELLO_NAMED);
		ck_assert_str_eq(name, "www.Example.org");
	}
	_cleanup_buf_ struct buf h = BUF_INIT(4096), wire = BUF_INIT(65536);
	hello(&h, NULL);
	records(&wire, &h, 16000);
	ck_assert_int_eq(egress_hello_read(wire.data, wire.len, name), HELLO_NAMELESS);
}
END_TEST

START_TEST(test_old_greetings)
{
	_cleanup_buf_ struct buf h = BUF_INIT(4096), wire = BUF_INIT(65536);
	char name[OUTBOUND_NAME_BYTES + 1];

	/* without extensions, as TLS 1.0 may be */
	buf_append(&h, "\x01\0\0\x29\x03\x01", 6);
	for (int i = 0; i < 32; i++)
		buf_append_char(&h, (char)i);
	buf_append(&h, "\0\0\x02\0\x2f\x01\0", 7);
	records(&wire, &h, 16000);
	ck_assert_int_eq(egress_hello_read(wire.data, wire.len, name), HELLO_NAMELESS);
	/* and cut off in its random bytes */
	buf_reset(&h);
	buf_reset(&wire);
	buf_append(&h, "\x01\0\0\x04\x03\x01\x7f\x7f", 8);
	records(&wire, &h, 16000);
	ck_assert_int_eq(egress_hello_read(wire.data, wire.len, name), HELLO_NOT_TLS);
}
END_TEST

/* Whatever is turned over in it: an answer, and never a name that is not in it. */
START_TEST(test_broken_greetings)
{
	_cleanup_buf_ struct buf h = BUF_INIT(4096), wire = BUF_INIT(65536);
	char name[OUTBOUND_NAME_BYTES + 1];

	hello(&h, "a.example");
	records(&wire, &h, 16000);
	for (size_t at = 0; at < wire.len; at++) {
		for (int bit = 0; bit < 8; bit++) {
			_cleanup_free_ char *copy = malloc(wire.len);

			memcpy(copy, wire.data, wire.len);
			copy[at] = (char)(copy[at] ^ (1 << bit));
			if (egress_hello_read(copy, wire.len, name) == HELLO_NAMED)
				ck_assert_uint_lt(strlen(name), sizeof(name));
		}
	}
	ck_assert_int_eq(egress_hello_read("GET / HTTP/1.1\r\n", 16, name), HELLO_NOT_TLS);
	ck_assert_int_eq(egress_hello_read("SSH-2.0-x\r\n", 11, name), HELLO_NOT_TLS);
	ck_assert_int_eq(egress_hello_read("\x16\x03\x01\xff\xff\x01", 6, name), HELLO_NOT_TLS);
	ck_assert_int_eq(egress_hello_read("\x16\x03\x01\x00\x00", 5, name), HELLO_NOT_TLS);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("head");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_good, 0, ARRAY_LEN(good));
	tcase_add_loop_test(t, test_bad, 0, ARRAY_LEN(bad));
	tcase_add_test(t, test_nul_and_many_headers);
	tcase_add_test(t, test_bodies);
	tcase_add_test(t, test_bad_chunks);
	tcase_add_test(t, test_greetings);
	tcase_add_test(t, test_old_greetings);
	tcase_add_test(t, test_broken_greetings);
	return suite_run("egress_head", t);
}
