/*
 * http_exchange.c: the request of a tool, made.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "http_multi.h"
#include "http_tool.h"
#include "mem.h"

#define LOOK_AGAIN (100 * USEC_PER_MSEC) /* at whether somebody asked us to stop */

struct exchange {
	const struct http_tool_request *request;
	struct outbound *outbound;
	struct http_tool_answer *answer;
	bool done;
	struct err failed; /* code 0 = it did not */
};

static int on_judge(void *arg, const struct ip_address *a, uint16_t port, struct err *err)
{
	struct exchange *x = arg;
	int rc =
		outbound_check_address(x->outbound, OUTBOUND_HTTP, &x->request->host, a, port, err);

	if (rc == 0)
		ip_address_format(a, x->answer->address);
	return rc;
}

/* What servers send twice is not for us to choose from: the first counts. */
static void on_location(struct http_tool_answer *a, const char *value)
{
	if (!a->location)
		a->location = xstrdup(value);
}

static void on_header(void *arg, const char *name, const char *value)
{
	struct exchange *x = arg;

	if (strcasecmp(name, "Content-Type") == 0)
		snprintf(x->answer->content_type, sizeof(x->answer->content_type), "%s", value);
	else if (strcasecmp(name, "Location") == 0)
		on_location(x->answer, value);
}

static int on_body(void *arg, int status unused_arg, const char *data, size_t len, struct err *err)
{
	struct exchange *x = arg;

	buf_append(&x->answer->body, data, len);
	if (buf_status(&x->answer->body, err) < 0)
		return err_set(err, ERR_TOOBIG, "the answer has more than %u bytes",
			       HTTP_TOOL_BODY);
	return 0;
}

static void on_done(void *arg, int status, const struct err *failed)
{
	struct exchange *x = arg;

	x->done = true;
	x->answer->status = status;
	if (failed)
		x->failed = *failed;
}

void http_tool_answer_done(struct http_tool_answer *a)
{
	buf_done(&a->body);
	free(TAKE(a->location));
}

static int run(struct http_multi *m, struct exchange *x, usec_t deadline,
	       const atomic_bool *cancelled, struct err *err)
{
	while (!x->done) {
		usec_t now = clock_mono();
		if (cancelled && atomic_load(cancelled))
			return err_set(err, ERR_CANCELLED, "asked to stop");
		if (now >= deadline)
			return err_set(err, ERR_TIMEOUT, "no answer within the time");
		http_multi_run(m, now + LOOK_AGAIN < deadline ? now + LOOK_AGAIN : deadline);
	}
	if (x->failed.code)
		*err = x->failed;
	return -x->failed.code;
}

int http_tool_exchange(const struct http_tool_request *r, struct outbound *outbound,
		       usec_t deadline, const atomic_bool *cancelled, struct http_tool_answer *ret,
		       struct err *err)
{
	struct exchange x = {.request = r, .outbound = outbound, .answer = ret};
	const struct http_handler handler = {.judge = on_judge,
					     .header = on_header,
					     .body = on_body,
					     .done = on_done,
					     .arg = &x};
	struct ip_address addresses[OUTBOUND_ADDRESSES];
	size_t count;
	int rc = outbound_check_host(outbound, OUTBOUND_HTTP, &r->host, r->port, err);

	if (rc == 0)
		rc = outbound_resolve(outbound, OUTBOUND_HTTP, &r->host, r->port, deadline,
				      cancelled, addresses, &count, err);
	if (rc < 0)
		return rc;
	*ret = (struct http_tool_answer){.body = BUF_INIT(HTTP_TOOL_BODY)};
	struct http_multi *m = http_multi_new();
	struct http_exchange *e =
		http_exchange_begin(m, r->method, r->url, (const char *const *)r->headers, r->body,
				    r->body_len, deadline - clock_mono(), &handler);
	if (count > 0)
		http_exchange_pin(e, &r->host, r->port, addresses, count);
	http_exchange_decode(e);
	rc = run(m, &x, deadline, cancelled, err);
	http_multi_free(m);
	if (rc < 0)
		http_tool_answer_done(ret);
	return rc;
}
