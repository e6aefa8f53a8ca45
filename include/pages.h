/*
 * pages.h: /metrics for Prometheus, /healthz (the process answers) and /readyz (it can do its
 * work), on an address of this machine. GET and HEAD alone, a few connections at once, on a thread
 * of libmicrohttpd's.
 */
#ifndef CELERIAC_PAGES_H
#define CELERIAC_PAGES_H

#include "base.h"
#include "buf.h"
#include "err.h"

struct pages {
	const char *setting; /* that holds the address, for errors: "CELERIAC_METRICS" */
	/* Called on the listener's thread, one at a time; must not wait. Appends the page. */
	void (*metrics)(void *arg, struct buf *out);
	/* Appends why, a line each; true: ready. */
	bool (*ready)(void *arg, struct buf *out);
	void *arg;
};

struct page_server;

/* Whether `address` is "ip:port" or "[ip6]:port", or empty; nothing is bound. ERR_INVALID. [any] */
int pages_check(const char *setting, const char *address, struct err *err) must_check;
/* ret: NULL when `address` is empty. `p` is copied. ERR_INVALID, ERR_FAILED. [init] */
int pages_start(const char *address, const struct pages *p, struct page_server **ret,
		struct err *err) must_check;
void pages_stop(struct page_server *s);

/* Asks the process that listens on `address` (any address of ours: on loopback) for /readyz and
 * appends what it said. 0: ready; ERR_UNAVAILABLE: nobody answers, ERR_NOTFOUND: not ready. [init,
 * after http_global_init] */
int pages_ask(const char *setting, const char *address, struct buf *out,
	      struct err *err) must_check;

#endif
