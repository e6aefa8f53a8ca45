/*
 * http.h: HTTP requests over TCP, TLS or a unix socket, by libcurl. For engines now; for tools and
 * MCP servers later.
 *
 * Every request has a deadline and a ceiling for the answer. Proxies from the environment, netrc,
 * redirects and cookies are never used.
 */
#ifndef CELERIAC_HTTP_H
#define CELERIAC_HTTP_H

#include <stdbool.h>
#include <sys/types.h>

#include "buf.h"
#include "err.h"

/* Once, before any thread. [init] */
int http_global_init(struct err *err) must_check;

/* Where requests go; borrowed by every call. */
struct http_target {
	const char *base_url;	 /* "http://localhost" for a unix socket, "http(s)://host:port" */
	const char *unix_socket; /* path or NULL */
	const char *ca_file, *cert_file, *key_file; /* TLS, or NULL */
};

struct http_request {
	const char *method;	  /* "GET" … */
	const char *path;	  /* begins with a slash, already percent-encoded */
	const char *content_type; /* of the body, or NULL */
	const char *body;	  /* borrowed, or NULL */
	size_t body_len;
	usec_t timeout;	 /* for the whole exchange */
	size_t max_body; /* bytes of answer, then ERR_TOOBIG */
	/* Gets the pieces of an answer of status 200 in place of `ret->body`; or NULL. */
	void (*piece)(void *arg, const char *data, size_t len);
	/* Asked at least once a second: true ends the exchange, ERR_CANCELLED; or NULL. */
	bool (*give_up)(void *arg);
	void *arg;
	/* Of a stream: only the answer is one, and it is asked for in HTTP/1.0, so that it comes as
	 * it is and not in chunks. */
	bool until_close;
};

struct http_response {
	int status;
	struct buf body;
	/* Headers that engines answer a ping with, "" if none. */
	char api_version[16];	 /* Api-Version */
	char libpod_version[16]; /* Libpod-Api-Version: Podman's own */
};

/* A client keeps connections for reuse by one thread at a time. */
struct http_client;
struct http_client *http_client_new(const struct http_target *target);
void http_client_free(struct http_client *c);

/* 0 with any HTTP status; ERR_UNAVAILABLE when nobody answers, ERR_TIMEOUT, ERR_TOOBIG,
 * ERR_PROTOCOL. `ret->body` must be an initialised builder (its limit is set here); given. [owner]
 */
int http_do(struct http_client *c, const struct http_request *req, struct http_response *ret,
	    struct err *err) must_check;

/* ---- a connection taken over by a stream (Docker's attach) ---- */
struct http_stream;
/* Sends `req` with Connection: Upgrade, Upgrade: tcp on a connection made for it alone; succeeds on
 * 101, or on a 200 without length. Any other status: ERR_NOTFOUND (404), ERR_CONFLICT (409), else
 * ERR_PROTOCOL, with the body's text. */
int http_stream_open(const struct http_target *target, const struct http_request *req,
		     struct http_stream **ret, struct err *err) must_check;
/* 1..size bytes read, 0 at the end of the stream, or an error; ERR_TIMEOUT at the monotonic
 * `deadline`. One thread may read while another writes. */
ssize_t http_stream_read(struct http_stream *s, void *data, size_t size, usec_t deadline,
			 struct err *err) must_check;
/* All of it or an error. */
int http_stream_write(struct http_stream *s, const void *data, size_t len, usec_t deadline,
		      struct err *err) must_check;
/* As much as goes at once: bytes sent, 0 when none can be now, or an error. */
ssize_t http_stream_send(struct http_stream *s, const void *data, size_t len,
			 struct err *err) must_check;
/* A connected socket, taken, that is such a stream by itself; `early` came before (copied). */
struct http_stream *http_stream_adopt(int fd, const void *early, size_t len);
/* Is its descriptor all there is to it? Of a connection to a unix socket that was given up by a
 * 101, with what was read of it too early (borrowed). Then another may go on with both, and the
 * stream be closed. */
bool http_stream_is_plain(const struct http_stream *s, struct slice *ret_early);
/* Pollable; libcurl may hold bytes already read, so read until ERR_TIMEOUT with a deadline in the
 * past. */
int http_stream_fd(const struct http_stream *s);
void http_stream_close(struct http_stream *s);

#endif
