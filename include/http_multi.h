/*
 * http_multi.h: several HTTP exchanges at once, their answers piece by piece, by libcurl.
 *
 * For peers whose answers are streams, and for tools. An exchange lasts as long as the other side
 * likes: whoever began it ends it. Proxies from the environment, netrc, redirects and cookies are
 * never used. Everything here belongs to one thread at a time.
 */
#ifndef CELERIAC_HTTP_MULTI_H
#define CELERIAC_HTTP_MULTI_H

#include "base.h"
#include "err.h"
#include "outbound.h"

struct http_multi;
struct http_exchange;

struct http_multi *http_multi_new(void);
/* Ends what goes on, without a word to whoever began it. NULL is fine. */
void http_multi_free(struct http_multi *m);

/* In place of a URL's host a place in this process: of all exchanges of a multi the same one, and
 * its URLs are no https. */
struct http_local {
	/* A connected socket that does not block, given; or NULL: the URL's host is meant. */
	int (*connect)(void *arg, int *ret, struct err *err);
	void *arg;
};

struct http_handler {
	/* May a connection to this address be made? NULL: to any. ERR_DENIED says why not. */
	int (*judge)(void *arg, const struct ip_address *address, uint16_t port, struct err *err);
	/* A header of the answer; `value` without white space around it. Interim answers have none.
	 */
	void (*header)(void *arg, const char *name, const char *value);
	/* A piece of the body; a negative return ends the exchange with it. */
	int (*body)(void *arg, int status, const char *data, size_t len, struct err *err);
	/* It is over: status and 0, or an error. Never after http_exchange_end. The exchange is
	 * gone when this returns. */
	void (*done)(void *arg, int status, const struct err *failed);
	void *arg;
	struct http_local local;
};

/* `headers`: "Name: value", NULL-terminated; `body` (or NULL) and they are copied. `timeout` for
 * all of it, 0 = none but for connecting. */
struct http_exchange *http_exchange_begin(struct http_multi *m, const char *method, const char *url,
					  const char *const *headers, const char *body,
					  size_t body_len, usec_t timeout,
					  const struct http_handler *handler);
/* Answers may be compressed: the body's pieces are what they hold. Before it runs. */
void http_exchange_decode(struct http_exchange *x);
/* Its URL's host and port stand for these addresses, and for no others. Before it runs. */
void http_exchange_pin(struct http_exchange *x, const struct outbound_host *host, uint16_t port,
		       const struct ip_address *addresses, size_t count);
/* Closes it at once, and its connection where it has begun. */
void http_exchange_end(struct http_exchange *x);

/*
 * Whether `line` is one header, "Name: value", and nothing else. ERR_INVALID names the header,
 * never its value: it may be a secret. Those that frame a message or belong to one connection are
 * nobody's to say; nor are `reserved` (NULL-terminated, or NULL). Pure. [any]
 */
int http_header_check(const char *line, const char *const *reserved, struct err *err) must_check;

/* Lets exchanges go on and calls their handlers; returns once one was called, at `deadline`, or
 * from time to time: it is for a loop. */
void http_multi_run(struct http_multi *m, usec_t deadline);

#endif
