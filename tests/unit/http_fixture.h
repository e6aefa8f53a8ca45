/*
 * http_fixture.h: an HTTP server that says exactly what a test wants, right or wrong.
 *
 * A thread of the test's own (forked) process; it ends with it. One at a time.
 */
#ifndef CELERIAC_TESTS_HTTP_FIXTURE_H
#define CELERIAC_TESTS_HTTP_FIXTURE_H

#include "http.h"

/* After a reply: close, wait for the next request, go silent, or send back whatever comes. */
enum http_after { CLOSE, KEEP, HOLD, ECHO };

/* What is sent after a whole request came in, and then. */
struct http_reply {
	const char *text;
	enum http_after after;
	size_t repeat; /* the text this often; 0 = once */
};
#define HTTP_REPLIES 16

/* On loopback or a unix socket. The replies are given in turn, then again from the first. */
void http_fixture_run(bool tcp, const struct http_reply *replies, size_t count);
/* Where it is. */
struct http_target *http_fixture_target(void);
/* Does the last request hold this text? */
bool http_fixture_asked(const char *text);
size_t http_fixture_connections(void);
size_t http_fixture_requests(void);
/* Removes the socket. */
void http_fixture_clean(void);

#define HTTP_RUN(...)                                                                              \
	http_fixture_run(false, (struct http_reply[]){__VA_ARGS__},                                \
			 sizeof((struct http_reply[]){__VA_ARGS__}) / sizeof(struct http_reply))

#endif
